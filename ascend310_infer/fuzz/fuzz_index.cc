#include "fuzz/fuzz.h"
#include "src/sources.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return ecapa::Fuzz(data, size, [](std::string_view text) {
    int64_t num_frames = 0;
    for (const auto& utterance : ecapa::ParseIndex(text, "fuzz.csv")) {
      ecapa::Require(utterance.num_rows >= 1);
      num_frames += utterance.num_rows;
    }
    ecapa::Require(num_frames >= 1 && num_frames <= int64_t{1} << 40);
  });
}
