#include "src/fbank.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "src/feature_ops.h"
#include "src/stored_form.h"

namespace ecapa {
namespace {

double HzToMel(double frequency) { return 2595 * std::log10(1 + frequency / 700); }

// Halves to even, as Python's round.
int64_t SamplesOf(int64_t sample_rate, double duration_ms) {
  return std::llrint(static_cast<double>(sample_rate) * duration_ms / 1000);
}

// Hamming, periodic, centred between zeros when it is shorter than the transform.
std::vector<double> PeriodicHamming(int64_t length, int64_t n_fft) {
  std::vector<double> window(static_cast<size_t>(n_fft));
  const int64_t left = (n_fft - length) / 2;
  for (int64_t i = 0; i < length; ++i) {
    window[static_cast<size_t>(left + i)] =
        0.54 - 0.46 * std::cos(2 * kPi * static_cast<double>(i) / static_cast<double>(length));
  }
  return window;
}

// Triangles of height 1 around equally spaced mel frequencies, both sides as wide as the distance to the filter below:
// SpeechBrain's, in which the upper side is narrower than the gap to the next.
Filterbank MelFilters(const FbankConfig& config) {
  const double low = HzToMel(config.f_min);
  const double step = (HzToMel(config.f_max) - low) / static_cast<double>(config.n_mels + 1);
  const auto edge = [&](int64_t i) { return 700 * (std::pow(10, (low + step * static_cast<double>(i)) / 2595) - 1); };
  const double bin_hz = static_cast<double>(config.sample_rate) / static_cast<double>(config.n_fft);
  Filterbank filterbank(config.n_fft);
  for (int64_t mel = 0; mel < config.n_mels; ++mel) {
    const double centre = edge(mel + 1);
    const double width = centre - edge(mel);
    filterbank.Add((centre - width) / bin_hz, (centre + width) / bin_hz,
                   [&](double bin) { return 1 - std::abs(bin * bin_hz - centre) / width; });
  }
  return filterbank;
}

}  // namespace

int64_t FbankConfig::win_length() const { return SamplesOf(sample_rate, win_length_ms); }

int64_t FbankConfig::hop_length() const { return SamplesOf(sample_rate, hop_length_ms); }

FbankConfig FbankConfig::FromJson(const nlohmann::json& stored, const std::string& where) {
  FbankConfig c;
  StoredForm form(stored, where);
  form.Read("sample_rate", &c.sample_rate);
  form.Read("n_mels", &c.n_mels);
  form.Read("n_fft", &c.n_fft);
  form.Read("win_length_ms", &c.win_length_ms);
  form.Read("hop_length_ms", &c.hop_length_ms);
  form.Read("f_min", &c.f_min);
  form.Read("f_max", &c.f_max);
  form.Read("amin", &c.amin);
  form.Read("top_db", &c.top_db);
  form.Finish(IsPossibleFilterbank(c.sample_rate, c.n_mels, c.win_length_ms, c.hop_length_ms, c.f_min, c.f_max) &&
              c.hop_length() >= 1 && c.win_length() >= 1 && c.win_length() <= c.n_fft && c.n_fft <= kMaxSamples &&
              c.n_fft % 2 == 0 && c.amin > 0 && c.top_db > 0);
  return c;
}

nlohmann::json FbankConfig::ToJson() const {
  return {{"type", "fbank"},
          {"sample_rate", sample_rate},
          {"n_mels", n_mels},
          {"n_fft", n_fft},
          {"win_length_ms", win_length_ms},
          {"hop_length_ms", hop_length_ms},
          {"f_min", f_min},
          {"f_max", f_max},
          {"amin", amin},
          {"top_db", top_db}};
}

Fbank::Fbank(const FbankConfig& config)
    : config_(config), window_(PeriodicHamming(config.win_length(), config.n_fft)), filterbank_(MelFilters(config)) {}

double Fbank::frame_shift_s() const {
  return static_cast<double>(config_.hop_length()) / static_cast<double>(config_.sample_rate);
}

int64_t Fbank::NumFrames(int64_t num_samples) const { return 1 + num_samples / config_.hop_length(); }

int64_t Fbank::NumSamples(int64_t num_frames) const {
  return std::max<int64_t>(1, (num_frames - 1) * config_.hop_length());
}

class Fbank::Frames : public FrontEnd::Stream {
 public:
  Frames(const Fbank& fbank, int64_t num_frames)
      : fbank_(fbank),
        cutter_(fbank.config_.n_fft, fbank.config_.hop_length(), fbank.config_.n_fft / 2),
        worker_(fbank.filterbank_),
        greatest_(-std::numeric_limits<float>::infinity()) {
    feats_.reserve(static_cast<size_t>(num_frames * fbank.config_.n_mels));
  }

  void Push(const float* samples, size_t count) override {
    cutter_.Push(samples, count, [this](const float* frame) { AddFrame(frame); });
  }

  std::vector<float> Finish() override {
    const std::vector<float> zeros(static_cast<size_t>(fbank_.config_.n_fft / 2));
    Push(zeros.data(), zeros.size());
    const float floor = greatest_ - static_cast<float>(fbank_.config_.top_db);
    for (float& value : feats_) value = std::max(value, floor);
    return std::move(feats_);
  }

 private:
  void AddFrame(const float* samples) {
    std::vector<double>& frame = worker_.frame();
    for (size_t i = 0; i < frame.size(); ++i) frame[i] = fbank_.window_[i] * static_cast<double>(samples[i]);
    for (const double energy : worker_.Energies()) {
      feats_.push_back(static_cast<float>(10 * std::log10(std::max(energy, fbank_.config_.amin))));
      greatest_ = std::max(greatest_, feats_.back());
    }
  }

  const Fbank& fbank_;
  FrameCutter cutter_;
  Filterbank::Worker worker_;
  std::vector<float> feats_;
  float greatest_;
};

std::unique_ptr<FrontEnd::Stream> Fbank::Start(int64_t num_frames) const {
  return std::make_unique<Frames>(*this, num_frames);
}

void Fbank::Finish(std::vector<float>* feats) const { SubtractMean(size(), feats); }

}  // namespace ecapa
