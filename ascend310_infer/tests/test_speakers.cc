#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <thread>

#include "src/speakers.h"
#include "tests/support.h"

namespace ecapa {
namespace {

std::vector<float> Random(unsigned seed, size_t size) {
  std::mt19937 generator(seed);
  std::vector<float> values(size);
  for (float& value : values) value = static_cast<float>(generator() % 2001) / 1000 - 1;
  return values;
}

std::vector<std::string> NamesOf(const std::vector<Match>& matches) {
  std::vector<std::string> names;
  for (const auto& match : matches) names.push_back(match.name);
  return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a speaker is the direction of the mean of normalised embeddings") {
  Speakers speakers(2);
  const std::vector<float> both = {3, 0, 0, 0.1F};  // of lengths that would matter were they not normalised
  CHECK(speakers.Add("Anna", both.data(), 2));
  const std::vector<float> diagonal = {5, 5}, across = {1, -1};
  CHECK(*speakers.CosineWith("Anna", diagonal.data()) == doctest::Approx(1).epsilon(1e-6));
  CHECK(*speakers.CosineWith("Anna", across.data()) == doctest::Approx(0).epsilon(1e-6));
  CHECK(!speakers.CosineWith("Bert", across.data()));
}

TEST_CASE("a name is taken once, and free again after removal") {
  Speakers speakers(2);
  const std::vector<float> east = {1, 0}, north = {0, 1};
  CHECK(speakers.Add("Anna", east.data(), 1));
  CHECK(!speakers.Add("Anna", north.data(), 1));
  CHECK(*speakers.CosineWith("Anna", east.data()) == 1);
  CHECK(speakers.Remove("Anna"));
  CHECK(!speakers.Remove("Anna"));
  CHECK(speakers.count() == 0);
  CHECK(speakers.Add("Anna", north.data(), 1));
  CHECK(*speakers.CosineWith("Anna", east.data()) == 0);
}

TEST_CASE("search gives the best that reach the threshold, equal ones by name") {
  Speakers speakers(2);
  const std::vector<float> east = {1, 0}, north = {0, 1}, west = {-1, 0}, near_east = {1, 0.5F};
  speakers.Add("north", north.data(), 1);
  speakers.Add("z-east", east.data(), 1);
  speakers.Add("west", west.data(), 1);
  speakers.Add("a-east", east.data(), 1);
  speakers.Add("near", near_east.data(), 1);
  CHECK(NamesOf(speakers.Search(east.data(), -1, 9)) == Names{"a-east", "z-east", "near", "north", "west"});
  CHECK(NamesOf(speakers.Search(east.data(), 0.5, 9)) == Names{"a-east", "z-east", "near"});
  CHECK(NamesOf(speakers.Search(east.data(), 1, 9)) == Names{"a-east", "z-east"});  // reached when equal
  CHECK(NamesOf(speakers.Search(east.data(), -1, 1)) == Names{"a-east"});
  CHECK(speakers.Search(east.data(), -1, 0).empty());
  CHECK(speakers.Names() == Names{"a-east", "near", "north", "west", "z-east"});
  for (const auto& match : speakers.Search(near_east.data(), -1, 9)) {
    CHECK(match.cosine == *speakers.CosineWith(match.name, near_east.data()));
  }
}

TEST_CASE("removal keeps the others, whichever is removed") {
  constexpr size_t kSize = 13;  // no multiple of the lanes
  for (const std::string removed : {"0", "2", "4"}) {
    Speakers speakers(kSize);
    for (unsigned i = 0; i < 5; ++i) speakers.Add(std::to_string(i), Random(i, kSize).data(), 1);
    CHECK(speakers.Remove(removed));
    CHECK(speakers.count() == 4);
    CHECK(!speakers.Contains(removed));
    for (unsigned i = 0; i < 5; ++i) {
      if (std::to_string(i) == removed) continue;
      const auto best = speakers.Search(Random(i, kSize).data(), -1, 1);
      REQUIRE(best.size() == 1);
      CHECK(best[0].name == std::to_string(i));
      CHECK(best[0].cosine == doctest::Approx(1).epsilon(1e-6));
    }
  }
}

TEST_CASE("what has no direction or no name is refused and changes nothing") {
  Speakers speakers(2);
  const std::vector<float> east = {1, 0}, zero = {0, 0}, opposite = {1, 0, -2, 0};
  const std::vector<float> not_a_number = {1, std::numeric_limits<float>::quiet_NaN()};
  CHECK(Contains(MessageOf([&] { speakers.Add("x", zero.data(), 1); }), "zero and has no direction"));
  CHECK(Contains(MessageOf([&] { speakers.Add("x", not_a_number.data(), 1); }), "NaN or infinity"));
  CHECK(Contains(MessageOf([&] { speakers.Add("x", opposite.data(), 2); }), "contradict each other"));
  CHECK(Contains(MessageOf([&] { speakers.Add("x", east.data(), 0); }), "num_embeddings: expected at least 1"));
  CHECK(Contains(MessageOf([&] { speakers.Add("", east.data(), 1); }), "got an empty text"));
  CHECK(Contains(MessageOf([&] { speakers.Add("\xff", east.data(), 1); }), "expected UTF-8"));
  CHECK(Contains(MessageOf([&] { speakers.Search(zero.data(), 0, 1); }), "zero and has no direction"));
  CHECK(Contains(MessageOf([&] { speakers.Search(east.data(), std::nan(""), 1); }), "threshold"));
  CHECK(Contains(MessageOf([&] { Speakers none(0); }), "expected at least 1"));
  CHECK(speakers.count() == 0);
}

TEST_CASE("numbers of any scale that float32 holds have a cosine") {
  Speakers speakers(2);
  const std::vector<float> huge = {3e38F, 3e38F}, tiny = {1e-40F, 0};
  speakers.Add("huge", huge.data(), 1);
  CHECK(*speakers.CosineWith("huge", tiny.data()) == doctest::Approx(std::sqrt(0.5)).epsilon(1e-6));
}

TEST_CASE("threads add, search and remove at the same time") {
  constexpr size_t kSize = 8;
  Speakers speakers(kSize);
  const std::vector<float> kept = Random(1, kSize);
  speakers.Add("kept", kept.data(), 1);
  std::atomic<int> num_wrong{0};
  std::vector<std::thread> threads;
  for (unsigned worker = 0; worker < 4; ++worker) {
    threads.emplace_back([&, worker] {
      for (unsigned i = 0; i < 200; ++i) {
        const std::string name = Concat(worker, "-", i % 10);
        if (!speakers.Add(name, Random(1000 * (worker + 1) + i, kSize).data(), 1)) ++num_wrong;
        const auto found = speakers.Search(kept.data(), 0.999999, 1);
        if (found.size() != 1 || found[0].name != "kept") ++num_wrong;
        if (!speakers.Remove(name)) ++num_wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(num_wrong == 0);
  CHECK(speakers.count() == 1);
}

}  // namespace ecapa
