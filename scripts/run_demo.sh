#!/usr/bin/env bash
# Run the whole pipeline on one machine: environment, corpus, features, training, evaluation, export, inference with
# the exported model, and a table of the results. A second run resumes after the finished stages.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

text="usage: bash scripts/run_demo.sh [--data DIR] [--out DIR] [--train_minutes N]
  --data DIR         corpus: DIR/voxceleb12/wav/<speaker>/<session>/<file> to train on, DIR/voxceleb1/wav/... and
                     DIR/voxceleb1/veri_test2.txt to test on (default: voices that espeak-ng synthesises)
  --out DIR          folder for everything that is made (default: demo)
  --train_minutes N  minutes of training (default: 4)"
data="" out="demo" minutes="4"
while [[ $# -gt 0 ]]; do
  case "$1" in
  --help | -h) echo "$text" && exit 0 ;;
  --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
  --data | --out | --train_minutes)
    [[ $# -ge 2 && -n "$2" ]] || usage "error: $1 needs a value." "$text"
    case "$1" in --data) data="$2" ;; --out) out="$2" ;; *) minutes="$2" ;; esac
    shift 2
    ;;
  *) usage "error: did not expect '$1'." "$text" ;;
  esac
done
[[ "$minutes" =~ ^[0-9]+(\.[0-9]+)?$ && ! "$minutes" =~ ^0+(\.0+)?$ ]] ||
  usage "error: --train_minutes: expected a number of minutes above 0, got '$minutes'." "$text"
if [[ -n "$data" ]]; then
  for part in voxceleb12/wav voxceleb1/wav voxceleb1/veri_test2.txt; do
    [[ -e "$data/$part" ]] || usage "error: --data: $data/$part does not exist." "$text"
  done
  data="$(cd "$data" && pwd)"
fi
mkdir -p "$out"
out="$(cd "$out" && pwd)"

[[ -n "$data" ]] || make_environment demo # the synthesiser
make_environment
cd "$out" # every path in the YAML files below starts here
mkdir -p logs
lock_log logs/demo.lock # a stage removes what it makes again

# stage NAME SETTINGS COMMAND...: run it unless it has finished with the same settings and the same earlier stages.
stamp=""
rm -f times.tsv
stage() {
  local name="$1" settings="$2" started="$SECONDS" marker="logs/$1.done" seconds code=0
  shift 2
  stamp="$(printf '%s\n' "$stamp" "$name" "$settings" | sha256sum | cut -c1-16)"
  if [[ -f "$marker" && "$(head -n 1 "$marker")" == "$stamp" ]]; then
    seconds="$(tail -n 1 "$marker")"
    echo "== $name: finished before, in $seconds s"
  else
    echo "== $name"
    rm -f "$marker"
    logged "logs/$name.log" "$@" || code=$?
    if [[ $code -ne 0 ]]; then
      echo "error: stage '$name' failed with exit code $code; its output is in $out/logs/$name.log" >&2
      exit 1
    fi
    seconds=$((SECONDS - started))
    printf '%s\n' "$stamp" "$seconds" >"$marker"
  fi
  printf '%s\t%s\n' "$name" "$seconds" >>times.tsv
}

corpus() {
  rm -rf corpus
  "$PYTHON" -m mindvox.corpus.demo corpus
}

prepare() {
  rm -rf features tables
  bash "$ROOT/data_prepare.sh" prepare_train.yaml prepare_eval.yaml
}

train() {
  rm -rf ckpt
  "$PYTHON" "$ROOT/train.py" --config_path=ecapa-tdnn_config.yaml
}

evaluate() { "$PYTHON" "$ROOT/eval.py" --config_path=ecapa-tdnn_config.yaml; }

export_model() { "$PYTHON" "$ROOT/export.py" --config_path=ecapa-tdnn_config.yaml; }

infer() { bash "$ROOT/scripts/run_infer_310.sh" ecapatdnn.mindir features/eval 0 --config_path=ecapa-tdnn_config.yaml; }

if [[ -z "$data" ]]; then
  stage corpus "espeak-ng" corpus
  data="corpus"
fi

cat >prepare_train.yaml <<YAML
data_folder: "$data/voxceleb12"
output_folder: tables/train
feat_folder: features/train
verification_file: "$data/voxceleb1/veri_test2.txt"
whole_utterance: true
YAML
cat >prepare_eval.yaml <<YAML
data_folder: "$data/voxceleb1"
output_folder: tables/eval
feat_eval_folder: features/eval
feat_norm_folder: features/norm
train_annotation: tables/train/save/train.csv
train_data_folder: "$data/voxceleb12"
YAML
# A small model and short crops, so that minutes on two cores are enough.
{
  grep -v -E '^(train_data_path|ckpt_save_dir|max_train_minutes):' "$ROOT/hparams/train_mini_librispeech.yaml"
  cat <<YAML
max_train_minutes: $minutes
train_data_path: features/train
ckpt_save_dir: ckpt
eval_data_path: features/eval
train_norm_path: features/norm
veri_file_path: veri_test2.txt
model_path: ckpt
npy_file_path: npys
file_name: ecapatdnn
batch_size: 0
length: 0
YAML
} >ecapa-tdnn_config.yaml

stage prepare "$(cat prepare_train.yaml prepare_eval.yaml)" prepare
stage train "$(cat ecapa-tdnn_config.yaml)" train
stage eval "" evaluate
stage export "" export_model
stage infer "" infer
"$PYTHON" -m mindvox.scoring.summary checkpoint=npys/results.json exported=infer_result/results.json
echo
echo "stage      seconds"
while IFS=$'\t' read -r name seconds; do printf '%-10s %7s\n' "$name" "$seconds"; done <times.tsv
cat <<TEXT

everything lies in $out:
  tables/, features/                 utterance tables; training, evaluation and cohort features
  ckpt/                              checkpoints with their configuration and speakers
  npys/, infer_result/               embeddings, scores.tsv and results.json of the checkpoint and of the exported model
  ecapatdnn.mindir, .mindir.json     exported model and its description
  *.yaml, logs/                      settings and output of every stage
TEXT
[[ "$data" != corpus ]] || echo "Synthetic voices show that the pipeline works. They say nothing about accuracy: use --data with real speech."
