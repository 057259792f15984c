// The part of MindSpore Lite's interface (2.7) that the engine uses, written for tests: names, signatures and the
// passing of text as std::vector<char>, which lets programs of either std::string ABI link the library.
#ifndef FAKE_MSLITE_TYPES_H_
#define FAKE_MSLITE_TYPES_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace mindspore {

enum ModelType : uint32_t { kMindIR = 0 };
enum class DataType : int { kTypeUnknown = 0, kNumberTypeFloat16 = 42, kNumberTypeFloat32 = 43 };

class MSTensor {
 public:
  class Impl;
  explicit MSTensor(const std::shared_ptr<Impl>& impl);
  ~MSTensor();
  enum DataType DataType() const;
  const std::vector<int64_t>& Shape() const;
  std::shared_ptr<const void> Data() const;
  void* MutableData();
  size_t DataSize() const;
  const std::shared_ptr<Impl> impl() const { return impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

struct MSCallBackParam {
  std::string node_name;
};
using MSKernelCallBack =
    std::function<bool(const std::vector<MSTensor>&, const std::vector<MSTensor>&, const MSCallBackParam&)>;

std::vector<char> CharVersion();
inline std::string Version() {
  const std::vector<char> text = CharVersion();
  return {text.begin(), text.end()};
}

}  // namespace mindspore

#endif  // FAKE_MSLITE_TYPES_H_
