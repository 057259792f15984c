#!/usr/bin/env bash
# Train on the devices of a rank table, one process each; several servers: the same command on each.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

[[ $# -ge 1 && "$1" != --* ]] || usage "usage: bash scripts/run_distribute_train.sh RANK_TABLE_FILE [--key=value ...]"
find_python
exec "$PYTHON" -m src.training.launch "$@"
