#!/usr/bin/env bash
# Train ours, then SpeechBrain's ECAPA-TDNN on PyTorch, on the same corpus with the same size of model, batch, crop,
# learning rate and minutes, one after the other on an otherwise idle machine, and print both EERs.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/environment.sh"

text="usage: bash benchmarks/accuracy_mini.sh CORPUS MINUTES PEER_PYTHON PEER_SCRIPT
  CORPUS       holds voxceleb12/wav and voxceleb1/{wav,veri_test2.txt}
  PEER_PYTHON  a Python with speechbrain and torch, in an environment of its own
  PEER_SCRIPT  peer_speechbrain_train.py"
[[ $# -eq 4 ]] || usage "$text"
corpus="$1" minutes="$2" peer_python="$3" peer_script="$4"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT

bash "$ROOT/scripts/run_demo.sh" --data "$corpus" --out "$out" --train_minutes "$minutes" |
  grep -E '^(trained|baseline EER|sub mean EER|s-norm EER)'
"$peer_python" "$peer_script" "$corpus" "$((minutes * 60))" 256 32 2.0 1e-3 | grep -E '^(steps|.*: EER)'
