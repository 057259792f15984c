// The .npy format: arrays of frames or of samples, little-endian, rows one after the other.
#ifndef ECAPA_NPY_H_
#define ECAPA_NPY_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "src/files.h"

namespace ecapa {

// What an array holds.
enum class NpyKind {
  kFrames,   // float32 (rows, columns)
  kSamples,  // int16 (rows,)
};

// Where the numbers of an array (rows, columns) lie in its file; samples have one column.
struct NpyLayout {
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t data_offset = 0;
};

// Reads the header at the start of a .npy file, versions 1 to 3.
//
// Args:
//   head: the first bytes of the file, kNpyHeadBytes of them or the whole file.
//   file_bytes: size of the file.
//   name: stands in messages.
//   kind: what is expected.
//
// Throws InputError: not such a file, another type, order or number of dimensions, or a size that the file has not.
NpyLayout ParseNpyHeader(std::string_view head, int64_t file_bytes, const std::string& name,
                         NpyKind kind = NpyKind::kFrames);

// ParseNpyHeader of an open file.
NpyLayout ReadNpyHeader(const InputFile& file, NpyKind kind = NpyKind::kFrames);

// Returns the header of a float32 array (rows, columns), as numpy.save writes it.
std::string NpyHeader(int64_t rows, int64_t columns);

// Bytes that a header may take: NumPy itself reads no longer ones.
inline constexpr int64_t kNpyHeadBytes = 10012;

}  // namespace ecapa

#endif  // ECAPA_NPY_H_
