#!/usr/bin/env bash
# Convert an exported .mindir for Ascend, for one length or several. Needs converter_lite (LITE_HOME, or on PATH), and CANN.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

text="usage: bash scripts/convert_310.sh MODEL OUTPUT [--frames N[,N...]] [--batch_size N] [--precision_mode MODE]
  MODEL             .mindir that export.py wrote with --device_target=Ascend, with its .json beside it
  OUTPUT            the converted .mindir; its .json is written beside it
  --frames          lengths to compile for, such as 200,300,400,600; for a model of free length
  --batch_size      utterances at once, for a model of free batch size (default: 1)
  --precision_mode  preferred_fp32 (default), enforce_fp32, enforce_fp16, enforce_origin or preferred_optimal"
[[ "${1:-}" != --help && "${1:-}" != -h ]] || { echo "$text" && exit 0; }
[[ $# -ge 2 ]] || usage "$text"

find_python
if [[ -n "${LITE_HOME:-${MS_LITE_HOME:-}}" ]]; then
  lite="${LITE_HOME:-$MS_LITE_HOME}"
  export LD_LIBRARY_PATH="$lite/tools/converter/lib:$lite/runtime/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
"$PYTHON" -m mindvox.deploy.convert "$@"
