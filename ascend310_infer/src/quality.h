// Recordings that can be read but say nothing about a speaker, by the rules of src/corpus/quality.py.
#ifndef ECAPA_QUALITY_H_
#define ECAPA_QUALITY_H_

#include <cstddef>
#include <cstdint>
#include <limits>

namespace ecapa {

// What a recording must keep to.
struct QualityLimits {
  double min_duration_s = 0.1;        // shortest length
  double max_clipped_fraction = 0.2;  // greatest share of samples at full scale
};

// Judges one waveform, which comes in pieces.
class WaveformJudge {
 public:
  // Takes the next frames of the file, (num_frames, num_channels), and writes the mean of their channels to `mono`.
  // Throws InputError when a value is not finite.
  void TakeFrames(const float* frames, size_t num_frames, size_t num_channels, float* mono);

  // Takes the next samples of the waveform at the rate that features are made of, and limits them to [-1, 1].
  void TakeSamples(float* samples, size_t count);

  // Throws InputError, with the reason, unless the waveform can be used.
  void Check(const QualityLimits& limits, int64_t sample_rate) const;

 private:
  float file_peak_ = 0;  // of any channel
  float mono_peak_ = 0;
  float least_ = std::numeric_limits<float>::infinity();
  float greatest_ = -std::numeric_limits<float>::infinity();
  double sum_ = 0;
  int64_t num_samples_ = 0;
  int64_t num_clipped_ = 0;
};

}  // namespace ecapa

#endif  // ECAPA_QUALITY_H_
