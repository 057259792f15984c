#ifndef FAKE_MSLITE_MODEL_H_
#define FAKE_MSLITE_MODEL_H_

#include <memory>
#include <string>
#include <vector>

#include "include/api/context.h"
#include "include/api/status.h"
#include "include/api/types.h"

namespace mindspore {

class ModelImpl;

class Model {
 public:
  Model();
  ~Model();
  Status LoadConfig(const std::string& path) { return LoadConfig(std::vector<char>(path.begin(), path.end())); }
  Status Build(const std::string& path, ModelType type, const std::shared_ptr<Context>& context = nullptr) {
    return Build(std::vector<char>(path.begin(), path.end()), type, context);
  }
  Status Resize(const std::vector<MSTensor>& inputs, const std::vector<std::vector<int64_t>>& dims);
  Status Predict(const std::vector<MSTensor>& inputs, std::vector<MSTensor>* outputs,
                 const MSKernelCallBack& before = nullptr, const MSKernelCallBack& after = nullptr);
  std::vector<MSTensor> GetInputs();
  static bool CheckModelSupport(enum DeviceType device_type, ModelType model_type);

 private:
  Status LoadConfig(const std::vector<char>& path);
  Status Build(const std::vector<char>& path, ModelType type, const std::shared_ptr<Context>& context);
  std::shared_ptr<ModelImpl> impl_;
};

}  // namespace mindspore

#endif  // FAKE_MSLITE_MODEL_H_
