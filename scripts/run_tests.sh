#!/usr/bin/env bash
# Make the environment, run the linters and the tests, and list the slowest tests.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

text="usage: bash scripts/run_tests.sh [--all] [--coverage] [pytest options ...]
  --all       run the tests marked slow too
  --coverage  print the share of each file's lines that ran, and those that did not; tests take longer"
selection=(-m "not slow") coverage=()
while [[ $# -gt 0 ]]; do
  case $1 in
    -h | --help) echo "$text" && exit 0 ;;
    --all) selection=() ;;
    --coverage) coverage=(--cov --cov-report=term-missing:skip-covered) ;;
    *) break ;;
  esac
  shift
done

make_environment dev
cd "$ROOT"
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy --ignore-missing-imports src
"$(dirname "$PYTHON")/shellcheck" -x scripts/*.sh ascend310_infer/*.sh benchmarks/*.sh data_prepare.sh .ci/run
# Two processes, because most of the time goes into compiling graphs, which uses one core. If one dies, the run ends:
# pytest-xdist 3.8 would wait forever for the tests of its replacement.
"$PYTHON" -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder --max-worker-restart 0 \
  --durations 40 --durations-min 2 "${selection[@]}" "${coverage[@]}" "$@"
