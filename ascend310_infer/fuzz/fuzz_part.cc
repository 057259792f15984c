#include "fuzz/fuzz.h"
#include "src/parts.h"

// What is read of a part is written as it was.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return ecapa::Fuzz(data, size, [](std::string_view content) {
    for (const int64_t emb_size : {1, 3}) {
      const auto rows = ecapa::ParsePart(content, emb_size);
      if (!rows) continue;
      const std::string written = ecapa::PartContent(*rows);
      ecapa::Require(written.size() == content.size() && ecapa::ParsePart(written, emb_size) == rows);
    }
  });
}
