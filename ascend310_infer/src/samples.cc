#include "src/samples.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "src/errors.h"
#include "src/feature_ops.h"
#include "src/stored_form.h"

namespace ecapa {
namespace {

using nlohmann::json;

constexpr double kMaxZerosMs = 1e6;

// Keeps the samples.
class SampleStream : public FrontEnd::Stream {
 public:
  explicit SampleStream(int64_t num_samples) { samples_.reserve(static_cast<size_t>(num_samples)); }

  void Push(const float* samples, size_t count) override { samples_.insert(samples_.end(), samples, samples + count); }

  std::vector<float> Finish() override { return std::move(samples_); }

 private:
  std::vector<float> samples_;
};

// Brings samples whose root mean square is below a level, dB below full scale, to it; peaks may pass full scale.
void RaiseLevel(double level_db, std::vector<float>* samples) {
  double sum = 0;
  for (const float sample : *samples) sum += static_cast<double>(sample) * static_cast<double>(sample);
  const double gain_db = level_db - 10 * std::log10(sum / static_cast<double>(samples->size()));
  if (!(gain_db > 0) || sum == 0) return;
  const auto gain = static_cast<float>(std::pow(10, gain_db / 20));
  for (float& sample : *samples) sample *= gain;
}

}  // namespace

Samples::Samples(const json& stored, const std::string& where) {
  StoredForm form(stored, where);
  form.Read("sample_rate", &sample_rate_);
  form.Read("peak", &has_peak_);
  form.Finish(sample_rate_ >= 1 && sample_rate_ <= kMaxSamples);
}

json Samples::comparable() const { return {{"type", "samples"}, {"sample_rate", sample_rate_}, {"peak", has_peak_}}; }

std::unique_ptr<FrontEnd::Stream> Samples::Start(int64_t num_rows) const {
  return std::make_unique<SampleStream>(num_rows);
}

void Samples::Finish(std::vector<float>* feats) const {
  if (has_peak_) DivideByPeak(1, feats);
}

// Changes the samples when all are there.
class FrontEndInside::Prepared : public SampleStream {
 public:
  Prepared(const FrontEndInside& front_end, int64_t num_rows) : SampleStream(num_rows), front_end_(front_end) {}

  std::vector<float> Finish() override {
    std::vector<float> samples = SampleStream::Finish();
    if (front_end_.raise_level_db_ < 0) RaiseLevel(front_end_.raise_level_db_, &samples);
    samples.resize(samples.size() + static_cast<size_t>(front_end_.num_zeros_));
    return samples;
  }

 private:
  const FrontEndInside& front_end_;
};

FrontEndInside::FrontEndInside(const json& stored, const Framing& framing, bool prepares, const std::string& where)
    : stored_(stored), framing_(framing) {
  const json rate = stored.value("sample_rate", json());
  if (!rate.is_number_integer() || rate < 1 || rate > kMaxSamples) {
    throw InputError(Concat(where, ": missing or impossible values: front_end: sample_rate. Export the model again."));
  }
  sample_rate_ = rate.get<int64_t>();
  if (!prepares) return;
  const json trim = stored.value("trim", json("none"));
  const json level_db = stored.value("raise_level_db", json(0));
  const json zeros_ms = stored.value("zeros_after_ms", json(0));
  if (trim == "webrtc") {
    throw InputError(Concat(where,
                            ": front_end.trim webrtc: the model takes speech alone, which WebRTC's detector finds; "
                            "this program does not have it. Run the model in Python, `mindvox embed`, which does, or "
                            "import and export it with trim none for recordings that hold nothing but speech."));
  }
  const bool is_known = trim == "none" && level_db.is_number() && level_db <= 0 && zeros_ms.is_number() &&
                        zeros_ms >= 0 && zeros_ms <= kMaxZerosMs && (level_db < 0 || zeros_ms > 0);
  if (!is_known) {
    throw InputError(Concat(where, ": its front end changes recordings before they are embedded, in a way that this ",
                            "program does not know. Run the model in Python, or take a newer program."));
  }
  raise_level_db_ = level_db.get<double>();
  // Halves to the even number, as Python rounds.
  num_zeros_ = static_cast<int64_t>(std::nearbyint(zeros_ms.get<double>() * static_cast<double>(sample_rate_) / 1000));
}

double FrontEndInside::frame_shift_s() const {
  return static_cast<double>(framing_.hop) / static_cast<double>(sample_rate_);
}

int64_t FrontEndInside::NumFrames(int64_t num_samples) const { return framing_.NumFrames(NumRows(num_samples)); }

int64_t FrontEndInside::NumSamples(int64_t num_frames) const {
  return std::max<int64_t>(1, framing_.NumSamples(num_frames) - num_zeros_);
}

std::unique_ptr<FrontEnd::Stream> FrontEndInside::Start(int64_t num_rows) const {
  return std::make_unique<Prepared>(*this, num_rows);
}

}  // namespace ecapa
