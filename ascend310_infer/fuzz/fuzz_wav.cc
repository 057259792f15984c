#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "fuzz/fuzz.h"
#include "src/audio.h"

// libvorbis 1.3.7 leaks a few kB for each stream whose codebooks are damaged.
extern "C" const char* __lsan_default_suppressions() { return "leak:libvorbis"; }

// A recording, from its header to its samples.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int descriptor = memfd_create("recording", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  ecapa::Require(ftruncate(descriptor, static_cast<off_t>(size)) == 0);
  ecapa::Require(pwrite(descriptor, data, size, 0) == static_cast<ssize_t>(size));
  return ecapa::Fuzz(data, size, [&](std::string_view) {
    ecapa::AudioFile file(path);
    // At the file's own rate: else most of the time goes into the filters of strange rates.
    const int64_t expected = file.NumSamples(file.sample_rate());
    int64_t num_samples = 0;
    file.Read(file.sample_rate(), {0, 1}, [&](const float* samples, size_t count) {
      num_samples += static_cast<int64_t>(count);
      for (size_t i = 0; i < count; ++i) ecapa::Require(samples[i] >= -1 && samples[i] <= 1);
    });
    ecapa::Require(num_samples == expected);
  });
}
