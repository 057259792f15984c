#!/usr/bin/env bash
# Train on one Ascend device, 0 if none is named; output goes to the terminal and to train.log.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

device_id=0
if [[ $# -gt 0 && "$1" != --* ]]; then
  [[ "$1" =~ ^[0-9]+$ ]] || usage "error: DEVICE_ID: expected a number, got '$1'." \
    "usage: bash scripts/run_standalone_train_ascend.sh [DEVICE_ID] [--key=value ...]"
  device_id="$1"
  shift
fi
find_python
logged train.log "$PYTHON" "$ROOT/train.py" --device_target=Ascend --device_id="$device_id" "$@"
