#include "src/gears.h"

#include <algorithm>

#include "src/errors.h"
#include "src/text.h"

namespace ecapa {
namespace {

std::string_view Strip(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::string_view Unquote(std::string_view text) {
  const bool is_quoted = text.size() >= 2 && text.front() == '"' && text.back() == '"';
  return is_quoted ? text.substr(1, text.size() - 2) : text;
}

// Takes the text before the next separator off the front of `text`.
std::string_view TakeUntil(char separator, std::string_view* text) {
  const size_t end = std::min(text->find(separator), text->size());
  const std::string_view part = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return part;
}

std::vector<int64_t> ParseLengths(std::string_view list, const std::string& where) {
  constexpr int64_t kMaxLength = int64_t{1} << 24;
  std::vector<int64_t> gears;
  for (std::string_view rest = list; !rest.empty();) {
    const auto length = ParseCount(Strip(TakeUntil(';', &rest)));
    if (length.value_or(0) < 1 || *length > kMaxLength) {
      throw InputError(Concat(where, ": expected numbers of frames such as \"200;300;400\", got '", list,
                              "'. Only the length may be free: give the batch in input_shape."));
    }
    gears.push_back(*length);
  }
  std::sort(gears.begin(), gears.end());
  gears.erase(std::unique(gears.begin(), gears.end()), gears.end());
  return gears;
}

}  // namespace

std::vector<int64_t> ParseGears(std::string_view text, const std::string& name) {
  std::vector<int64_t> gears;
  std::string_view section;
  for (int64_t line_no = 1; !text.empty(); ++line_no) {
    const std::string_view line = Strip(TakeUntil('\n', &text));
    if (line.empty() || line.front() == '#') continue;
    if (line.front() == '[' && line.back() == ']') {
      section = line.substr(1, line.size() - 2);
      continue;
    }
    const size_t middle = line.find('=');
    if (middle == std::string_view::npos) {
      throw InputError(Concat(name, ":", line_no, ": expected [section] or key=value, got '", line, "'."));
    }
    if (section == "acl_build_options" && Strip(line.substr(0, middle)) == "ge.dynamicDims") {
      gears = ParseLengths(Unquote(Strip(line.substr(middle + 1))), Concat(name, ":", line_no));
    }
  }
  return gears;
}

}  // namespace ecapa
