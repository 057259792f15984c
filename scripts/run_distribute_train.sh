#!/usr/bin/env bash
# Train on the devices of a rank table, with one process each. For several servers, run it on each. The table is the
# argument, else the file that RANK_TABLE_FILE names, else all Ascend devices of this machine.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

find_python
exec "$PYTHON" -m mindvox.training.launch "$@"
