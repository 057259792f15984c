#include <cstdio>
#include <cstdlib>
#include <string>

#include "fuzz/fuzz.h"
#include "src/exported_model.h"
#include "src/sources.h"
#include "src/text.h"

// A feature file, raw or .npy by its first byte, from its name to its numbers.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string folder = [] {
    std::string name = "/dev/shm/ecapa_fuzz.XXXXXX";
    return std::string(mkdtemp(name.data()));
  }();
  if (size == 0) return 0;
  return ecapa::Fuzz(data, size, [&](std::string_view text) {
    const std::string path = folder + (text[0] % 2 == 0 ? "/f.npy" : "/f.bin");
    ecapa::ExportedModel model;
    model.feature_size = 4;
    FILE* file = std::fopen(path.c_str(), "wb");
    ecapa::Require(file != nullptr && std::fwrite(text.data() + 1, 1, text.size() - 1, file) == text.size() - 1);
    std::fclose(file);
    const auto source = ecapa::OpenFeatureFiles({{{"f", path}}, {}}, model);
    for (size_t row = 0; row < source->utterances().size(); ++row) {
      ecapa::Require(static_cast<int64_t>(source->Read(row).size()) == 4 * source->utterances()[row].num_rows);
    }
  });
}
