#!/usr/bin/env bash
# Prepare training data, then evaluation data and cohort.
set -euo pipefail

usage() {
  cat >&2 <<TEXT
usage: bash data_prepare.sh [TRAIN_YAML [EVAL_YAML]] [--key=value ...]
  TRAIN_YAML  for train_data_prepare.py (default hparams/prepare_train.yaml of the project)
  EVAL_YAML   for eval_data_prepare.py (default hparams/prepare_eval.yaml of the project)
  --key=value goes to each of the two steps that has the key.
TEXT
}

fail() {
  echo "error: $1" >&2
  usage
  exit 2
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
python=${PYTHON:-python}

yamls=()
options=()
for word in "$@"; do
  case $word in
    -h | --help) usage; exit 0 ;;
    --*=*) options+=("$word") ;;
    -*) fail "expected --key=value, got '$word'." ;;
    *) yamls+=("$word") ;;
  esac
done
[ "${#yamls[@]}" -le 2 ] || fail "expected at most two YAML files, got ${#yamls[@]}."

train_keys=$("$python" -m src.config TrainPrepConfig)
eval_keys=$("$python" -m src.config EvalPrepConfig)
train_arguments=("${yamls[0]:-$root/hparams/prepare_train.yaml}")
eval_arguments=("${yamls[1]:-$root/hparams/prepare_eval.yaml}")
for option in ${options[@]+"${options[@]}"}; do
  key=${option#--}
  key=${key%%=*}
  known=false
  if grep -qxF -- "$key" <<<"$train_keys"; then
    train_arguments+=("$option")
    known=true
  fi
  if grep -qxF -- "$key" <<<"$eval_keys"; then
    eval_arguments+=("$option")
    known=true
  fi
  "$known" || fail "neither step has the key '$key'."
done

check() { # CLASS ARGUMENT...: a mistake in the second step's settings should not show after hours of the first
  "$python" -c '
import sys
from src import config, errors


def main(_):
    config.load_config(config.CONFIGS[sys.argv[1]], sys.argv[2:])
    return 0


sys.exit(errors.run(main))' "$@"
}
check TrainPrepConfig "${train_arguments[@]}"
check EvalPrepConfig "${eval_arguments[@]}"

"$python" "$root/train_data_prepare.py" "${train_arguments[@]}"
"$python" "$root/eval_data_prepare.py" "${eval_arguments[@]}"
