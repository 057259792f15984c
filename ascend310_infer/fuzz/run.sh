#!/usr/bin/env bash
# Run each fuzz target as often as asked for, one after the other, and print how often it ran and how fast.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$HERE/../../scripts/environment.sh"

text="usage: bash ascend310_infer/fuzz/run.sh [RUNS [TARGET...]]
  RUNS    of each target, default 1000000
  TARGET  such as npy; default: all
Builds the targets with clang-16 and the address and undefined-behaviour sanitizers in ascend310_infer/build-checks.
A finding is the file crash-... in the folder that is named then, and the exit code is 1."
for word in "$@"; do [[ $word != -h && $word != --help ]] || { echo "$text" && exit 0; }; done
runs="${1:-1000000}"
[[ $runs =~ ^[1-9][0-9]*$ ]] || usage "error: RUNS: expected a number, got '$runs'." "$text"
targets=("${@:2}")
if [[ ${#targets[@]} -eq 0 ]]; then
  for source in "$HERE"/fuzz_*.cc; do
    name="$(basename "$source" .cc)"
    targets+=("${name#fuzz_}")
  done
fi
for target in "${targets[@]}"; do
  [[ -f "$HERE/fuzz_$target.cc" ]] || usage "error: TARGET: there is no $HERE/fuzz_$target.cc." "$text"
done
command -v clang++-16 >/dev/null || usage "error: clang++-16 was not found. As root: apt-get install clang-16 libclang-rt-16-dev"

build="$HERE/../build-checks"
options=(-DCMAKE_CXX_COMPILER=clang++-16 -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG= -DECAPA_BUILD_FUZZERS=ON)
# The options of tests/ascend310_infer/conftest.py stay where it built before.
[[ -f "$build/CMakeCache.txt" ]] || options+=(-DECAPA_OPENVINO=OFF -DECAPA_SANITIZE=address,undefined)
cmake -S "$HERE/.." -B "$build" "${options[@]}" >/dev/null
cmake --build "$build" --parallel 2 --target "${targets[@]/#/fuzz_}" >/dev/null

work="$(mktemp -d)"
failed=0
printf '%-12s %10s %8s %s\n' target runs runs/s result
for target in "${targets[@]}"; do
  mkdir -p "$work/$target/found"
  log="$work/$target/log"
  result=nothing
  # Memory has its limit for one allocation; the peak that libFuzzer reads can be that of the process before it.
  (cd "$work/$target" &&
    "$build/fuzz/fuzz_$target" found "$HERE/corpus/$target" -runs="$runs" -max_len=2048 -timeout=300 \
      -rss_limit_mb=0 -malloc_limit_mb=1024 -print_final_stats=1) >"$log" 2>&1 || result="FOUND: $work/$target"
  done_runs="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
  rate="$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")"
  printf '%-12s %10s %8s %s\n' "$target" "${done_runs:-?}" "${rate:-?}" "$result"
  [[ $result == nothing ]] || failed=1
done
if [[ $failed -eq 0 ]]; then rm -r "$work"; fi
exit "$failed"
