#include <doctest/doctest.h>

#include "src/pieces.h"
#include "tests/support.h"

namespace ecapa {
namespace {

ExportedModel Model(const nlohmann::json& changes) {
  auto content = ModelJson(4, 3);
  content.update(changes);
  return ExportedModel::Parse(content.dump(), "m.json");
}

nlohmann::json WindowsJson(int64_t num_frames, int64_t step, const std::string& last, double min_coverage) {
  return {{"num_frames", num_frames}, {"step", step}, {"last", last}, {"min_coverage", min_coverage}};
}

// Frames of 25 samples and a hop of 10, the first centred on the first sample, of 13 samples or more.
nlohmann::json Waveform() {
  return {{"input_kind", "waveform"},
          {"front_end", {{"type", "mel"}, {"sample_rate", 1000}}},
          {"framing", {{"least", 13}, {"first", 0}, {"hop", 10}, {"prepares", false}}}};
}

std::vector<float> Counted(int64_t count) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<float>(i));
  return values;
}

// What the model is given for a piece of an utterance of these rows.
std::vector<float> Given(const ExportedModel& model, const Piece& piece, const std::vector<float>& rows) {
  const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(piece.first * model.row_size());
  std::vector<float> values(begin, begin + static_cast<std::ptrdiff_t>(piece.count * model.row_size()));
  FinishPiece(model, piece, &values);
  return values;
}

}  // namespace

TEST_CASE("windows start where the table says that Python's start") {
  const std::string path = std::string(ECAPA_SHARED_TESTS) + "/windows_cases.json";
  const auto table = ParseJson(ReadText(path), path);
  for (const auto& row : table) {
    const Windows windows = {row["num_frames"], row["step"], row["last"] == "padded", row["min_coverage"]};
    CHECK_MESSAGE(windows.Starts(row["length"]) == row["starts"].get<std::vector<int64_t>>(), row.dump());
  }
  CHECK(table.size() >= 50);
}

TEST_CASE("features in windows that end with the utterance are repeated when they are short") {
  const ExportedModel model = Model({{"feature_size", 1},
                                     {"num_frames", 5},
                                     {"windows", WindowsJson(5, 4, "aligned", 0)},
                                     {"front_end", {{"type", "samples"}, {"sample_rate", 1000}, {"peak", false}}}});
  const auto pieces = PiecesOf(model, 7, 3);  // a limit of 3 frames does not count
  REQUIRE(pieces.size() == 2);
  CHECK(Given(model, pieces[0], Counted(7)) == std::vector<float>{0, 1, 2, 3, 4});
  CHECK(Given(model, pieces[1], Counted(7)) == std::vector<float>{2, 3, 4, 5, 6});
  const auto of_short = PiecesOf(model, 2, 0);
  REQUIRE(of_short.size() == 1);
  CHECK(Given(model, of_short[0], Counted(2)) == std::vector<float>{0, 1, 0, 1, 0});
}

TEST_CASE("features in padded windows are followed by zeros, and finished with them") {
  const ExportedModel model = Model({{"num_frames", 4},
                                     {"windows", WindowsJson(4, 2, "padded", 0)},
                                     {"front_end", {{"type", "other"}, {"normalisation", "none"}}}});
  const auto pieces = PiecesOf(model, 5, 0);
  REQUIRE(pieces.size() == 2);
  std::vector<float> expected = Counted(20);
  expected.erase(expected.begin(), expected.begin() + 8);
  expected.resize(16);
  CHECK(Given(model, pieces[1], Counted(20)) == expected);
}

TEST_CASE("samples are cut where the frames of a window lie, the last window to the end") {
  const ExportedModel model = Model(Waveform());
  CHECK((model.FramesIn(12) == 0 && model.FramesIn(13) == 2 && model.FramesIn(59) == 6));
  CHECK((model.RowsOf(1) == 13 && model.RowsOf(6) == 50));
  const auto pieces = PiecesOf(model, 59, 4);
  REQUIRE(pieces.size() == 2);  // 6 frames: 3 and 3
  CHECK((pieces[0].num_frames == 3 && pieces[0].first == 0 && pieces[0].count == 20 && pieces[0].length == 20));
  CHECK((pieces[1].num_frames == 3 && pieces[1].first == 30 && pieces[1].count == 29 && pieces[1].length == 29));
  const auto whole = PiecesOf(model, 59, 0);
  REQUIRE(whole.size() == 1);
  CHECK((whole[0].num_frames == 6 && whole[0].count == 59 && whole[0].length == 59));
}

TEST_CASE("windows of samples have the samples of their frames, zeros behind the last") {
  auto changes = Waveform();
  changes["num_frames"] = 4;
  changes["windows"] = WindowsJson(4, 2, "padded", 0);
  const ExportedModel model = Model(changes);
  const auto pieces = PiecesOf(model, 49, 0);  // 5 frames
  REQUIRE(pieces.size() == 2);
  CHECK((pieces[0].first == 0 && pieces[0].count == 30 && pieces[0].length == 30));
  CHECK((pieces[1].first == 20 && pieces[1].count == 29 && pieces[1].length == 30));
  CHECK(Given(model, pieces[1], Counted(49)).back() == 0);
  CHECK(Given(model, pieces[1], Counted(49))[28] == 48);
  CHECK(PiecesOf(model, 13, 0)[0].count == 13);
}

TEST_CASE("pieces lie within the utterance for all lengths, also where frames begin behind its last sample") {
  for (const char* last : {"aligned", "padded"}) {
    for (const int64_t size : {1, 2, 5}) {
      auto changes = Waveform();
      changes["num_frames"] = size;
      changes["windows"] = WindowsJson(size, 1, last, 0);
      const ExportedModel model = Model(changes);
      for (int64_t num_rows = 13; num_rows < 90; ++num_rows) {
        for (const Piece& piece : PiecesOf(model, num_rows, 0)) {
          CHECK((piece.count >= 1 && piece.first + piece.count <= num_rows && piece.length == model.RowsOf(size)));
        }
      }
    }
  }
}

}  // namespace ecapa
