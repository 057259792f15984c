// What MindSpore Lite does not say by itself: which version it is, why a call failed, whether there is a device.
#ifndef ECAPA_LITE_LIBRARY_H_
#define ECAPA_LITE_LIBRARY_H_

#include <cstdio>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>

namespace ecapa {

// Returns the version of a library, never empty: that of version.py in the folder above it (a wheel's), or of a folder
// such as mindspore-lite-2.7.0-linux-x64 on its path, else "unknown" and the start of the file's sha256.
std::string LibraryVersion(const std::filesystem::path& library);

// Returns whether version `text`, such as "2.7.0" or "2.3.0rc1", is earlier than `least`. One that is not known is not.
bool IsEarlier(std::string_view text, std::string_view least);

// Returns whether a folder of devices, such as /dev, has an Ascend device: davinci0, davinci1, ...
bool HasAscendDevice(const std::filesystem::path& folder);

// Keeps what the process writes to stderr between construction and Finish, which then writes it there after all. Lite
// logs why a call failed, and returns a code alone.
//
// The whole process is affected, so one lives at a time; others wait. A child process may go on writing to the file.
class StderrCapture {
 public:
  StderrCapture();
  ~StderrCapture();
  StderrCapture(const StderrCapture&) = delete;
  StderrCapture& operator=(const StderrCapture&) = delete;

  // Ends the capture and returns what was written; empty where no temporary file can be made.
  std::string Finish();

 private:
  std::unique_lock<std::mutex> lock_;
  std::FILE* file_ = nullptr;
  int stderr_ = -1;  // the real one; -1: nothing is captured
};

// Returns the reason in Lite's log, on one line: of the exception that it caught, else of its first error; empty: none.
std::string CauseIn(std::string_view log);

}  // namespace ecapa

#endif  // ECAPA_LITE_LIBRARY_H_
