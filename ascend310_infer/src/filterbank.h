// What the front ends share: cutting a waveform into frames, and the energies of a frame in filters.
#ifndef ECAPA_FILTERBANK_H_
#define ECAPA_FILTERBANK_H_

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <kissfft/kissfft.hh>
#include <utility>
#include <vector>

namespace ecapa {

inline constexpr double kPi = 3.14159265358979323846;

// Cuts a waveform that comes in pieces into frames. Holds the samples that a later frame needs, no more.
class FrameCutter {
 public:
  // Args:
  //   length, hop: samples of a frame, and from the start of a frame to that of the next.
  //   num_zeros: zeros that stand before the waveform.
  FrameCutter(int64_t length, int64_t hop, int64_t num_zeros)
      : length_(static_cast<size_t>(length)),
        hop_(static_cast<size_t>(hop)),
        pending_(static_cast<size_t>(num_zeros)) {}

  // Takes the next samples and calls `on_frame(const float* frame)` for each frame that they complete.
  template <typename OnFrame>
  void Push(const float* samples, size_t count, const OnFrame& on_frame) {
    constexpr size_t kPieceSamples = 1 << 16;  // bounds `pending_`
    while (count > 0) {
      const size_t taken = std::min(count, kPieceSamples);
      pending_.insert(pending_.end(), samples, samples + taken);
      samples += taken;
      count -= taken;
      for (; next_ + length_ <= pending_.size(); next_ += hop_) on_frame(pending_.data() + next_);
      const size_t num_used = std::min(next_, pending_.size());  // a hop may be longer than a frame
      pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(num_used));
      next_ -= num_used;
    }
  }

 private:
  size_t length_;
  size_t hop_;
  std::vector<float> pending_;
  size_t next_ = 0;  // where in `pending_` the next frame starts
};

// Filters over the power spectrum of frames, in double precision. May be used by several threads at once.
class Filterbank {
 public:
  // Without filters, for frames of `n_fft` samples, an even number.
  explicit Filterbank(int64_t n_fft);

  // Adds a filter.
  //
  // Args:
  //   low, high: outside these bins of the transform it is zero. They may lie between bins, or outside the spectrum.
  //   weight: weight(bin), bin 0 to n_fft / 2; what is not positive is taken for zero.
  template <typename Weight>
  void Add(double low, double high, const Weight& weight) {
    const auto last = static_cast<double>(half_);
    Filter filter;
    for (double bin = std::clamp(std::floor(low), 0.0, last); bin <= std::clamp(std::ceil(high), 0.0, last); ++bin) {
      const double value = weight(bin);
      if (!(value > 0)) continue;
      if (filter.weights.empty()) filter.first = static_cast<size_t>(bin);
      filter.weights.push_back(value);
    }
    filters_.push_back(std::move(filter));
  }

  // Computes for one thread, with buffers of its own.
  class Worker {
   public:
    // `filterbank` must outlive the worker.
    explicit Worker(const Filterbank& filterbank);

    // The frame (n_fft,) to be transformed, zeros at first: written to by the caller.
    std::vector<double>& frame() { return frame_; }

    // Returns the energy of frame() in each filter; valid until the next call.
    const std::vector<double>& Energies();

   private:
    const Filterbank& filterbank_;
    const kissfft<double> transform_;  // a copy: for some sizes its methods write to a buffer of its own
    std::vector<double> frame_;
    std::vector<std::complex<double>> spectrum_;
    std::vector<double> power_;
    std::vector<double> energies_;
  };

 private:
  // Bins in which a filter is not zero, one after the other, and its weights there.
  struct Filter {
    size_t first = 0;  // bin of the transform
    std::vector<double> weights;
  };

  size_t half_;  // of the samples of a frame
  std::vector<Filter> filters_;
  kissfft<double> transform_;  // of half as many complex numbers, which hold the real ones
};

}  // namespace ecapa

#endif  // ECAPA_FILTERBANK_H_
