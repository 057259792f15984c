#include "src/lite_config.h"

#include <algorithm>
#include <cstdint>

#include "src/errors.h"

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

// Takes the text before the next line end off the front of `text`.
std::string_view TakeLine(std::string_view* text) {
  const size_t end = std::min(text->find('\n'), text->size());
  const std::string_view line = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return line;
}

}  // namespace

LiteConfig ParseLiteConfig(std::string_view text, const std::string& name) {
  LiteConfig config;
  std::string section;
  for (int64_t line_no = 1; !text.empty(); ++line_no) {
    const std::string_view line = Strip(TakeLine(&text));
    if (line.empty() || line.front() == '#') continue;
    if (line.front() == '[' && line.back() == ']') {
      section = line.substr(1, line.size() - 2);
      continue;
    }
    const size_t middle = line.find('=');
    if (middle == std::string_view::npos) {
      throw InputError(Concat(name, ":", line_no, ": expected [section] or key=value, got '", line, "'."));
    }
    config[{section, std::string(Strip(line.substr(0, middle)))}] = Unquote(Strip(line.substr(middle + 1)));
  }
  return config;
}

}  // namespace ecapa
