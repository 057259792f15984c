#include "fuzz/fuzz.h"
#include "src/exported_model.h"
#include "src/fbank.h"

// The model's description, and the front end in it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return ecapa::Fuzz(data, size, [](std::string_view text) {
    const auto model = ecapa::ExportedModel::Parse(text, "fuzz.json");
    ecapa::Require(model.num_mels >= 1 && model.emb_size >= 1 && model.min_frames >= 1);
    const auto config = ecapa::FbankConfig::FromJson(model.front_end, "fuzz.json");
    ecapa::Require(config.hop_length() >= 1 && config.win_length() <= config.n_fft);
  });
}
