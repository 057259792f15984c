#include "src/text.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <unordered_map>
#include <utility>

#include "src/errors.h"
#include "src/names.h"

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
  int64_t line_no = 1;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t length = Utf8Length(rest);
    if (length == 0) {
      const std::string_view start = text.substr(0, 2);
      const bool is_utf16 = start == "\xFF\xFE" || start == "\xFE\xFF";
      throw InputError(Concat(name, ":", line_no, ": expected UTF-8 text, got ", is_utf16 ? "UTF-16" : "other bytes",
                              ". Save the file as UTF-8."));
    }
    line_no += rest.front() == '\n' ? 1 : 0;
    rest.remove_prefix(length);
  }
}

bool IsBlank(std::string_view text) { return text.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos; }

// Takes the first line from `text`, which ends in a line feed, a carriage return or both, and returns it without them.
std::string_view TakeLine(std::string_view* text) {
  const size_t end = std::min(text->find_first_of("\r\n"), text->size());
  const std::string_view line = text->substr(0, end);
  const size_t length_of_end = text->substr(end, 2) == "\r\n" ? 2 : 1;
  text->remove_prefix(std::min(end + length_of_end, text->size()));
  return line;
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

  // Reads the next row that is not blank; returns false at the end of the text.
  bool Next(std::vector<std::string>* row) {
    while (at_ < text_.size()) {
      ReadRow(row);
      if (row->size() > 1 || (row->size() == 1 && !IsBlank(row->front()))) return true;
    }
    return false;
  }

  // Number of the row read last, from 1.
  int64_t row_no() const { return row_no_; }

 private:
  void ReadRow(std::vector<std::string>* row) {
    row->clear();
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
  }

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

std::string Printable(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string printable;
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length > 0) {
      printable += text.substr(0, length);
    } else {
      const auto byte = static_cast<unsigned char>(text[0]);
      printable += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return printable;
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
  std::unordered_map<std::string, int64_t> lines;  // of the names
  Names names;
  for (int64_t line_no = 1; !text.empty(); ++line_no) {
    const std::string_view line = TakeLine(&text);
    if (IsBlank(line)) continue;
    const std::string where = Concat(name, ":", line_no);
    const size_t tab = line.find('\t');
    const std::string_view path = tab == std::string_view::npos ? line : line.substr(tab + 1);
    if (tab == 0 || path.empty() || path.find_first_of(std::string_view("\t\0", 2)) != std::string_view::npos) {
      throw InputError(Concat(where, ": expected 'path' or 'utt_id<TAB>path', got '", line, "'."));
    }
    const std::string utt_id = names.Find(line.substr(0, tab), where);
    const auto [earlier, is_new] = lines.emplace(utt_id, line_no);
    if (!is_new) {
      throw InputError(Concat(where, ": ", utt_id, " is there twice, first in line ", earlier->second,
                              ". Give one of them another utt_id."));
    }
    entries.push_back({utt_id, std::string(path)});
  }
  if (entries.empty()) throw InputError(Concat(name, ": expected a file a line, got none."));
  return entries;
}

std::string SpeakerOf(const std::string& utt_id) { return utt_id.substr(0, utt_id.find('/')); }

}  // namespace ecapa
