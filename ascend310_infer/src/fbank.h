// SpeechBrain's log mel filterbank energies: the C++ twin of src/mindvox/frontend/fbank.py, whose docstrings define it.
#ifndef ECAPA_FBANK_H_
#define ECAPA_FBANK_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "src/filterbank.h"
#include "src/front_end.h"

namespace ecapa {

// The parameters, under the names and in the units of FbankConfig in Python.
struct FbankConfig {
  int64_t sample_rate = 16000;
  int64_t n_mels = 80;
  int64_t n_fft = 400;
  double win_length_ms = 25;
  double hop_length_ms = 10;
  double f_min = 0;
  double f_max = 8000;
  double amin = 1e-10;
  double top_db = 80;

  int64_t win_length() const;  // samples
  int64_t hop_length() const;  // samples

  // Reads the stored form; throws InputError, `where` it came from first, when a key is missing or unknown, or a value
  // is impossible.
  static FbankConfig FromJson(const nlohmann::json& stored, const std::string& where);

  // Returns the stored form.
  nlohmann::json ToJson() const;
};

// Features in dB, computed in double precision. The first frame is centred on the first sample.
class Fbank : public FrontEnd {
 public:
  explicit Fbank(const FbankConfig& config);

  int64_t size() const override { return config_.n_mels; }
  int64_t sample_rate() const override { return config_.sample_rate; }
  nlohmann::json comparable() const override { return config_.ToJson(); }
  double frame_shift_s() const override;
  int64_t NumFrames(int64_t num_samples) const override;
  int64_t NumSamples(int64_t num_frames) const override;
  std::unique_ptr<Stream> Start(int64_t num_frames) const override;
  void Finish(std::vector<float>* feats) const override;

 private:
  class Frames;

  FbankConfig config_;
  std::vector<double> window_;  // (n_fft,)
  Filterbank filterbank_;
};

}  // namespace ecapa

#endif  // ECAPA_FBANK_H_
