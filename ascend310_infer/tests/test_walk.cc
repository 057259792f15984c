// Second variants: capitals; a link to a folder above, to one beside, two links to one folder outside, a link to
// itself, a pipe by the name of a recording.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "src/names.h"
#include "src/walk.h"
#include "tests/support.h"

namespace ecapa {
namespace {

using Paths = std::vector<std::string>;

void Touch(const TemporaryFolder& folder, const std::string& name) {
  std::filesystem::create_directories((folder / name).parent_path());
  folder.Write(name, "x");
}

void Link(const TemporaryFolder& folder, const std::string& name, const std::string& target) {
  std::filesystem::create_symlink(target, folder / name);
}

FoundFiles Find(const TemporaryFolder& folder, const std::string& below = "") {
  return WalkFolder(folder / below, IsAudioName);
}

}  // namespace

TEST_CASE("files of all depths and suffixes are found, hidden ones not") {
  const TemporaryFolder folder;
  for (const char* name : {"b.WAV", "a/c/d.m4a", "a/x.Flac", "notes.txt", ".hidden.wav", ".git/a.wav"})
    Touch(folder, name);
  const FoundFiles found = Find(folder);
  CHECK(found.names == Paths{"a/c/d.m4a", "a/x.Flac", "b.WAV"});
  CHECK((found.skipped.empty() && found.repeated_links.empty()));
}

TEST_CASE("links in a circle end, and no recording gets a second name") {
  const TemporaryFolder folder;
  Touch(folder, "speaker/a.wav");
  Link(folder, "one", ".");
  Link(folder, "two", ".");
  Link(folder, "alias", "speaker");
  Link(folder, "speaker/up", "..");
  const FoundFiles found = Find(folder);
  CHECK(found.names == Paths{"speaker/a.wav"});
  CHECK(found.repeated_links == Paths{"alias", "one", "speaker/up", "two"});
}

TEST_CASE("links to folders elsewhere are followed once") {
  const TemporaryFolder folder;
  Touch(folder, "outside/deep/a.wav");
  Touch(folder, "inside/b.wav");
  Link(folder, "inside/x", "../outside");
  Link(folder, "inside/y", "../outside/deep");
  const FoundFiles found = Find(folder, "inside");
  CHECK(found.names == Paths{"b.wav", "x/deep/a.wav"});
  CHECK(found.repeated_links == Paths{"y"});
}

TEST_CASE("what cannot be opened is listed with its reason") {
  const TemporaryFolder folder;
  Touch(folder, "a.wav");
  Touch(folder, "\xFF.wav");
  Link(folder, "gone.wav", "nowhere");
  Link(folder, "self", "self");
  Link(folder, "unmounted", "/nowhere/at/all");
  REQUIRE(mkfifo((folder / "pipe.wav").c_str(), 0600) == 0);
  const FoundFiles found = Find(folder);
  CHECK(found.names == Paths{"a.wav"});
  std::string said;
  for (const auto& file : found.skipped) said += file.name + ": " + file.reason + "\n";
  CHECK(said ==
        "\\xff.wav: its name is not UTF-8\n"
        "gone.wav: a link to nothing\n"
        "pipe.wav: not a regular file\n"
        "self: a link that leads nowhere (too many levels of symbolic links)\n"
        "unmounted: a link to nothing\n");
}

}  // namespace ecapa
