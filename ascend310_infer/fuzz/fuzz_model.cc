#include "fuzz/fuzz.h"
#include "src/exported_model.h"

// The model's description, and the front end in it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return ecapa::Fuzz(data, size, [](std::string_view text) {
    const auto model = ecapa::ExportedModel::Parse(text, "fuzz.json");
    ecapa::Require(model.feature_size >= 1 && model.emb_size >= 1 && model.min_frames >= 1);
    ecapa::Require(model.front_end->size() == model.feature_size);
    for (const auto& [name, channels] : model.further_outputs) ecapa::Require(channels >= 1);
    ecapa::Require(model.front_end->sample_rate() >= 1);  // throws where the front end is not known
    for (const int64_t num_frames : {2, 100}) {
      const int64_t fewest = model.front_end->NumSamples(num_frames);
      ecapa::Require(model.front_end->NumFrames(fewest) == num_frames);
      ecapa::Require(model.front_end->NumFrames(fewest - 1) == num_frames - 1);
    }
    if (model.feature_size > 256 || model.front_end->NumSamples(2) > 4096) return;  // seconds of computation
    const std::vector<float> waveform(static_cast<size_t>(model.front_end->NumSamples(2)), 0.25F);
    ecapa::Require((*model.front_end)(waveform).size() == static_cast<size_t>(2 * model.feature_size));
  });
}
