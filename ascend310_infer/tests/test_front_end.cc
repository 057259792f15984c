#include <doctest/doctest.h>

#include <cmath>

#include "src/front_end.h"
#include "tests/support.h"

namespace ecapa {

using nlohmann::json;

namespace {

std::string MessageFor(const json& stored, int64_t size = 80) {
  return MessageOf([&] { ReadFrontEnd(stored, size, "m.json"); });
}

}  // namespace

TEST_CASE("the type of the stored form chooses the front end, which has the model's size") {
  const auto fbank = ReadFrontEnd(FrontEndJson(80), 80, "m.json");
  const auto kaldi = ReadFrontEnd(KaldiJson(40), 40, "m.json");
  CHECK((fbank->size() == 80 && fbank->sample_rate() == 16000 && fbank->NumFrames(48000) == 301));
  CHECK((kaldi->size() == 40 && kaldi->sample_rate() == 16000 && kaldi->NumFrames(48000) == 298));
  CHECK(kaldi->frame_shift_s() == doctest::Approx(0.01));
  CHECK(MessageFor(KaldiJson(40)) ==
        "m.json: its front end gives frames of 40 numbers, the model takes 80. Export the model again.");
  for (const auto& front_end : {fbank, kaldi}) {
    CHECK(front_end->NumSamples(1) >= 1);
    for (const int64_t num_frames : {2, 3, 100}) {
      const int64_t fewest = front_end->NumSamples(num_frames);
      CHECK(front_end->NumFrames(fewest) == num_frames);
      CHECK(front_end->NumFrames(fewest - 1) == num_frames - 1);
    }
  }
}

TEST_CASE("a type that is not known finishes features and refuses waveforms, naming the known types") {
  json stored = {{"type", "mfcc"}, {"hop_length_ms", 12.5}, {"n_mfcc", 40}};
  const auto other = ReadFrontEnd(stored, 2, "m.json");
  CHECK((other->size() == 2 && other->frame_shift_s() == doctest::Approx(0.0125)));
  const std::string expected =
      "m.json: front end \"mfcc\": this program computes fbank, kaldi_fbank and samples. Export the model with "
      "--input=waveform, "
      "which has its front end inside, or give it features (--data or --features) instead of recordings.";
  CHECK(MessageOf([&] { other->sample_rate(); }) == expected);
  CHECK(MessageOf([&] { other->NumFrames(16000); }) == expected);
  CHECK(MessageOf([&] { other->NumSamples(1); }) == expected);
  CHECK(MessageOf([&] { other->Start(1); }) == expected);
  std::vector<float> feats = {1, 2, 3, 6};
  other->Finish(&feats);
  CHECK(feats == std::vector<float>{-1, -2, 1, 2});
  stored["subtract_mean"] = false;
  ReadFrontEnd(stored, 2, "m.json")->Finish(&feats);
  CHECK(feats == std::vector<float>{-1, -2, 1, 2});
  stored["normalisation"] = "mean";
  feats = {1, 2, 3, 6};
  ReadFrontEnd(stored, 2, "m.json")->Finish(&feats);
  CHECK(feats == std::vector<float>{-1, -2, 1, 2});
  stored["normalisation"] = "instance";
  ReadFrontEnd(stored, 2, "m.json")->Finish(&feats);
  CHECK(feats[0] == doctest::Approx(-1 / std::sqrt(1 + 1e-5)).epsilon(1e-6));
  CHECK(feats[3] == doctest::Approx(2 / std::sqrt(4 + 1e-5)).epsilon(1e-6));
  stored["normalisation"] = "none";
  feats = {1, 2, 3, 6};
  ReadFrontEnd(stored, 2, "m.json")->Finish(&feats);
  CHECK(feats == std::vector<float>{1, 2, 3, 6});
  stored["normalisation"] = "range";
  CHECK(MessageFor(stored, 2) ==
        "m.json: front end \"mfcc\": expected normalisation none, mean or instance, got \"range\". Take a newer "
        "program.");
  stored["normalisation"] = nullptr;
  CHECK(Contains(MessageFor(stored, 2), "got null. Take a newer program."));
  for (const json& unnamed : {json::object(), json{{"type", 3}}}) {
    CHECK(ReadFrontEnd(unnamed, 2, "m.json")->frame_shift_s() == 0);
    CHECK(Contains(MessageOf([&] { ReadFrontEnd(unnamed, 2, "m.json")->sample_rate(); }), "computes fbank, kaldi"));
  }
}

TEST_CASE("front ends are compared by value, and differing keys are named") {
  const auto fbank = ReadFrontEnd(FrontEndJson(80), 80, "m.json");
  json got = FrontEndJson(80);
  got["win_length_ms"] = 25;  // a whole number is the same
  CheckFrontEnd(*fbank, got, "store");
  CHECK(MessageOf([&] {
          CheckFrontEnd(*fbank, {{"type", "mfcc"}}, "store");
        }) == "store: made with front end \"mfcc\", expected \"fbank\": other features altogether.");
  got["n_mels"] = 40;
  got["top_db"] = 70;
  CHECK(MessageOf([&] { CheckFrontEnd(*fbank, got, "store"); }) ==
        "store: made with another front end: n_mels 40 (expected 80), top_db 70.0 (expected 80.0). Prepare the data "
        "again for this model.");
  got.erase("top_db");
  CHECK(Contains(MessageOf([&] { CheckFrontEnd(*fbank, got, "store"); }), "store: expected a front end of type"));
  const auto other = ReadFrontEnd({{"type", "mfcc"}, {"n_mfcc", 30}}, 30, "m.json");
  CheckFrontEnd(*other, {{"type", "mfcc"}, {"n_mfcc", 30}}, "store");
  CHECK(Contains(MessageOf([&] {
                   CheckFrontEnd(*other, {{"type", "mfcc"}}, "store");
                 }),
                 "n_mfcc nothing (expected 30). Prepare"));
}

TEST_CASE("front ends that differ in dither fit each other, and so does the stored form of before") {
  const auto kaldi = ReadFrontEnd(KaldiJson(80), 80, "m.json");
  json got = KaldiJson(80);
  got["dither"] = 1.0;
  CheckFrontEnd(*kaldi, got, "store");
  for (const char* key : {"f_min", "f_max", "preemphasis", "dither", "subtract_mean"}) got.erase(key);
  CheckFrontEnd(*kaldi, got, "store");
  got["subtract_mean"] = false;
  CHECK(Contains(MessageOf([&] { CheckFrontEnd(*kaldi, got, "store"); }), "subtract_mean false (expected true)"));
}

}  // namespace ecapa
