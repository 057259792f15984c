#!/usr/bin/env bash
# Run the benchmark of the Ascend 310P guide: features and labels of a corpus, throughput by batch size, ROC-AUC.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

text="usage: bash scripts/run_bench_310p.sh DATASET OUTPUT MODEL [MODEL ...]
  DATASET  corpus: <speaker>/<session>/<file>.wav or .flac, such as VoxCeleb1's test set
  OUTPUT   folder for features (input), labels (speaker), embeddings (result) and bench.log
  MODEL    exported models that take features of 200 frames or of any number: one of any batch size
           (export.py --batch_size=0), or one of each of 1, 4, 8, 16, 32, 64"
[[ $# -ge 3 ]] || usage "$text"
dataset="$1" output="$2"
shift 2
[[ -d "$dataset" ]] || usage "error: $dataset: no such folder." "$text"
for model in "$@"; do
  [[ -f "$model" ]] || usage "error: $model: no such model. export.py makes one." "$text"
done

bench() {
  "$PYTHON" -m mindvox.deploy.bench preprocess "$dataset" "$output/input" "$output/speaker" --model "$1" || return
  "$PYTHON" -m mindvox.deploy.bench infer --model "$@" --data_path "$output/input" --result "$output/result" || return
  "$PYTHON" -m mindvox.deploy.bench postprocess "$output/result/output_bs1" "$output/speaker"
}

find_python
mkdir -p "$output"
logged "$output/bench.log" bench "$@"
