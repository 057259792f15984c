#include <doctest/doctest.h>

#include <cmath>

#include "src/fbank.h"
#include "tests/support.h"

namespace ecapa {
namespace {

// The definition, in slow words: a transform by its sum, all filters over all frequencies.
std::vector<double> Reference(const std::vector<float>& waveform, int64_t frame) {
  const double pi = 3.14159265358979323846;
  std::vector<double> windowed(400);
  for (int64_t i = 0; i < 400; ++i) {
    const int64_t at = frame * 160 - 200 + i;
    const bool is_inside = at >= 0 && at < static_cast<int64_t>(waveform.size());
    windowed[static_cast<size_t>(i)] = (0.54 - 0.46 * std::cos(2 * pi * static_cast<double>(i) / 400)) *
                                       (is_inside ? static_cast<double>(waveform[static_cast<size_t>(at)]) : 0.0);
  }
  const auto edge = [](int i) { return 700 * (std::pow(10, 2595 * std::log10(1 + 8000.0 / 700) / 81 * i / 2595) - 1); };
  std::vector<double> feats;
  for (int mel = 0; mel < 80; ++mel) {
    double energy = 0;
    for (int bin = 0; bin <= 200; ++bin) {
      const double weight = 1 - std::abs(bin * 40 - edge(mel + 1)) / (edge(mel + 1) - edge(mel));
      if (weight <= 0) continue;
      double real = 0, imaginary = 0;
      for (int i = 0; i < 400; ++i) {
        real += windowed[static_cast<size_t>(i)] * std::cos(2 * pi * bin * i / 400);
        imaginary -= windowed[static_cast<size_t>(i)] * std::sin(2 * pi * bin * i / 400);
      }
      energy += weight * (real * real + imaginary * imaginary);
    }
    feats.push_back(10 * std::log10(std::max(energy, 1e-10)));
  }
  return feats;
}

}  // namespace

TEST_CASE("features are those of the definition, at the edges too") {
  const std::vector<float> waveform = NoisySine(440, 1000);
  const std::vector<float> feats = Fbank(FbankConfig())(waveform);
  REQUIRE(feats.size() == 7 * 80);
  double greatest = 0;
  for (const int64_t frame : {0, 3, 6}) {
    const std::vector<double> expected = Reference(waveform, frame);
    for (size_t mel = 0; mel < 80; ++mel) {
      greatest = std::max(greatest,
                          std::abs(static_cast<double>(feats[static_cast<size_t>(frame) * 80 + mel]) - expected[mel]));
    }
  }
  CHECK(greatest < 1e-5);  // features of about 10 dB in single precision
}

TEST_CASE("three seconds give 301 frames, a single sample one") {
  const Fbank fbank{FbankConfig()};
  CHECK(fbank(Sine(100, 48000)).size() == 301 * 80);
  CHECK(fbank({0.5F}).size() == 80);
}

TEST_CASE("no feature is more than 80 dB below the greatest") {
  std::vector<float> waveform = Sine(1000, 16000);
  std::fill(waveform.begin() + 8000, waveform.end(), 0.0F);
  const std::vector<float> feats = Fbank(FbankConfig())(waveform);
  const auto [least, greatest] = std::minmax_element(feats.begin(), feats.end());
  CHECK(*least == *greatest - 80);
}

TEST_CASE("a front end is read from its stored form, or refused") {
  nlohmann::json stored = FrontEndJson(40);
  stored["hop_length_ms"] = 12.5;
  CHECK((FbankConfig::FromJson(stored, "m").n_mels == 40 && FbankConfig::FromJson(stored, "m").hop_length() == 200));
  const auto message = [](const nlohmann::json& value) {
    return MessageOf([&] { FbankConfig::FromJson(value, "m.json"); });
  };
  for (const auto& entry :
       std::vector<std::pair<std::string, nlohmann::json>>{{"n_mels", 40.5}, {"n_mels", "80"}, {"extra", 1}}) {
    const auto& key = entry.first;
    const auto& value = entry.second;
    stored = FrontEndJson(80);
    stored[key] = value;
    CHECK_MESSAGE(Contains(message(stored), "m.json: expected a front end of type "), key);
  }
  stored = FrontEndJson(80);
  stored.erase("amin");
  CHECK(Contains(message(stored), "m.json: expected a front end of type \"fbank\", as Python stores it, got {"));
  for (const auto& entry : std::vector<std::pair<std::string, nlohmann::json>>{{"n_mels", 0},
                                                                               {"n_fft", 401},
                                                                               {"n_fft", 200},
                                                                               {"n_fft", int64_t{1} << 40},
                                                                               {"sample_rate", -16000},
                                                                               {"win_length_ms", 1e300},
                                                                               {"hop_length_ms", 0},
                                                                               {"hop_length_ms", 0.001},
                                                                               {"f_max", 8001},
                                                                               {"f_min", 8000},
                                                                               {"amin", 0},
                                                                               {"top_db", 0}}) {
    const auto& key = entry.first;
    const auto& value = entry.second;
    stored = FrontEndJson(80);
    stored[key] = value;
    CHECK_MESSAGE(Contains(message(stored), "m.json: impossible front end"), key);
  }
}

TEST_CASE("transforms whose size has large prime factors work, from several copies") {
  nlohmann::json stored = FrontEndJson(20);
  stored["n_fft"] = 434;  // 217 = 7 * 31
  const Fbank fbank(FbankConfig::FromJson(stored, "m"));
  CHECK(fbank(Sine(300, 4000)) == Fbank(fbank)(Sine(300, 4000)));
}

TEST_CASE("features do not depend on the pieces in which the waveform comes") {
  FbankConfig sparse;
  sparse.hop_length_ms = 40;  // longer than a frame: samples between two frames belong to neither
  for (const FbankConfig& config : {FbankConfig(), sparse}) {
    const Fbank fbank(config);
    const std::vector<float> waveform = Sine(300, 4001);
    const std::vector<float> expected = fbank(waveform);
    CHECK(static_cast<int64_t>(expected.size()) == 80 * fbank.NumFrames(4001));
    for (const size_t piece : {size_t{1}, size_t{159}, size_t{400}, size_t{3000}}) {
      CHECK(InPieces(fbank, waveform, piece) == expected);
    }
  }
}

}  // namespace ecapa
