#include <doctest/doctest.h>

#include <openvino/openvino.hpp>
#include <openvino/opsets/opset13.hpp>
#include <random>

#include "src/runner.h"
#include "tests/support.h"

namespace ecapa {
namespace {

namespace op = ov::opset13;

constexpr int64_t kMels = 8, kChannels = 16, kEmb = 6;

std::shared_ptr<op::Constant> Weights(const ov::Shape& shape, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<float> values(ov::shape_size(shape));
  for (float& value : values) value = static_cast<float>(generator() % 2001) / 1000 - 1;
  return op::Constant::create(ov::element::f32, shape, values);
}

// A network with the operators of ECAPA-TDNN's frame level: reflection, convolution, ReLU, mean, product.
std::shared_ptr<ov::Model> Network(const ov::PartialShape& shape, int64_t emb_size = kEmb, bool gives_feats = false) {
  const auto feats = std::make_shared<op::Parameter>(ov::element::f32, shape);
  const auto order = op::Constant::create(ov::element::i64, {3}, std::vector<int64_t>{0, 2, 1});
  const auto transposed = std::make_shared<op::Transpose>(feats, order);
  const auto pads = op::Constant::create(ov::element::i64, {3}, std::vector<int64_t>{0, 0, 2});
  const auto padded = std::make_shared<op::Pad>(transposed, pads, pads, ov::op::PadMode::REFLECT);
  const auto convolved =
      std::make_shared<op::Convolution>(padded, Weights({kChannels, kMels, 5}, 1), ov::Strides{1},
                                        ov::CoordinateDiff{0}, ov::CoordinateDiff{0}, ov::Strides{1});
  const auto relu = std::make_shared<op::Relu>(convolved);
  const auto axis = op::Constant::create(ov::element::i64, {1}, std::vector<int64_t>{2});
  const auto mean = std::make_shared<op::ReduceMean>(relu, axis, false);
  const auto embedding =
      std::make_shared<op::MatMul>(mean, Weights({kChannels, static_cast<size_t>(emb_size)}, 2), false, false);
  ov::OutputVector outputs = {embedding};
  if (gives_feats) outputs.push_back(feats);
  return std::make_shared<ov::Model>(outputs, ov::ParameterVector{feats});
}

// A saved network and the description that belongs to it.
ExportedModel Save(const TemporaryFolder& folder, const std::shared_ptr<ov::Model>& network,
                   const nlohmann::json& further_outputs = nlohmann::json::object()) {
  ov::save_model(network, (folder / "m.xml").string(), false);
  auto content = ModelJson(kMels, kEmb, Sha256OfFile(folder / "m.xml"));
  content["file_format"] = "IR";
  content["further_outputs"] = further_outputs;
  content["weights_sha256"] = Sha256OfFile(folder / "m.bin");
  folder.Write("m.xml.json", content.dump());
  return ExportedModel::Read(folder / "m.xml");
}

std::vector<float> Feats(int64_t batch, int64_t frames, unsigned seed = 3) {
  std::mt19937 generator(seed);
  std::vector<float> feats(static_cast<size_t>(batch * frames * kMels));
  for (float& value : feats) value = static_cast<float>(generator() % 2001) / 100 - 10;
  return feats;
}

EngineOptions Threads(int num_threads, int num_workers = 1) {
  EngineOptions options;
  options.num_threads = num_threads;
  options.num_workers = num_workers;
  return options;
}

std::string LoadMessage(const ExportedModel& model, const EngineOptions& options = {}) {
  return MessageOf([&] { LoadOpenVino(model, options); });
}

const ov::PartialShape kFree = {-1, -1, kMels};

}  // namespace

TEST_CASE("a network gives the numbers that its definition does") {
  const TemporaryFolder folder;
  const ExportedModel model = Save(folder, Network(kFree));
  Engine engine = LoadOpenVino(model, Threads(2));
  CHECK(engine.name.substr(0, 9) == "openvino ");
  CHECK(engine.name.substr(engine.name.size() - 8) == " CPU f32");
  const int64_t frames = 7;
  const std::vector<float> feats = Feats(1, frames);
  const auto weights = Weights({kChannels, kMels, 5}, 1)->cast_vector<float>();
  const auto last = Weights({kChannels, kEmb}, 2)->cast_vector<float>();
  std::vector<double> expected(kEmb);
  for (int64_t c = 0; c < kChannels; ++c) {
    double mean = 0;
    for (int64_t t = 0; t < frames; ++t) {
      double sum = 0;
      for (int64_t k = 0; k < 5; ++k) {
        int64_t from = std::abs(t + k - 2);
        from = from < frames ? from : 2 * (frames - 1) - from;
        for (int64_t f = 0; f < kMels; ++f) {
          sum += static_cast<double>(feats[static_cast<size_t>(from * kMels + f)]) *
                 static_cast<double>(weights[static_cast<size_t>((c * kMels + f) * 5 + k)]);
        }
      }
      mean += std::max(sum, 0.0) / static_cast<double>(frames);
    }
    for (int64_t d = 0; d < kEmb; ++d) {
      expected[static_cast<size_t>(d)] += mean * static_cast<double>(last[static_cast<size_t>(c * kEmb + d)]);
    }
  }
  const std::vector<float> embedding = engine.encoders[0]->Encode(feats, 1, frames);
  for (size_t d = 0; d < kEmb; ++d)
    CHECK(static_cast<double>(embedding[d]) == doctest::Approx(expected[d]).epsilon(1e-4));
}

TEST_CASE("further outputs are left alone when the description names them") {
  const TemporaryFolder folder;
  const auto network = Network(kFree, kEmb, true);
  Engine engine = LoadOpenVino(Save(folder, network, {{"feats", kMels}}), Threads(1));
  Engine alone = LoadOpenVino(Save(folder, Network(kFree)), Threads(1));
  CHECK(engine.encoders[0]->Encode(Feats(2, 9), 2, 9) == alone.encoders[0]->Encode(Feats(2, 9), 2, 9));
  CHECK(Contains(LoadMessage(Save(folder, network)), "and gives [?,6] and 0 further outputs; it does not."));
}

TEST_CASE("a model of waveforms takes samples, in float32 alone") {
  const TemporaryFolder folder;
  const auto waveform = std::make_shared<op::Parameter>(ov::element::f32, ov::PartialShape{-1, -1});
  const auto axis = op::Constant::create(ov::element::i64, {1}, std::vector<int64_t>{1});
  const auto mean = std::make_shared<op::ReduceMean>(waveform, axis, true);
  const auto weights = Weights({1, kEmb}, 1);
  const auto embedding = std::make_shared<op::MatMul>(mean, weights, false, false);
  ov::save_model(std::make_shared<ov::Model>(ov::OutputVector{embedding}, ov::ParameterVector{waveform}),
                 (folder / "m.xml").string(), false);
  auto content = ModelJson(kMels, kEmb, Sha256OfFile(folder / "m.xml"));
  content["file_format"] = "IR";
  content["weights_sha256"] = Sha256OfFile(folder / "m.bin");
  folder.Write("m.xml.json", content.dump());
  CHECK(Contains(LoadMessage(ExportedModel::Read(folder / "m.xml")), "one input, float32 [?,?,8]"));
  content["input_kind"] = "waveform";
  content["framing"] = {{"least", 1}, {"first", 0}, {"hop", 160}, {"prepares", false}};
  folder.Write("m.xml.json", content.dump());
  const ExportedModel model = ExportedModel::Read(folder / "m.xml");
  EngineOptions options = Threads(1);
  const auto found = LoadEngine(model, options).encoders[0]->Encode({0.25F, 0.75F, -1, 0, 0.5F, 0.5F}, 2, 3);
  REQUIRE(found.size() == 2 * kEmb);
  const auto numbers = weights->cast_vector<float>();
  for (size_t d = 0; d < kEmb; ++d) {
    CHECK(found[d] == doctest::Approx(0).epsilon(1e-6));
    CHECK(found[kEmb + d] == doctest::Approx(numbers[d] / 3).epsilon(1e-6));
  }
  options.precision = Precision::kBfloat16;
  CHECK(Contains(MessageOf([&] { LoadEngine(model, options); }), "makes features of samples inside, which need f32."));
}

TEST_CASE("embeddings are bit-identical for any number of threads, workers and batch size") {
  const TemporaryFolder folder;
  const ExportedModel model = Save(folder, Network(kFree));
  const TemporaryFolder store_folder;
  std::vector<int64_t> lengths;
  for (int64_t row = 0; row < 24; ++row) lengths.push_back(9 + row % 5);
  WriteStore(store_folder, lengths, kMels);
  const auto store = OpenEvalStore(store_folder.path(), model);
  std::vector<float> expected;
  for (const auto& [num_threads, num_workers] : std::vector<std::pair<int, int>>{{1, 1}, {2, 1}, {2, 2}, {4, 3}}) {
    for (const int64_t batch_size : {1, 3, 16}) {
      Engine engine = LoadOpenVino(model, Threads(num_threads, num_workers));
      RunOptions options;
      options.batch_size = batch_size;
      const RunResult result = EmbedAll(*store, model, &engine, options);
      REQUIRE(result.rows.size() == lengths.size());
      if (expected.empty()) expected = result.embeddings;
      CHECK(result.embeddings == expected);
    }
  }
}

TEST_CASE("bfloat16 is a choice, near float32 and named in the engine") {
  const TemporaryFolder folder;
  const ExportedModel model = Save(folder, Network(kFree));
  EngineOptions options = Threads(1);
  const std::vector<float> exact = LoadOpenVino(model, options).encoders[0]->Encode(Feats(1, 50), 1, 50);
  options.precision = Precision::kBfloat16;
  Engine engine = LoadOpenVino(model, options);
  CHECK(Contains(engine.name, "CPU bf16"));
  const std::vector<float> rough = engine.encoders[0]->Encode(Feats(1, 50), 1, 50);
  for (size_t d = 0; d < kEmb; ++d) CHECK(rough[d] == doctest::Approx(exact[d]).epsilon(0.05));
}

TEST_CASE("a compiled model is kept where asked") {
  const TemporaryFolder folder;
  const ExportedModel model = Save(folder, Network(kFree));
  EngineOptions options = Threads(1);
  options.cache_folder = folder / "cache";
  const std::vector<float> first = LoadOpenVino(model, options).encoders[0]->Encode(Feats(1, 9), 1, 9);
  CHECK(std::filesystem::exists(folder / "cache"));
  CHECK(LoadOpenVino(model, options).encoders[0]->Encode(Feats(1, 9), 1, 9) == first);
}

TEST_CASE("models that are damaged, or are not what their description says, are refused") {
  const TemporaryFolder folder;
  const ExportedModel model = Save(folder, Network(kFree));
  for (const auto& network : {Network({-1, -1, kMels}, 5), Network({1, -1, kMels}), Network({-1, 300, kMels})}) {
    ov::save_model(network, (folder / "other.xml").string(), false);
    ExportedModel other = model;
    other.path = folder / "other.xml";
    CHECK(Contains(LoadMessage(other), "other.xml: its description says that it takes one input, float32 [?,?,8]"));
  }
  const std::string xml = ReadText(folder / "m.xml");
  folder.Write("m.xml", xml.substr(0, xml.size() / 2));
  CHECK(Contains(LoadMessage(model), "m.xml: OpenVINO cannot load it: "));
  folder.Write("m.xml", xml);
  folder.Write("m.bin", "");
  CHECK(Contains(LoadMessage(model), "m.xml: OpenVINO cannot load it: "));
  folder.Write("m.xml", "no xml");
  CHECK(Contains(LoadMessage(model), "m.xml: OpenVINO cannot load it: "));
  ExportedModel onnx = model;
  onnx.path = folder.Write("m.onnx", "no onnx");
  CHECK(Contains(LoadMessage(onnx), "m.onnx: OpenVINO cannot load it: "));
}

TEST_CASE("a length that the network cannot take is an error of that batch alone") {
  const TemporaryFolder folder;
  ExportedModel model = Save(folder, Network({1, 9, kMels}));
  model.batch_size = 1;
  model.num_frames = 9;
  Engine engine = LoadOpenVino(model, Threads(1));
  CHECK(Contains(MessageOf([&] { engine.encoders[0]->Encode(Feats(1, 12), 1, 12); }), "OpenVINO failed: "));
  CHECK(engine.encoders[0]->Encode(Feats(1, 9), 1, 9).size() == kEmb);
}

TEST_CASE("what OpenVINO does not have is refused") {
  const TemporaryFolder folder;
  const ExportedModel model = Save(folder, Network(kFree));
  EngineOptions options;
  options.device = Device::kAscend;
  CHECK(Contains(LoadMessage(model, options), "OpenVINO runs on the CPU."));
  options = {};
  options.precision = Precision::kFloat16;
  CHECK(Contains(LoadMessage(model, options), "f32 and bf16"));
  options = {};
  options.lite_config = "c.ini";
  CHECK(LoadMessage(model, options) == "--lite_config: is for .mindir models.");
}

TEST_CASE("a model's suffix chooses its engine") {
  ExportedModel model = SmallModel();
  model.path = "model.pt";
  CHECK_THROWS_AS(LoadEngine(model, {}), UsageError);
#ifndef ECAPA_WITH_MSLITE
  model.path = "model.mindir";
  CHECK(Contains(MessageOf([&] { LoadEngine(model, {}); }), "built without MindSpore Lite. Set LITE_HOME"));
#endif
}

}  // namespace ecapa
