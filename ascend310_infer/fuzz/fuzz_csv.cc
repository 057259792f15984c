#include "fuzz/fuzz.h"
#include "src/text.h"

// What CsvLine writes, ParseCsv gives back.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return ecapa::Fuzz(data, size, [](std::string_view text) {
    const std::vector<std::string> header = {"utt_id", "spk_id"};
    std::string table = ecapa::CsvLine(header);
    const auto rows = ecapa::ParseCsv(table + std::string(text), "fuzz.csv", header);
    for (const auto& row : rows) table += ecapa::CsvLine(row);
    ecapa::Require(ecapa::ParseCsv(table, "fuzz.csv", header) == rows);
  });
}
