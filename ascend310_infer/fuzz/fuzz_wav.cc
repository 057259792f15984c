#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "fuzz/fuzz.h"
#include "src/audio.h"

// A recording, from its header to its samples.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int descriptor = memfd_create("recording", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  ecapa::Require(ftruncate(descriptor, static_cast<off_t>(size)) == 0);
  ecapa::Require(pwrite(descriptor, data, size, 0) == static_cast<ssize_t>(size));
  return ecapa::Fuzz(data, size, [&](std::string_view) {
    ecapa::AudioFile file(path);
    // At the file's own rate: else most of the time goes into the filters of strange rates.
    const auto samples = file.Read(file.sample_rate());
    ecapa::Require(static_cast<int64_t>(samples.size()) == file.NumSamples(file.sample_rate()));
    for (const float sample : samples) ecapa::Require(sample >= -1 && sample <= 1);
  });
}
