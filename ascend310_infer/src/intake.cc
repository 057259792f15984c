#include "src/intake.h"

#include <utility>

namespace ecapa {

Intake::Intake(int64_t from_rate, int64_t num_channels, int64_t to_rate, SampleSink sink)
    : num_channels_(static_cast<size_t>(num_channels)),
      to_rate_(to_rate),
      sink_(std::move(sink)),
      resampler_(from_rate, to_rate, [this](const float* samples, size_t count) {
        limited_.assign(samples, samples + count);
        judge_.TakeSamples(limited_.data(), count);
        sink_(limited_.data(), count);
      }) {}

void Intake::Push(const float* frames, size_t num_frames) {
  mono_.resize(num_frames);
  judge_.TakeFrames(frames, num_frames, num_channels_, mono_.data());
  resampler_.Push(mono_.data(), num_frames);
}

void Intake::Finish(const QualityLimits& limits) {
  resampler_.Finish();
  judge_.Check(limits, to_rate_);
}

}  // namespace ecapa
