#include <doctest/doctest.h>

#include <string>

#include "tests/fake_mslite/control.h"
#include "tests/support.h"

namespace ecapa {
namespace {

// The library's behaviour for one test.
FakeLite& Reset() {
  *FakeLiteControl() = FakeLite();
  return *FakeLiteControl();
}

ExportedModel LiteModel() {
  ExportedModel model = SmallModel();
  model.path = "model.mindir";
  return model;
}

std::vector<float> Feats(int64_t batch, int64_t frames) {
  std::vector<float> feats;
  for (int64_t i = 0; i < batch * frames * 4; ++i) feats.push_back(static_cast<float>(i % 7));
  return feats;
}

std::string LoadMessage(const EngineOptions& options = {}) {
  return MessageOf([&] { LoadMindSporeLite(LiteModel(), options); });
}

std::string EncodeMessage() {
  Engine engine = LoadMindSporeLite(LiteModel(), {});
  return MessageOf([&] { engine.encoders[0]->Encode(Feats(2, 5), 2, 5); });
}

}  // namespace

TEST_CASE("a model of free size runs on the CPU, for lengths one after the other") {
  FakeLite& lite = Reset();
  EngineOptions options;
  options.num_threads = 4;
  options.num_workers = 2;
  Engine engine = LoadMindSporeLite(LiteModel(), options);
  CHECK(engine.name == "mindspore lite 0.0 CPU f32");
  CHECK((engine.encoders.size() == 2 && engine.gears.empty()));
  CHECK((lite.num_threads == 2 && !lite.is_ascend && !lite.is_float16));
  const std::vector<float> feats = Feats(2, 5);
  const std::vector<float> embeddings = engine.encoders[0]->Encode(feats, 2, 5);
  REQUIRE(embeddings.size() == 6);
  float expected = 0;
  for (size_t i = 0; i < 20; ++i) expected += i % 4 == 1 ? feats[20 + i] * static_cast<float>(i) : 0;
  CHECK(embeddings[4] == expected);
  CHECK(engine.encoders[0]->Encode(Feats(2, 5), 2, 5) == embeddings);
  CHECK(lite.num_resizes == 1);
  engine.encoders[0]->Encode(Feats(1, 9), 1, 9);
  CHECK(lite.num_resizes == 2);
}

TEST_CASE("a failing Status of each call is an error that names the call and the library's reason") {
  for (const char* call : {"LoadConfig", "Build"}) {
    const TemporaryFolder folder;
    Reset().failing_call = call;
    EngineOptions options;
    options.lite_config = folder.Write("c.ini", "[ascend_context]\n");
    const std::string message = LoadMessage(options);
    CHECK_MESSAGE(Contains(message, Concat("MindSpore Lite: ", call, " of ")), message);
    CHECK(Contains(message, "failed: Common error code. told to fail"));
  }
  for (const char* call : {"Resize", "Predict"}) {
    Reset().failing_call = call;
    CHECK(Contains(EncodeMessage(), Concat("MindSpore Lite: ", call)));
    CHECK(Contains(EncodeMessage(), "told to fail"));
  }
}

TEST_CASE("tensors of another number, type, shape or size than described are errors, not reads past their end") {
  Reset().num_inputs = 2;
  CHECK(Contains(LoadMessage(), "expected one input, got 2."));
  Reset().is_float32 = false;
  CHECK(Contains(EncodeMessage(), "the model's input is (2,5,4) of type 42"));
  Reset().resizes_to_other_shape = true;
  CHECK(Contains(EncodeMessage(), "the model's input is (2,6,4) of type 43"));
  Reset().surplus_values = 1;
  CHECK(Contains(EncodeMessage(), "the model's output is (2,4) of type 43 in 32 bytes, expected float32 (2,3)"));
  Reset().surplus_values = -1;
  CHECK(Contains(EncodeMessage(), "the model's output is (2,2)"));
  Reset().num_outputs = 0;
  CHECK(EncodeMessage() == "MindSpore Lite: Predict gave no output");
  Reset().has_input_memory = false;
  CHECK(EncodeMessage() == "MindSpore Lite: the input has no memory");
  Reset().has_output_memory = false;
  CHECK(EncodeMessage() == "MindSpore Lite: the output has no memory");
}

TEST_CASE("a second output is left alone") {
  Reset().num_outputs = 2;
  CHECK(EncodeMessage() == "nothing was thrown");
}

TEST_CASE("Ascend gets the device's number, its precision and the one shape it shall compile for") {
  FakeLite& lite = Reset();
  lite.has_ascend = true;
  EngineOptions options;
  options.device_id = 3;
  options.frames_hint = 301;
  options.batch_hint = 2;
  CHECK(LoadMindSporeLite(LiteModel(), options).name == "mindspore lite 0.0 Ascend f32");
  CHECK((lite.is_ascend && lite.device_id == 3));
  CHECK(lite.precision_mode == std::string("preferred_fp32"));
  CHECK(lite.input_shape == std::string("feats:2,301,4"));
  options.precision = Precision::kFloat16;
  LoadMindSporeLite(LiteModel(), options);
  CHECK(lite.precision_mode == std::string("enforce_fp16"));
  options.device = Device::kCpu;
  LoadMindSporeLite(LiteModel(), options);
  CHECK((!lite.is_ascend && lite.is_float16));
}

TEST_CASE("a fixed model on Ascend keeps its own shape") {
  FakeLite& lite = Reset();
  lite.has_ascend = true;
  ExportedModel model = LiteModel();
  model.batch_size = 1;
  model.num_frames = 301;
  EngineOptions options;
  options.frames_hint = 301;
  LoadMindSporeLite(model, options);
  CHECK(lite.input_shape == std::string());
}

TEST_CASE("gears come from the configuration file, which the library gets too") {
  const TemporaryFolder folder;
  FakeLite& lite = Reset();
  lite.has_ascend = true;
  EngineOptions options;
  options.lite_config = folder.Write("gears.ini", "[acl_build_options]\nge.dynamicDims=\"300;200\"\n");
  const Engine engine = LoadMindSporeLite(LiteModel(), options);
  CHECK(engine.gears == std::vector<int64_t>{200, 300});
  CHECK(engine.name == "mindspore lite 0.0 Ascend f32 frames 200,300");
  CHECK(lite.config == options.lite_config.string());
  options.lite_config = folder / "none.ini";
  CHECK(Contains(LoadMessage(options), "none.ini: No such file"));
}

TEST_CASE("what the library or the device cannot do is refused before any work") {
  Reset();
  EngineOptions options;
  options.device = Device::kAscend;
  CHECK(Contains(LoadMessage(options), "--device: this MindSpore Lite cannot use Ascend here"));
  Reset().has_ascend = true;
  CHECK(Contains(LoadMessage(options), "takes any number of frames, Ascend does not"));
  options.precision = Precision::kBfloat16;
  CHECK(Contains(LoadMessage(options), "--precision: MindSpore Lite has f32 and f16."));
  options = {};
  options.cache_folder = "cache";
  CHECK(Contains(LoadMessage(options), "--cache_dir: is for .onnx and .xml models."));
}

}  // namespace ecapa
