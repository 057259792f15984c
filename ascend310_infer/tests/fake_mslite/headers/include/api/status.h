#ifndef FAKE_MSLITE_STATUS_H_
#define FAKE_MSLITE_STATUS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mindspore {

enum StatusCode : uint32_t { kSuccess = 0, kLiteError = 0xFFFFFFFF };

class Status {
 public:
  Status();
  Status(enum StatusCode code, const std::string& message = "")
      : Status(code, std::vector<char>(message.begin(), message.end())) {}
  enum StatusCode StatusCode() const;
  bool IsOk() const;
  std::string GetErrDescription() const {
    const std::vector<char> text = GetErrDescriptionChar();
    return {text.begin(), text.end()};
  }
  static std::string CodeAsString(enum StatusCode code) {
    const std::vector<char> text = CodeAsCString(code);
    return {text.begin(), text.end()};
  }

 private:
  Status(enum StatusCode code, const std::vector<char>& message);
  std::vector<char> GetErrDescriptionChar() const;
  static std::vector<char> CodeAsCString(enum StatusCode code);

  struct Data;
  std::shared_ptr<Data> data_;
};

}  // namespace mindspore

#endif  // FAKE_MSLITE_STATUS_H_
