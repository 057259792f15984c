#!/usr/bin/env bash
# Build the engine for MindSpore Lite against the real headers, which mindspore 2.7.0's wheel carries, and run its tests
# against a library that defines what they declare. Everything is made in a temporary folder and removed.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$HERE/../scripts/environment.sh"

text="usage: bash ascend310_infer/check_mslite_headers.sh [WHEEL]
  WHEEL  mindspore-2.7.0-*.whl; without it, it is downloaded (750 MB). Exit code 3: it could not be."
[[ $# -le 1 && "${1:-}" != -* ]] || usage "$text"
find_python
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
wheel="${1:-}"
if [[ -z "$wheel" ]]; then
  "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps mindspore==2.7.0 -d "$folder" >&2 || {
    echo "mindspore 2.7.0 could not be downloaded." >&2
    exit 3
  }
  wheel="$(find "$folder" -name '*.whl' -print -quit)"
fi
[[ -f "$wheel" ]] || usage "error: $wheel: no such wheel." "$text"
"$PYTHON" - "$wheel" "$folder/headers" <<'PYTHON'
import sys, zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    names = [name for name in wheel.namelist() if name.startswith(("mindspore/include/api/", "mindspore/include/mindapi/base/"))]
    wheel.extractall(sys.argv[2], names)
    print(f"{len(names)} headers")
PYTHON
build() {
  cmake -S "$HERE" -B "$folder/build" -DECAPA_BUILD_TESTS=ON -DECAPA_OPENVINO=OFF -DECAPA_MSLITE=OFF \
    -DMSLITE_HEADERS="$folder/headers/mindspore" && cmake --build "$folder/build" --parallel 2 --target mslite_test
}
if ! build >"$folder/log" 2>&1; then
  grep -E -A4 'error|undefined' "$folder/log" >&2 || tail -n 20 "$folder/log" >&2
  exit 1
fi
"$folder/build/tests/mslite_test"
