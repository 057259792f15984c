// Kaldi's log mel filterbank energies: the C++ twin of src/mindvox/frontend/kaldi_fbank.py.
#ifndef ECAPA_KALDI_FBANK_H_
#define ECAPA_KALDI_FBANK_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "src/filterbank.h"
#include "src/front_end.h"

namespace ecapa {

// The parameters, under the names and in the units of Python's. Dither is for training: none is computed here.
struct KaldiFbankConfig {
  int64_t sample_rate = 16000;
  int64_t n_mels = 80;
  double win_length_ms = 25;
  double hop_length_ms = 10;
  double f_min = 20;
  double f_max = 8000;
  std::string window = "povey";  // or "hamming"
  double waveform_scale = 1;     // of samples; or 32768: they count as 16-bit ones
  double preemphasis = 0.97;
  double dither = 0;
  bool subtract_mean = true;  // of the frames that the model sees

  int64_t win_length() const;  // samples
  int64_t hop_length() const;  // samples
  int64_t n_fft() const;       // the next power of two

  // Reads the stored form, or that of before, which had no f_min, f_max, preemphasis, dither and subtract_mean; throws
  // InputError, `where` it came from first, when another key is missing, one is unknown, or a value is impossible.
  static KaldiFbankConfig FromJson(const nlohmann::json& stored, const std::string& where);

  // Returns the stored form.
  nlohmann::json ToJson() const;
};

// Natural logarithms of energies, computed in double precision. A frame lies within the waveform as a whole.
class KaldiFbank : public FrontEnd {
 public:
  explicit KaldiFbank(const KaldiFbankConfig& config);

  int64_t size() const override { return config_.n_mels; }
  int64_t sample_rate() const override { return config_.sample_rate; }
  nlohmann::json comparable() const override;
  double frame_shift_s() const override;
  int64_t NumFrames(int64_t num_samples) const override;
  int64_t NumSamples(int64_t num_frames) const override;
  std::unique_ptr<Stream> Start(int64_t num_frames) const override;
  void Finish(std::vector<float>* feats) const override;

 private:
  class Frames;

  KaldiFbankConfig config_;
  std::vector<double> window_;  // (win_length,), times waveform_scale
  Filterbank filterbank_;
};

}  // namespace ecapa

#endif  // ECAPA_KALDI_FBANK_H_
