#!/usr/bin/env bash
# Prepare training data, then evaluation data and cohort.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/scripts/environment.sh"
find_python

text="usage: bash data_prepare.sh [TRAIN_YAML [EVAL_YAML]] [--key=value ...]
  TRAIN_YAML   for train_data_prepare.py (default: hparams/prepare_train.yaml of the project)
  EVAL_YAML    for eval_data_prepare.py (default: hparams/prepare_eval.yaml of the project)
  --key=value  goes to each of the two steps that has the key"
yamls=()
options=()
for word in "$@"; do
  case $word in
    --part=*) usage "error: --part is for train_data_prepare.py: run that on each machine, then eval_data_prepare.py on one." "$text" ;;
    -h | --help) echo "$text" && exit 0 ;;
    --*=*) options+=("$word") ;;
    -*) usage "error: expected --key=value, got '$word'." "$text" ;;
    *) yamls+=("$word") ;;
  esac
done
[ "${#yamls[@]}" -le 2 ] || usage "error: expected at most two YAML files, got ${#yamls[@]}." "$text"

train_keys=$("$PYTHON" -m mindvox.config TrainPrepConfig --keys)
eval_keys=$("$PYTHON" -m mindvox.config EvalPrepConfig --keys)
train_arguments=("${yamls[0]:-$ROOT/hparams/prepare_train.yaml}")
eval_arguments=("${yamls[1]:-$ROOT/hparams/prepare_eval.yaml}")
for option in ${options[@]+"${options[@]}"}; do
  key=${option#--}
  key=${key%%[.=]*} # of --section.key=value, the section
  known=false
  if grep -qxF -- "$key" <<<"$train_keys"; then
    train_arguments+=("$option")
    known=true
  fi
  if grep -qxF -- "$key" <<<"$eval_keys"; then
    eval_arguments+=("$option")
    known=true
  fi
  "$known" || usage "error: neither step has the key '$key'." "$text"
done

# Check the second step's settings now, not after hours of the first step.
"$PYTHON" -m mindvox.config TrainPrepConfig "${train_arguments[@]}" >/dev/null
"$PYTHON" -m mindvox.config EvalPrepConfig "${eval_arguments[@]}" >/dev/null

value_of() { # CLASS KEY ARGUMENT...: the value of one key
  "$PYTHON" -c 'import sys
from mindvox.config import CONFIGS, load_config
print(getattr(load_config(CONFIGS[sys.argv[1]], sys.argv[3:]), sys.argv[2]))' "$@"
}
if [[ -z "$(value_of EvalPrepConfig train_data_folder "${eval_arguments[@]}")" ]]; then
  train_data_folder="$(value_of TrainPrepConfig data_folder "${train_arguments[@]}")"
  eval_arguments+=("--train_data_folder=${train_data_folder//\$/\$\$}") # $$: a dollar sign that stays
fi
if [[ "$(value_of TrainPrepConfig store_kind "${train_arguments[@]}")" == features &&
  "$(value_of TrainPrepConfig augmentations "${train_arguments[@]}")" == "('clean',)" ]]; then
  echo "no augmentation: the model zoo's 5 copies need noises, rooms and six times the disk; if you have them:"
  echo "bash data_prepare.sh hparams/prepare_train_5x.yaml"
fi

"$PYTHON" "$ROOT/train_data_prepare.py" "${train_arguments[@]}"
"$PYTHON" "$ROOT/eval_data_prepare.py" "${eval_arguments[@]}"
