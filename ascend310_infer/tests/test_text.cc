#include <doctest/doctest.h>

#include "src/lite_config.h"
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

TEST_CASE("bytes that are not UTF-8 are printed as numbers") {
  CHECK(Printable("zo\xC3\xAB \xFFz\xC3") == "zo\xC3\xAB \\xffz\\xc3");
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
  CHECK(message("a,b\n\xFF,2\n") == "t.csv:2: expected UTF-8 text, got other bytes. Save the file as UTF-8.");
  CHECK(message("\xFF\xFE\x61") == "t.csv:1: expected UTF-8 text, got UTF-16. Save the file as UTF-8.");
}

// Second variant: blank lines within the table and before its header, of blanks only; ends of line of old Macs.
TEST_CASE("blank lines of a table or a list are left out, whatever ends a line") {
  const std::vector<std::vector<std::string>> expected = {{"1", "2"}, {"", "3"}};
  for (const char* text : {"a,b\n1,2\n,3\n\n", "a,b\r\n1,2\r\n,3\r\n\r\n", "\n\na,b\r1,2\r \t\r,3\r"}) {
    CHECK(ParseCsv(text, "t.csv", {"a", "b"}) == expected);
  }
  for (const char* text : {"x/1\ny/2\n\n", "\r\nx/1\r\ny/2\r\n", "x/1\ry/2\r", " \nx/1\n\t\ny/2"}) {
    const auto entries = ParseList(text, "l.txt");
    REQUIRE(entries.size() == 2);
    CHECK((entries[0].utt_id == "x/1" && entries[1].path == "y/2"));
  }
}

TEST_CASE("a count is decimal digits that fit") {
  CHECK(ParseCount("0") == 0);
  CHECK(ParseCount("9223372036854775807") == INT64_MAX);
  for (const char* bad : {"", "-1", "+1", " 1", "1 ", "1.0", "0x1", "9223372036854775808"})
    CHECK_FALSE(ParseCount(bad));
}

TEST_CASE("a list has a path, or a name and a path, a line") {
  const auto entries = ParseList("/data/wav//./id1/a.wav\r\n\nname\t/x/b c.wav", "l.txt");
  REQUIRE(entries.size() == 2);
  CHECK((entries[0].utt_id == "id1/a.wav" && entries[0].path == "/data/wav//./id1/a.wav"));
  CHECK((entries[1].utt_id == "name" && entries[1].path == "/x/b c.wav"));
  CHECK(SpeakerOf("id1/a.wav") == "id1");
  CHECK(SpeakerOf("alone") == "alone");
}

TEST_CASE("list errors name the line") {
  const auto message = [](const char* text) { return MessageOf([&] { ParseList(text, "l.txt"); }); };
  CHECK(message("\n") == "l.txt: expected a file a line, got none.");
  const std::string twice = "l.txt:3: a is there twice, first in line 1. Give one of them another utt_id.";
  for (const char* text : {"a\nb\na\n", "a\nb\n./a\n", "./x/../a\tp\nb\n.//a\tq\n"}) CHECK(message(text) == twice);
  for (const char* bad : {"a\t", "\ta", "a\tb\tc"}) CHECK(Contains(message(bad), "l.txt:1: expected 'path' or"));
  CHECK(Contains(MessageOf([] { ParseList(std::string_view("a\0b", 3), "l.txt"); }), "l.txt:1: expected 'path' or"));
  CHECK(Contains(message("a\n\xC0"), "l.txt:2: expected UTF-8 text"));
  CHECK(message("a\n../b") == "l.txt:2: '../b' leads out of the corpus's folder. Write the path below it.");
  CHECK(Contains(message("/data/a"), "l.txt:1: '/data/a' is an absolute path without a folder wav"));
}

TEST_CASE("a configuration file of MindSpore Lite is sections of keys and values") {
  const LiteConfig config = ParseLiteConfig(
      "# gears\n[ascend_context]\nge.dynamicDims=\"7\"\n\n[acl_build_options]\ninput_format=\"ND\"\n"
      "ge.dynamicDims = \"400;200\"\r\ninput_format=NCHW\nempty=\n",
      "c.ini");
  CHECK(config == LiteConfig{{{"ascend_context", "ge.dynamicDims"}, "7"},
                             {{"acl_build_options", "input_format"}, "NCHW"},
                             {{"acl_build_options", "ge.dynamicDims"}, "400;200"},
                             {{"acl_build_options", "empty"}, ""}});
  CHECK(ParseLiteConfig("", "c.ini").empty());
  CHECK(MessageOf([] { ParseLiteConfig("[a]\nword", "c.ini"); }) ==
        "c.ini:2: expected [section] or key=value, got 'word'.");
}

}  // namespace ecapa
