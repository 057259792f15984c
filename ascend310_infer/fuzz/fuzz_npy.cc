#include "fuzz/fuzz.h"
#include "src/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return ecapa::Fuzz(data, size, [&](std::string_view text) {
    const auto bytes = static_cast<int64_t>(size);
    const auto head = text.substr(0, static_cast<size_t>(ecapa::kNpyHeadBytes));
    const auto layout = ecapa::ParseNpyHeader(head, bytes, "fuzz.npy");
    ecapa::Require(layout.rows >= 0 && layout.columns >= 0 && layout.data_offset <= bytes);
    const auto values = static_cast<__int128>(layout.rows) * layout.columns;
    ecapa::Require(values * 4 == bytes - layout.data_offset);
  });
}
