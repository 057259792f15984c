// A library with the part of MindSpore Lite's interface that the engine calls. Compiles with the headers beside it and
// with the real ones. Its "model" gives sums over the features.
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "control.h"
#include "include/api/context.h"
#include "include/api/model.h"
#include "include/api/status.h"
#include "include/api/types.h"

extern "C" FakeLite* FakeLiteControl() {
  static FakeLite control;
  return &control;
}

namespace mindspore {
namespace {

std::vector<char> Chars(const std::string& text) { return {text.begin(), text.end()}; }

Status StatusOf(const char* call) {
  const bool fails = std::strcmp(FakeLiteControl()->failing_call, call) == 0;
  return fails ? Status(kLiteError, std::string("told to fail")) : Status();
}

template <size_t kSize>
void Copy(const std::vector<char>& text, char (&buffer)[kSize]) {
  std::snprintf(buffer, kSize, "%.*s", static_cast<int>(text.size()), text.data());
}

}  // namespace

struct Status::Data {
  enum StatusCode code = kSuccess;
  std::vector<char> message;
};

Status::Status() : data_(std::make_shared<Data>()) {}
Status::Status(enum StatusCode code, const std::vector<char>& message) : Status() {
  data_->code = code;
  data_->message = message;
}
enum StatusCode Status::StatusCode() const { return data_->code; }
bool Status::IsOk() const { return data_->code == kSuccess; }
std::vector<char> Status::GetErrDescriptionChar() const { return data_->message; }
std::vector<char> Status::CodeAsCString(enum StatusCode) { return Chars("Common error code."); }

std::vector<char> CharVersion() { return Chars(FakeLiteControl()->version); }

class MSTensor::Impl {
 public:
  explicit Impl(const std::vector<int64_t>& dims) : shape(dims) {
    size_t count = 1;
    for (const int64_t size : dims) count *= size > 0 ? static_cast<size_t>(size) : 0;
    values.resize(count);
  }
  std::vector<int64_t> shape;
  std::vector<float> values;
  bool has_memory = true;
};

MSTensor::MSTensor(const std::shared_ptr<Impl>& impl) : impl_(impl) {}
MSTensor::~MSTensor() = default;
enum DataType MSTensor::DataType() const {
  return FakeLiteControl()->is_float32 ? DataType::kNumberTypeFloat32 : DataType::kNumberTypeFloat16;
}
const std::vector<int64_t>& MSTensor::Shape() const { return impl_->shape; }
std::shared_ptr<const void> MSTensor::Data() const {
  if (!impl_->has_memory) return nullptr;
  return std::shared_ptr<const void>(impl_, impl_->values.data());
}
void* MSTensor::MutableData() { return impl_->has_memory ? impl_->values.data() : nullptr; }
size_t MSTensor::DataSize() const { return impl_->values.size() * sizeof(float); }

struct Context::Data {
  int32_t num_threads = 0;
  std::vector<std::shared_ptr<DeviceInfoContext>> devices;
};
Context::Context() : data_(std::make_shared<Data>()) {}
void Context::SetThreadNum(int32_t thread_num) { data_->num_threads = thread_num; }
int32_t Context::GetThreadNum() const { return data_->num_threads; }
std::vector<std::shared_ptr<DeviceInfoContext>>& Context::MutableDeviceInfo() { return data_->devices; }

struct DeviceInfoContext::Data {
  bool is_float16 = false;
  uint32_t device_id = 0;
};
DeviceInfoContext::DeviceInfoContext() : data_(std::make_shared<Data>()) {}
void CPUDeviceInfo::SetEnableFP16(bool is_fp16) { data_->is_float16 = is_fp16; }
bool CPUDeviceInfo::GetEnableFP16() const { return data_->is_float16; }
void AscendDeviceInfo::SetDeviceID(uint32_t device_id) { data_->device_id = device_id; }
uint32_t AscendDeviceInfo::GetDeviceID() const { return data_->device_id; }
void AscendDeviceInfo::SetInputShape(const std::vector<char>& shape) { Copy(shape, FakeLiteControl()->input_shape); }
void AscendDeviceInfo::SetPrecisionMode(const std::vector<char>& mode) {
  Copy(mode, FakeLiteControl()->precision_mode);
}

class ModelImpl {
 public:
  std::shared_ptr<MSTensor::Impl> input;
};

Model::Model() : impl_(std::make_shared<ModelImpl>()) {}
Model::~Model() = default;

Status Model::LoadConfig(const std::vector<char>& path) {
  Copy(path, FakeLiteControl()->config);
  return StatusOf("LoadConfig");
}

Status Model::Build(const std::vector<char>&, ModelType type, const std::shared_ptr<Context>& context) {
  FakeLite& control = *FakeLiteControl();
  std::fputs(control.log, stderr);
  if (type != kMindIR || context->MutableDeviceInfo().size() != 1) return Status(kLiteError, std::string("misused"));
  const std::shared_ptr<DeviceInfoContext> device = context->MutableDeviceInfo().front();
  control.is_ascend = device->GetDeviceType() == kAscend;
  control.num_threads = context->GetThreadNum();
  if (control.is_ascend) {
    control.device_id = std::static_pointer_cast<AscendDeviceInfo>(device)->GetDeviceID();
  } else {
    control.is_float16 = std::static_pointer_cast<CPUDeviceInfo>(device)->GetEnableFP16();
  }
  impl_->input = std::make_shared<MSTensor::Impl>(std::vector<int64_t>(control.shape, control.shape + 3));
  impl_->input->has_memory = control.has_input_memory;
  return StatusOf("Build");
}

Status Model::Resize(const std::vector<MSTensor>&, const std::vector<std::vector<int64_t>>& dims) {
  FakeLite& control = *FakeLiteControl();
  ++control.num_resizes;
  std::vector<int64_t> shape = dims.front();
  if (control.resizes_to_other_shape) ++shape[1];
  impl_->input = std::make_shared<MSTensor::Impl>(shape);
  impl_->input->has_memory = control.has_input_memory;
  return StatusOf("Resize");
}

std::vector<MSTensor> Model::GetInputs() {
  return std::vector<MSTensor>(static_cast<size_t>(FakeLiteControl()->num_inputs), MSTensor(impl_->input));
}

Status Model::Predict(const std::vector<MSTensor>& inputs, std::vector<MSTensor>* outputs, const MSKernelCallBack&,
                      const MSKernelCallBack&) {
  const FakeLite& control = *FakeLiteControl();
  const MSTensor::Impl& input = *inputs.front().impl();
  const auto batch = static_cast<size_t>(input.shape[0]);
  const auto width = static_cast<size_t>(control.emb_size + control.surplus_values);
  const auto mels = static_cast<size_t>(input.shape[2]);
  const size_t count = input.values.size() / batch;
  const auto output =
      std::make_shared<MSTensor::Impl>(std::vector<int64_t>{input.shape[0], control.emb_size + control.surplus_values});
  for (size_t row = 0; row < batch; ++row) {
    for (size_t i = 0; i < count; ++i) {
      output->values[row * width + i % mels % width] += input.values[row * count + i] * static_cast<float>(i);
    }
  }
  output->has_memory = control.has_output_memory;
  outputs->assign(static_cast<size_t>(control.num_outputs), MSTensor(output));
  return StatusOf("Predict");
}

bool Model::CheckModelSupport(enum DeviceType device_type, ModelType) {
  return device_type == kCPU || FakeLiteControl()->has_ascend;
}

}  // namespace mindspore
