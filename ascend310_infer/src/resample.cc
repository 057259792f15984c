#include "src/resample.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <utility>

namespace ecapa {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kKaiserBeta = 5;          // resample_poly's default window
constexpr int64_t kZeroCrossings = 10;     // of the sinc, on each side: also its default
constexpr size_t kPieceSamples = 1 << 16;  // bounds the scratch buffers

// The filter of scipy.signal.resample_poly: a sinc under a Kaiser window, its gain 1 at 0 Hz, times `up`. In single
// precision, as SciPy has it for such a waveform.
std::vector<float> ResamplingFilter(int64_t up, int64_t down) {
  const int64_t rate = std::max(up, down);
  const int64_t half = kZeroCrossings * rate;
  std::vector<double> taps(static_cast<size_t>(2 * half + 1));
  for (int64_t i = -half; i <= half; ++i) {
    const double x = kPi * static_cast<double>(i) / static_cast<double>(rate);
    const double position = static_cast<double>(i) / static_cast<double>(half);
    const double sinc = i == 0 ? 1 : std::sin(x) / x;
    taps[static_cast<size_t>(i + half)] =
        sinc * std::cyl_bessel_i(0.0, kKaiserBeta * std::sqrt(std::max(0.0, 1 - position * position)));
  }
  const double sum = std::accumulate(taps.begin(), taps.end(), 0.0);
  std::vector<float> filter(taps.size());
  for (size_t i = 0; i < taps.size(); ++i) filter[i] = static_cast<float>(taps[i] / sum) * static_cast<float>(up);
  return filter;
}

int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Returns the nearest fraction to low / high, 0 < low <= high, whose denominator is at most kMaxFactor: a convergent of
// its continued fraction, or what lies between the last two. Of two that are as near, the one of the lesser
// denominator.
Factors Nearest(int64_t low, int64_t high) {
  const int64_t divisor = std::gcd(low, high);
  low /= divisor;
  high /= divisor;
  if (high <= kMaxFactor) return {low, high};
  int64_t p0 = 0, q0 = 1, p1 = 1, q1 = 0;
  int64_t n = low, d = high;
  while (true) {
    const int64_t a = n / d;
    if (q0 + a * q1 > kMaxFactor) break;
    std::tie(p0, q0, p1, q1) = std::make_tuple(p1, q1, p0 + a * p1, q0 + a * q1);
    std::tie(n, d) = std::make_tuple(d, n - a * d);
  }
  const int64_t k = (kMaxFactor - q0) / q1;
  if (2 * d * (q0 + k * q1) <= high) return {p1, q1};
  return {p0 + k * p1, q0 + k * q1};
}

}  // namespace

Factors FactorsOf(int64_t from_rate, int64_t to_rate) {
  const Factors nearest = Nearest(std::min(from_rate, to_rate), std::max(from_rate, to_rate));
  return to_rate < from_rate ? nearest : Factors{nearest.down, nearest.up};
}

int64_t ResampledLength(int64_t num_samples, int64_t from_rate, int64_t to_rate) {
  const Factors factors = FactorsOf(from_rate, to_rate);
  return num_samples / factors.down * factors.up + CeilDivide(num_samples % factors.down * factors.up, factors.down);
}

Resampler::Resampler(int64_t from_rate, int64_t to_rate, SampleSink sink)
    : Resampler(FactorsOf(from_rate, to_rate), std::move(sink)) {}

Resampler::Resampler(Factors factors, SampleSink sink)
    : up_(factors.up), down_(factors.down), half_(kZeroCrossings * std::max(up_, down_)), sink_(std::move(sink)) {
  if (up_ != down_) filter_ = ResamplingFilter(up_, down_);
}

void Resampler::Push(const float* samples, size_t count) {
  if (filter_.empty()) return sink_(samples, count);
  while (count > 0) {
    const size_t taken = std::min(count, kPieceSamples);
    pending_.insert(pending_.end(), samples, samples + taken);
    samples += taken;
    count -= taken;
    num_in_ += static_cast<int64_t>(taken);
    // Output k needs the inputs up to (k * down + half) / up.
    Emit(std::max<int64_t>(0, CeilDivide(num_in_ * up_ - half_, down_)));
    const int64_t first_needed = std::max<int64_t>(0, CeilDivide(num_out_ * down_ - half_, up_));
    const int64_t num_used = std::clamp<int64_t>(first_needed - first_pending_, 0, num_in_ - first_pending_);
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(num_used));
    first_pending_ += num_used;
  }
}

void Resampler::Finish() {
  if (!filter_.empty()) Emit(CeilDivide(num_in_ * up_, down_));
}

void Resampler::Emit(int64_t num_out) {
  while (num_out_ < num_out) {
    out_.clear();
    for (; num_out_ < num_out && out_.size() < kPieceSamples; ++num_out_) {
      const int64_t centre = num_out_ * down_;  // on the fine grid
      const int64_t first = CeilDivide(std::max<int64_t>(0, centre - half_), up_);
      const int64_t last = std::min(num_in_ - 1, (centre + half_) / up_);
      double sum = 0;
      for (int64_t n = first; n <= last; ++n) {
        sum += static_cast<double>(pending_[static_cast<size_t>(n - first_pending_)]) *
               static_cast<double>(filter_[static_cast<size_t>(centre - n * up_ + half_)]);
      }
      out_.push_back(static_cast<float>(sum));
    }
    sink_(out_.data(), out_.size());
  }
}

}  // namespace ecapa
