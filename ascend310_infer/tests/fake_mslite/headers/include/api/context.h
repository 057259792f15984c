#ifndef FAKE_MSLITE_CONTEXT_H_
#define FAKE_MSLITE_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "include/api/types.h"

namespace mindspore {

enum DeviceType { kCPU = 0, kGPU, kKirinNPU, kAscend };

class DeviceInfoContext : public std::enable_shared_from_this<DeviceInfoContext> {
 public:
  struct Data;
  DeviceInfoContext();
  virtual ~DeviceInfoContext() = default;
  virtual enum DeviceType GetDeviceType() const = 0;

 protected:
  std::shared_ptr<Data> data_;
};

class CPUDeviceInfo : public DeviceInfoContext {
 public:
  enum DeviceType GetDeviceType() const override { return DeviceType::kCPU; }
  void SetEnableFP16(bool is_fp16);
  bool GetEnableFP16() const;
};

class AscendDeviceInfo : public DeviceInfoContext {
 public:
  enum DeviceType GetDeviceType() const override { return DeviceType::kAscend; }
  void SetDeviceID(uint32_t device_id);
  uint32_t GetDeviceID() const;
  void SetInputShape(const std::string& shape) { SetInputShape(std::vector<char>(shape.begin(), shape.end())); }
  void SetPrecisionMode(const std::string& mode) { SetPrecisionMode(std::vector<char>(mode.begin(), mode.end())); }

 private:
  void SetInputShape(const std::vector<char>& shape);
  void SetPrecisionMode(const std::vector<char>& mode);
};

class Context {
 public:
  struct Data;
  Context();
  void SetThreadNum(int32_t thread_num);
  int32_t GetThreadNum() const;
  std::vector<std::shared_ptr<DeviceInfoContext>>& MutableDeviceInfo();

 private:
  std::shared_ptr<Data> data_;
};

}  // namespace mindspore

#endif  // FAKE_MSLITE_CONTEXT_H_
