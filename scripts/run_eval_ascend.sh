#!/usr/bin/env bash
# Evaluate a checkpoint on one Ascend device; output goes to the terminal and to eval.log.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

[[ $# -ge 2 && "$1" =~ ^[0-9]+$ ]] ||
  usage "usage: bash scripts/run_eval_ascend.sh DEVICE_ID PATH_CHECKPOINT [--key=value ...]"
device_id="$1" checkpoint="$2"
shift 2
find_python
logged eval.log "$PYTHON" "$ROOT/eval.py" --device_target=Ascend --device_id="$device_id" --model_path="$checkpoint" "$@"
