#include "src/names.h"

#include <algorithm>
#include <set>

#include "src/errors.h"

namespace ecapa {
namespace {

constexpr std::string_view kWavFolder = "wav";

bool IsLetter(char character) {
  return (character >= 'A' && character <= 'Z') || (character >= 'a' && character <= 'z');
}

struct Path {
  std::vector<std::string> parts;
  bool is_absolute = false;
};

Path ParsePath(std::string_view text, const std::string& where) {
  std::string path(text);
  std::replace(path.begin(), path.end(), '\\', '/');  // as in lists from Windows
  const bool has_drive = path.size() > 2 && IsLetter(path[0]) && path[1] == ':' && path[2] == '/';
  if (has_drive) path.erase(0, 2);
  Path result;
  result.is_absolute = !path.empty() && path[0] == '/';
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string part = path.substr(start, end - start);
    start = end + 1;
    if (part == "..") {
      if (result.parts.empty()) {
        throw InputError(Concat(where, ": '", text, "' leads out of the corpus's folder. Write the path below it."));
      }
      result.parts.pop_back();
    } else if (!part.empty() && part != ".") {
      result.parts.push_back(part);
    }
  }
  if (result.parts.empty()) {
    throw InputError(Concat(where, ": expected the name of an utterance, got '", text, "'."));
  }
  return result;
}

// Returns where the name begins behind the last folder `wav` that has a speaker and a file below it; 0: none has.
size_t AfterWavFolder(const std::vector<std::string>& parts) {
  for (size_t place = parts.size(); place > 2; --place) {
    if (parts[place - 3] == kWavFolder) return place - 2;
  }
  return 0;
}

template <typename Iterator>
std::string Join(Iterator first, Iterator last) {
  std::string text;
  for (; first != last; ++first) text += (text.empty() ? "" : "/") + *first;
  return text;
}

}  // namespace

std::string Names::Find(std::string_view text, const std::string& where) {
  const auto [parts, is_absolute] = ParsePath(text, where);
  const size_t start = AfterWavFolder(parts);
  if (start == 0 && is_absolute) {
    throw InputError(Concat(where, ": '", text, "' is an absolute path without a folder wav: which part of it is the ",
                            "utterance's name? Write 'utt_id<TAB>path'."));
  }
  const auto name = parts.begin() + static_cast<std::ptrdiff_t>(start);
  if (start > 0) {
    std::vector<std::string> head(std::make_reverse_iterator(name), parts.rend());
    const size_t shared = std::min(head.size(), head_.size());
    if (!std::equal(head.begin(), head.begin() + static_cast<std::ptrdiff_t>(shared), head_.begin())) {
      throw InputError(Concat(where, ": '", text, "' has other folders before the utterance's name than an earlier ",
                              "line: ", Join(head.rbegin(), head.rend()), ", not ", Join(head_.rbegin(), head_.rend()),
                              ". Give one list for each corpus, or write 'utt_id<TAB>path'."));
    }
    if (head.size() > head_.size()) head_ = std::move(head);
  }
  return Join(name, parts.end());
}

std::string UtteranceName(std::string_view text, const std::string& where) {
  const Path path = ParsePath(text, where);
  return Join(path.parts.begin(), path.parts.end());
}

std::string SuffixOf(std::string_view path) {
  path.remove_prefix(path.find_last_of('/') + 1);                          // npos + 1 is 0
  path.remove_prefix(std::min(path.find_first_not_of('.'), path.size()));  // `.wav` is a name without suffix
  std::string suffix(path.substr(std::min(path.find_last_of('.'), path.size())));
  for (char& character : suffix) {
    if (character >= 'A' && character <= 'Z') character = static_cast<char>(character - 'A' + 'a');
  }
  return suffix;
}

bool IsSndfileName(std::string_view path) {
  static const std::set<std::string> suffixes = {".wav",  ".wave", ".bwf", ".rf64", ".w64",  ".flac", ".mp1",
                                                 ".mp2",  ".mp3",  ".ogg", ".oga",  ".opus", ".aif",  ".aiff",
                                                 ".aifc", ".au",   ".snd", ".caf",  ".sph",  ".nist", ".voc"};
  return suffixes.count(SuffixOf(path)) > 0;
}

bool IsAudioName(std::string_view path) {
  static const std::set<std::string> media_suffixes = {
      ".m4a", ".m4b",  ".mp4", ".m4v", ".mov", ".aac",  ".wma", ".asf", ".amr", ".awb", ".3gp", ".3gpp",
      ".3g2", ".webm", ".mka", ".mkv", ".ac3", ".eac3", ".ape", ".wv",  ".tta", ".spx", ".avi"};
  return IsSndfileName(path) || media_suffixes.count(SuffixOf(path)) > 0;
}

bool IsFeatureName(std::string_view path) {
  const std::string suffix = SuffixOf(path);
  return suffix == ".npy" || suffix == ".bin";
}

}  // namespace ecapa
