#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "src/files.h"
#include "src/npy.h"
#include "tests/support.h"

namespace ecapa {

TEST_CASE("a written file is whole, readable by others, and leaves nothing beside it") {
  const TemporaryFolder folder;
  WriteFile(folder / "a.txt", {"one ", "two"});
  WriteFile(folder / "a.txt", {"three"});
  CHECK(ReadText(folder / "a.txt") == "three");
  struct stat status;
  REQUIRE(stat((folder / "a.txt").c_str(), &status) == 0);
  const mode_t mask = umask(0);
  umask(mask);
  CHECK((status.st_mode & 0777) == (0666 & ~mask));
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("a file that cannot be renamed into place leaves nothing behind") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "taken" / "inside");
  CHECK_THROWS_AS(WriteFile(folder / "taken", {"x"}), InputError);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("text may start with a byte order mark, which other bytes are not") {
  const TemporaryFolder folder;
  CHECK(ReadText(folder.Write("a", "\xEF\xBB\xBFtext")) == "text");
  CHECK(ReadText(folder.Write("b", "\xEF\xBB\xBF")).empty());
  CHECK(ReadText(folder.Write("c", "\xEF\xBBtext")) == "\xEF\xBBtext");
}

TEST_CASE("a folder is locked by one at a time, and the lock file goes with the lock") {
  const TemporaryFolder folder;
  std::atomic<bool> is_held{false};
  std::thread other;
  {
    const FolderLock lock(folder.path());
    CHECK(Contains(ReadText(folder / ".lock"), Concat("process ", getpid(), " on ")));
    is_held = true;
    other = std::thread([&] {
      const FolderLock second(folder.path());
      CHECK_FALSE(is_held);
      CHECK(std::filesystem::exists(folder / ".lock"));
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    is_held = false;
  }
  other.join();
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a folder in which nothing can be written cannot be locked") {
  const TemporaryFolder folder;
  CHECK(Contains(MessageOf([&] { FolderLock lock(folder.Write("file", "")); }), "file/.lock: Not a directory."));
}

TEST_CASE("a full disk is an error") {
  if (std::filesystem::exists("/dev/full")) CHECK_THROWS_AS(WriteFile("/proc/none/x", {"x"}), InputError);
}

TEST_CASE("missing files, folders and short files are errors with their name") {
  const TemporaryFolder folder;
  CHECK(Contains(MessageOf([&] { ReadText(folder / "none"); }), "none: No such file or directory."));
  CHECK(Contains(MessageOf([&] { ReadText(folder.path()); }), ": expected a file."));
  folder.Write("short", "abc");
  const InputFile file(folder / "short");
  char buffer[4];
  CHECK(Contains(MessageOf([&] { file.ReadAt(0, buffer, 4); }), "short: ends at byte 3, 1 more were expected."));
  CHECK(Contains(MessageOf([&] { ReadText(folder / "short", 2); }), "expected at most 2 bytes, got 3."));
}

TEST_CASE("SHA-256 gives the standard's values") {
  const TemporaryFolder folder;
  folder.Write("abc", "abc");
  CHECK(Sha256OfFile(folder / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  folder.Write("empty", "");
  CHECK(Sha256OfFile(folder / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("a .npy header is read as NumPy writes it") {
  const std::string header = NpyHeader(3, 80);
  CHECK(header.size() == 128);
  CHECK(header.substr(0, 10) == std::string("\x93NUMPY\x01\x00\x76\x00", 10));
  CHECK(header.back() == '\n');
  const NpyLayout layout = ParseNpyHeader(header, 128 + 960, "f.npy");
  CHECK((layout.rows == 3 && layout.columns == 80 && layout.data_offset == 128));
  CHECK(NpyHeader(INT64_MAX / 4, 80).size() == 128);
}

namespace {

std::string NpyWith(const std::string& dictionary, char version = 1) {
  std::string text = "\x93NUMPY";
  text += version;
  text += '\0';
  text += static_cast<char>(dictionary.size());
  text += '\0';
  if (version > 1) text += std::string(2, '\0');
  return text + dictionary;
}

std::string NpyMessage(const std::string& head, int64_t file_bytes) {
  return MessageOf([&] { ParseNpyHeader(head, file_bytes, "f.npy"); });
}

}  // namespace

TEST_CASE("other spellings of the header are read too") {
  const std::string head = NpyWith("{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<f4\"}", 2);
  const auto size = static_cast<int64_t>(head.size());
  const NpyLayout layout = ParseNpyHeader(head, size + 24, "f.npy");
  CHECK((layout.rows == 2 && layout.columns == 3 && layout.data_offset == size));
}

TEST_CASE("other arrays and damaged headers are refused") {
  const auto wrong = [](const std::string& dictionary) { return NpyMessage(NpyWith(dictionary), 1000); };
  const std::string damaged = "f.npy: not a whole .npy file. Make it again.";
  CHECK(Contains(wrong("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }"), "got <f8 (2, 3)."));
  CHECK(Contains(wrong("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }"), "got >f4 (2, 3)."));
  CHECK(Contains(wrong("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }"), "in Fortran order."));
  CHECK(Contains(wrong("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }"), "got <f4 (6)."));
  CHECK(Contains(wrong("{'descr': '<f4', 'fortran_order': False, 'shape': (), }"), "got <f4 ()."));
  CHECK(wrong("{'descr': '<f4', 'shape': (2, 3), }") == damaged);
  CHECK(wrong("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }") == damaged);
  CHECK(wrong("{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3), }") == damaged);
  CHECK(wrong("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3), }") == damaged);
  CHECK(NpyMessage("", 0) == damaged);
  CHECK(NpyMessage("PK\x03\x04 an npz in truth", 1000) == damaged);
  CHECK(NpyMessage(NpyHeader(3, 80).substr(0, 40), 40) == damaged);
}

TEST_CASE("a .npy header whose size the file has not is refused") {
  const std::string header = NpyHeader(3, 80);
  for (const int64_t bytes : {0, 959, 961, 4 * 960}) {
    CHECK(Contains(NpyMessage(header, 128 + bytes), "its header says (3, 80), but it has"));
  }
  // Sizes whose product overflows to what the file has.
  CHECK(Contains(NpyMessage(NpyHeader(int64_t{1} << 62, 4), 128), "but it has 0 bytes"));
  CHECK(Contains(NpyMessage(NpyHeader(2, INT64_MAX), 128 + 8), "but it has 8 bytes"));
}

}  // namespace ecapa
