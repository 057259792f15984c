// Reading the stored form of a front end: a JSON object of a type's own keys.
#ifndef ECAPA_STORED_FORM_H_
#define ECAPA_STORED_FORM_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <type_traits>

namespace ecapa {

// Samples of a window or transform, and filters: beyond it a stored form is damaged.
inline constexpr int64_t kMaxSamples = int64_t{1} << 20;

// Takes typed values out of a stored form, each key once, and refuses what is left.
class StoredForm {
 public:
  // `where` the form came from, for messages.
  StoredForm(const nlohmann::json& stored, const std::string& where);

  // Reads a number, text or truth value; throws InputError when the key is missing or its value has another type.
  template <typename Value>
  void Read(const char* key, Value* value) {
    if (!stored_.contains(key)) Refuse();
    ReadIfGiven(key, value);
  }

  // Leaves `value` as it is when the key is missing.
  template <typename Value>
  void ReadIfGiven(const char* key, Value* value) {
    keys_.insert(key);
    const auto entry = stored_.find(key);
    if (entry == stored_.end()) return;
    const bool fits = std::is_same_v<Value, bool>          ? entry->is_boolean()
                      : std::is_same_v<Value, std::string> ? entry->is_string()
                      : std::is_integral_v<Value>          ? entry->is_number_integer()
                                                           : entry->is_number();
    if (!fits) Refuse();
    entry->get_to(*value);
  }

  // Throws InputError when there are keys that were not read, or the values are not possible.
  void Finish(bool is_possible) const;

 private:
  [[noreturn]] void Refuse() const;

  const nlohmann::json& stored_;
  const std::string& where_;
  std::set<std::string> keys_ = {"type"};
};

// Tells whether a rate (Hz), a number of filters, durations (ms) and the filters' lowest and highest frequency (Hz) fit
// each other and can be computed. Lengths in samples follow from these by a rule of each front end.
bool IsPossibleFilterbank(int64_t sample_rate, int64_t n_mels, double win_length_ms, double hop_length_ms, double f_min,
                          double f_max);

}  // namespace ecapa

#endif  // ECAPA_STORED_FORM_H_
