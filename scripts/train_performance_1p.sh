#!/usr/bin/env bash
# Time an epoch of RawNet2 on one device, as its Ascend port does.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

find_python
exec "$PYTHON" -m mindvox.compat.rawnet2 performance 1 "$@"
