// Changing the rate of a waveform.
#ifndef ECAPA_RESAMPLE_H_
#define ECAPA_RESAMPLE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace ecapa {

// The whole numbers by whose ratio a rate is changed, at most kMaxFactor.
struct Factors {
  int64_t up;
  int64_t down;
};

constexpr int64_t kMaxFactor = 16000;  // rates that people record at need less

// Returns to_rate / from_rate in lowest terms, or, where that has greater factors, the nearest ratio that has not:
// pitch and length are then off by at most one part in 2 * kMaxFactor. As in Python (src/mindvox/corpus/resample.py).
Factors FactorsOf(int64_t from_rate, int64_t to_rate);

// Returns how many samples a Resampler makes of so many.
int64_t ResampledLength(int64_t num_samples, int64_t from_rate, int64_t to_rate);

// Takes the next samples of a waveform.
using SampleSink = std::function<void(const float* samples, size_t count)>;

// Changes the rate of one waveform, which comes in pieces, as scipy.signal.resample_poly with its default window does,
// in double precision, by the factors of FactorsOf. N samples become ResampledLength of N.
class Resampler {
 public:
  // Args:
  //   from_rate, to_rate: Hz; equal ones pass the samples on as they are.
  //   sink: gets the samples at the new rate.
  Resampler(int64_t from_rate, int64_t to_rate, SampleSink sink);

  // Takes the next samples.
  void Push(const float* samples, size_t count);

  // Passes on what is left. To be called once, last.
  void Finish();

 private:
  Resampler(Factors factors, SampleSink sink);

  // Passes on the samples before number `num_out`.
  void Emit(int64_t num_out);

  const int64_t up_;
  const int64_t down_;
  const int64_t half_;  // of the filter, on a grid `up_` times as fine as the input
  const SampleSink sink_;
  std::vector<float> filter_;   // empty: rates are equal
  std::vector<float> pending_;  // inputs that later outputs need
  std::vector<float> out_;      // scratch buffer
  int64_t first_pending_ = 0;   // number of the first of them
  int64_t num_in_ = 0;
  int64_t num_out_ = 0;  // samples passed on
};

}  // namespace ecapa

#endif  // ECAPA_RESAMPLE_H_
