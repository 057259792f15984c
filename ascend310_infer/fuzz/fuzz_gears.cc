#include <algorithm>

#include "fuzz/fuzz.h"
#include "src/gears.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return ecapa::Fuzz(data, size, [](std::string_view text) {
    const auto gears = ecapa::ParseGears(text, "fuzz.ini");
    ecapa::Require(std::is_sorted(gears.begin(), gears.end()) && (gears.empty() || gears.front() >= 1));
  });
}
