#!/usr/bin/env bash
# Install what the C++ program and the tests need from Debian's packages (Debian 12, Ubuntu 24.04). As root.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

text="usage: bash scripts/install_system_packages.sh [--tests]
  --tests  also what the tests need: clang with its sanitizers and fuzzer, doctest, clang-format, pkgconf,
           PortAudio for the microphone and, on Debian, Chromium for the web page"
packages=(g++ cmake make libcxxopts-dev nlohmann-json3-dev libsndfile1-dev libkissfft-dev libssl-dev)
case "${1:-}" in
  "") ;;
  -h | --help) echo "$text" && exit 0 ;;
  --tests)
    packages+=(doctest-dev pkgconf clang-16 libclang-rt-16-dev clang-format-16 libportaudio2)
    # Ubuntu has Chromium as a snap only, which runs in no container; without it the page's tests are skipped.
    if grep -q '^ID=debian$' /etc/os-release; then packages+=(chromium); fi
    ;;
  *) usage "error: did not expect '$1'." "$text" ;;
esac
[[ $# -le 1 ]] || usage "error: expected at most one argument, got $#." "$text"
command -v apt-get >/dev/null || usage "error: no apt-get here. Install what these Debian packages hold: ${packages[*]}"
[[ "$(id -u)" == 0 ]] || usage "error: run it as root: sudo bash scripts/install_system_packages.sh"

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  echo "all there: ${packages[*]}"
  exit 0
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
echo "installed: ${missing[*]}"
