#include "src/fbank.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <utility>

#include "src/errors.h"

namespace ecapa {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr int64_t kMaxSamples = int64_t{1} << 20;  // of a window or transform, and filters: beyond it, a damaged file

double HzToMel(double frequency) { return 2595 * std::log10(1 + frequency / 700); }

int64_t Samples(int64_t sample_rate, double duration_ms) {
  return std::llrint(static_cast<double>(sample_rate) * duration_ms / 1000);  // halves to even, as Python's round
}

bool IsPossible(const FbankConfig& c) {
  for (const int64_t size : {c.sample_rate, c.n_mels, c.n_fft}) {
    if (size < 1 || size > kMaxSamples) return false;
  }
  for (const double duration_ms : {c.win_length_ms, c.hop_length_ms}) {
    if (!(duration_ms > 0 && duration_ms < 1e6)) return false;
  }
  return c.hop_length() >= 1 && c.win_length() >= 1 && c.win_length() <= c.n_fft && c.n_fft % 2 == 0 && c.f_min >= 0 &&
         c.f_min < c.f_max && c.f_max <= static_cast<double>(c.sample_rate) / 2 && c.amin > 0 && c.top_db > 0;
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

}  // namespace

int64_t FbankConfig::win_length() const { return Samples(sample_rate, win_length_ms); }

int64_t FbankConfig::hop_length() const { return Samples(sample_rate, hop_length_ms); }

FbankConfig FbankConfig::FromJson(const nlohmann::json& stored, const std::string& where) {
  FbankConfig config;
  const auto other = [&] {
    return InputError(Concat(where, ": expected a front end of type fbank, as FbankConfig in Python stores it, got ",
                             stored.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), "."));
  };
  if (!stored.is_object() || stored.size() != 10 || stored.value("type", nlohmann::json()) != "fbank") throw other();
  const auto read = [&](const char* key, auto* value) {
    const auto entry = stored.find(key);
    const bool is_size = std::is_integral_v<std::remove_pointer_t<decltype(value)>>;
    if (entry == stored.end() || !(is_size ? entry->is_number_integer() : entry->is_number())) throw other();
    entry->get_to(*value);
  };
  read("sample_rate", &config.sample_rate);
  read("n_mels", &config.n_mels);
  read("n_fft", &config.n_fft);
  read("win_length_ms", &config.win_length_ms);
  read("hop_length_ms", &config.hop_length_ms);
  read("f_min", &config.f_min);
  read("f_max", &config.f_max);
  read("amin", &config.amin);
  read("top_db", &config.top_db);
  if (!IsPossible(config)) throw InputError(Concat(where, ": impossible front end: ", stored.dump(), "."));
  return config;
}

Fbank::Fbank(const FbankConfig& config)
    : config_(config),
      window_(PeriodicHamming(config.win_length(), config.n_fft)),
      filters_(MelFilters(config)),
      transform_(static_cast<size_t>(config.n_fft / 2), false) {}

// Triangles of height 1 around equally spaced mel frequencies, both sides as wide as the distance to the filter below:
// SpeechBrain's, in which the upper side is narrower than the gap to the next.
std::vector<Fbank::Filter> Fbank::MelFilters(const FbankConfig& config) {
  const double low = HzToMel(config.f_min);
  const double step = (HzToMel(config.f_max) - low) / static_cast<double>(config.n_mels + 1);
  const auto edge = [&](int64_t i) { return 700 * (std::pow(10, (low + step * static_cast<double>(i)) / 2595) - 1); };
  std::vector<Filter> filters(static_cast<size_t>(config.n_mels));
  for (int64_t mel = 0; mel < config.n_mels; ++mel) {
    const double centre = edge(mel + 1);
    const double width = centre - edge(mel);
    Filter& filter = filters[static_cast<size_t>(mel)];
    for (int64_t bin = 0; bin <= config.n_fft / 2; ++bin) {
      const double frequency =
          static_cast<double>(bin) * static_cast<double>(config.sample_rate) / static_cast<double>(config.n_fft);
      const double weight = 1 - std::abs(frequency - centre) / width;
      if (weight <= 0) continue;
      if (filter.weights.empty()) filter.first = bin;
      filter.weights.push_back(weight);
    }
  }
  return filters;
}

std::vector<float> Fbank::operator()(const std::vector<float>& waveform) const {
  Stream stream(*this, config_.NumFrames(static_cast<int64_t>(waveform.size())));
  stream.Push(waveform.data(), waveform.size());
  return stream.Finish();
}

Fbank::Stream::Stream(const Fbank& fbank, int64_t num_frames)
    : fbank_(fbank),
      transform_(fbank.transform_),
      frame_(static_cast<size_t>(fbank.config_.n_fft)),
      spectrum_(static_cast<size_t>(fbank.config_.n_fft / 2)),
      power_(static_cast<size_t>(fbank.config_.n_fft / 2 + 1)),
      pending_(static_cast<size_t>(fbank.config_.n_fft / 2)),  // zeros before the waveform
      greatest_(-std::numeric_limits<float>::infinity()) {
  feats_.reserve(static_cast<size_t>(num_frames * fbank.config_.n_mels));
}

void Fbank::Stream::Push(const float* samples, size_t count) {
  constexpr size_t kPieceSamples = 1 << 16;  // bounds `pending_`
  const auto n_fft = static_cast<size_t>(fbank_.config_.n_fft);
  const auto hop = static_cast<size_t>(fbank_.config_.hop_length());
  while (count > 0) {
    const size_t taken = std::min(count, kPieceSamples);
    pending_.insert(pending_.end(), samples, samples + taken);
    samples += taken;
    count -= taken;
    for (; next_ + n_fft <= pending_.size(); next_ += hop) AddFrame(pending_.data() + next_);
    const size_t num_used = std::min(next_, pending_.size());  // a hop may be longer than a frame
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(num_used));
    next_ -= num_used;
  }
}

std::vector<float> Fbank::Stream::Finish() {
  const std::vector<float> zeros(static_cast<size_t>(fbank_.config_.n_fft / 2));
  Push(zeros.data(), zeros.size());
  const float floor = greatest_ - static_cast<float>(fbank_.config_.top_db);
  for (float& value : feats_) value = std::max(value, floor);
  return std::move(feats_);
}

void Fbank::Stream::AddFrame(const float* samples) {
  for (size_t i = 0; i < frame_.size(); ++i) frame_[i] = fbank_.window_[i] * static_cast<double>(samples[i]);
  transform_.transform_real(frame_.data(), spectrum_.data());
  const size_t half = spectrum_.size();
  power_[0] = spectrum_[0].real() * spectrum_[0].real();  // the two real bins come together
  power_[half] = spectrum_[0].imag() * spectrum_[0].imag();
  for (size_t bin = 1; bin < half; ++bin) {
    power_[bin] = spectrum_[bin].real() * spectrum_[bin].real() + spectrum_[bin].imag() * spectrum_[bin].imag();
  }
  for (const Filter& filter : fbank_.filters_) {
    double energy = 0;
    const double* bins = power_.data() + filter.first;
    for (size_t i = 0; i < filter.weights.size(); ++i) energy += filter.weights[i] * bins[i];
    feats_.push_back(static_cast<float>(10 * std::log10(std::max(energy, fbank_.config_.amin))));
    greatest_ = std::max(greatest_, feats_.back());
  }
}

}  // namespace ecapa
