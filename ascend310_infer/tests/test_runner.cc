#include <doctest/doctest.h>

#include <cmath>

#include "src/feature_ops.h"
#include "src/output.h"
#include "src/runner.h"
#include "tests/support.h"

namespace ecapa {
namespace {

// Features in memory; `bad` rows cannot be read.
class MemorySource : public FeatureSource {
 public:
  explicit MemorySource(const std::vector<int64_t>& lengths, int64_t size = 4) : FeatureSource(FrontEndJson(size)) {
    for (size_t row = 0; row < lengths.size(); ++row) {
      utterances_.push_back({"u" + std::to_string(row), "s", lengths[row]});
      feats.emplace_back();
      for (int64_t i = 0; i < lengths[row] * size; ++i) {
        feats.back().push_back(std::sin(static_cast<float>(i * i) + static_cast<float>(row)));
      }
    }
  }

  std::vector<float> Read(size_t row) const override {
    if (row == bad) throw InputError("cannot be read");
    return feats[row];
  }

  std::string ContentSha256() const override { return "f00"; }

  std::vector<std::vector<float>> feats;
  size_t bad = SIZE_MAX;
};

const std::vector<int64_t> kLengths = {9, 5, 9, 7, 5, 9, 12, 9, 5, 30, 9};

RunResult RunWith(const MemorySource& source, const RunOptions& options, int num_workers = 1) {
  const ExportedModel model = SmallModel();
  Engine engine = FakeEngine(model, num_workers);
  return EmbedAll(source, model, &engine, options);
}

}  // namespace

TEST_CASE("embeddings come in input order, bit-identical for any number of workers and any batch size") {
  const MemorySource source(kLengths);
  const RunResult expected = RunWith(source, {});
  REQUIRE(expected.rows.size() == kLengths.size());
  CHECK(expected.failures.empty());
  CHECK(expected.num_frames == 109);
  for (size_t row = 0; row < kLengths.size(); ++row) {
    std::vector<float> feats = source.feats[row];
    SubtractMean(4, &feats);
    const std::vector<float> alone = FakeEncoder(SmallModel()).Encode(feats, 1, kLengths[row]);
    CHECK(std::equal(alone.begin(), alone.end(), expected.embeddings.begin() + static_cast<std::ptrdiff_t>(3 * row)));
  }
  for (const int num_workers : {1, 2, 5, 16}) {
    for (const int64_t batch_size : {1, 2, 3, 100}) {
      RunOptions options;
      options.batch_size = batch_size;
      CHECK(RunWith(source, options, num_workers).embeddings == expected.embeddings);
    }
  }
}

TEST_CASE("a batch holds utterances of one length, as many as are allowed") {
  const MemorySource source(kLengths);
  const ExportedModel model = SmallModel();
  Engine engine = FakeEngine(model);
  RunOptions options;
  options.batch_size = 3;
  EmbedAll(source, model, &engine, options);
  const std::vector<int64_t> expected = {3, 1, 3, 2, 1, 1};  // three of 5, one of 7, five of 9, one of 12, one of 30
  CHECK(dynamic_cast<FakeEncoder&>(*engine.encoders[0]).calls == expected);
}

TEST_CASE("a fixed batch is filled up and the surplus dropped") {
  const MemorySource source(kLengths);
  ExportedModel model = SmallModel();
  model.batch_size = 4;
  Engine engine = FakeEngine(model);
  RunOptions options;
  options.batch_size = 4;
  CHECK(EmbedAll(source, model, &engine, options).embeddings == RunWith(source, {}).embeddings);
  for (const int64_t batch : dynamic_cast<FakeEncoder&>(*engine.encoders[0]).calls) CHECK(batch == 4);
}

TEST_CASE("a model of transposed features gets them so, in batches of any size") {
  const MemorySource source(kLengths);
  ExportedModel model = SmallModel();
  model.is_transposed = true;
  for (const int64_t batch_size : {1, 3}) {
    Engine engine = FakeEngine(model);
    RunOptions options;
    options.batch_size = batch_size;
    CHECK(EmbedAll(source, model, &engine, options).embeddings == RunWith(source, {}).embeddings);
  }
}

TEST_CASE("the cut comes before the mean, and repeats what is short") {
  const MemorySource source({5, 12});
  RunOptions options;
  options.cut_frames = 7;
  const RunResult result = RunWith(source, options);
  CHECK(result.num_frames == 14);
  for (size_t row = 0; row < 2; ++row) {
    std::vector<float> feats = source.feats[row];
    if (row == 0) feats.insert(feats.end(), source.feats[0].begin(), source.feats[0].begin() + 8);
    feats.resize(28);
    SubtractMean(4, &feats);
    const std::vector<float> expected = FakeEncoder(SmallModel()).Encode(feats, 1, 7);
    CHECK(
        std::equal(expected.begin(), expected.end(), result.embeddings.begin() + static_cast<std::ptrdiff_t>(3 * row)));
  }
}

TEST_CASE("a gear is the greatest that is not longer than the utterance") {
  const std::vector<int64_t> gears = {200, 300, 400};
  CHECK(FramesTaken(299, {}, gears) == 200);
  CHECK(FramesTaken(300, {}, gears) == 300);
  CHECK(FramesTaken(9999, {}, gears) == 400);
  CHECK(FramesTaken(100, {}, gears) == 200);  // repeated
  CHECK(FramesTaken(350, 301, gears) == 301);
  CHECK(FramesTaken(350, {}, {}) == 350);
}

TEST_CASE("what fails is named and leaves the others of its batch as they are") {
  MemorySource source(kLengths);
  const RunResult whole = RunWith(source, {});
  source.bad = 2;
  source.feats[5][3] = std::nanf("");
  source.feats[7][0] = INFINITY;
  RunOptions options;
  options.batch_size = 8;
  const RunResult result = RunWith(source, options, 2);
  REQUIRE(result.failures.size() == 3);
  CHECK((result.failures[0].utt_id == "u2" && result.failures[0].reason == "cannot be read"));
  CHECK((result.failures[1].utt_id == "u5" && result.failures[1].reason == "NaN or infinite features"));
  CHECK((result.failures[2].utt_id == "u7" && result.failures[2].reason == "NaN or infinite features"));
  CHECK(result.rows == std::vector<size_t>{0, 1, 3, 4, 6, 8, 9, 10});
  for (size_t i = 0; i < result.rows.size(); ++i) {
    for (size_t d = 0; d < 3; ++d) CHECK(result.embeddings[3 * i + d] == whole.embeddings[3 * result.rows[i] + d]);
  }
}

TEST_CASE("an utterance with fewer frames than the model needs fails, unless the cut repeats it") {
  const MemorySource source({2, 5});
  const RunResult result = RunWith(source, {});
  REQUIRE(result.failures.size() == 1);
  CHECK(Contains(result.failures[0].reason, "2 frames, an embedding needs at least 3."));
  RunOptions options;
  options.cut_frames = 5;
  CHECK(RunWith(source, options).failures.empty());
}

TEST_CASE("a failing engine and embeddings that are not finite are failures of each utterance") {
  const MemorySource source(kLengths);
  const ExportedModel model = SmallModel();
  Engine engine = FakeEngine(model);
  auto& encoder = dynamic_cast<FakeEncoder&>(*engine.encoders[0]);
  encoder.failure = "device lost";
  RunResult result = EmbedAll(source, model, &engine, {});
  CHECK((result.failures.size() == kLengths.size() && result.rows.empty() && result.embeddings.empty()));
  CHECK(result.failures[0].reason == "device lost");
  encoder.failure.clear();
  encoder.value_added = std::nanf("");
  result = EmbedAll(source, model, &engine, {});
  CHECK((result.failures.size() == kLengths.size() &&
         result.failures[3].reason == "NaN or infinite values in the embedding"));
}

TEST_CASE("an exception that is no InputError ends the run, whichever worker it comes from") {
  class Broken : public FakeEncoder {
   public:
    using FakeEncoder::FakeEncoder;
    std::vector<float> Encode(const std::vector<float>&, int64_t, int64_t) override { throw std::logic_error("ours"); }
  };
  const MemorySource source(kLengths);
  const ExportedModel model = SmallModel();
  Engine engine = FakeEngine(model, 3);
  for (auto& encoder : engine.encoders) encoder = std::make_unique<Broken>(model);
  CHECK_THROWS_AS(EmbedAll(source, model, &engine, {}), std::logic_error);
}

// Second variant: memory that the engine, and that the reader of features lacks, in windows and without.
TEST_CASE("an utterance for which memory does not suffice is a failure with its name") {
  class Greedy : public FakeEncoder {
   public:
    using FakeEncoder::FakeEncoder;
    std::vector<float> Encode(const std::vector<float>& feats, int64_t batch, int64_t frames) override {
      if (frames > 9) throw std::bad_alloc();
      return FakeEncoder::Encode(feats, batch, frames);
    }
  };
  const MemorySource source({30, 9, 26});
  const ExportedModel model = SmallModel();
  Engine engine = FakeEngine(model);
  engine.encoders[0] = std::make_unique<Greedy>(model);
  RunOptions options;
  for (const int64_t max_frames : {0, 28, 15}) {
    options.max_frames = max_frames;
    const RunResult result = EmbedAll(source, model, &engine, options);
    CHECK(result.rows == std::vector<size_t>{1});
    REQUIRE(result.failures.size() == 2);
    CHECK((result.failures[0].utt_id == "u0" && result.failures[1].utt_id == "u2"));
    CHECK(Contains(result.failures[0].reason, "30 frames need more memory than there is. Set a smaller --max_frames"));
  }
  class Huge : public MemorySource {
   public:
    using MemorySource::MemorySource;
    std::vector<float> Read(size_t row) const override { return row == 1 ? throw std::bad_alloc() : feats[row]; }
  };
  const RunResult result = RunWith(Huge({9, 9, 9}), options);
  CHECK((result.rows == std::vector<size_t>{0, 2} && result.failures[0].utt_id == "u1"));
}

TEST_CASE("windows are as few and as equal as possible, as in Python") {
  CHECK(WindowEdges(10, 0) == std::vector<int64_t>{0, 10});
  CHECK(WindowEdges(10, 10) == std::vector<int64_t>{0, 10});
  CHECK(WindowEdges(11, 10) == std::vector<int64_t>{0, 5, 11});
  CHECK(WindowEdges(31, 10) == std::vector<int64_t>{0, 7, 15, 23, 31});
  CHECK(WindowEdges(720001, 15000).size() == 50);
}

TEST_CASE("a long utterance is the mean of its windows, weighted by their frames, each less its own mean") {
  const MemorySource source({9, 31, 10});
  RunOptions options;
  options.max_frames = 10;
  for (const int64_t batch_size : {1, 4}) {
    options.batch_size = batch_size;
    const RunResult result = RunWith(source, options);
    CHECK((result.rows.size() == 3 && result.num_frames == 50 && result.has_windows));
    const std::vector<int64_t> edges = WindowEdges(31, 10);
    std::vector<double> expected(3);
    for (size_t i = 0; i + 1 < edges.size(); ++i) {
      std::vector<float> window(source.feats[1].begin() + 4 * edges[i], source.feats[1].begin() + 4 * edges[i + 1]);
      SubtractMean(4, &window);
      const int64_t length = edges[i + 1] - edges[i];
      const std::vector<float> embedding = FakeEncoder(SmallModel()).Encode(window, 1, length);
      for (size_t d = 0; d < 3; ++d)
        expected[d] += static_cast<double>(embedding[d]) * static_cast<double>(length) / 31;
    }
    for (size_t d = 0; d < 3; ++d) CHECK(result.embeddings[3 + d] == doctest::Approx(expected[d]).epsilon(1e-6));
    RunOptions whole = options;
    whole.max_frames = 0;
    const RunResult unlimited = RunWith(source, whole);
    CHECK_FALSE(unlimited.has_windows);
    for (size_t d = 0; d < 3; ++d) CHECK(unlimited.embeddings[d] == result.embeddings[d]);  // a short one is the same
    CHECK(unlimited.embeddings[3] != result.embeddings[3]);
  }
}

TEST_CASE("a batch holds no more frames than a window") {
  const MemorySource source(kLengths);
  const ExportedModel model = SmallModel();
  Engine engine = FakeEngine(model);
  RunOptions options;
  options.batch_size = 100;
  options.max_frames = 18;
  EmbedAll(source, model, &engine, options);
  // Three of 5, one of 7, five of 9, one of 12, two windows of 15.
  CHECK(dynamic_cast<FakeEncoder&>(*engine.encoders[0]).calls == std::vector<int64_t>{3, 1, 2, 2, 1, 1, 1, 1});
}

TEST_CASE("what is cut to a length has no windows, and a fixed batch stays full") {
  const MemorySource source(kLengths);
  RunOptions options;
  options.max_frames = 6;
  options.cut_frames = 8;
  RunOptions unlimited = options;
  unlimited.max_frames = 0;
  const RunResult cut = RunWith(source, options);
  CHECK((cut.embeddings == RunWith(source, unlimited).embeddings && !cut.has_windows));
  ExportedModel model = SmallModel();
  model.batch_size = 4;
  Engine engine = FakeEngine(model);
  RunOptions fixed;
  fixed.batch_size = 4;
  fixed.max_frames = 10;
  RunOptions free;
  free.max_frames = 10;
  CHECK(EmbedAll(source, model, &engine, fixed).embeddings == RunWith(source, free).embeddings);
  for (const int64_t batch : dynamic_cast<FakeEncoder&>(*engine.encoders[0]).calls) CHECK(batch == 4);
  Engine geared = FakeEngine(SmallModel());
  geared.gears = {8, 20};
  CHECK_FALSE(EmbedAll(source, SmallModel(), &geared, free).has_windows);
}

TEST_CASE("values are finite unless one is not, wherever it stands") {
  std::vector<float> values(1000, -3.0F);
  values[0] = std::numeric_limits<float>::max();
  values[1] = std::numeric_limits<float>::denorm_min();
  CHECK(AllFinite(values.data(), values.size()));
  for (const float bad : {std::nanf(""), -std::nanf(""), INFINITY, -INFINITY}) {
    for (const size_t place : {size_t{0}, size_t{517}, size_t{999}}) {
      std::vector<float> changed = values;
      changed[place] = bad;
      CHECK_FALSE(AllFinite(changed.data(), changed.size()));
    }
  }
}

TEST_CASE("the mean is exact where a sum in single precision drifts") {
  std::vector<float> feats(200000, 0);
  for (size_t t = 0; t < feats.size() / 2; ++t) feats[2 * t] = 1000.1F, feats[2 * t + 1] = t % 2 == 0 ? 1.0F : 3.0F;
  SubtractMean(2, &feats);
  CHECK((feats[0] == 0 && feats[199998] == 0));
  CHECK((feats[1] == -1 && feats[3] == 1));
}

TEST_CASE("a cosine is that of the angle") {
  CHECK(Cosine({3, 0}, {1, 0}) == doctest::Approx(1));
  CHECK(Cosine({1, 0}, {0, 5}) == doctest::Approx(0));
  CHECK(Cosine({1, 1}, {-2, -2}) == doctest::Approx(-1));
  CHECK_THROWS_AS(Cosine({0, 0}, {1, 0}), InputError);
}

TEST_CASE("an embedding store is written whole, with meta.json last") {
  const TemporaryFolder folder;
  const MemorySource source({5, 2, 9});
  const RunResult result = RunWith(source, {});
  Identity identity = {"model", "store", "fake", std::nullopt, std::nullopt, FrontEndJson(4)};
  WriteEmbeddingStore(folder.path(), source, result, identity);
  CHECK(ReadText(folder / "index.csv") == "utt_id,spk_id\nu0,s\nu2,s\n");
  CHECK(ReadText(folder / "embeddings.npy") == NpyOf(result.embeddings, 3));
  const auto meta = ParseJson(ReadText(folder / "meta.json"), "meta.json");
  CHECK((meta["model_sha256"] == "model" && meta["store_sha256"] == "store" && meta["cut_frames"].is_null()));
  CHECK((meta["engine"] == "fake" && meta["front_end"] == FrontEndJson(4) && meta["format_version"] == 1));
  CHECK_FALSE(meta.contains("max_frames"));  // stores without windows are as they were before there were any
  identity.max_frames = 20;
  WriteEmbeddingStore(folder.path(), source, result, identity);
  CHECK(ParseJson(ReadText(folder / "meta.json"), "meta.json")["max_frames"] == 20);
  RemoveMeta(folder.path());
  CHECK_FALSE(std::filesystem::exists(folder / "meta.json"));
}

TEST_CASE("a report has speed, latencies and failures by name") {
  RunResult result;
  result.rows = {0, 1, 2, 3};
  result.latency_s = {0.004, 0.001, 0.003, 0.002};
  result.failures = {{"bad\xFF", "too short"}};
  result.num_frames = 1200;
  result.elapsed_s = 2;
  const auto report = Report(result, {"m", "s", "fake", 300, {}, {}}, 0.5, 0.01);
  CHECK((report["num_utterances"] == 5 && report["num_failed"] == 1));
  CHECK((report["utterances_per_s"] == 2 && report["audio_s"] == 12 && report["times_real_time"] == 6));
  CHECK(report["latency_ms"]["p50"].get<double>() == doctest::Approx(2.5));
  CHECK(report["latency_ms"]["p90"].get<double>() == doctest::Approx(3.7));  // as numpy.quantile
  CHECK(report["latency_ms"]["max"].get<double>() == doctest::Approx(4));
  CHECK(Contains(JsonText(report), "too short"));  // the name is not UTF-8: that must not throw
  result.rows.clear();
  result.latency_s.clear();
  CHECK(Report(result, {"m", "s", "fake", 300, {}, {}}, 0.5, 0.01)["latency_ms"]["p50"].is_null());
}

}  // namespace ecapa
