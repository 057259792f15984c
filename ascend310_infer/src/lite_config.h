// MindSpore Lite's configuration file, which the program reads to know what it must leave to it.
#ifndef ECAPA_LITE_CONFIG_H_
#define ECAPA_LITE_CONFIG_H_

#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace ecapa {

// Section and key to value, without quotes.
using LiteConfig = std::map<std::pair<std::string, std::string>, std::string>;

// Reads the content of the file called `name`. Of a key that comes several times in a section, the last counts.
//
// Throws InputError: a line is neither `[section]`, `key=value`, a comment (#) nor empty.
LiteConfig ParseLiteConfig(std::string_view text, const std::string& name);

}  // namespace ecapa

#endif  // ECAPA_LITE_CONFIG_H_
