#include "src/kaldi_fbank.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "src/feature_ops.h"
#include "src/stored_form.h"

namespace ecapa {
namespace {

constexpr double kLeastEnergy = 1.1920928955078125e-07;  // 2^-23, float32's epsilon

double HzToMel(double frequency) { return 1127 * std::log(1 + frequency / 700); }

// Kaldi drops what is left of a sample.
int64_t SamplesOf(int64_t sample_rate, double duration_ms) {
  return static_cast<int64_t>(static_cast<double>(sample_rate) * duration_ms / 1000);
}

double MelToHz(double mel) { return 700 * (std::exp(mel / 1127) - 1); }

// Both windows are symmetric: their first and last value are equal.
std::vector<double> ScaledWindow(const KaldiFbankConfig& config) {
  std::vector<double> window(static_cast<size_t>(config.win_length()));
  for (size_t i = 0; i < window.size(); ++i) {
    const double cosine = std::cos(2 * kPi * static_cast<double>(i) / static_cast<double>(window.size() - 1));
    const double value = config.window == "povey" ? std::pow(0.5 - 0.5 * cosine, 0.85) : 0.54 - 0.46 * cosine;
    window[i] = config.waveform_scale * value;
  }
  return window;
}

// Triangles of height 1 whose sides are straight lines on the mel scale. The last bin, half the rate, is in none.
Filterbank MelFilters(const KaldiFbankConfig& config) {
  const double low = HzToMel(config.f_min);
  const double step = (HzToMel(config.f_max) - low) / static_cast<double>(config.n_mels + 1);
  const double bin_hz = static_cast<double>(config.sample_rate) / static_cast<double>(config.n_fft());
  const auto half = static_cast<double>(config.n_fft() / 2);
  Filterbank filterbank(config.n_fft());
  for (int64_t i = 0; i < config.n_mels; ++i) {
    const double left = low + static_cast<double>(i) * step;
    filterbank.Add(MelToHz(left) / bin_hz, MelToHz(left + 2 * step) / bin_hz, [&](double bin) {
      const double sides = (HzToMel(bin * bin_hz) - left) / step;
      return bin < half ? std::min(sides, 2 - sides) : 0;
    });
  }
  return filterbank;
}

}  // namespace

int64_t KaldiFbankConfig::win_length() const { return SamplesOf(sample_rate, win_length_ms); }

int64_t KaldiFbankConfig::hop_length() const { return SamplesOf(sample_rate, hop_length_ms); }

int64_t KaldiFbankConfig::n_fft() const {
  int64_t size = 2;
  while (size < win_length()) size *= 2;
  return size;
}

KaldiFbankConfig KaldiFbankConfig::FromJson(const nlohmann::json& stored, const std::string& where) {
  KaldiFbankConfig c;
  StoredForm form(stored, where);
  form.Read("sample_rate", &c.sample_rate);
  form.Read("n_mels", &c.n_mels);
  form.Read("win_length_ms", &c.win_length_ms);
  form.Read("hop_length_ms", &c.hop_length_ms);
  form.Read("window", &c.window);
  form.Read("waveform_scale", &c.waveform_scale);
  form.ReadIfGiven("f_min", &c.f_min);
  form.ReadIfGiven("f_max", &c.f_max);
  form.ReadIfGiven("preemphasis", &c.preemphasis);
  form.ReadIfGiven("dither", &c.dither);
  form.ReadIfGiven("subtract_mean", &c.subtract_mean);
  form.Finish(IsPossibleFilterbank(c.sample_rate, c.n_mels, c.win_length_ms, c.hop_length_ms, c.f_min, c.f_max) &&
              c.hop_length() >= 1 && c.win_length() >= 2 && c.win_length() <= kMaxSamples &&
              (c.window == "povey" || c.window == "hamming") && (c.waveform_scale == 1 || c.waveform_scale == 32768) &&
              c.preemphasis >= 0 && c.preemphasis < 1 && c.dither >= 0);
  return c;
}

nlohmann::json KaldiFbankConfig::ToJson() const {
  return {{"type", "kaldi_fbank"},
          {"sample_rate", sample_rate},
          {"n_mels", n_mels},
          {"win_length_ms", win_length_ms},
          {"hop_length_ms", hop_length_ms},
          {"f_min", f_min},
          {"f_max", f_max},
          {"window", window},
          {"waveform_scale", waveform_scale},
          {"preemphasis", preemphasis},
          {"dither", dither},
          {"subtract_mean", subtract_mean}};
}

KaldiFbank::KaldiFbank(const KaldiFbankConfig& config)
    : config_(config), window_(ScaledWindow(config)), filterbank_(MelFilters(config)) {}

nlohmann::json KaldiFbank::comparable() const {
  nlohmann::json stored = config_.ToJson();
  stored.erase("dither");  // of training features alone
  return stored;
}

double KaldiFbank::frame_shift_s() const {
  return static_cast<double>(config_.hop_length()) / static_cast<double>(config_.sample_rate);
}

int64_t KaldiFbank::NumFrames(int64_t num_samples) const {
  const int64_t length = config_.win_length();
  return num_samples < length ? 0 : 1 + (num_samples - length) / config_.hop_length();
}

int64_t KaldiFbank::NumSamples(int64_t num_frames) const {
  return config_.win_length() + (num_frames - 1) * config_.hop_length();
}

class KaldiFbank::Frames : public FrontEnd::Stream {
 public:
  Frames(const KaldiFbank& fbank, int64_t num_frames)
      : fbank_(fbank), cutter_(fbank.config_.win_length(), fbank.config_.hop_length(), 0), worker_(fbank.filterbank_) {
    feats_.reserve(static_cast<size_t>(num_frames * fbank.config_.n_mels));
  }

  void Push(const float* samples, size_t count) override {
    cutter_.Push(samples, count, [this](const float* frame) { AddFrame(frame); });
  }

  std::vector<float> Finish() override { return std::move(feats_); }

 private:
  // What is behind the window stays zero.
  void AddFrame(const float* samples) {
    const std::vector<double>& window = fbank_.window_;
    const double preemphasis = fbank_.config_.preemphasis;
    double mean = 0;
    for (size_t i = 0; i < window.size(); ++i) mean += static_cast<double>(samples[i]);
    mean /= static_cast<double>(window.size());
    std::vector<double>& frame = worker_.frame();
    double before = static_cast<double>(samples[0]) - mean;  // the first sample stands before itself
    for (size_t i = 0; i < window.size(); ++i) {
      const double centred = static_cast<double>(samples[i]) - mean;
      frame[i] = window[i] * (centred - preemphasis * before);
      before = centred;
    }
    for (const double energy : worker_.Energies()) {
      feats_.push_back(static_cast<float>(std::log(std::max(energy, kLeastEnergy))));
    }
  }

  const KaldiFbank& fbank_;
  FrameCutter cutter_;
  Filterbank::Worker worker_;
  std::vector<float> feats_;
};

std::unique_ptr<FrontEnd::Stream> KaldiFbank::Start(int64_t num_frames) const {
  return std::make_unique<Frames>(*this, num_frames);
}

void KaldiFbank::Finish(std::vector<float>* feats) const {
  if (config_.subtract_mean) SubtractMean(size(), feats);
}

}  // namespace ecapa
