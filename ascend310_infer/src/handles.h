// Objects behind numbers, for an interface whose callers may hold on to what was destroyed.
#ifndef ECAPA_HANDLES_H_
#define ECAPA_HANDLES_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <utility>

namespace ecapa {

// Returns a number that no call has returned before.
inline uintptr_t NextHandle() {
  static std::atomic<uintptr_t> last{0};
  return ++last;
}

// Objects of one kind. May be used by several threads.
template <typename Object>
class Handles {
 public:
  // Returns the handle of an object; no two objects of any kind ever have the same.
  uintptr_t Add(std::shared_ptr<Object> object) {
    const uintptr_t handle = NextHandle();
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    objects_.emplace(handle, std::move(object));
    return handle;
  }

  // Returns the object of a handle, which lives at least as long as the result; nullptr when there is none.
  std::shared_ptr<Object> Find(uintptr_t handle) const {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    const auto found = objects_.find(handle);
    return found == objects_.end() ? nullptr : found->second;
  }

  // Forgets an object; returns it, or nullptr when there is none.
  std::shared_ptr<Object> Remove(uintptr_t handle) {
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) return nullptr;
    std::shared_ptr<Object> object = std::move(found->second);
    objects_.erase(found);
    return object;
  }

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<uintptr_t, std::shared_ptr<Object>> objects_;
};

}  // namespace ecapa

#endif  // ECAPA_HANDLES_H_
