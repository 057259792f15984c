#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "src/lite_library.h"
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

std::string LoadMessage(const EngineOptions& options = {}, const ExportedModel& model = LiteModel()) {
  return MessageOf([&] { LoadMindSporeLite(model, options); });
}

std::string NameOf(const ExportedModel& model, const EngineOptions& options = {}) {
  return LoadMindSporeLite(model, options).name;
}

// A folder like /dev on a machine with a device.
std::filesystem::path DeviceFolder(const TemporaryFolder& folder) {
  folder.Write("davinci0", "");
  return folder.path();
}

ExportedModel Converted(const std::vector<int64_t>& gears) {
  ExportedModel model = LiteModel();
  model.batch_size = 1;
  model.device_target = "Ascend";
  model.conversion = Conversion{gears, "enforce_fp32"};
  return model;
}

std::string EncodeMessage(const ExportedModel& model = LiteModel()) {
  Engine engine = LoadMindSporeLite(model, {});
  return MessageOf([&] { engine.encoders[0]->Encode(Feats(2, 5), 2, 5); });
}

}  // namespace

TEST_CASE("a model of free size runs on the CPU, for lengths one after the other") {
  FakeLite& lite = Reset();
  EngineOptions options;
  options.num_threads = 4;
  options.num_workers = 2;
  Engine engine = LoadMindSporeLite(LiteModel(), options);
  CHECK(engine.name == "mindspore lite 2.7.0 CPU f32");
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
  CHECK(EncodeMessage() == "MindSpore Lite: the model gave 0 outputs, expected 1");
  Reset().has_input_memory = false;
  CHECK(EncodeMessage() == "MindSpore Lite: the input has no memory");
  Reset().has_output_memory = false;
  CHECK(EncodeMessage() == "MindSpore Lite: the output has no memory");
}

TEST_CASE("further outputs are left alone when the description names them") {
  Reset().num_outputs = 2;
  ExportedModel model = LiteModel();
  model.further_outputs = {{"frames", 4}};
  CHECK(EncodeMessage(model) == "nothing was thrown");
  CHECK(EncodeMessage() == "MindSpore Lite: the model gave 2 outputs, expected 1");
}

TEST_CASE("the library's version is in the name, or what its file shows") {
  Reset().version = "";
  const std::string name = NameOf(LiteModel());
  CHECK_MESSAGE(Contains(name, "mindspore lite unknown (library "), name);
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "lib");
  const auto library = folder.Write("lib/lite.so", "abc");
  CHECK(LibraryVersion(library) == "unknown (library ba7816bf8f01)");
  folder.Write("version.py", "# of a wheel\n__version__ = '2.0.0'\n");
  CHECK(LibraryVersion(library) == "2.0.0");
  std::filesystem::create_directories(folder / "mindspore-lite-2.3.0rc2-linux-x64/runtime/lib");
  CHECK(LibraryVersion(folder.Write("mindspore-lite-2.3.0rc2-linux-x64/runtime/lib/l.so", "")) == "2.3.0rc2");
}

TEST_CASE("versions are compared by number") {
  CHECK(IsEarlier("2.0.0", "2.10.0"));
  CHECK(IsEarlier("2.9", "2.10.0"));
  CHECK_FALSE(IsEarlier("2.10.0", "2.10.0"));
  CHECK_FALSE(IsEarlier("2.11.0rc1", "2.10.0"));
  CHECK_FALSE(IsEarlier("unknown (library 0)", "2.10.0"));
  CHECK_FALSE(IsEarlier("2.0.0", ""));
}

TEST_CASE("the cause of a failed Build and the least version are in its message") {
  FakeLite& lite = Reset();
  lite.failing_call = "Build";
  lite.version = "2.0.0";
  lite.log =
      "[ERROR] CORE(1,2,x):2026-01-01 [core/log_adapter.cc:392] operator^] Runtime error.\n"
      "[ERROR] ME(1,2,x):2026-01-01 [model.cc:100] Build] Catch exception: the maximum version is 1\nmore\n";
  ExportedModel model = LiteModel();
  model.mindir_version = 3;
  model.least_lite = "2.10.0";
  const std::string message = LoadMessage({}, model);
  CHECK_MESSAGE(Contains(message,
                         "told to fail Its log says: 'the maximum version is 1'. The file has version 3 of the format, "
                         "which MindSpore Lite 2.10.0 is known to read; this one is 2.0.0. Export with "
                         "--mindir_version=1"),
                message);
  model.least_lite = "2.0.0";
  CHECK_FALSE(Contains(LoadMessage({}, model), "known to read"));
  // Second variants: an error without an exception, and no log at all.
  lite.log = "[WARNING] a\n[ERROR] LITE(1,2,x):2026-01-01 [a/b.cc:179] Infer] \"no data [0] here\"\n[ERROR] later\n";
  CHECK(Contains(LoadMessage({}, model), "Its log says: '\"no data [0] here\"'."));
  lite.log = "";
  CHECK(Contains(LoadMessage({}, model), "told to fail Lite's log has the reason."));
}

TEST_CASE("what a library logs is kept, written to stderr after all, and stderr is itself again") {
  const TemporaryFolder folder;
  std::fflush(stderr);
  const int before = dup(STDERR_FILENO);
  std::FILE* const file = std::fopen((folder / "stderr").c_str(), "w");
  dup2(fileno(file), STDERR_FILENO);
  std::string kept;
  {
    StderrCapture capture;
    std::fputs("inside\n", stderr);
    kept = capture.Finish();
  }
  std::fputs("after\n", stderr);
  std::fflush(stderr);
  dup2(before, STDERR_FILENO);
  close(before);
  std::fclose(file);
  CHECK(kept == "inside\n");
  CHECK(ReadText(folder / "stderr") == "inside\nafter\n");
}

TEST_CASE("Ascend gets the device's number, its precision and the one shape it shall compile for") {
  const TemporaryFolder folder;
  FakeLite& lite = Reset();
  lite.has_ascend = true;
  EngineOptions options;
  options.device_folder = DeviceFolder(folder);
  options.device_id = 3;
  options.rows_hint = 301;
  options.batch_hint = 2;
  CHECK(NameOf(LiteModel(), options) == "mindspore lite 2.7.0 Ascend preferred_fp32");
  CHECK((lite.is_ascend && lite.device_id == 3));
  CHECK(lite.precision_mode == std::string("preferred_fp32"));
  CHECK(lite.input_shape == std::string("feats:2,301,4"));
  options.precision = Precision::kFloat16;
  CHECK(NameOf(LiteModel(), options) == "mindspore lite 2.7.0 Ascend enforce_fp16");
  CHECK(lite.precision_mode == std::string("enforce_fp16"));
}

TEST_CASE("a fixed model on Ascend keeps its own shape") {
  const TemporaryFolder folder;
  FakeLite& lite = Reset();
  lite.has_ascend = true;
  ExportedModel model = LiteModel();
  model.batch_size = 1;
  model.num_frames = 301;
  EngineOptions options;
  options.device = Device::kAscend;
  options.rows_hint = 301;
  LoadMindSporeLite(model, options);
  CHECK(lite.input_shape == std::string());
}

TEST_CASE("what the configuration file decides is left to it") {
  const TemporaryFolder folder;
  FakeLite& lite = Reset();
  lite.has_ascend = true;
  EngineOptions options;
  options.device = Device::kAscend;
  options.rows_hint = 301;
  options.lite_config = folder.Write("c.ini", "[ascend_context]\nprecision_mode = \"enforce_fp32\"\n");
  CHECK(NameOf(LiteModel(), options) == "mindspore lite 2.7.0 Ascend enforce_fp32");
  CHECK(lite.precision_mode == std::string());
  CHECK(lite.input_shape == std::string("feats:1,301,4"));
  CHECK(lite.config == options.lite_config.string());
  options.precision = Precision::kFloat16;
  CHECK(Contains(LoadMessage(options), "c.ini says precision_mode enforce_fp32. Leave --precision away"));
  lite.input_shape[0] = 0;
  options.precision = Precision::kFloat32;
  options.lite_config = folder.Write("d.ini", "[ascend_context]\ninput_shape=feats:[1,200,4]\n");  // second variant
  LoadMindSporeLite(LiteModel(), options);
  CHECK(lite.input_shape == std::string());
  options.lite_config = folder / "none.ini";
  CHECK(Contains(LoadMessage(options), "none.ini: No such file"));
}

TEST_CASE("gears act where a model was converted for them, and are refused elsewhere") {
  const TemporaryFolder folder;
  FakeLite& lite = Reset();
  lite.has_ascend = true;
  EngineOptions options;
  options.device_folder = DeviceFolder(folder);
  const Engine engine = LoadMindSporeLite(Converted({200, 300}), options);
  CHECK(engine.gears == std::vector<int64_t>{200, 300});
  CHECK(engine.name == "mindspore lite 2.7.0 Ascend enforce_fp32 frames 200,300");
  CHECK((lite.precision_mode == std::string() && lite.input_shape == std::string()));
  ExportedModel fixed = Converted({});
  fixed.num_frames = 301;
  CHECK(NameOf(fixed, options) == "mindspore lite 2.7.0 Ascend enforce_fp32");
  options.precision = Precision::kFloat16;
  CHECK(Contains(LoadMessage(options, fixed), "model.mindir says precision_mode enforce_fp32."));
  options = {};
  options.lite_config = folder.Write("gears.ini", "[acl_build_options]\nge.dynamicDims=\"300;200\"\n");
  CHECK(Contains(LoadMessage(options), "gears.ini: ge.dynamicDims acts when a model is converted, not here"));
}

TEST_CASE("a converted model runs on Ascend alone") {
  const TemporaryFolder folder;
  Reset().has_ascend = true;  // its plugin, without a device
  EngineOptions options;
  options.device_folder = folder.path();
  CHECK(Contains(LoadMessage(options, Converted({200})), "was converted for Ascend, which cannot be used here"));
  options.device = Device::kCpu;
  CHECK(Contains(LoadMessage(options, Converted({200})),
                 "was converted for Ascend: run the model that it was made from"));
}

TEST_CASE("auto takes Ascend for models of its form where there is a device") {
  const TemporaryFolder with_device;
  const TemporaryFolder without_device;
  without_device.Write("davinci_manager", "");
  EngineOptions options;
  options.rows_hint = 301;
  options.device_folder = DeviceFolder(with_device);
  Reset();
  CHECK(NameOf(LiteModel(), options) == "mindspore lite 2.7.0 CPU f32");
  Reset().has_ascend = true;
  CHECK(NameOf(LiteModel(), options) == "mindspore lite 2.7.0 Ascend preferred_fp32");
  ExportedModel model = LiteModel();
  model.device_target = "CPU";
  CHECK(NameOf(model, options) == "mindspore lite 2.7.0 CPU f32");
  options.device = Device::kAscend;
  CHECK(Contains(LoadMessage(options, model), "model.mindir: was exported for a CPU"));
  options.device = Device::kAuto;
  for (const auto& folder : {without_device.path(), without_device / "none"}) {
    options.device_folder = folder;
    CHECK(NameOf(LiteModel(), options) == "mindspore lite 2.7.0 CPU f32");
  }
  // Asked for, it is tried: a driver may call its device otherwise. A failure then says what was not found.
  options.device = Device::kAscend;
  Reset().has_ascend = true;
  CHECK(NameOf(LiteModel(), options) == "mindspore lite 2.7.0 Ascend preferred_fp32");
  FakeLiteControl()->failing_call = "Build";
  CHECK(Contains(LoadMessage(options), "There is no Ascend device ("));
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
  options = {};
  options.precision = Precision::kFloat16;
#if defined(__x86_64__)
  CHECK(Contains(LoadMessage(options), "--precision: MindSpore Lite computes in f32 on x86"));
#else
  CHECK(NameOf(LiteModel(), options) == "mindspore lite 2.7.0 CPU f16");
#endif
}

}  // namespace ecapa
