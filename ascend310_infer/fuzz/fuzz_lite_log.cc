#include "fuzz/fuzz.h"
#include "src/lite_library.h"

// What MindSpore Lite logs, and the version that it says.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return ecapa::Fuzz(data, size, [](std::string_view text) {
    const std::string cause = ecapa::CauseIn(text);
    ecapa::Require(cause.find('\n') == std::string::npos && text.find(cause) != std::string_view::npos);
    ecapa::Require(!(ecapa::IsEarlier(text, "2.3") && ecapa::IsEarlier("2.3", text)));
  });
}
