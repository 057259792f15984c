#!/usr/bin/env bash
# Run an exported model over an evaluation store and score it. Embeddings, scores and results go to infer_result/, the
# scorer's lines to the terminal and to acc.log.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

text="usage: bash scripts/run_infer_310.sh MODEL DATA [DEVICE_ID] [--key=value ...]
  MODEL      .mindir that export.py wrote, with its .json beside it
  DATA       evaluation store (feat_eval_folder) with its trial list
  DEVICE_ID  number of the device, 0 if not given
  --key      any key of ecapa-tdnn_config.yaml, or --config_path=FILE"
[[ $# -ge 2 ]] || usage "$text"
model="$1" data="$2" device_id=0
shift 2
if [[ $# -gt 0 && "$1" != --* ]]; then
  [[ "$1" =~ ^[0-9]+$ ]] || usage "error: DEVICE_ID: expected a number, got '$1'." "$text"
  device_id="$1"
  shift
fi
for word in "$@"; do
  [[ "$word" == --*=* ]] || usage "error: expected --key=value, got '$word'." "$text"
done
[[ "$model" == *.mindir ]] || usage "error: $model: expected a .mindir file." "$text"
[[ -f "$model" ]] || usage "error: $model: no such model. export.py makes one."
[[ -d "$data" ]] || usage "error: $data: no such folder. eval_data_prepare.py makes it (feat_eval_folder)."

find_python
"$PYTHON" -m src.deploy.infer "$model" "$data" --device_id="$device_id" "$@"
logged acc.log "$PYTHON" -m src.scoring.score infer_result "$data" "$@"
