// A set of speakers in memory. Needs neither a model nor an engine.
#ifndef ECAPA_SPEAKERS_H_
#define ECAPA_SPEAKERS_H_

#include <cstddef>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ecapa {

struct Match {
  std::string name;
  double cosine = 0;
};

// Speakers by name, each a direction. Search is exact: it compares with everybody. May be used by several threads;
// searches run at the same time, changes one by one.
//
// Throws UsageError where an embedding is not finite, zero, or of another size, or a name is empty or not UTF-8.
class Speakers {
 public:
  // Args:
  //   emb_size: numbers of an embedding, at least 1.
  explicit Speakers(size_t emb_size);

  size_t emb_size() const { return emb_size_; }

  // Adds the direction of the mean of normalised embeddings (num_embeddings, emb_size), as centroid_of() in
  // src/mindvox/speakers/store.py. Returns false, and changes nothing, when there is a speaker of this name.
  //
  // Throws UsageError: no embeddings, or they contradict each other: their mean is zero.
  bool Add(std::string_view name, const float* embeddings, size_t num_embeddings);

  // Returns false when there is no speaker of this name.
  bool Remove(std::string_view name);

  size_t count() const;
  bool Contains(std::string_view name) const;

  // Returns all names, sorted by their bytes.
  std::vector<std::string> Names() const;

  // Returns the best `max_matches` of the speakers whose cosine with an embedding is at least `threshold`, best first,
  // equal ones by name. Throws UsageError: the threshold is NaN.
  std::vector<Match> Search(const float* embedding, double threshold, size_t max_matches) const;

  // Returns the cosine of an embedding with a speaker, the same as in Search; nothing when there is no such speaker.
  std::optional<double> CosineWith(std::string_view name, const float* embedding) const;

 private:
  // Returns an embedding with length 1.
  std::vector<float> Unit(const float* embedding) const;

  double CosineOf(size_t row, const std::vector<float>& unit) const;

  const size_t emb_size_;
  mutable std::shared_mutex mutex_;
  std::vector<float> rows_;  // (speakers, emb_size), of length 1
  std::vector<std::string> names_;
  std::unordered_map<std::string, size_t> row_of_;
};

}  // namespace ecapa

#endif  // ECAPA_SPEAKERS_H_
