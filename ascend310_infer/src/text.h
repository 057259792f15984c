// Text files of the project: UTF-8, comma-separated tables as Python's csv module reads and writes them, lists.
#ifndef ECAPA_TEXT_H_
#define ECAPA_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ecapa {

// Tells whether `text` is UTF-8 as RFC 3629 defines it.
bool IsUtf8(std::string_view text);

// Returns text with the bytes that are not UTF-8 written as \\xNN.
std::string Printable(std::string_view text);

// Returns the rows below the header of a comma-separated table; blank lines are left out; a field in quotes may hold
// commas, quotes (doubled) and line ends.
//
// Args:
//   text: the content of `name`, which stands in messages.
//   header: what the first row must be.
//
// Throws InputError: not UTF-8, another header, a row with another number of columns.
std::vector<std::vector<std::string>> ParseCsv(std::string_view text, const std::string& name,
                                               const std::vector<std::string>& header);

// Returns the fields as one line, quoted where needed, with its line end.
std::string CsvLine(const std::vector<std::string>& fields);

// Returns the number that all of `text`, decimal digits, stands for, or nothing: no sign, no overflow.
std::optional<int64_t> ParseCount(std::string_view text);

// An utterance by name, and its file.
struct ListEntry {
  std::string utt_id;
  std::string path;
};

// Returns the entries of a list: `path`, which spells the name too, or `utt_id<TAB>path` a line; blank lines are left
// out, and names brought to one spelling (see Names).
//
// Throws InputError: not UTF-8, an empty name or path, a second tab, a name that is there twice, no entry at all.
std::vector<ListEntry> ParseList(std::string_view text, const std::string& name);

// Returns the speaker of an utterance: the first part of its path.
std::string SpeakerOf(const std::string& utt_id);

}  // namespace ecapa

#endif  // ECAPA_TEXT_H_
