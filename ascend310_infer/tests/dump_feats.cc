// Writes the features of a recording as a front end makes them: dump_feats FRONT_END.json AUDIO OUT.npy
#include <iostream>

#include "src/audio.h"
#include "src/errors.h"
#include "src/exported_model.h"
#include "src/files.h"
#include "src/front_end.h"
#include "src/npy.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  try {
    const nlohmann::json stored = ecapa::ParseJson(ecapa::ReadText(argv[1]), argv[1]);
    const int64_t size = stored.at("n_mels").get<int64_t>();
    const auto front_end = ecapa::ReadFrontEnd(stored, size, argv[1]);
    ecapa::AudioFile file(argv[2]);
    const auto stream = front_end->Start(front_end->NumFrames(file.NumSamples(front_end->sample_rate())));
    file.Read(front_end->sample_rate(), {0, 1},
              [&](const float* samples, size_t count) { stream->Push(samples, count); });
    const std::vector<float> feats = stream->Finish();
    const auto* bytes = reinterpret_cast<const char*>(feats.data());
    const auto num_frames = static_cast<int64_t>(feats.size()) / size;
    ecapa::WriteFile(argv[3], {ecapa::NpyHeader(num_frames, size), {bytes, feats.size() * sizeof(float)}});
  } catch (const ecapa::InputError& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
