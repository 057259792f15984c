#!/usr/bin/env bash
# Train RawNet2 and evaluate it on eight devices, or as many as --rank_table or this machine has, as its Ascend port does.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

find_python
exec "$PYTHON" -m mindvox.compat.rawnet2 full 8 "$@"
