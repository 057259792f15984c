#include <algorithm>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <openvino/frontend/manager.hpp>
#include <openvino/openvino.hpp>
#include <string>
#include <utility>

#include "src/encoder.h"
#include "src/errors.h"

namespace ecapa {
namespace {

constexpr float kUnwritten = std::numeric_limits<float>::max();

// OpenVINO's messages have several lines, with places in its sources.
std::string OneLine(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

class OpenVinoEncoder : public Encoder {
 public:
  OpenVinoEncoder(std::shared_ptr<ov::Core> core, ov::CompiledModel* model, const ExportedModel& sizes)
      : core_(std::move(core)),
        request_(model->create_infer_request()),
        output_(model->outputs().front()),
        sizes_(sizes) {}

  std::vector<float> Encode(const std::vector<float>& feats, int64_t batch, int64_t rows) override {
    try {
      const std::vector<int64_t> sizes = sizes_.InputShape(batch, rows);
      const ov::Shape shape(sizes.begin(), sizes.end());
      if (ov::shape_size(shape) != feats.size()) throw std::logic_error("feats do not have the shape given");
      // The tensor refers to feats, which OpenVINO does not write to.
      request_.set_input_tensor(ov::Tensor(ov::element::f32, shape, const_cast<float*>(feats.data())));
      // When memory runs out, OpenVINO 2026.4 may say nothing and leave the result of the run before.
      ov::Tensor output = request_.get_tensor(output_);
      std::fill_n(output.data<float>(), output.get_size(), kUnwritten);
      request_.infer();
      output = request_.get_tensor(output_);
      const ov::Shape expected = {static_cast<size_t>(batch), static_cast<size_t>(sizes_.emb_size)};
      if (output.get_element_type() != ov::element::f32 || output.get_shape() != expected) {
        throw InputError(Concat("the model gave ", output.get_element_type().to_string(), " ", output.get_shape(),
                                ", expected f32 ", expected));
      }
      const auto* values = output.data<float>();
      if (std::count(values, values + output.get_size(), kUnwritten) > 0) throw std::bad_alloc();
      return {values, values + output.get_size()};
    } catch (const ov::Exception& error) {
      throw InputError(Concat("OpenVINO failed: ", OneLine(error.what())));
    }
  }

 private:
  std::shared_ptr<ov::Core> core_;  // outlives the others
  ov::InferRequest request_;
  ov::Output<const ov::Node> output_;  // the first: the others are the model's further outputs
  ExportedModel sizes_;
};

ov::Dimension DimensionOf(const std::optional<int64_t>& size) {
  return size ? ov::Dimension(*size) : ov::Dimension::dynamic();
}

void CheckSignature(const ov::Model& network, const ExportedModel& model) {
  const std::optional<int64_t> num_rows =
      model.num_frames ? std::optional(model.RowsOf(*model.num_frames)) : std::nullopt;
  ov::PartialShape input = {DimensionOf(model.batch_size), DimensionOf(num_rows)};
  if (!model.framing) input.push_back(model.feature_size);
  if (model.is_transposed) std::swap(input[1], input[2]);
  const ov::PartialShape embedding = {DimensionOf(model.batch_size), model.emb_size};
  const bool fits = network.inputs().size() == 1 && network.input().get_element_type() == ov::element::f32 &&
                    network.input().get_partial_shape() == input &&
                    network.outputs().size() == 1 + model.further_outputs.size() &&
                    network.output(0).get_element_type() == ov::element::f32 &&
                    network.output(0).get_partial_shape().compatible(embedding);
  if (!fits) {
    throw InputError(Concat(model.path.string(), ": its description says that it takes one input, float32 ", input,
                            ", and gives ", embedding, " and ", model.further_outputs.size(),
                            " further outputs; it does not. Export it again."));
  }
}

// Reads a model by the reader of its format alone: Core::read_model would offer a damaged file to those of all others.
std::shared_ptr<ov::Model> ReadNetwork(const std::filesystem::path& path) {
  ov::frontend::FrontEndManager readers;
  const auto reader = readers.load_by_framework(path.extension() == ".onnx" ? "onnx" : "ir");
  return reader->convert(reader->load(path.string()));
}

// Returns the core that all models of the process share: each has its own plugins and threads. It goes with the last
// encoder, because at the exit of a process OpenVINO's own objects may be gone before it.
std::shared_ptr<ov::Core> SharedCore() {
  static std::mutex mutex;
  static std::weak_ptr<ov::Core> shared;
  const std::lock_guard<std::mutex> lock(mutex);
  std::shared_ptr<ov::Core> core = shared.lock();
  if (!core) shared = core = std::make_shared<ov::Core>();
  return core;
}

ov::AnyMap Properties(const EngineOptions& options) {
  ov::AnyMap properties = {
      ov::inference_num_threads(options.num_threads), ov::num_streams(options.num_workers),
      // Said always: left alone, OpenVINO computes in bfloat16 where the processor can, without a word.
      ov::hint::inference_precision(options.precision == Precision::kBfloat16 ? ov::element::bf16 : ov::element::f32)};
  if (!options.cache_folder.empty()) properties.insert(ov::cache_dir(options.cache_folder.string()));
  return properties;
}

}  // namespace

Engine LoadOpenVino(const ExportedModel& model, const EngineOptions& options) {
  if (options.device == Device::kAscend) {
    throw UsageError(Concat(model.path.string(), ": OpenVINO runs on the CPU. Export a .mindir for Ascend."));
  }
  if (options.precision == Precision::kFloat16) {
    throw UsageError("--precision: OpenVINO on a CPU has f32 and bf16.");
  }
  if (!options.lite_config.empty()) throw UsageError("--lite_config: is for .mindir models.");
  const bool is_bfloat16 = options.precision == Precision::kBfloat16;
  try {
    const auto core = SharedCore();
    const auto network = ReadNetwork(model.path);
    CheckSignature(*network, model);
    auto compiled = core->compile_model(network, "CPU", Properties(options));
    Engine engine;
    const std::string version = ov::get_openvino_version().buildNumber;
    engine.name = Concat("openvino ", version.substr(0, version.find('-')), " CPU ", is_bfloat16 ? "bf16" : "f32");
    for (int i = 0; i < options.num_workers; ++i) {
      engine.encoders.push_back(std::make_unique<OpenVinoEncoder>(core, &compiled, model));
    }
    return engine;
  } catch (const ov::Exception& error) {
    throw InputError(Concat(model.path.string(), ": OpenVINO cannot load it: ", OneLine(error.what())));
  }
}

}  // namespace ecapa
