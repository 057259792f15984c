// The part of MindSpore Lite's configuration file that the program itself must know.
#ifndef ECAPA_GEARS_H_
#define ECAPA_GEARS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ecapa {

// Returns the lengths that `ge.dynamicDims` of section [acl_build_options] lists for the one free dimension of the
// input, rising; none when the file, whose content is `text`, has no such key.
//
// Throws InputError: a line is neither `[section]`, `key=value`, a comment (#) nor empty; the list is not numbers >= 1
// between semicolons.
std::vector<int64_t> ParseGears(std::string_view text, const std::string& name);

}  // namespace ecapa

#endif  // ECAPA_GEARS_H_
