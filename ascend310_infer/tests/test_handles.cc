#include <doctest/doctest.h>

#include "src/handles.h"

namespace ecapa {

TEST_CASE("a handle finds its object until it is removed, and never another one") {
  Handles<int> numbers;
  Handles<double> others;
  const uintptr_t first = numbers.Add(std::make_shared<int>(1));
  const uintptr_t second = numbers.Add(std::make_shared<int>(2));
  CHECK(*numbers.Find(first) == 1);
  CHECK(*numbers.Find(second) == 2);
  CHECK(!others.Find(first));
  CHECK(!numbers.Find(0));
  CHECK(*numbers.Remove(first) == 1);
  CHECK(!numbers.Find(first));
  CHECK(!numbers.Remove(first));
  const uintptr_t third = others.Add(std::make_shared<double>(3));
  CHECK(!numbers.Find(third));
  CHECK(third != first);
}

TEST_CASE("an object lives as long as a call uses it") {
  Handles<int> numbers;
  const uintptr_t handle = numbers.Add(std::make_shared<int>(1));
  const auto used = numbers.Find(handle);
  numbers.Remove(handle);
  CHECK(*used == 1);
  CHECK(used.use_count() == 1);
}

}  // namespace ecapa
