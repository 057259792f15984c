// Files: read with every byte count checked, written beside their name and renamed, hashed, and folders locked.
#ifndef ECAPA_FILES_H_
#define ECAPA_FILES_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ecapa {

// A regular file that is open for reading. All methods may be called from several threads.
class InputFile {
 public:
  // Throws InputError when it is missing, unreadable or not a regular file.
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int64_t size() const { return size_; }

  // Fills `buffer` with the `num_bytes` bytes from `offset` on; throws InputError when the file has fewer.
  void ReadAt(int64_t offset, void* buffer, size_t num_bytes) const;

 private:
  std::filesystem::path path_;
  int descriptor_;
  int64_t size_ = 0;
};

// Returns the content of a text file, without the byte order mark that it may start with; throws InputError when it
// cannot be read or has more than `max_bytes`.
std::string ReadText(const std::filesystem::path& path, int64_t max_bytes = int64_t{1} << 30);

// Writes `parts`, one after the other, beside `path`, syncs, and renames: `path` is whole or as it was before.
// Throws InputError when any step fails. A file system that cannot sync is no failure: a warning says so, once.
void WriteFile(const std::filesystem::path& path, const std::vector<std::string_view>& parts);

// Makes a folder and its parents; throws InputError when that fails.
void MakeFolder(const std::filesystem::path& folder);

// Keeps other programs out of a folder while it lives: lock_folder() in src/files.py does the same.
//
// The lock is flock on the file `.lock` in the folder, which holds one line that says who works there. The system ends
// the lock with the process, however it ends. Whoever gets the lock checks that the file is still there under its name,
// because the holder removes it at the end. Where the file system has no locks, a warning says so and the work goes on.
class FolderLock {
 public:
  // Waits for the program that has the lock, and says on stderr for whom.
  //
  // Throws InputError when the lock file cannot be made.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;  // -1: there are no locks
};

// SHA-256 of what is given to it.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void Update(const void* data, size_t num_bytes);
  // Adds a file's content; throws InputError when it cannot be read.
  void UpdateFile(const std::filesystem::path& path);
  // Returns the digest, hexadecimal. To be called once, last.
  std::string Hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// Returns the SHA-256 of a file's content, hexadecimal.
std::string Sha256OfFile(const std::filesystem::path& path);

}  // namespace ecapa

#endif  // ECAPA_FILES_H_
