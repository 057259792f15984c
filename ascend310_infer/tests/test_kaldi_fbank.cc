#include <doctest/doctest.h>

#include <cmath>

#include "src/kaldi_fbank.h"
#include "tests/support.h"

namespace ecapa {
namespace {

KaldiFbankConfig Config(const std::string& key = "sample_rate", const nlohmann::json& value = 16000) {
  nlohmann::json stored = KaldiJson(80);
  stored[key] = value;
  return KaldiFbankConfig::FromJson(stored, "m.json");
}

// The definition, in slow words: a transform by its sum, all filters over all frequencies.
std::vector<double> Reference(const std::vector<float>& waveform, int64_t frame, bool is_povey, double scale) {
  const double pi = 3.14159265358979323846;
  std::vector<double> samples(400);
  double mean = 0;
  for (size_t i = 0; i < 400; ++i) {
    samples[i] = scale * static_cast<double>(waveform[static_cast<size_t>(frame) * 160 + i]);
    mean += samples[i] / 400;
  }
  std::vector<double> windowed(512);
  for (size_t i = 0; i < 400; ++i) {
    const double emphasised = samples[i] - mean - 0.97 * (samples[i == 0 ? 0 : i - 1] - mean);
    const double hann = 0.5 - 0.5 * std::cos(2 * pi * static_cast<double>(i) / 399);
    windowed[i] =
        emphasised * (is_povey ? std::pow(hann, 0.85) : 0.54 - 0.46 * std::cos(2 * pi * static_cast<double>(i) / 399));
  }
  const auto mel_of = [](double hz) { return 1127 * std::log(1 + hz / 700); };
  const double low = mel_of(20), step = (mel_of(8000) - low) / 81;
  std::vector<double> feats;
  std::vector<double> power(256);
  for (size_t bin = 0; bin < 256; ++bin) {
    double real = 0, imaginary = 0;
    for (size_t i = 0; i < 512; ++i) {
      real += windowed[i] * std::cos(2 * pi * static_cast<double>(bin * i) / 512);
      imaginary -= windowed[i] * std::sin(2 * pi * static_cast<double>(bin * i) / 512);
    }
    power[bin] = real * real + imaginary * imaginary;
  }
  for (int mel = 0; mel < 80; ++mel) {
    double energy = 0;
    for (size_t bin = 0; bin < 256; ++bin) {
      const double at = (mel_of(static_cast<double>(bin) * 31.25) - low) / step - mel;
      energy += std::max(0.0, std::min(at, 2 - at)) * power[bin];
    }
    feats.push_back(std::log(std::max(energy, std::pow(2.0, -23))));
  }
  return feats;
}

}  // namespace

TEST_CASE("Kaldi's features are those of the definition") {
  const std::vector<float> waveform = NoisySine(440, 1000);
  for (const bool is_povey : {true, false}) {
    KaldiFbankConfig config = Config("window", is_povey ? "povey" : "hamming");
    config.waveform_scale = is_povey ? 1 : 32768;
    const std::vector<float> feats = KaldiFbank(config)(waveform);
    REQUIRE(feats.size() == 4 * 80);
    double greatest = 0;
    for (const int64_t frame : {0, 1, 3}) {
      const std::vector<double> expected = Reference(waveform, frame, is_povey, config.waveform_scale);
      for (size_t mel = 0; mel < 80; ++mel) {
        const auto got = static_cast<double>(feats[static_cast<size_t>(frame) * 80 + mel]);
        greatest = std::max(greatest, std::abs(got - expected[mel]));
      }
    }
    CHECK(greatest < 1e-5);  // features of up to 25 in single precision
  }
}

TEST_CASE("Kaldi's frames lie within the waveform, and an unfinished one is dropped") {
  const KaldiFbank fbank{Config()};
  for (const auto& [num_samples, num_frames] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 0}, {1, 0}, {399, 0}, {400, 1}, {559, 1}, {560, 2}, {16001, 98}}) {
    CHECK(fbank.NumFrames(num_samples) == num_frames);
    const auto feats = fbank(Sine(300, static_cast<size_t>(num_samples)));
    CHECK(static_cast<int64_t>(feats.size()) == 80 * num_frames);
  }
  const std::vector<float> waveform = NoisySine(300, 719);
  CHECK(fbank(waveform) == fbank({waveform.begin(), waveform.begin() + 560}));
}

TEST_CASE("silence is at Kaldi's floor, whatever its offset") {
  for (const float value : {0.0F, 0.25F}) {
    for (const float feature : KaldiFbank(Config())(std::vector<float>(800, value))) {
      CHECK(feature == doctest::Approx(-23 * std::log(2)));
    }
  }
}

TEST_CASE("Kaldi's features do not depend on the pieces in which the waveform comes") {
  for (const KaldiFbankConfig& config : {Config(), Config("hop_length_ms", 40), Config("win_length_ms", 32)}) {
    const KaldiFbank fbank(config);
    const std::vector<float> waveform = NoisySine(300, 4001);
    const std::vector<float> expected = fbank(waveform);
    CHECK(static_cast<int64_t>(expected.size()) == 80 * fbank.NumFrames(4001));
    for (const size_t piece : {size_t{1}, size_t{159}, size_t{400}, size_t{3000}}) {
      CHECK(InPieces(fbank, waveform, piece) == expected);
    }
  }
}

TEST_CASE("the mean is subtracted when the stored form says so") {
  std::vector<float> feats(2 * 80, 1);
  std::fill(feats.begin(), feats.begin() + 80, 3.0F);
  const std::vector<float> before = feats;
  KaldiFbank(Config("subtract_mean", false)).Finish(&feats);
  CHECK(feats == before);
  KaldiFbank(Config()).Finish(&feats);
  CHECK((feats.front() == 1 && feats.back() == -1));
}

TEST_CASE("Kaldi's front end is read from its stored form, also that of before, or refused") {
  const KaldiFbankConfig config = Config("window", "hamming");
  CHECK((config.window == "hamming" && config.win_length() == 400 && config.hop_length() == 160));
  CHECK(Config("win_length_ms", 25.05).win_length() == 400);  // what is left of a sample is dropped
  CHECK((config.n_fft() == 512 && Config("win_length_ms", 32).n_fft() == 512 &&
         Config("win_length_ms", 33).n_fft() == 1024));
  nlohmann::json before = KaldiJson(80);
  for (const char* key : {"f_min", "f_max", "preemphasis", "dither", "subtract_mean"}) before.erase(key);
  const std::vector<float> waveform = NoisySine(300, 4001);
  CHECK(KaldiFbank(KaldiFbankConfig::FromJson(before, "m"))(waveform) == KaldiFbank(Config())(waveform));
  const auto message = [](const std::string& key, const nlohmann::json& value) {
    return MessageOf([&] { Config(key, value); });
  };
  for (const auto& entry : std::vector<std::pair<std::string, nlohmann::json>>{
           {"n_mels", 40.5}, {"window", 3}, {"subtract_mean", 1}, {"subtract_mean", nullptr}, {"extra", 1}}) {
    CHECK_MESSAGE(Contains(message(entry.first, entry.second), "m.json: expected a front end of type \"kaldi_fbank\""),
                  entry.first);
  }
  before.erase("waveform_scale");
  CHECK(Contains(MessageOf([&] { KaldiFbankConfig::FromJson(before, "m.json"); }), "expected a front end of type"));
  for (const auto& entry : std::vector<std::pair<std::string, nlohmann::json>>{{"n_mels", 0},
                                                                               {"sample_rate", -16000},
                                                                               {"win_length_ms", 0.06},
                                                                               {"win_length_ms", 1e300},
                                                                               {"hop_length_ms", 0},
                                                                               {"f_max", 8001},
                                                                               {"f_min", 8000},
                                                                               {"window", "hann"},
                                                                               {"waveform_scale", 2},
                                                                               {"preemphasis", -0.1},
                                                                               {"preemphasis", 1},
                                                                               {"dither", -1}}) {
    CHECK_MESSAGE(Contains(message(entry.first, entry.second), "m.json: impossible front end: "), entry.first);
  }
}

}  // namespace ecapa
