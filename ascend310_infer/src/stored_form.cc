#include "src/stored_form.h"

#include "src/errors.h"

namespace ecapa {

using nlohmann::json;

namespace {

std::string TextOf(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace

StoredForm::StoredForm(const json& stored, const std::string& where) : stored_(stored), where_(where) {}

void StoredForm::Finish(bool is_possible) const {
  for (const auto& [key, value] : stored_.items()) {
    if (keys_.count(key) == 0) Refuse();
  }
  if (!is_possible) throw InputError(Concat(where_, ": impossible front end: ", TextOf(stored_), "."));
}

void StoredForm::Refuse() const {
  throw InputError(Concat(where_, ": expected a front end of type ", TextOf(stored_.value("type", json())),
                          ", as Python stores it, got ", TextOf(stored_), "."));
}

bool IsPossibleFilterbank(int64_t sample_rate, int64_t n_mels, double win_length_ms, double hop_length_ms, double f_min,
                          double f_max) {
  for (const int64_t size : {sample_rate, n_mels}) {
    if (size < 1 || size > kMaxSamples) return false;
  }
  for (const double duration_ms : {win_length_ms, hop_length_ms}) {
    if (!(duration_ms > 0 && duration_ms < 1e6)) return false;
  }
  return f_min >= 0 && f_min < f_max && f_max <= static_cast<double>(sample_rate) / 2;
}

}  // namespace ecapa
