#include "src/speakers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <utility>

#include "src/errors.h"
#include "src/feature_ops.h"
#include "src/text.h"

namespace ecapa {
namespace {

using Reading = std::shared_lock<std::shared_mutex>;
using Writing = std::unique_lock<std::shared_mutex>;

void CheckName(std::string_view name) {
  if (name.empty()) throw UsageError("name: expected the name of a speaker, got an empty text.");
  if (!IsUtf8(name)) throw UsageError(Concat("name: expected UTF-8, got '", Printable(name), "'."));
}

double Dot(const float* a, const float* b, size_t size) {
  constexpr size_t kLanes = 8;  // sums that do not wait for each other
  std::array<double, kLanes> sums{};
  size_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
    }
  }
  double sum = 0;
  for (; i < size; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  for (const double lane : sums) sum += lane;
  return sum;
}

}  // namespace

Speakers::Speakers(size_t emb_size) : emb_size_(emb_size) {
  if (emb_size == 0) throw UsageError("embedding_size: expected at least 1, got 0.");
}

bool Speakers::Add(std::string_view name, const float* embeddings, size_t num_embeddings) {
  CheckName(name);
  if (num_embeddings == 0) throw UsageError("num_embeddings: expected at least 1, got 0.");
  std::vector<double> sum(emb_size_);
  for (size_t i = 0; i < num_embeddings; ++i) {
    const std::vector<float> unit = Unit(embeddings + i * emb_size_);
    for (size_t d = 0; d < emb_size_; ++d) sum[d] += static_cast<double>(unit[d]);
  }
  std::vector<float> mean(emb_size_);
  for (size_t d = 0; d < emb_size_; ++d) mean[d] = static_cast<float>(sum[d] / static_cast<double>(num_embeddings));
  if (Dot(mean.data(), mean.data(), emb_size_) == 0) {
    throw UsageError("the embeddings contradict each other: their mean is zero.");
  }
  const std::vector<float> direction = Unit(mean.data());

  const Writing lock(mutex_);
  const std::string key(name);
  if (row_of_.count(key) > 0) return false;
  rows_.reserve(rows_.size() + emb_size_ > rows_.capacity() ? 2 * rows_.size() + emb_size_ : rows_.capacity());
  names_.push_back(key);
  try {
    row_of_.emplace(key, names_.size() - 1);
  } catch (...) {
    names_.pop_back();
    throw;
  }
  rows_.insert(rows_.end(), direction.begin(), direction.end());  // memory was reserved: nothing fails any more
  return true;
}

bool Speakers::Remove(std::string_view name) {
  CheckName(name);
  const Writing lock(mutex_);
  const auto found = row_of_.find(std::string(name));
  if (found == row_of_.end()) return false;
  const size_t row = found->second;
  const size_t last = names_.size() - 1;
  if (row != last) {  // the last speaker takes the free place
    std::copy_n(rows_.data() + last * emb_size_, emb_size_, rows_.data() + row * emb_size_);
    row_of_.find(names_[last])->second = row;
    names_[row] = std::move(names_[last]);
  }
  row_of_.erase(found);
  names_.pop_back();
  rows_.resize(last * emb_size_);
  return true;
}

size_t Speakers::count() const {
  const Reading lock(mutex_);
  return names_.size();
}

bool Speakers::Contains(std::string_view name) const {
  CheckName(name);
  const Reading lock(mutex_);
  return row_of_.count(std::string(name)) > 0;
}

std::vector<std::string> Speakers::Names() const {
  std::vector<std::string> names;
  {
    const Reading lock(mutex_);
    names = names_;
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<Match> Speakers::Search(const float* embedding, double threshold, size_t max_matches) const {
  if (std::isnan(threshold)) throw UsageError("threshold: expected a number, got NaN.");
  const std::vector<float> unit = Unit(embedding);
  const Reading lock(mutex_);
  std::vector<std::pair<double, size_t>> candidates;  // cosine and row
  for (size_t row = 0; row < names_.size(); ++row) {
    const double cosine = CosineOf(row, unit);
    if (cosine >= threshold) candidates.emplace_back(cosine, row);
  }
  const size_t count = std::min(max_matches, candidates.size());
  std::partial_sort(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(count), candidates.end(),
                    [this](const auto& a, const auto& b) {
                      return a.first != b.first ? a.first > b.first : names_[a.second] < names_[b.second];
                    });
  std::vector<Match> matches;
  matches.reserve(count);
  for (size_t i = 0; i < count; ++i) matches.push_back({names_[candidates[i].second], candidates[i].first});
  return matches;
}

std::optional<double> Speakers::CosineWith(std::string_view name, const float* embedding) const {
  CheckName(name);
  const std::vector<float> unit = Unit(embedding);
  const Reading lock(mutex_);
  const auto found = row_of_.find(std::string(name));
  if (found == row_of_.end()) return std::nullopt;
  return CosineOf(found->second, unit);
}

std::vector<float> Speakers::Unit(const float* embedding) const {
  if (!AllFinite(embedding, emb_size_)) throw UsageError("embedding: expected finite numbers, got NaN or infinity.");
  const double length = std::sqrt(Dot(embedding, embedding, emb_size_));
  if (length == 0) throw UsageError("embedding: it is zero and has no direction to compare.");
  std::vector<float> unit(emb_size_);
  for (size_t d = 0; d < emb_size_; ++d) unit[d] = static_cast<float>(static_cast<double>(embedding[d]) / length);
  return unit;
}

// Rounding of float32 may exceed the range by 1e-7.
double Speakers::CosineOf(size_t row, const std::vector<float>& unit) const {
  return std::clamp(Dot(rows_.data() + row * emb_size_, unit.data(), emb_size_), -1.0, 1.0);
}

}  // namespace ecapa
