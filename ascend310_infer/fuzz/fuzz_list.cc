#include "fuzz/fuzz.h"
#include "src/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return ecapa::Fuzz(data, size, [](std::string_view text) {
    for (const auto& entry : ecapa::ParseList(text, "fuzz.txt")) {
      ecapa::Require(!entry.utt_id.empty() && !entry.path.empty() && ecapa::IsUtf8(entry.utt_id));
    }
  });
}
