#include "src/walk.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <deque>
#include <set>
#include <system_error>
#include <utility>

#include "src/errors.h"
#include "src/text.h"

namespace ecapa {
namespace {

namespace fs = std::filesystem;

// One walk: what was found, and the folders that wait.
class Walk {
 public:
  Walk(const fs::path& folder, const std::function<bool(std::string_view)>& is_wanted)
      : folder_(folder), is_wanted_(is_wanted) {}

  FoundFiles Run() {
    real_.emplace_back();
    while (!real_.empty() || !links_.empty()) {
      const bool is_link = real_.empty();  // real folders go first
      std::deque<std::string>& waiting = is_link ? links_ : real_;
      const std::string prefix = std::move(waiting.front());
      waiting.pop_front();
      struct stat status;
      if (stat((folder_ / prefix).c_str(), &status) != 0) {
        throw Unreadable(prefix, std::error_code(errno, std::generic_category()));
      }
      if (visited_.emplace(status.st_dev, status.st_ino).second) {
        ReadFolder(prefix);
      } else if (is_link) {
        found_.repeated_links.push_back(Printable(prefix.substr(0, prefix.size() - 1)));
      }
    }
    const auto by_name = [](const SkippedFile& a, const SkippedFile& b) { return a.name < b.name; };
    std::sort(found_.names.begin(), found_.names.end());
    std::sort(found_.skipped.begin(), found_.skipped.end(), by_name);
    std::sort(found_.repeated_links.begin(), found_.repeated_links.end());
    return std::move(found_);
  }

 private:
  InputError Unreadable(const std::string& prefix, const std::error_code& error) const {
    return InputError(Concat((folder_ / prefix).string(), ": cannot be read (", error.message(), ")."));
  }

  void ReadFolder(const std::string& prefix) {
    std::error_code error;
    std::vector<fs::directory_entry> entries;
    for (fs::directory_iterator next(folder_ / prefix, error), end; !error && next != end; next.increment(error)) {
      entries.push_back(*next);
    }
    if (error) throw Unreadable(prefix, error);
    std::sort(entries.begin(), entries.end());
    for (const auto& entry : entries) {
      const std::string base = entry.path().filename().string();
      if (base[0] != '.') Add(entry, prefix + base);
    }
  }

  void Add(const fs::directory_entry& entry, const std::string& name) {
    std::error_code error;
    const fs::file_type type = entry.status(error).type();
    std::error_code ignored;  // whatever it is, `status` has it too
    const bool is_link = entry.symlink_status(ignored).type() == fs::file_type::symlink;
    if (type == fs::file_type::none) {  // a link to itself: too many levels of symbolic links
      std::string reason = error.message();
      if (!reason.empty()) reason[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(reason[0])));
      Skip(name, Concat("a link that leads nowhere (", reason, ")"));
    } else if (type == fs::file_type::directory) {
      (is_link ? links_ : real_).push_back(name + "/");
    } else if (type == fs::file_type::not_found && is_link) {
      Skip(name, "a link to nothing");
    } else if (!is_wanted_(name)) {
      return;
    } else if (type != fs::file_type::regular) {
      Skip(name, "not a regular file");
    } else if (!IsUtf8(name)) {
      Skip(name, "its name is not UTF-8");
    } else {
      found_.names.push_back(name);
    }
  }

  void Skip(const std::string& name, const std::string& reason) { found_.skipped.push_back({Printable(name), reason}); }

  const fs::path& folder_;
  const std::function<bool(std::string_view)>& is_wanted_;
  FoundFiles found_;
  std::deque<std::string> real_, links_;  // prefixes of folders that wait
  std::set<std::pair<dev_t, ino_t>> visited_;
};

}  // namespace

FoundFiles WalkFolder(const fs::path& folder, const std::function<bool(std::string_view)>& is_wanted) {
  return Walk(folder, is_wanted).Run();
}

}  // namespace ecapa
