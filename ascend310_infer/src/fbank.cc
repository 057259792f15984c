#include "src/fbank.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>

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
  const auto num_samples = static_cast<int64_t>(waveform.size());
  const int64_t n_fft = config_.n_fft;
  const int64_t hop = config_.hop_length();
  const auto half = static_cast<size_t>(n_fft / 2);
  const kissfft<double> transform = transform_;  // a copy: for some sizes its methods write to a buffer of its own
  std::vector<double> frame(static_cast<size_t>(n_fft));
  std::vector<std::complex<double>> spectrum(half);
  std::vector<double> power(half + 1);
  std::vector<float> feats;
  feats.reserve(static_cast<size_t>(config_.NumFrames(num_samples) * config_.n_mels));
  float greatest = -std::numeric_limits<float>::infinity();
  for (int64_t t = 0; t < config_.NumFrames(num_samples); ++t) {
    const int64_t start = t * hop - n_fft / 2;  // the frame's first sample; zeros stand outside the waveform
    const int64_t first = std::max<int64_t>(0, -start);
    const int64_t last = std::clamp(num_samples - start, first, n_fft);
    std::fill(frame.begin(), frame.end(), 0.0);
    for (int64_t i = first; i < last; ++i) {
      frame[static_cast<size_t>(i)] =
          window_[static_cast<size_t>(i)] * static_cast<double>(waveform[static_cast<size_t>(start + i)]);
    }
    transform.transform_real(frame.data(), spectrum.data());
    power[0] = spectrum[0].real() * spectrum[0].real();  // the two real bins come together
    power[half] = spectrum[0].imag() * spectrum[0].imag();
    for (size_t bin = 1; bin < half; ++bin) {
      power[bin] = spectrum[bin].real() * spectrum[bin].real() + spectrum[bin].imag() * spectrum[bin].imag();
    }
    for (const Filter& filter : filters_) {
      double energy = 0;
      const double* bins = power.data() + filter.first;
      for (size_t i = 0; i < filter.weights.size(); ++i) energy += filter.weights[i] * bins[i];
      feats.push_back(static_cast<float>(10 * std::log10(std::max(energy, config_.amin))));
      greatest = std::max(greatest, feats.back());
    }
  }
  const float floor = greatest - static_cast<float>(config_.top_db);
  for (float& value : feats) value = std::max(value, floor);
  return feats;
}

}  // namespace ecapa
