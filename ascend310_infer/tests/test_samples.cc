#include <doctest/doctest.h>

#include <cmath>

#include "src/samples.h"
#include "tests/support.h"

namespace ecapa {
namespace {

const nlohmann::json kStored = {{"type", "mel_spectrogram"}, {"sample_rate", 16000}, {"n_mels", 40}};
const Framing kFraming = {201, 0, 160};

nlohmann::json With(const nlohmann::json& changes) {
  nlohmann::json stored = kStored;
  stored.update(changes);
  return stored;
}

std::string MessageFor(const nlohmann::json& changes, bool prepares = true) {
  return MessageOf([&] { FrontEndInside(With(changes), kFraming, prepares, "m.json"); });
}

}  // namespace

TEST_CASE("each sample is a frame, divided by the greatest of those that the model sees") {
  nlohmann::json stored = {{"type", "samples"}, {"sample_rate", 8000}, {"peak", true}};
  const auto front_end = ReadFrontEnd(stored, 1, "m.json");
  CHECK((front_end->size() == 1 && front_end->sample_rate() == 8000 && front_end->comparable() == stored));
  CHECK((front_end->NumFrames(7) == 7 && front_end->NumSamples(7) == 7 && front_end->NumRows(7) == 7));
  CHECK(front_end->frame_shift_s() == doctest::Approx(1.0 / 8000));
  const std::vector<float> waveform = {0.25F, -0.5F, 0};
  CHECK(InPieces(*front_end, waveform, 2) == waveform);
  std::vector<float> feats = waveform;
  front_end->Finish(&feats);
  CHECK(feats == std::vector<float>{0.5F, -1, 0});
  feats = {0, 0};
  front_end->Finish(&feats);
  CHECK(feats == std::vector<float>{0, 0});
  stored["peak"] = false;
  feats = waveform;
  ReadFrontEnd(stored, 1, "m.json")->Finish(&feats);
  CHECK(feats == waveform);
  stored["sample_rate"] = 0;
  CHECK(Contains(MessageOf([&] { ReadFrontEnd(stored, 1, "m.json"); }), "m.json: impossible front end: "));
  stored.erase("peak");
  CHECK(Contains(MessageOf([&] { ReadFrontEnd(stored, 1, "m.json"); }), "m.json: expected a front end of type"));
}

TEST_CASE("a front end that is inside hands samples on, and knows their frames") {
  const FrontEndInside front_end(kStored, kFraming, false, "m.json");
  CHECK((front_end.NumFrames(200) == 0 && front_end.NumFrames(201) == 2 && front_end.NumFrames(16000) == 101));
  CHECK((front_end.NumSamples(1) == 201 && front_end.NumSamples(101) == 16000 && front_end.NumRows(999) == 999));
  CHECK(front_end.frame_shift_s() == doctest::Approx(0.01));
  CHECK(front_end.comparable() == kStored);
  const std::vector<float> waveform = NoisySine(440, 999);
  std::vector<float> rows = InPieces(front_end, waveform, 100);
  CHECK(rows == waveform);
  front_end.Finish(&rows);
  CHECK(rows == waveform);
}

TEST_CASE("recordings are raised to a level, and zeros follow them, before they are cut") {
  const FrontEndInside front_end(With({{"raise_level_db", -6.0}, {"zeros_after_ms", 12.53125}, {"trim", "none"}}),
                                 kFraming, true, "m.json");
  const int64_t num_zeros = 200;  // 200.5, rounded to the even number
  CHECK((front_end.NumRows(1000) == 1000 + num_zeros && front_end.NumFrames(1) == 2));
  CHECK((front_end.NumSamples(1) == 1 && front_end.NumSamples(101) == 16000 - num_zeros));
  const std::vector<float> quiet = Sine(1000, 1600);  // 0.5: -9.03 dB
  const std::vector<float> rows = InPieces(front_end, quiet, 700);
  REQUIRE(rows.size() == 1800);
  double sum = 0;
  for (const float value : rows) sum += static_cast<double>(value) * static_cast<double>(value);
  CHECK(10 * std::log10(sum / 1600) == doctest::Approx(-6).epsilon(1e-5));
  CHECK((rows[1600] == 0 && rows[1799] == 0));
  std::vector<float> loud = quiet;
  for (float& value : loud) value *= 2;
  const std::vector<float> kept = InPieces(front_end, loud, 700);
  CHECK(std::equal(loud.begin(), loud.end(), kept.begin()));
}

TEST_CASE("a preparation that this program does not know is refused with its reason") {
  CHECK(Contains(MessageFor({{"trim", "webrtc"}, {"raise_level_db", -30}}),
                 "m.json: front_end.trim webrtc: the model takes speech alone, which WebRTC's detector finds; this "
                 "program does not have it. Run the model in Python"));
  for (const nlohmann::json& changes : std::vector<nlohmann::json>{{{"trim", "other"}, {"raise_level_db", -30}},
                                                                   {{"raise_level_db", 3}},
                                                                   {{"raise_level_db", "-3"}},
                                                                   {{"zeros_after_ms", -1}},
                                                                   {{"zeros_after_ms", 1e9}},
                                                                   {{"denoise", true}}}) {
    CHECK_MESSAGE(Contains(MessageFor(changes), "in a way that this program does not know"), changes.dump());
  }
  CHECK(MessageFor({{"denoise", true}}, false) == "nothing was thrown");
  for (const nlohmann::json& rate : std::vector<nlohmann::json>{0, "16000", nullptr, 1e12}) {
    CHECK(Contains(MessageFor({{"sample_rate", rate}}, false),
                   "m.json: missing or impossible values: front_end: sample"));
  }
}

}  // namespace ecapa
