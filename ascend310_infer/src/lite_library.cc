#include "src/lite_library.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <regex>
#include <vector>

#include "src/files.h"

namespace ecapa {
namespace {

// The whole numbers of a version; empty when it does not begin with one.
std::vector<int> NumbersOf(std::string_view text) {
  std::vector<int> numbers;
  size_t i = 0;
  while (i < text.size() && std::isdigit(static_cast<unsigned char>(text[i])) != 0 && numbers.size() < 3) {
    int number = 0;
    for (; i < text.size() && std::isdigit(static_cast<unsigned char>(text[i])) != 0; ++i) {
      number = std::min(number * 10 + (text[i] - '0'), 100000);
    }
    numbers.push_back(number);
    if (i < text.size() && text[i] == '.') ++i;
  }
  return numbers;
}

// The part of `line` behind "[ERROR] LITE(...):date [file:line] function] ".
std::string_view MessageOf(std::string_view line) {
  for (int part = 0; part < 3; ++part) {
    const size_t end = line.find("] ");
    if (end == std::string_view::npos) break;
    line.remove_prefix(end + 2);
  }
  return line;
}

std::string_view LineAt(std::string_view log, size_t position) {
  return log.substr(position, std::min(log.find('\n', position), log.size()) - position);
}

}  // namespace

std::string LibraryVersion(const std::filesystem::path& library) {
  std::smatch found;
  const std::filesystem::path of_wheel = library.parent_path().parent_path() / "version.py";
  if (std::filesystem::is_regular_file(of_wheel)) {
    const std::string text = ReadText(of_wheel);
    if (std::regex_search(text, found, std::regex("__version__ *= *['\"]([^'\"]+)['\"]"))) return found[1];
  }
  const std::string path = library.string();
  if (std::regex_search(path, found, std::regex("mindspore-lite-([0-9][^-/]*)"))) return found[1];
  return "unknown (library " + Sha256OfFile(library).substr(0, 12) + ")";
}

bool IsEarlier(std::string_view text, std::string_view least) {
  const std::vector<int> numbers = NumbersOf(text);
  return !numbers.empty() && numbers < NumbersOf(least);
}

bool HasAscendDevice(const std::filesystem::path& folder) {
  static const std::regex kName("davinci[0-9]+");
  std::error_code failure;
  const auto entries = std::filesystem::directory_iterator(folder, failure);
  return std::any_of(begin(entries), end(entries), [](const std::filesystem::directory_entry& entry) {
    return std::regex_match(entry.path().filename().string(), kName);
  });
}

StderrCapture::StderrCapture() {
  static std::mutex mutex;
  lock_ = std::unique_lock<std::mutex>(mutex);
  std::fflush(stderr);
  file_ = std::tmpfile();
  if (file_ == nullptr) return;
  stderr_ = dup(STDERR_FILENO);
  if (stderr_ < 0) return;
  if (dup2(fileno(file_), STDERR_FILENO) < 0) {
    close(stderr_);
    stderr_ = -1;
  }
}

StderrCapture::~StderrCapture() {
  Finish();
  if (file_ != nullptr) std::fclose(file_);
}

std::string StderrCapture::Finish() {
  if (stderr_ < 0) return {};
  std::fflush(stderr);
  dup2(stderr_, STDERR_FILENO);
  close(stderr_);
  stderr_ = -1;
  std::string text;
  std::rewind(file_);
  char block[4096];
  for (size_t count = 0; (count = std::fread(block, 1, sizeof block, file_)) > 0;) text.append(block, count);
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
  return text;
}

std::string CauseIn(std::string_view log) {
  constexpr std::string_view kCaught = "Catch exception: ";
  const size_t caught = log.find(kCaught);
  if (caught != std::string_view::npos) return std::string(LineAt(log, caught + kCaught.size()));
  const size_t error = log.find("[ERROR]");
  if (error == std::string_view::npos) return {};
  return std::string(MessageOf(LineAt(log, error)));
}

}  // namespace ecapa
