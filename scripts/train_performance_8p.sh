#!/usr/bin/env bash
# Time an epoch of RawNet2 on eight devices, or as many as --rank_table or this machine has, as its Ascend port does.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

find_python
exec "$PYTHON" -m mindvox.compat.rawnet2 performance 8 "$@"
