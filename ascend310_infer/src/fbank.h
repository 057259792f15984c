// Log mel filterbank energies: the C++ twin of src/frontend/fbank.py, whose docstrings define it.
#ifndef ECAPA_FBANK_H_
#define ECAPA_FBANK_H_

#include <complex>
#include <cstddef>
#include <cstdint>
#include <kissfft/kissfft.hh>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ecapa {

// The front end's parameters, under the names and in the units of FbankConfig in Python.
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
  int64_t NumFrames(int64_t num_samples) const { return 1 + num_samples / hop_length(); }

  // Reads the stored form; throws InputError, `where` it came from first, when it is another front end, a key is
  // missing or unknown, or a value is impossible.
  static FbankConfig FromJson(const nlohmann::json& stored, const std::string& where);
};

// Turns waveforms into features, in double precision. May be used by several threads at once.
class Fbank {
 public:
  explicit Fbank(const FbankConfig& config);

  const FbankConfig& config() const { return config_; }

  // Returns features (NumFrames(N), n_mels) in dB, before mean subtraction, of N >= 1 samples, full scale 1.
  std::vector<float> operator()(const std::vector<float>& waveform) const;

  // Makes the features of one waveform that comes in pieces: it is never held as a whole. Not for several threads.
  class Stream {
   public:
    // Args:
    //   fbank: must outlive the stream.
    //   num_frames: expected number of frames, for which memory is reserved. Another number works too.
    Stream(const Fbank& fbank, int64_t num_frames);

    // Takes the next samples, full scale 1.
    void Push(const float* samples, size_t count);

    // Returns what operator() gives for all samples. To be called once, last.
    std::vector<float> Finish();

   private:
    void AddFrame(const float* samples);

    const Fbank& fbank_;
    const kissfft<double> transform_;  // a copy: for some sizes its methods write to a buffer of its own
    std::vector<double> frame_;
    std::vector<std::complex<double>> spectrum_;
    std::vector<double> power_;
    std::vector<float> pending_;  // samples that a later frame needs
    size_t next_ = 0;             // where in `pending_` the next frame starts
    std::vector<float> feats_;
    float greatest_;
  };

 private:
  // The frequencies in which a filter is not zero, and its weights there.
  struct Filter {
    int64_t first = 0;
    std::vector<double> weights;
  };

  static std::vector<Filter> MelFilters(const FbankConfig& config);

  FbankConfig config_;
  std::vector<double> window_;  // (n_fft,)
  std::vector<Filter> filters_;
  kissfft<double> transform_;
};

}  // namespace ecapa

#endif  // ECAPA_FBANK_H_
