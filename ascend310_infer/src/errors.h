// What a user can have wrong, and how messages are put together.
#ifndef ECAPA_ERRORS_H_
#define ECAPA_ERRORS_H_

#include <sstream>
#include <stdexcept>
#include <string>

namespace ecapa {

// Data, files or a device are wrong: exit code 1. Says where, what was expected, what came, what to do.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Arguments are wrong: exit code 2.
class UsageError : public InputError {
 public:
  using InputError::InputError;
};

// Returns its arguments, printed one after the other.
template <typename... Parts>
std::string Concat(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

}  // namespace ecapa

#endif  // ECAPA_ERRORS_H_
