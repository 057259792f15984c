#!/usr/bin/env bash
# Run an exported model over an evaluation store and its cohort, and score it. Embeddings, scores and results go to
# infer_result/, the scorer's lines to the terminal and to acc.log.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

text="usage: bash scripts/run_infer_310.sh MODEL DATA [DEVICE_ID] [--key=value ...]
  MODEL      .mindir, .onnx or .xml that export.py wrote, with its .json beside it
  DATA       evaluation store (feat_eval_folder) with its trial list
  DEVICE_ID  index of the device, 0 if not given
  --key      any key of ecapa-tdnn_config.yaml, or --config_path=FILE
A .mindir runs in MindSpore Lite when LITE_HOME is set, else in MindSpore's Python engine; .onnx and .xml run in
OpenVINO. ECAPA_INFER_OPTIONS: further options of the C++ program (docs/cpp.md), such as '--precision bf16'."
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
case "$model" in
  *.mindir | *.onnx | *.xml) ;;
  *) usage "error: $model: expected a .mindir, .onnx or .xml file." "$text" ;;
esac
[[ -f "$model" ]] || usage "error: $model: no such model. export.py makes one."
[[ -d "$data" ]] || usage "error: $data: no such folder. eval_data_prepare.py makes it (feat_eval_folder)."

find_python
lock_log acc.log # else another run could replace infer_result before it is scored
read -r -a options <<<"${ECAPA_INFER_OPTIONS:-}"
if [[ "$model" == *.mindir && -z "${LITE_HOME:-${MS_LITE_HOME:-}}" ]]; then
  [[ ${#options[@]} -eq 0 ]] || usage "error: ECAPA_INFER_OPTIONS: is for the C++ program, which needs LITE_HOME for a .mindir."
  "$PYTHON" -m mindvox.deploy.infer "$model" "$data" --device_id="$device_id" "$@"
else
  runs="$("$PYTHON" -m mindvox.deploy.cpp_runs "$model" "$data" --device_id="$device_id" "$@")"
  bash "$ROOT/ascend310_infer/build.sh"
  while IFS=$'\t' read -r -a run; do
    "$ROOT/ascend310_infer/build/ecapa_infer" "${run[@]}" ${options[@]+"${options[@]}"}
  done <<<"$runs"
fi
logged acc.log "$PYTHON" -m mindvox.scoring.score infer_result "$data" "$@"
