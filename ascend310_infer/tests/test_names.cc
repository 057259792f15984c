#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "src/names.h"
#include "tests/support.h"

namespace ecapa {
namespace {

// The tables that Python's tests read too.
nlohmann::json Table(const std::string& name) {
  const std::string path = std::string(ECAPA_SHARED_TESTS) + "/" + name;
  return ParseJson(ReadText(path), path);
}

}  // namespace

// Those with known names are Python's alone, and those that need Unicode's tables.
TEST_CASE("spellings of names stand for what the table says") {
  size_t num_cases = 0;
  const auto table = Table("names_cases.json");
  for (const auto& row : table["cases"]) {
    if (row.contains("known") || row.contains("python_only")) continue;
    ++num_cases;
    Names names;
    std::vector<std::string> found;
    const std::string message = MessageOf([&] {
      for (const auto& spelling : row["spellings"]) found.push_back(names.Find(spelling.get<std::string>(), "list:7"));
    });
    INFO(row.dump());
    if (row["names"].is_null()) {
      CHECK(message.substr(0, 8) == "list:7: ");
      CHECK(found.size() + 1 == row["spellings"].size());
    } else {
      CHECK(found == row["names"].get<std::vector<std::string>>());
      for (const auto& name : found) CHECK(UtteranceName(name, "") == name);
    }
  }
  CHECK(num_cases >= 15);
}

TEST_CASE("audio is known by its name") {
  const auto table = Table("audio_names.json");
  CHECK(table.size() >= 40);
  for (const auto& item : table.items()) CHECK_MESSAGE(IsAudioName(item.key()) == item.value().get<bool>(), item.key());
}

TEST_CASE("features are known by their name") {
  for (const char* name : {"a.npy", "x/a.NPY", "a.Bin"}) CHECK(IsFeatureName(name));
  for (const char* name : {"npy", ".npy", "a.npy.txt", "a.npz"}) CHECK_FALSE(IsFeatureName(name));
}

}  // namespace ecapa
