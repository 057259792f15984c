#include "src/quality.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include "src/errors.h"
#include "src/feature_ops.h"

namespace ecapa {
namespace {

constexpr float kMaxPeak = 10;                     // beyond this a float file was never scaled to [-1, 1]
constexpr float kCancelled = 1e-3F;                // of the channels' peak is left: rounding
constexpr float kFullScale = 32767.0F / 32768.0F;  // the greatest 16-bit sample
constexpr double kSilencePeak = 1e-4;              // -80 dB: three steps of 16 bits

// Returns a number as Python prints it with this format.
std::string Format(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace

void WaveformJudge::TakeFrames(const float* frames, size_t num_frames, size_t num_channels, float* mono) {
  if (!AllFinite(frames, num_frames * num_channels)) throw InputError("NaN or infinite samples");
  for (size_t i = 0; i < num_frames; ++i) {
    float sum = 0;
    for (size_t channel = 0; channel < num_channels; ++channel) {
      const float value = frames[i * num_channels + channel];
      sum += value;
      file_peak_ = std::max(file_peak_, std::abs(value));
    }
    mono[i] = sum / static_cast<float>(num_channels);
    mono_peak_ = std::max(mono_peak_, std::abs(mono[i]));
  }
}

void WaveformJudge::TakeSamples(float* samples, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    samples[i] = std::clamp(samples[i], -1.0F, 1.0F);
    least_ = std::min(least_, samples[i]);
    greatest_ = std::max(greatest_, samples[i]);
    sum_ += static_cast<double>(samples[i]);
    num_clipped_ += std::abs(samples[i]) >= kFullScale ? 1 : 0;
  }
  num_samples_ += static_cast<int64_t>(count);
}

void WaveformJudge::Check(const QualityLimits& limits, int64_t sample_rate) const {
  if (file_peak_ > kMaxPeak) throw InputError(Concat("samples reach ", file_peak_, " where full scale is 1"));
  if (mono_peak_ < kCancelled * file_peak_) throw InputError("its channels cancel each other");
  const double duration_s = static_cast<double>(num_samples_) / static_cast<double>(sample_rate);
  if (duration_s < limits.min_duration_s) {
    throw InputError(Concat("too short: ", Format("%.3f", duration_s), " s, shorter than min_duration ",
                            Format("%g", limits.min_duration_s), " s"));
  }
  if (least_ == greatest_) throw InputError("constant signal");
  const double mean = sum_ / static_cast<double>(num_samples_);
  const double peak = std::max(static_cast<double>(greatest_) - mean, mean - static_cast<double>(least_));
  if (peak < kSilencePeak) {
    throw InputError(Concat("silent: no sample is farther than ", Format("%.1g", peak), " from their mean"));
  }
  const double clipped = static_cast<double>(num_clipped_) / static_cast<double>(num_samples_);
  if (clipped > limits.max_clipped_fraction) {
    throw InputError(Concat("clipped: ", Format("%.1f", 100 * clipped),
                            "% of its samples are at full scale, more than max_clipped_fraction ",
                            Format("%.1f", 100 * limits.max_clipped_fraction), "%"));
  }
}

}  // namespace ecapa
