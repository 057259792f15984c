#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "src/parts.h"
#include "src/runner.h"
#include "tests/support.h"

namespace ecapa {
namespace {

constexpr int64_t kEmb = 3;
const nlohmann::json kPlan = {{"model", "m"}, {"batch_size", 2}};

// Finishes `rows` at once: waits until a file is due.
void Write(Parts* parts, const Rows& rows) {
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  parts->Add(rows);
}

size_t NumFiles(const std::filesystem::path& folder) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

}  // namespace

TEST_CASE("what is finished is found again by a run of the same plan, and by no other") {
  const TemporaryFolder folder;
  const auto place = folder / "parts";
  const Rows first = {{7, {1, 2, 3}}, {2, {4, 5, 6}}}, second = {{3, {7, 8, 9}}};
  {
    Parts parts(place, kPlan, kEmb);
    CHECK(parts.found().empty());
    parts.Add({});
    CHECK_FALSE(std::filesystem::exists(place));  // a short run leaves nothing
    parts.Add(first);
    CHECK_FALSE(std::filesystem::exists(place));
    Write(&parts, second);
    CHECK(NumFiles(place) == 2);
  }
  Rows all = first;
  all.insert(second.begin(), second.end());
  {
    Parts parts(place, kPlan, kEmb);
    CHECK(parts.found() == all);
    Write(&parts, {{0, {0, 0, 1}}});
    CHECK(NumFiles(place) == 3);
  }
  folder.Write("parts/part-000001", "cut");
  folder.Write("parts/.part-000002.Ab3dE6", PartContent({{9, {1, 1, 1}}}));  // what a killed run did not rename
  CHECK(Parts(place, kPlan, kEmb).found() == all);
  nlohmann::json other = kPlan;
  other["batch_size"] = 3;
  CHECK(Parts(place, other, kEmb).found().empty());
  CHECK_FALSE(std::filesystem::exists(place));
}

TEST_CASE("finished parts can be removed") {
  const TemporaryFolder folder;
  Parts parts(folder / "parts", kPlan, kEmb);
  parts.Remove();
  Write(&parts, {{1, {1, 2, 3}}});
  parts.Remove();
  CHECK_FALSE(std::filesystem::exists(folder / "parts"));
}

TEST_CASE("the content of a part is read as it was written, and a damaged one is not") {
  const Rows rows = {{0, {1, 2, 3}}, {5, {-1, 0, 4}}};
  const std::string content = PartContent(rows);
  CHECK(ParsePart(content, kEmb) == rows);
  CHECK(ParsePart(PartContent({}), kEmb) == Rows());
  for (size_t size = 0; size < content.size(); ++size) CHECK_FALSE(ParsePart(content.substr(0, size), kEmb));
  CHECK_FALSE(ParsePart(content + "x", kEmb));
  CHECK_FALSE(ParsePart(content, kEmb + 1));
  CHECK_FALSE(ParsePart(PartContent({{1, {1, NAN, 3}}}), kEmb));
  std::string twice = content;
  twice[16] = 0;  // row 5 is 0 too
  CHECK_FALSE(ParsePart(twice, kEmb));
  std::string negative = content;
  negative[23] = '\xFF';
  CHECK_FALSE(ParsePart(negative, kEmb));
}

TEST_CASE("a run that goes on embeds what is missing, whole batches of it, and gives the same numbers") {
  const TemporaryFolder folder;
  WriteStore(folder, {5, 5, 5, 9, 12, 5, 40});
  const ExportedModel model = SmallModel();
  const auto source = OpenEvalStore(folder.path(), model);
  RunOptions options;
  options.batch_size = 2;
  options.max_frames = 20;
  Engine whole_engine = FakeEngine(model);
  const RunResult whole = EmbedAll(*source, model, &whole_engine, options);
  REQUIRE((whole.rows.size() == 7 && whole.num_kept == 0));
  const auto row_of = [&](size_t row) {
    return std::vector<float>(whole.embeddings.begin() + static_cast<std::ptrdiff_t>(3 * row),
                              whole.embeddings.begin() + static_cast<std::ptrdiff_t>(3 * row + 3));
  };
  {
    Parts parts(folder / "parts", kPlan, kEmb);
    // Batches are {0, 1}, {2, 5}, {3}, {4}, {6}: of the second only one is there. Row 99 is none of the source.
    Write(&parts, {{0, row_of(0)}, {1, row_of(1)}, {2, row_of(2)}, {6, row_of(6)}, {99, row_of(0)}});
  }
  Parts parts(folder / "parts", kPlan, kEmb);
  options.parts = &parts;
  Engine engine = FakeEngine(model);
  const RunResult rest = EmbedAll(*source, model, &engine, options);
  CHECK(dynamic_cast<FakeEncoder&>(*engine.encoders[0]).calls == std::vector<int64_t>{2, 1, 1});
  CHECK((rest.embeddings == whole.embeddings && rest.rows == whole.rows && rest.has_windows == whole.has_windows));
  CHECK((rest.num_kept == 3 && rest.latency_s.size() == 4 && rest.num_frames == 5 + 5 + 9 + 12));
}

}  // namespace ecapa
