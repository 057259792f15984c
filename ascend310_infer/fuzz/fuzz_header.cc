#include <sndfile.h>

#include <string>

#include "fuzz/fuzz.h"
#include "src/audio_header.h"

namespace {

class Text : public ecapa::ByteReader {
 public:
  explicit Text(std::string_view text) : text_(text) {}
  int64_t size() const override { return static_cast<int64_t>(text_.size()); }
  std::string Read(int64_t offset, size_t count) const override {
    ecapa::Require(offset >= 0);
    return offset < size() ? std::string(text_.substr(static_cast<size_t>(offset), count)) : "";
  }

 private:
  std::string_view text_;
};

}  // namespace

// What headers say about a length, from files and from libsndfile's log.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return ecapa::Fuzz(data, size, [](std::string_view text) {
    const Text file(text);
    ecapa::HasMp3Table(file);
    ecapa::EndsWithLastOggPage(file);
    for (const int format : {SF_FORMAT_OGG, SF_FORMAT_MPEG, SF_FORMAT_WAV}) {
      const auto starts = ecapa::PartStarts(file, format);
      ecapa::Require(!starts.empty() && starts.front() == 0);
      for (size_t i = 1; i < starts.size(); ++i) ecapa::Require(starts[i - 1] < starts[i] && starts[i] < file.size());
    }
    const auto unclosed = ecapa::FindUnclosedData(file);
    ecapa::Require(!unclosed ||
                   (unclosed->num_bytes > 0 && unclosed->size_at + 4 + unclosed->num_bytes <= file.size()));
    SF_INFO info{};
    for (const int format : {SF_FORMAT_WAV, SF_FORMAT_AIFF, SF_FORMAT_AU, SF_FORMAT_W64, SF_FORMAT_RF64, SF_FORMAT_NIST,
                             SF_FORMAT_VOC, SF_FORMAT_CAF}) {
      info.format = format;
      const auto promise = ecapa::PromiseOf(file, info, text);
      ecapa::Require(!promise || (promise->promised >= 0 && promise->real >= 0));
      if (promise) ecapa::IsCut(*promise);
    }
  });
}
