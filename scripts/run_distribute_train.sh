#!/usr/bin/env bash
# Train on the devices of a rank table, one process each; several servers: the same command on each. Without an argument
# the table is the one that the variable RANK_TABLE_FILE names, else one of this machine's Ascend devices.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

find_python
exec "$PYTHON" -m mindvox.training.launch "$@"
