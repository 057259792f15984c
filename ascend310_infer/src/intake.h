// From the frames of a recording to the samples that features are made of.
#ifndef ECAPA_INTAKE_H_
#define ECAPA_INTAKE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "src/quality.h"
#include "src/resample.h"

namespace ecapa {

constexpr int64_t kMinSampleRate = 2000;  // of a recording, Hz; of a damaged header's 1 Hz an hour would take 3.7 TB
constexpr int64_t kMaxSampleRate = 768000;

// Takes one recording in pieces: averages its channels, changes its rate, limits it to [-1, 1], and judges it.
class Intake {
 public:
  // Args:
  //   from_rate: of the recording, Hz, kMinSampleRate to kMaxSampleRate.
  //   to_rate: of what the sink gets, Hz.
  Intake(int64_t from_rate, int64_t num_channels, int64_t to_rate, SampleSink sink);
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;

  // Takes the next frames, (num_frames, num_channels), full scale 1. Throws InputError, the reason, when a value is not
  // finite.
  void Push(const float* frames, size_t num_frames);

  // Passes on what is left. To be called once, last. Throws InputError, the reason, when the waveform is unusable (see
  // WaveformJudge): what the sink has got is then worthless.
  void Finish(const QualityLimits& limits);

 private:
  const size_t num_channels_;
  const int64_t to_rate_;
  const SampleSink sink_;
  WaveformJudge judge_;
  Resampler resampler_;
  std::vector<float> mono_;     // scratch buffer
  std::vector<float> limited_;  // scratch buffer
};

}  // namespace ecapa

#endif  // ECAPA_INTAKE_H_
