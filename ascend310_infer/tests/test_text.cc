#include <doctest/doctest.h>

#include "src/gears.h"
#include "src/text.h"
#include "tests/support.h"

namespace ecapa {

TEST_CASE("UTF-8 is told from what only resembles it") {
  for (const char* good : {"", "a", "\xC3\xA9", "\xE4\xBD\xA0", "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF"})
    CHECK(IsUtf8(good));
  for (const char* bad : {"\x80", "\xC3", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF"}) {
    CHECK_FALSE(IsUtf8(bad));
  }
}

TEST_CASE("csv fields may hold commas, quotes and line ends, and come back from CsvLine as they were") {
  const std::vector<std::string> header = {"a", "b"};
  const std::vector<std::string> hard = {"x,\"y\"", "two\nlines\r"};
  const auto rows = ParseCsv(CsvLine(header) + CsvLine(hard) + "1,2\r\n\"3\",", "t.csv", header);
  CHECK(rows == std::vector<std::vector<std::string>>{hard, {"1", "2"}, {"3", ""}});
}

TEST_CASE("csv errors name the place and what was expected") {
  const auto message = [](const char* text) { return MessageOf([&] { ParseCsv(text, "t.csv", {"a", "b"}); }); };
  CHECK(message("") == "t.csv:1: expected the header 'a,b', got an empty file.");
  CHECK(message("a,c\n") == "t.csv:1: expected the header 'a,b', got 'a,c'.");
  CHECK(message("a,b\n1,2\n1\n") == "t.csv: row 3: expected 2 columns, got 1.");
  CHECK(message("a,b\n\n") == "t.csv: row 2: expected 2 columns, got 0.");
  CHECK(message("a,b\n\xFF,2\n") == "t.csv: expected UTF-8 text.");
}

TEST_CASE("a count is decimal digits that fit") {
  CHECK(ParseCount("0") == 0);
  CHECK(ParseCount("9223372036854775807") == INT64_MAX);
  for (const char* bad : {"", "-1", "+1", " 1", "1 ", "1.0", "0x1", "9223372036854775808"})
    CHECK_FALSE(ParseCount(bad));
}

TEST_CASE("a list has a path, or a name and a path, a line") {
  const auto entries = ParseList("id1/a.wav\r\n\nname\t/x/b c.wav", "l.txt");
  REQUIRE(entries.size() == 2);
  CHECK((entries[0].utt_id == "id1/a.wav" && entries[0].path == "id1/a.wav"));
  CHECK((entries[1].utt_id == "name" && entries[1].path == "/x/b c.wav"));
  CHECK(SpeakerOf("id1/a.wav") == "id1");
  CHECK(SpeakerOf("alone") == "alone");
}

TEST_CASE("list errors name the line") {
  const auto message = [](const char* text) { return MessageOf([&] { ParseList(text, "l.txt"); }); };
  CHECK(message("\n") == "l.txt: expected a file a line, got none.");
  CHECK(message("a\nb\na\n") == "l.txt:3: a stands twice. Give one of them another utt_id.");
  for (const char* bad : {"a\t", "\ta", "a\tb\tc"}) CHECK(Contains(message(bad), "l.txt:1: expected 'path' or"));
  CHECK(message("\xC0") == "l.txt: expected UTF-8 text.");
}

TEST_CASE("gears are read from their section only") {
  const char* text =
      "# gears\n[ascend_context]\nge.dynamicDims=\"7\"\n\n[acl_build_options]\ninput_format=\"ND\"\n"
      "ge.dynamicDims = \"400;200; 300;200\"\r\n";
  CHECK(ParseGears(text, "c.ini") == std::vector<int64_t>{200, 300, 400});
  CHECK(ParseGears("[acl_build_options]\nge.dynamicDims=300", "c.ini") == std::vector<int64_t>{300});
  CHECK(ParseGears("", "c.ini").empty());
}

TEST_CASE("what is no list of gears is refused with its line") {
  const auto message = [](const std::string& value) {
    return MessageOf([&] { ParseGears("[acl_build_options]\nge.dynamicDims=" + value, "c.ini"); });
  };
  for (const char* bad : {"1,200;1,300", "0", "-3", "x", "99999999999", ";"}) {
    CHECK(Contains(message(bad), "c.ini:2: expected numbers of frames such as"));
  }
  CHECK(MessageOf([] { ParseGears("[a]\nword", "c.ini"); }) == "c.ini:2: expected [section] or key=value, got 'word'.");
}

}  // namespace ecapa
