#include "src/text.h"

#include <charconv>
#include <cstddef>
#include <unordered_set>
#include <utility>

#include "src/errors.h"

namespace ecapa {
namespace {

// Length of the UTF-8 sequence at the start of `text`, 0 when it is none. The second byte's bounds leave out overlong
// forms, surrogates and what lies beyond U+10FFFF (RFC 3629, section 4).
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;
  const size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (text.size() < length) return 0;
  const unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

void CheckUtf8(std::string_view text, const std::string& name) {
  if (!IsUtf8(text)) throw InputError(Concat(name, ": expected UTF-8 text."));
}

std::string Join(const std::vector<std::string>& fields) {
  std::string line;
  for (const auto& field : fields) line += (line.empty() ? "" : ",") + field;
  return line;
}

// Splits comma-separated text into rows, one character after the other, as Python's csv module does.
class CsvReader {
 public:
  explicit CsvReader(std::string_view text) : text_(text) {}

  // Reads the next row; returns false at the end of the text.
  bool Next(std::vector<std::string>* row) {
    row->clear();
    if (at_ == text_.size()) return false;
    std::string field;
    bool is_quoted = false;      // within quotes
    bool is_field_start = true;  // only there does a quote open a quoted field
    bool is_empty = true;        // an empty line is a row without fields
    while (at_ < text_.size()) {
      const char character = text_[at_++];
      if (is_quoted) {
        if (character != '"') {
          field += character;
        } else if (at_ < text_.size() && text_[at_] == '"') {
          field += text_[at_++];
        } else {
          is_quoted = false;
        }
      } else if (character == '\n' || character == '\r') {
        if (character == '\r' && at_ < text_.size() && text_[at_] == '\n') ++at_;
        break;
      } else if (character == '"' && is_field_start) {
        is_quoted = true;
        is_field_start = is_empty = false;
      } else if (character == ',') {
        row->push_back(std::exchange(field, {}));
        is_field_start = true;
        is_empty = false;
      } else {
        field += character;
        is_field_start = is_empty = false;
      }
    }
    ++row_no_;
    if (!is_empty) row->push_back(std::move(field));
    return true;
  }

  // Number of the row read last, from 1.
  int64_t row_no() const { return row_no_; }

 private:
  std::string_view text_;
  size_t at_ = 0;
  int64_t row_no_ = 0;
};

}  // namespace

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::vector<std::vector<std::string>> ParseCsv(std::string_view text, const std::string& name,
                                               const std::vector<std::string>& header) {
  CheckUtf8(text, name);
  CsvReader reader(text);
  std::vector<std::string> row;
  if (!reader.Next(&row)) {
    throw InputError(Concat(name, ":1: expected the header '", Join(header), "', got an empty file."));
  }
  if (row != header) {
    throw InputError(Concat(name, ":1: expected the header '", Join(header), "', got '", Join(row), "'."));
  }
  std::vector<std::vector<std::string>> rows;
  while (reader.Next(&row)) {
    if (row.size() != header.size()) {
      throw InputError(
          Concat(name, ": row ", reader.row_no(), ": expected ", header.size(), " columns, got ", row.size(), "."));
    }
    rows.push_back(row);
  }
  return rows;
}

std::string CsvLine(const std::vector<std::string>& fields) {
  std::string line;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) line += ',';
    if (fields[i].find_first_of(",\"\r\n") == std::string::npos) {
      line += fields[i];
      continue;
    }
    line += '"';
    for (const char character : fields[i]) {
      if (character == '"') line += '"';
      line += character;
    }
    line += '"';
  }
  return line + '\n';
}

std::optional<int64_t> ParseCount(std::string_view text) {
  if (text.empty() || text.front() == '-') return std::nullopt;
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::vector<ListEntry> ParseList(std::string_view text, const std::string& name) {
  CheckUtf8(text, name);
  std::vector<ListEntry> entries;
  std::unordered_set<std::string> names;
  for (int64_t line_no = 1; !text.empty(); ++line_no) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) continue;
    const size_t tab = line.find('\t');
    const std::string_view path = tab == std::string_view::npos ? line : line.substr(tab + 1);
    const std::string_view utt_id = line.substr(0, tab);
    if (utt_id.empty() || path.empty() || path.find('\t') != std::string_view::npos) {
      throw InputError(Concat(name, ":", line_no, ": expected 'path' or 'utt_id<TAB>path', got '", line, "'."));
    }
    if (!names.emplace(utt_id).second) {
      throw InputError(Concat(name, ":", line_no, ": ", utt_id, " stands twice. Give one of them another utt_id."));
    }
    entries.push_back({std::string(utt_id), std::string(path)});
  }
  if (entries.empty()) throw InputError(Concat(name, ": expected a file a line, got none."));
  return entries;
}

std::string SpeakerOf(const std::string& utt_id) { return utt_id.substr(0, utt_id.find('/')); }

}  // namespace ecapa
