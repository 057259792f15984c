// Front ends that hand samples on: to a model of raw waveforms, and to a model that has its front end inside.
#ifndef ECAPA_SAMPLES_H_
#define ECAPA_SAMPLES_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "src/framing.h"
#include "src/front_end.h"

namespace ecapa {

// Takes each sample for a frame of one number: the C++ twin of src/mindvox/frontend/samples.py.
class Samples : public FrontEnd {
 public:
  // Reads the stored form; throws InputError, `where` it came from first, when a key is missing or unknown, or a value
  // is impossible.
  Samples(const nlohmann::json& stored, const std::string& where);

  nlohmann::json comparable() const override;
  int64_t size() const override { return 1; }
  int64_t sample_rate() const override { return sample_rate_; }
  double frame_shift_s() const override { return 1 / static_cast<double>(sample_rate_); }
  int64_t NumFrames(int64_t num_samples) const override { return num_samples; }
  int64_t NumSamples(int64_t num_frames) const override { return num_frames; }
  std::unique_ptr<Stream> Start(int64_t num_rows) const override;
  void Finish(std::vector<float>* feats) const override;

 private:
  int64_t sample_rate_ = 0;
  bool has_peak_ = false;  // what the model sees is divided by its largest absolute value
};

// The front end of a model that takes waveforms and makes features inside: its rows are samples. It prepares whole
// recordings as src/mindvox/frontend/preparation.py does, but for the speech detector.
class FrontEndInside : public FrontEnd {
 public:
  // Args:
  //   stored: form of the front end that is inside, of whatever type.
  //   prepares: the front end changes recordings before they are embedded.
  //   where: file that the stored form came from, for messages.
  //
  // Throws InputError: the rate is missing, or recordings are prepared in a way that this program does not know.
  FrontEndInside(const nlohmann::json& stored, const Framing& framing, bool prepares, const std::string& where);

  nlohmann::json comparable() const override { return stored_; }
  int64_t size() const override { return 1; }
  int64_t sample_rate() const override { return sample_rate_; }
  double frame_shift_s() const override;
  int64_t NumFrames(int64_t num_samples) const override;
  int64_t NumRows(int64_t num_samples) const override { return num_samples + num_zeros_; }
  int64_t NumSamples(int64_t num_frames) const override;
  std::unique_ptr<Stream> Start(int64_t num_rows) const override;
  void Finish(std::vector<float>*) const override {}  // inside

 private:
  class Prepared;

  nlohmann::json stored_;
  Framing framing_;
  int64_t sample_rate_ = 0;
  double raise_level_db_ = 0;  // root mean square that quieter recordings are raised to, dB below full scale; 0: none
  int64_t num_zeros_ = 0;      // behind a recording
};

}  // namespace ecapa

#endif  // ECAPA_SAMPLES_H_
