#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "include/api/context.h"
#include "include/api/model.h"
#include "include/api/status.h"
#include "include/api/types.h"
#include "src/encoder.h"
#include "src/errors.h"
#include "src/files.h"
#include "src/lite_config.h"
#include "src/lite_library.h"

namespace ecapa {
namespace {

using Shape = std::vector<int64_t>;

void Check(const mindspore::Status& status, const std::string& call, const std::string& hints = "") {
  if (status.IsOk()) return;
  throw InputError(Concat("MindSpore Lite: ", call, " failed: ", mindspore::Status::CodeAsString(status.StatusCode()),
                          " ", status.GetErrDescription(), hints));
}

std::string ShapeText(const Shape& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : ",") + std::to_string(size);
  return text;
}

// Checks type and byte count of a tensor, whatever its shape says.
void CheckTensor(const mindspore::MSTensor& tensor, const Shape& expected, const char* what) {
  size_t bytes = sizeof(float);
  for (const int64_t size : expected) bytes *= static_cast<size_t>(size);
  if (tensor.DataType() == mindspore::DataType::kNumberTypeFloat32 && tensor.Shape() == expected &&
      tensor.DataSize() == bytes) {
    return;
  }
  throw InputError(Concat("MindSpore Lite: the model's ", what, " is (", ShapeText(tensor.Shape()), ") of type ",
                          static_cast<int>(tensor.DataType()), " in ", tensor.DataSize(), " bytes, expected float32 (",
                          ShapeText(expected), ")"));
}

// The version that the library says, or what its file shows: Lite 2.0.0 says nothing.
std::string VersionOfLite() {
  const std::string said = mindspore::Version();
  if (!said.empty()) return said;
  Dl_info library = {};
  if (dladdr(reinterpret_cast<void*>(&mindspore::CharVersion), &library) == 0) return "unknown";
  return LibraryVersion(std::filesystem::canonical(library.dli_fname));
}

// How a model is run, as far as the encoders need to know it.
struct Plan {
  bool is_ascend = false;
  std::string precision;          // as the engine's name gives it
  bool sets_precision = false;    // on Ascend: nothing else decided it
  bool sets_input_shape = false;  // on Ascend: compile for the hints' shape
  std::string version;
};

// Builds the model; a failure's message has the cause from Lite's log, and what the file needs.
void Build(const ExportedModel& model, const EngineOptions& options, const Plan& plan,
           const std::shared_ptr<mindspore::Context>& context, mindspore::Model* lite) {
  StderrCapture log;
  const mindspore::Status status = lite->Build(model.path.string(), mindspore::kMindIR, context);
  const std::string cause = CauseIn(log.Finish());
  if (status.IsOk()) return;
  std::string hints = cause.empty() ? " Lite's log has the reason." : " Its log says: '" + cause + "'.";
  if (IsEarlier(plan.version, model.least_lite)) {
    hints += Concat(" The file has version ", model.mindir_version, " of the format, which MindSpore Lite ",
                    model.least_lite, " is known to read; this one is ", plan.version,
                    ". Export with --mindir_version=1 for Lite 2.0 and later.");
  }
  if (plan.is_ascend && !HasAscendDevice(options.device_folder)) {
    hints += Concat(" There is no Ascend device (", (options.device_folder / "davinci<number>").string(), ") here.");
  }
  Check(status, "Build of " + model.path.string(), hints);
}

class LiteEncoder : public Encoder {
 public:
  LiteEncoder(const ExportedModel& model, const EngineOptions& options, const Plan& plan)
      : sizes_(model), num_outputs_(1 + model.further_outputs.size()) {
    if (!options.lite_config.empty()) {
      Check(model_.LoadConfig(options.lite_config.string()), "LoadConfig of " + options.lite_config.string());
    }
    Build(model, options, plan, MakeContext(model, options, plan), &model_);
    if (model_.GetInputs().size() != 1) {
      throw InputError(Concat(model.path.string(), ": expected one input, got ", model_.GetInputs().size(), "."));
    }
  }

  std::vector<float> Encode(const std::vector<float>& feats, int64_t batch, int64_t rows) override {
    mindspore::MSTensor input = InputOf(sizes_.InputShape(batch, rows));
    if (input.DataSize() != feats.size() * sizeof(float)) throw std::logic_error("feats do not have the shape given");
    void* const buffer = input.MutableData();
    if (buffer == nullptr) throw InputError("MindSpore Lite: the input has no memory");
    std::memcpy(buffer, feats.data(), input.DataSize());
    std::vector<mindspore::MSTensor> outputs;
    Check(model_.Predict({input}, &outputs), "Predict");
    if (outputs.size() != num_outputs_) {
      throw InputError(Concat("MindSpore Lite: the model gave ", outputs.size(), " outputs, expected ", num_outputs_));
    }
    const mindspore::MSTensor& output = outputs.front();  // the others are the model's further outputs
    CheckTensor(output, {batch, sizes_.emb_size}, "output");
    const std::shared_ptr<const void> data = output.Data();  // a copy on the host, which lives as long as this
    if (data == nullptr) throw InputError("MindSpore Lite: the output has no memory");
    std::vector<float> embeddings(static_cast<size_t>(batch * sizes_.emb_size));
    std::memcpy(embeddings.data(), data.get(), embeddings.size() * sizeof(float));
    return embeddings;
  }

 private:
  static std::shared_ptr<mindspore::Context> MakeContext(const ExportedModel& model, const EngineOptions& options,
                                                         const Plan& plan) {
    auto context = std::make_shared<mindspore::Context>();
    context->SetThreadNum(std::max(1, options.num_threads / options.num_workers));
    if (plan.is_ascend) {
      auto device = std::make_shared<mindspore::AscendDeviceInfo>();
      device->SetDeviceID(options.device_id);
      if (plan.sets_precision) device->SetPrecisionMode(plan.precision);
      if (plan.sets_input_shape) {
        const Shape shape = model.InputShape(options.batch_hint, options.rows_hint);
        device->SetInputShape(Concat(model.InputName(), ":", ShapeText(shape)));
      }
      context->MutableDeviceInfo().push_back(device);
    } else {
      auto device = std::make_shared<mindspore::CPUDeviceInfo>();
      device->SetEnableFP16(options.precision == Precision::kFloat16);
      context->MutableDeviceInfo().push_back(device);
    }
    return context;
  }

  // Returns the input with this shape; resizes the model when it has another.
  mindspore::MSTensor InputOf(const Shape& shape) {
    std::vector<mindspore::MSTensor> inputs = model_.GetInputs();
    if (inputs.front().Shape() != shape) {
      Check(model_.Resize(inputs, {shape}), "Resize to (" + ShapeText(shape) + ")");
      inputs = model_.GetInputs();
    }
    CheckTensor(inputs.front(), shape, "input");
    return inputs.front();
  }

  mindspore::Model model_;
  ExportedModel sizes_;
  size_t num_outputs_;
};

// Returns whether to run on Ascend.
//
// Throws UsageError: the model or this machine cannot do what is asked for.
bool ChooseAscend(const ExportedModel& model, const EngineOptions& options) {
  const std::string name = model.path.string();
  if (options.device == Device::kCpu) {
    if (model.conversion) throw UsageError(name + ": was converted for Ascend: run the model that it was made from.");
    return false;
  }
  if (model.device_target == "CPU") {
    if (options.device == Device::kAuto) return false;
    throw UsageError(name +
                     ": was exported for a CPU, in a form that Ascend computes slowly or not at all. Export it " +
                     "with --device_target=Ascend.");
  }
  const bool has_plugin = mindspore::Model::CheckModelSupport(mindspore::kAscend, mindspore::kMindIR);
  if (options.device == Device::kAscend) {
    if (has_plugin) return true;
    throw UsageError("--device: this MindSpore Lite cannot use Ascend here: install driver and CANN, or --device=cpu.");
  }
  // CANN can be installed where no device is.
  const bool has_ascend = has_plugin && HasAscendDevice(options.device_folder);
  if (model.conversion && !has_ascend) {
    throw UsageError(name + ": was converted for Ascend, which cannot be used here: run the model that it was made " +
                     "from.");
  }
  return has_ascend;
}

// Returns how Ascend computes: as the conversion or the configuration file decided, else as asked for here.
std::string AscendPrecision(const ExportedModel& model, const EngineOptions& options, const std::string& configured) {
  const bool is_float16 = options.precision == Precision::kFloat16;
  // Left alone, Ascend computes in float16. Its cube units know nothing else: "preferred" lets them.
  const std::string asked = is_float16 ? "enforce_fp16" : "preferred_fp32";
  const std::string decided = model.conversion ? model.conversion->precision_mode : configured;
  if (decided.empty()) return asked;
  if (is_float16 && decided != asked) {
    throw UsageError(Concat("--precision: ", model.conversion ? model.path.string() : options.lite_config.string(),
                            " says precision_mode ", decided, ". Leave --precision away, or change that."));
  }
  return decided;
}

Plan PlanOf(const ExportedModel& model, const EngineOptions& options, const LiteConfig& config) {
  const auto value = [&](const char* section, const char* key) {
    const auto entry = config.find({section, key});
    return entry == config.end() ? std::string() : entry->second;
  };
  if (!value("acl_build_options", "ge.dynamicDims").empty()) {
    throw UsageError(Concat(options.lite_config.string(),
                            ": ge.dynamicDims acts when a model is converted, not here: bash scripts/convert_310.sh."));
  }
  Plan plan;
  plan.version = VersionOfLite();
  plan.is_ascend = ChooseAscend(model, options);
  const bool is_float16 = options.precision == Precision::kFloat16;
  if (!plan.is_ascend) {
#if defined(__x86_64__)
    if (is_float16) throw UsageError("--precision: MindSpore Lite computes in f32 on x86; f16 is for Ascend and ARM.");
#endif
    plan.precision = is_float16 ? "f16" : "f32";
    return plan;
  }
  const std::string configured = value("ascend_context", "precision_mode");
  plan.precision = AscendPrecision(model, options, configured);
  plan.sets_precision = configured.empty() && !model.conversion;
  const bool is_free = (!model.num_frames || !model.batch_size) && !model.conversion;
  const bool has_shape = !value("ascend_context", "input_shape").empty();
  if (is_free && !model.num_frames && options.rows_hint == 0 && !has_shape) {
    throw UsageError(Concat(model.path.string(),
                            ": takes any number of frames, Ascend does not: give --cut_frames, or convert it for "
                            "several lengths: bash scripts/convert_310.sh."));
  }
  plan.sets_input_shape = is_free && options.rows_hint > 0 && !has_shape;
  return plan;
}

}  // namespace

Engine LoadMindSporeLite(const ExportedModel& model, const EngineOptions& options) {
  if (options.precision == Precision::kBfloat16) throw UsageError("--precision: MindSpore Lite has f32 and f16.");
  if (!options.cache_folder.empty()) throw UsageError("--cache_dir: is for .onnx and .xml models.");
  LiteConfig config;
  if (!options.lite_config.empty()) {
    config = ParseLiteConfig(ReadText(options.lite_config), options.lite_config.string());
  }
  const Plan plan = PlanOf(model, options, config);
  Engine engine;
  engine.name = Concat("mindspore lite ", plan.version, " ", plan.is_ascend ? "Ascend" : "CPU", " ", plan.precision);
  if (model.conversion && !model.conversion->gears.empty()) {
    engine.gears = model.conversion->gears;
    engine.name += " frames " + ShapeText(engine.gears);
  }
  // A model each: those of Lite let one thread at a time in.
  for (int i = 0; i < options.num_workers; ++i) {
    engine.encoders.push_back(std::make_unique<LiteEncoder>(model, options, plan));
  }
  return engine;
}

}  // namespace ecapa
