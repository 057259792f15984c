#!/usr/bin/env bash
# Build the C++ program and library: ascend310_infer/build/ecapa_infer and libmindvox.so. Does nothing when they are there
# and newer than all that they are made from.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$HERE/../scripts/environment.sh"

text="usage: bash ascend310_infer/build.sh [CMAKE_OPTION...]
  CMAKE_OPTION  such as -DECAPA_BUILD_TESTS=ON; docs/cpp.md lists them
Engines are built in where their library is found: OpenVINO in the Python environment (pip install
-e '.[cpp]'), MindSpore Lite at LITE_HOME. Then, if wanted: cmake --install ascend310_infer/build --prefix FOLDER"
for word in "$@"; do
  case $word in
    -h | --help) echo "$text" && exit 0 ;;
    -D*=*) ;;
    *) usage "error: expected -DNAME=VALUE, got '$word'." "$text" ;;
  esac
done

build="$HERE/build" program="$HERE/build/ecapa_infer" library="$HERE/build/libmindvox.so"
find_python
openvino="$("$PYTHON" -c '
import importlib.util, pathlib
spec = importlib.util.find_spec("openvino")
print(pathlib.Path(spec.origin).parent / "cmake" if spec else "")')"
lite="${LITE_HOME:-${MS_LITE_HOME:-}}"
[[ -z "$lite" || -d "$lite" ]] || usage "error: LITE_HOME: $lite does not exist. Unpack MindSpore Lite there."
settings="openvino=$openvino lite=$lite options=$*"

mkdir -p "$build"
exec 9>"$build/.lock"
flock 9 # two runs at once would build in one folder
sources=("$HERE/src" "$HERE/include" "$HERE/cmake" "$HERE/CMakeLists.txt")
[[ $# -eq 0 ]] || sources+=("$HERE/tests" "$HERE/fuzz") # an option may ask for these
is_current() {
  [[ -x "$program" && -e "$library" && "$(cat "$build/.settings" 2>/dev/null)" == "$settings" ]] &&
    [[ -z "$(find "${sources[@]}" -newer "$program" -print -quit)" ]]
}
! is_current || exit 0

for tool in cmake c++ make; do
  command -v "$tool" >/dev/null ||
    usage "error: $tool was not found. As root: bash scripts/install_system_packages.sh"
done
log="$build/build.log"
options=(-DOpenVINO_DIR="$openvino" -DMSLITE_ROOT="$lite" "$@")
[[ -n "$openvino" ]] || options+=(-DECAPA_OPENVINO=OFF)
[[ -z "$lite" ]] || options+=(-DECAPA_MSLITE=ON)
echo "building $program"
[[ "$(cat "$build/.settings" 2>/dev/null)" == "$settings" ]] || options+=(--fresh) # or CMake would keep the old ones
if ! { cmake -S "$HERE" -B "$build" "${options[@]}" && cmake --build "$build" --parallel 2; } >"$log" 2>&1; then
  grep -iE -A6 'error' "$log" >&2 || tail -n 20 "$log" >&2
  printf 'error: the build failed; all of it stands in %s. Libraries: as root, bash scripts/install_system_packages.sh\n' "$log" >&2
  exit 1
fi
touch "$program" # what did not need linking is current too
printf '%s' "$settings" >"$build/.settings"
[[ -n "$openvino" || -n "$lite" ]] ||
  echo "no engine was found: pip install -e '.[cpp]' for .onnx and .xml, LITE_HOME for .mindir; then build again"
