// Writes the features of a recording, as the shipped front end makes them: dump_feats AUDIO OUT.npy
#include <iostream>

#include "src/audio.h"
#include "src/errors.h"
#include "src/fbank.h"
#include "src/files.h"
#include "src/npy.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    const ecapa::FbankConfig config;
    const ecapa::Fbank fbank(config);
    ecapa::AudioFile file(argv[1]);
    ecapa::Fbank::Stream stream(fbank, config.NumFrames(file.NumSamples(config.sample_rate)));
    file.Read(config.sample_rate, {0, 1}, [&](const float* samples, size_t count) { stream.Push(samples, count); });
    const std::vector<float> feats = stream.Finish();
    const auto* bytes = reinterpret_cast<const char*>(feats.data());
    const auto num_frames = static_cast<int64_t>(feats.size()) / config.n_mels;
    ecapa::WriteFile(argv[2], {ecapa::NpyHeader(num_frames, config.n_mels), {bytes, feats.size() * sizeof(float)}});
  } catch (const ecapa::InputError& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
