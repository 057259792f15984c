// Finding the files of one kind below a folder, by the rules of src/corpus/walk.py.
#ifndef ECAPA_WALK_H_
#define ECAPA_WALK_H_

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ecapa {

// A file that is not used, and why.
struct SkippedFile {
  std::string name;
  std::string reason;
};

// What lies below a folder; every path is relative to it, with `/`, sorted.
struct FoundFiles {
  std::vector<std::string> names;           // files of the wanted kind
  std::vector<SkippedFile> skipped;         // of the wanted kind, or links to nothing, which cannot be opened
  std::vector<std::string> repeated_links;  // links to folders whose files are listed under another path
};

// Lists the files of one kind below a folder, at any depth; links are followed, names that start with a dot ignored.
// Each real folder is read once: under its own path when it lies below `folder`, else under the first link to it.
//
// Throws InputError when a folder cannot be read.
FoundFiles WalkFolder(const std::filesystem::path& folder, const std::function<bool(std::string_view)>& is_wanted);

}  // namespace ecapa

#endif  // ECAPA_WALK_H_
