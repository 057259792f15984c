#!/usr/bin/env bash
# Train on one Ascend device; output goes to the terminal and to train.log.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

[[ $# -ge 1 && "$1" =~ ^[0-9]+$ ]] ||
  usage "usage: bash scripts/run_standalone_train_ascend.sh DEVICE_ID [--key=value ...]"
device_id="$1"
shift
find_python
logged train.log "$PYTHON" "$ROOT/train.py" --device_target=Ascend --device_id="$device_id" "$@"
