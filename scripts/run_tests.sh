#!/usr/bin/env bash
# Make the environment, then run the linters and the tests; --all includes those marked slow.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

text="usage: bash scripts/run_tests.sh [--all] [pytest options ...]"
selection=(-m "not slow")
[[ "${1:-}" != --help ]] || { echo "$text" && exit 0; }
if [[ "${1:-}" == --all ]]; then
  selection=()
  shift
fi

make_environment dev
cd "$ROOT"
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy --ignore-missing-imports src
"$(dirname "$PYTHON")/shellcheck" -x scripts/*.sh ascend310_infer/*.sh benchmarks/*.sh data_prepare.sh .ci/run
# Two processes: most of the time goes into compiling graphs, which uses one core. When one dies, the run ends: pytest-xdist
# 3.8 waits for ever for the tests of the one that it starts instead.
"$PYTHON" -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder --max-worker-restart 0 "${selection[@]}" "$@"
