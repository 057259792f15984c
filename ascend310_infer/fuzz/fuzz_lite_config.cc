#include "fuzz/fuzz.h"
#include "src/lite_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return ecapa::Fuzz(data, size, [](std::string_view text) {
    for (const auto& [key, value] : ecapa::ParseLiteConfig(text, "fuzz.ini")) {
      ecapa::Require(text.find(key.second) != std::string_view::npos && text.find(value) != std::string_view::npos);
    }
  });
}
