#!/usr/bin/env bash
# Train on the devices of a rank table.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

[[ $# -ge 1 ]] || usage "usage: bash scripts/run_distribute_train.sh RANK_TABLE_FILE [--key=value ...]"
[[ -f "$1" ]] || usage "error: $1: no such rank table."
echo "error: training on several devices is not built yet. Train on one: bash scripts/run_standalone_train_ascend.sh DEVICE_ID" >&2
exit 1
