#include "src/files.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <system_error>
#include <utility>

#include "src/errors.h"

namespace ecapa {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 20;
constexpr size_t kLongestHolder = 300;  // bytes of a lock file that a message shows

InputError SystemError(const std::filesystem::path& path) {
  return InputError(Concat(path.string(), ": ", std::strerror(errno), "."));
}

// Tells whether the last call failed because the file system does not offer it.
bool IsUnsupported() {
  for (const int number : {EINVAL, ENOTSUP, EOPNOTSUPP, ENOSYS, EPERM, EACCES, EBADF}) {
    if (errno == number) return true;
  }
  return false;
}

// Makes a file's content, or the renames in a folder, survive a power failure, where the file system can.
void Sync(int descriptor, const std::filesystem::path& path) {
  static std::atomic<bool> was_warned{false};
  if (fsync(descriptor) == 0) return;
  if (!IsUnsupported()) throw SystemError(path);
  const int reason = errno;
  if (was_warned.exchange(true)) return;
  std::cerr << "warning: " << path.string() << ": this file system cannot sync it (" << std::strerror(reason)
            << "): a power failure may undo it.\n";
}

void SyncFolder(const std::filesystem::path& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) return;  // a folder may be writable and not readable
  try {
    Sync(descriptor, folder);
  } catch (...) {
    close(descriptor);
    throw;
  }
  close(descriptor);
}

// A file beside `path` that is removed unless it takes its name.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& path) : path_(path) {
    name_ = (path.parent_path() / ("." + path.filename().string() + ".XXXXXX")).string();
    descriptor_ = mkstemp(name_.data());
    if (descriptor_ < 0) throw SystemError(path_);
  }
  ~TemporaryFile() {
    if (descriptor_ >= 0) close(descriptor_);
    if (!is_renamed_) unlink(name_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void Write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = write(descriptor_, bytes.data(), std::min(bytes.size(), kBlockBytes));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw SystemError(path_);
      bytes.remove_prefix(static_cast<size_t>(written));
    }
  }

  void Rename() {
    const mode_t mask = umask(0);  // mkstemp makes files that only their owner can read
    umask(mask);
    if (fchmod(descriptor_, 0666 & ~mask) != 0) throw SystemError(path_);
    Sync(descriptor_, path_);
    if (close(std::exchange(descriptor_, -1)) != 0) throw SystemError(path_);
    if (std::rename(name_.c_str(), path_.c_str()) != 0) throw SystemError(path_);
    is_renamed_ = true;
    SyncFolder(path_.has_parent_path() ? path_.parent_path() : ".");
  }

 private:
  const std::filesystem::path& path_;
  std::string name_;
  int descriptor_ = -1;
  bool is_renamed_ = false;
};

// Returns the line in a lock file, which says who has the lock.
std::string HolderOf(int descriptor) {
  std::string line(kLongestHolder, '\0');
  const ssize_t count = pread(descriptor, line.data(), line.size(), 0);
  line.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
  line.resize(std::min(line.find('\n'), line.size()));
  return line.empty() ? "another process" : line;
}

std::string ThisProcess() {
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  return Concat("process ", getpid(), " on ", host, " (ecapa_infer)");
}

// Tells whether an open file still has this name.
bool IsNamed(int descriptor, const std::filesystem::path& path) {
  struct stat opened, named;
  return fstat(descriptor, &opened) == 0 && stat(path.c_str(), &named) == 0 && opened.st_dev == named.st_dev &&
         opened.st_ino == named.st_ino;
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : path_(path), descriptor_(open(path.c_str(), O_RDONLY)) {
  if (descriptor_ < 0) throw SystemError(path_);
  struct stat status;
  const bool is_file = fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
  if (!is_file) {
    close(descriptor_);
    throw InputError(Concat(path_.string(), ": expected a file."));
  }
  size_ = status.st_size;
}

InputFile::~InputFile() { close(descriptor_); }

void InputFile::ReadAt(int64_t offset, void* buffer, size_t num_bytes) const {
  auto* next = static_cast<char*>(buffer);
  while (num_bytes > 0) {
    const ssize_t count = pread(descriptor_, next, num_bytes, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw SystemError(path_);
    if (count == 0) {
      throw InputError(Concat(path_.string(), ": ends at byte ", offset, ", ", num_bytes, " more were expected."));
    }
    next += count;
    offset += count;
    num_bytes -= static_cast<size_t>(count);
  }
}

std::string ReadText(const std::filesystem::path& path, int64_t max_bytes) {
  const InputFile file(path);
  if (file.size() > max_bytes) {
    throw InputError(Concat(path.string(), ": expected at most ", max_bytes, " bytes, got ", file.size(), "."));
  }
  std::string text(static_cast<size_t>(file.size()), '\0');
  file.ReadAt(0, text.data(), text.size());
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.compare(0, kByteOrderMark.size(), kByteOrderMark) == 0) text.erase(0, kByteOrderMark.size());
  return text;
}

void WriteFile(const std::filesystem::path& path, const std::vector<std::string_view>& parts) {
  TemporaryFile file(path);
  for (const auto part : parts) file.Write(part);
  file.Rename();
}

void MakeFolder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw InputError(Concat(folder.string(), ": ", error.message(), "."));
}

FolderLock::FolderLock(const std::filesystem::path& folder) : path_(folder / ".lock") {
  bool is_told = false;
  while (true) {
    const int descriptor = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0 && errno == ENOENT && !std::filesystem::exists(folder)) {
      MakeFolder(folder);  // whoever had the lock removed the folder, which was empty
      continue;
    }
    if (descriptor < 0) throw SystemError(path_);
    int state = flock(descriptor, LOCK_EX | LOCK_NB);
    if (state != 0 && errno == EWOULDBLOCK) {
      if (!is_told) std::cerr << folder.string() << ": waiting for " << HolderOf(descriptor) << ", which writes here\n";
      is_told = true;
      do {
        state = flock(descriptor, LOCK_EX);
      } while (state != 0 && errno == EINTR);
    }
    if (state != 0) {
      std::cerr << "warning: " << folder.string() << ": cannot be locked (" << std::strerror(errno)
                << "): run one program at a time there.\n";
      close(descriptor);
      return;
    }
    if (IsNamed(descriptor, path_)) {
      descriptor_ = descriptor;
      break;
    }
    close(descriptor);
  }
  const std::string holder = ThisProcess() + "\n";
  const bool is_written = ftruncate(descriptor_, 0) == 0 &&
                          pwrite(descriptor_, holder.data(), holder.size(), 0) == static_cast<ssize_t>(holder.size());
  if (is_written) return;
  const InputError error = SystemError(path_);
  unlink(path_.c_str());
  close(descriptor_);
  throw error;
}

FolderLock::~FolderLock() {
  if (descriptor_ < 0) return;
  unlink(path_.c_str());  // before the lock ends: whoever waits for it sees that the file is gone
  close(descriptor_);
}

struct Sha256::Context {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> digest{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  if (context_->digest == nullptr || EVP_DigestInit_ex(context_->digest.get(), EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error("OpenSSL offers no SHA-256");
  }
}

Sha256::~Sha256() = default;

void Sha256::Update(const void* data, size_t num_bytes) {
  if (EVP_DigestUpdate(context_->digest.get(), data, num_bytes) != 1) throw std::runtime_error("SHA-256 failed");
}

std::string Sha256::Hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(context_->digest.get(), digest, &size) != 1) throw std::runtime_error("SHA-256 failed");
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

void Sha256::UpdateFile(const std::filesystem::path& path) {
  const InputFile file(path);
  std::vector<char> block(kBlockBytes);
  for (int64_t offset = 0; offset < file.size();) {
    const auto count = static_cast<size_t>(std::min<int64_t>(kBlockBytes, file.size() - offset));
    file.ReadAt(offset, block.data(), count);
    Update(block.data(), count);
    offset += static_cast<int64_t>(count);
  }
}

std::string Sha256OfFile(const std::filesystem::path& path) {
  Sha256 digest;
  digest.UpdateFile(path);
  return digest.Hex();
}

}  // namespace ecapa
