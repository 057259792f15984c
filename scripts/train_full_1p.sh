#!/usr/bin/env bash
# Train RawNet2 and evaluate it on one device, as its Ascend port does.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

find_python
exec "$PYTHON" -m mindvox.compat.rawnet2 full 1 "$@"
