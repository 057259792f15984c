#!/usr/bin/env bash
# Error rates after the same number of steps without augmentation, with augmentation while training, and with six copies
# made beforehand; for the trials as they are, and with the voices of three training speakers behind each, a
# distortion of no training. Stores and checkpoints in OUT stay: the same command goes on from there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/environment.sh"
find_python

[[ $# -eq 2 ]] || usage "usage: bash benchmarks/augmentation.sh CORPUS OUT
  CORPUS  holds voxceleb12/wav, voxceleb1/{wav,veri_test2.txt}, noise and rir"
corpus="$(cd "$1" && pwd)" out="$2"
mkdir -p "$out" && cd "$out"

steps=1204 # 43 epochs of the clean chunks; the last of 7 epochs of the copies goes a little further
distortions=("--noise_folder=$corpus/noise" "--rir_folder=$corpus/rir")
stages="[clean, augment_wavedrop, augment_speed, add_rev, add_noise, add_rev_noise]"
prepare=("--data_folder=$corpus/voxceleb12" --output_folder=tables --random_chunk=false)
"$PYTHON" "$ROOT/train_data_prepare.py" "$ROOT/hparams/prepare_train.yaml" "${prepare[@]}" --store_kind=waveform --feat_folder=waves
"$PYTHON" "$ROOT/train_data_prepare.py" "$ROOT/hparams/prepare_train_5x.yaml" "${prepare[@]}" "${distortions[@]}" --feat_folder=copies
[[ -f babble/veri_test2.txt ]] || "$PYTHON" "$ROOT/benchmarks/babble_corpus.py" "$corpus/voxceleb1" "$corpus/voxceleb12" babble
for folder in "$corpus/voxceleb1" babble; do
  trials="$(basename "$folder")"
  "$PYTHON" "$ROOT/eval_data_prepare.py" "$ROOT/hparams/prepare_eval.yaml" "--data_folder=$folder" \
    "--feat_eval_folder=eval_$trials" --feat_norm_folder=norm "--output_folder=tables_$trials" \
    --verification_file=veri_test2.txt --train_annotation=tables/save/train.csv "--train_data_folder=$corpus/voxceleb12"
done

train() { # NAME ARGUMENT...
  if ! compgen -G "ckpt_$1/*_$steps.ckpt" >/dev/null; then
    rm -rf "ckpt_$1"
    "$PYTHON" "$ROOT/train.py" --channels=128 --minibatch_size=32 --train_frames=201 --base_lrate=1e-8 --max_lrate=1e-3 \
      --step_size=$((steps / 2)) --cycle_peak=0.3 --save_checkpoint_epochs=0 --save_checkpoint_steps=$steps --ckpt_save_dir="ckpt_$1" "${@:2}"
  fi
  for trials in voxceleb1 babble; do
    "$PYTHON" "$ROOT/eval.py" --channels=128 --model_path="$(echo "ckpt_$1"/*_$steps.ckpt)" --eval_data_path="eval_$trials" \
      --train_norm_path=norm --npy_file_path="npys_$1_$trials" >"$1_$trials.txt"
  done
}
train none --train_data_path=waves --num_epochs=43
train online --train_data_path=waves --num_epochs=43 "--augmentations=$stages" "${distortions[@]}"
train copies --train_data_path=copies --num_epochs=7
grep eer ./*.txt
