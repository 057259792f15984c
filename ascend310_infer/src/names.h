// Names: of utterances, one spelling for each, and of files, by which their kind is known.
#ifndef ECAPA_NAMES_H_
#define ECAPA_NAMES_H_

#include <string>
#include <string_view>
#include <vector>

namespace ecapa {

// Turns the paths in one list into names of utterances, by the rules of src/corpus/names.py for lists of which no name
// is known beforehand; Unicode's form NFC excepted.
class Names {
 public:
  // Returns the name that `text` spells: without `.`, `..` and empty parts, `/` between folders, and without the
  // folders before it when they end with a folder `wav`.
  //
  // Throws InputError, `where` first: `text` is empty, leads out of its root, is an absolute path without a folder
  // `wav`, or has other folders before the name than earlier ones of this list.
  std::string Find(std::string_view text, const std::string& where);

 private:
  std::vector<std::string> head_;  // the folders before the names, the last one first
};

// Returns a path without `.`, `..` and empty parts, with `/` between folders; an absolute one becomes relative to its
// root. Throws InputError, `where` first, when it is empty or leads out of its root.
std::string UtteranceName(std::string_view text, const std::string& where);

// Returns the suffix of a path in small letters, such as `.wav`; empty when it has none.
std::string SuffixOf(std::string_view path);

// Tells whether a file is audio by its name: is_audio_name() in src/corpus/audio.py.
bool IsAudioName(std::string_view path);

// Tells whether libsndfile reads such files; others that are audio by name are for Python, which may have PyAV.
bool IsSndfileName(std::string_view path);

// Tells whether a file has features by its name: `.npy`, or `.bin` for the bare numbers.
bool IsFeatureName(std::string_view path);

}  // namespace ecapa

#endif  // ECAPA_NAMES_H_
