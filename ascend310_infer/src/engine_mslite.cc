#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "include/api/context.h"
#include "include/api/model.h"
#include "include/api/status.h"
#include "include/api/types.h"
#include "src/encoder.h"
#include "src/errors.h"
#include "src/files.h"
#include "src/gears.h"

namespace ecapa {
namespace {

using Shape = std::vector<int64_t>;

void Check(const mindspore::Status& status, const std::string& call) {
  if (status.IsOk()) return;
  throw InputError(Concat("MindSpore Lite: ", call, " failed: ", mindspore::Status::CodeAsString(status.StatusCode()),
                          " ", status.GetErrDescription()));
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

class LiteEncoder : public Encoder {
 public:
  LiteEncoder(const ExportedModel& model, const EngineOptions& options, bool is_ascend)
      : num_mels_(model.num_mels), emb_size_(model.emb_size) {
    if (!options.lite_config.empty()) {
      Check(model_.LoadConfig(options.lite_config.string()), "LoadConfig of " + options.lite_config.string());
    }
    Check(model_.Build(model.path.string(), mindspore::kMindIR, MakeContext(model, options, is_ascend)),
          "Build of " + model.path.string());
    if (model_.GetInputs().size() != 1) {
      throw InputError(Concat(model.path.string(), ": expected one input, got ", model_.GetInputs().size(), "."));
    }
  }

  std::vector<float> Encode(const std::vector<float>& feats, int64_t batch, int64_t frames) override {
    mindspore::MSTensor input = InputOf({batch, frames, num_mels_});
    if (input.DataSize() != feats.size() * sizeof(float)) throw std::logic_error("feats do not have the shape given");
    void* const buffer = input.MutableData();
    if (buffer == nullptr) throw InputError("MindSpore Lite: the input has no memory");
    std::memcpy(buffer, feats.data(), input.DataSize());
    std::vector<mindspore::MSTensor> outputs;
    Check(model_.Predict({input}, &outputs), "Predict");
    if (outputs.empty()) throw InputError("MindSpore Lite: Predict gave no output");
    const mindspore::MSTensor& output = outputs.front();  // a second one may give the attention's weights
    CheckTensor(output, {batch, emb_size_}, "output");
    const std::shared_ptr<const void> data = output.Data();  // a copy on the host, which lives as long as this
    if (data == nullptr) throw InputError("MindSpore Lite: the output has no memory");
    std::vector<float> embeddings(static_cast<size_t>(batch * emb_size_));
    std::memcpy(embeddings.data(), data.get(), embeddings.size() * sizeof(float));
    return embeddings;
  }

 private:
  static std::shared_ptr<mindspore::Context> MakeContext(const ExportedModel& model, const EngineOptions& options,
                                                         bool is_ascend) {
    auto context = std::make_shared<mindspore::Context>();
    context->SetThreadNum(std::max(1, options.num_threads / options.num_workers));
    const bool is_float16 = options.precision == Precision::kFloat16;
    if (is_ascend) {
      auto device = std::make_shared<mindspore::AscendDeviceInfo>();
      device->SetDeviceID(options.device_id);
      // Left alone, Ascend computes in float16. Its cube units know nothing else: "preferred" lets them.
      device->SetPrecisionMode(is_float16 ? "enforce_fp16" : "preferred_fp32");
      const bool is_free = !model.num_frames || !model.batch_size;
      if (is_free && options.frames_hint > 0 && options.lite_config.empty()) {
        device->SetInputShape("feats:" + ShapeText({options.batch_hint, options.frames_hint, model.num_mels}));
      }
      context->MutableDeviceInfo().push_back(device);
    } else {
      auto device = std::make_shared<mindspore::CPUDeviceInfo>();
      device->SetEnableFP16(is_float16);
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
  int64_t num_mels_;
  int64_t emb_size_;
};

}  // namespace

Engine LoadMindSporeLite(const ExportedModel& model, const EngineOptions& options) {
  if (options.precision == Precision::kBfloat16) throw UsageError("--precision: MindSpore Lite has f32 and f16.");
  if (!options.cache_folder.empty()) throw UsageError("--cache_dir: is for .onnx and .xml models.");
  const bool has_ascend = mindspore::Model::CheckModelSupport(mindspore::kAscend, mindspore::kMindIR);
  if (options.device == Device::kAscend && !has_ascend) {
    throw UsageError("--device: this MindSpore Lite cannot use Ascend here: install driver and CANN, or --device=cpu.");
  }
  const bool is_ascend = options.device == Device::kAscend || (options.device == Device::kAuto && has_ascend);
  Engine engine;
  if (!options.lite_config.empty()) {
    engine.gears = ParseGears(ReadText(options.lite_config), options.lite_config.string());
  }
  if (is_ascend && !model.num_frames && options.frames_hint == 0 && engine.gears.empty()) {
    throw UsageError(Concat(model.path.string(),
                            ": takes any number of frames, Ascend does not: give --cut_frames, or the lengths it shall "
                            "compile for in --lite_config ([acl_build_options] ge.dynamicDims)."));
  }
  const bool is_float16 = options.precision == Precision::kFloat16;
  engine.name = Concat("mindspore lite ", mindspore::Version(), " ", is_ascend ? "Ascend" : "CPU", " ",
                       is_float16 ? "f16" : "f32");
  if (!engine.gears.empty()) engine.name += " frames " + ShapeText(engine.gears);
  // A model each: those of Lite let one thread at a time in.
  for (int i = 0; i < options.num_workers; ++i) {
    engine.encoders.push_back(std::make_unique<LiteEncoder>(model, options, is_ascend));
  }
  return engine;
}

}  // namespace ecapa
