#include "src/npy.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "src/errors.h"
#include "src/text.h"

namespace ecapa {
namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);

// Reads the header's Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 80), }.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}

  // Returns false when the text is no such dictionary, or has a key twice, another one, or not all three.
  bool Read() {
    if (!Take("{")) return false;
    while (!Take("}")) {
      const auto key = Quoted();
      if (!key || !Take(":") || !ReadValue(*key)) return false;
      if (!Take(",")) {
        if (!Take("}")) return false;
        break;
      }
    }
    SkipBlanks();
    return text_.empty() && descr && fortran_order && shape;
  }

  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<int64_t>> shape;

 private:
  bool ReadValue(std::string_view key) {
    if (key == "descr" && !descr) {
      const auto value = Quoted();
      if (value) descr.emplace(*value);
      return descr.has_value();
    }
    if (key == "fortran_order" && !fortran_order) {
      if (Take("True")) {
        fortran_order = true;
      } else if (Take("False")) {
        fortran_order = false;
      }
      return fortran_order.has_value();
    }
    return key == "shape" && !shape && ReadShape();
  }

  bool ReadShape() {
    if (!Take("(")) return false;
    shape.emplace();
    while (!Take(")")) {
      SkipBlanks();
      const size_t length = std::min(text_.find_first_not_of("0123456789"), text_.size());
      const auto count = ParseCount(text_.substr(0, length));
      if (!count) return false;
      text_.remove_prefix(length);
      shape->push_back(*count);
      if (!Take(",")) return Take(")");
    }
    return true;
  }

  std::optional<std::string_view> Quoted() {
    SkipBlanks();
    if (text_.empty() || (text_[0] != '\'' && text_[0] != '"')) return std::nullopt;
    const size_t end = text_.find(text_[0], 1);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view value = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    return value;
  }

  bool Take(std::string_view word) {
    SkipBlanks();
    if (text_.substr(0, word.size()) != word) return false;
    text_.remove_prefix(word.size());
    return true;
  }

  void SkipBlanks() { text_.remove_prefix(std::min(text_.find_first_not_of(" \n\t"), text_.size())); }

  std::string_view text_;
};

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "(" + text + ")";
}

}  // namespace

NpyLayout ParseNpyHeader(std::string_view head, int64_t file_bytes, const std::string& name, NpyKind kind) {
  const InputError damaged(Concat(name, ": not a whole .npy file. Make it again."));
  if (head.substr(0, kMagic.size()) != kMagic || head.size() < 12) throw damaged;
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(head[i])); };
  const uint32_t version = byte(6);
  if (version < 1 || version > 3) throw damaged;
  const size_t start = version == 1 ? 10 : 12;
  const size_t length =
      version == 1 ? byte(8) | byte(9) << 8 : byte(8) | byte(9) << 8 | byte(10) << 16 | byte(11) << 24;
  if (length > head.size() - std::min(start, head.size())) throw damaged;
  HeaderReader header(head.substr(start, length));
  if (!header.Read()) throw damaged;
  const std::vector<int64_t>& shape = *header.shape;
  const bool has_frames = kind == NpyKind::kFrames;
  if (*header.descr != (has_frames ? "<f4" : "<i2") || *header.fortran_order || shape.size() != (has_frames ? 2 : 1)) {
    throw InputError(Concat(name, ": expected ", has_frames ? "float32 (rows, columns)" : "int16 (samples)",
                            ", little-endian, in C order, got ", *header.descr, " ", ShapeText(shape),
                            *header.fortran_order ? " in Fortran order." : "."));
  }
  const NpyLayout layout{shape[0], has_frames ? shape[1] : 1, static_cast<int64_t>(start + length)};
  const int64_t item_bytes = has_frames ? 4 : 2;
  const int64_t row_bytes = item_bytes * std::min(layout.columns, std::numeric_limits<int64_t>::max() / item_bytes);
  const int64_t data_bytes = file_bytes - layout.data_offset;
  if (row_bytes == 0 ? data_bytes != 0 : data_bytes % row_bytes != 0 || data_bytes / row_bytes != layout.rows) {
    throw InputError(
        Concat(name, ": its header says ", ShapeText(shape), ", but it has ", data_bytes, " bytes of data."));
  }
  return layout;
}

NpyLayout ReadNpyHeader(const InputFile& file, NpyKind kind) {
  std::string head(static_cast<size_t>(std::min(file.size(), kNpyHeadBytes)), '\0');
  file.ReadAt(0, head.data(), head.size());
  return ParseNpyHeader(head, file.size(), file.path().string(), kind);
}

std::string NpyHeader(int64_t rows, int64_t columns) {
  std::string text = Concat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows, ", ", columns, "), }");
  text.resize((10 + text.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');  // the data start at a multiple of 64
  text += '\n';
  const char length[] = {static_cast<char>(text.size() & 0xFF), static_cast<char>(text.size() >> 8)};
  return std::string(kMagic) + std::string("\x01\x00", 2) + std::string(length, 2) + text;
}

}  // namespace ecapa
