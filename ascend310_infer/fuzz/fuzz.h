// A fuzz target is one function; what it throws besides InputError is a finding.
#ifndef ECAPA_FUZZ_H_
#define ECAPA_FUZZ_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "src/errors.h"

namespace ecapa {

// Feeds `parse` with text and swallows what a user may be told.
template <typename Parse>
int Fuzz(const uint8_t* data, size_t size, const Parse& parse) {
  try {
    parse(std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const InputError&) {
    return 0;
  }
  return 0;
}

// An invariant of a parser's result.
inline void Require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace ecapa

#endif  // ECAPA_FUZZ_H_
