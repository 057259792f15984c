#include "fuzz/fuzz.h"
#include "src/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const auto& [kind, item_bytes] : {std::pair(ecapa::NpyKind::kFrames, 4), {ecapa::NpyKind::kSamples, 2}}) {
    ecapa::Fuzz(data, size, [&, expected = kind, bytes_each = item_bytes](std::string_view text) {
      const auto bytes = static_cast<int64_t>(size);
      const auto head = text.substr(0, static_cast<size_t>(ecapa::kNpyHeadBytes));
      const auto layout = ecapa::ParseNpyHeader(head, bytes, "fuzz.npy", expected);
      ecapa::Require(layout.rows >= 0 && layout.columns >= 0 && layout.data_offset <= bytes);
      const auto values = static_cast<__int128>(layout.rows) * layout.columns;
      ecapa::Require(values * bytes_each == bytes - layout.data_offset);
    });
  }
  return 0;
}
