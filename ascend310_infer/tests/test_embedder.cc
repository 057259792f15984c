#include <doctest/doctest.h>
#include <sndfile.h>

#include <limits>
#include <thread>

#include "src/embedder.h"
#include "tests/support.h"

namespace ecapa {
namespace {

constexpr int64_t kRate = 16000;
constexpr int64_t kNoLimit = 0;

ExportedModel Model(const nlohmann::json& changes = nlohmann::json::object()) {
  auto content = ModelJson(4, 3);
  content.update(changes);
  return ExportedModel::Parse(content.dump(), "model.json");
}

Embedder MakeEmbedder(const ExportedModel& model, int64_t max_frames = kNoLimit, int num_workers = 1) {
  return Embedder(model, FakeEngine(model, num_workers), max_frames, QualityLimits());
}

std::vector<int16_t> Rounded(const std::vector<float>& samples) {
  std::vector<int16_t> rounded;
  for (const float sample : samples) rounded.push_back(static_cast<int16_t>(sample * 32768));
  return rounded;
}

std::vector<float> Embed(Embedder* embedder, const std::vector<float>& samples, int64_t rate = kRate) {
  return embedder->Embed(samples.data(), samples.size(), rate);
}

// What the runner gives of the same features.
std::vector<float> Expected(const ExportedModel& model, const std::vector<float>& waveform, int64_t max_frames) {
  FakeEncoder encoder(model);
  RunOptions options;
  options.cut_frames = model.num_frames;
  options.max_frames = max_frames;
  return EmbedOne((*model.front_end)(waveform), model, &encoder, {}, options);
}

}  // namespace

TEST_CASE("samples, rounded samples and the file that holds them have one embedding") {
  const TemporaryFolder folder;
  const std::vector<int16_t> rounded = Rounded(NoisySine(440, 70000));  // more than a piece
  std::vector<float> samples;
  for (const int16_t value : rounded) samples.push_back(static_cast<float>(value) / 32768);
  SF_INFO info{};
  info.samplerate = kRate;
  info.channels = 1;
  info.format = SF_FORMAT_WAV | SF_FORMAT_PCM_16;
  SNDFILE* file = sf_open((folder / "a.wav").c_str(), SFM_WRITE, &info);
  REQUIRE(sf_write_short(file, rounded.data(), static_cast<sf_count_t>(rounded.size())) == 70000);
  sf_close(file);

  const ExportedModel model = Model();
  Embedder embedder = MakeEmbedder(model);
  const std::vector<float> expected = Expected(model, samples, kNoLimit);
  CHECK(Embed(&embedder, samples) == expected);
  CHECK(embedder.Embed(rounded.data(), rounded.size(), kRate) == expected);
  CHECK(embedder.EmbedFile(folder / "a.wav") == expected);
}

TEST_CASE("samples of another rate are resampled") {
  const ExportedModel model = Model();
  Embedder embedder = MakeEmbedder(model);
  const std::vector<float> samples = NoisySine(300, 44100);
  std::vector<float> resampled;
  Resampler resampler(44100, kRate, [&](const float* values, size_t count) {
    resampled.insert(resampled.end(), values, values + count);
  });
  resampler.Push(samples.data(), samples.size());
  resampler.Finish();
  CHECK(Embed(&embedder, samples, 44100) == Expected(model, resampled, kNoLimit));
}

TEST_CASE("long recordings go in windows, and a fixed length is cut or repeated") {
  const std::vector<float> samples = NoisySine(500, 16000);  // 101 frames
  const ExportedModel free = Model();
  Embedder in_windows = MakeEmbedder(free, 40);
  CHECK(Embed(&in_windows, samples) == Expected(free, samples, 40));
  CHECK(Embed(&in_windows, samples) != Expected(free, samples, kNoLimit));
  for (const int64_t num_frames : {50, 300}) {
    const ExportedModel fixed = Model({{"num_frames", num_frames}});
    Embedder embedder = MakeEmbedder(fixed, 40);
    CHECK(Embed(&embedder, samples) == Expected(fixed, samples, kNoLimit));
  }
}

TEST_CASE("unusable samples are an AudioError with the reason") {
  Embedder embedder = MakeEmbedder(Model({{"min_frames", 30}}));
  const auto reason = [&](const std::vector<float>& samples) {
    CHECK_THROWS_AS(Embed(&embedder, samples), AudioError);
    return MessageOf([&] { Embed(&embedder, samples); });
  };
  CHECK(reason({}) == "no samples");
  CHECK(reason(std::vector<float>(16000)) == "constant signal");
  CHECK(Contains(reason(Sine(440, 1000)), "too short: 0.062 s, shorter than min_duration 0.1 s"));
  CHECK(reason(Sine(440, 2000)) == "too short: 0.125 s, the model needs at least 0.290 s");
  CHECK(embedder.min_duration_s() == doctest::Approx(0.29));
  std::vector<float> damaged = Sine(440, 16000);
  damaged[70] = std::numeric_limits<float>::quiet_NaN();
  CHECK(reason(damaged) == "NaN or infinite samples");
  CHECK_THROWS_AS(Embed(&embedder, Sine(440, 16000), 0), UsageError);
  CHECK_THROWS_AS(Embed(&embedder, Sine(440, 16000), kMaxSampleRate + 1), UsageError);
  CHECK_THROWS_AS(embedder.EmbedFile("missing.wav"), AudioError);
  CHECK(Contains(MessageOf([&] { embedder.EmbedFile("missing.wav"); }), "missing.wav: "));
}

TEST_CASE("a failure of the engine is no AudioError, and the encoder is free again") {
  const ExportedModel model = Model();
  Engine engine;
  auto failing = std::make_unique<FakeEncoder>(model);
  FakeEncoder* const encoder = failing.get();
  engine.encoders.push_back(std::move(failing));
  Embedder embedder(model, std::move(engine), kNoLimit, QualityLimits());
  const std::vector<float> samples = NoisySine(440, 16000);
  encoder->failure = "no device";
  bool is_audio_error = false;
  try {
    Embed(&embedder, samples);
  } catch (const AudioError&) {
    is_audio_error = true;
  } catch (const InputError& error) {
    CHECK(std::string(error.what()) == "no device");
  }
  CHECK(!is_audio_error);
  encoder->failure.clear();
  encoder->value_added = std::numeric_limits<float>::infinity();
  CHECK(MessageOf([&] { Embed(&embedder, samples); }) == "NaN or infinite values in the embedding");
  encoder->value_added = 0;
  CHECK(Embed(&embedder, samples) == Expected(model, samples, kNoLimit));
}

TEST_CASE("windows that are shorter than the model takes, and front ends that are not known, are refused") {
  CHECK(Contains(MessageOf([] { MakeEmbedder(Model({{"min_frames", 30}}), 59); }), "max_frames: expected at least 60"));
  const auto other = Model({{"front_end", {{"type", "mfcc"}}}});
  CHECK(Contains(MessageOf([&] { MakeEmbedder(other); }), "this program computes fbank, kaldi_fbank and samples"));
}

TEST_CASE("more threads than encoders give the numbers of one") {
  const ExportedModel model = Model();
  Embedder embedder = MakeEmbedder(model, kNoLimit, 2);
  std::atomic<int> num_wrong{0};
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 5; ++worker) {
    threads.emplace_back([&, worker] {
      const std::vector<float> samples = NoisySine(200 + 50 * worker, 8000);
      const std::vector<float> expected = Expected(model, samples, kNoLimit);
      for (int i = 0; i < 10; ++i) num_wrong += Embed(&embedder, samples) == expected ? 0 : 1;
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(num_wrong == 0);
}

}  // namespace ecapa
