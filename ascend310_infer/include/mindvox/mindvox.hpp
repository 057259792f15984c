// libmindvox in C++17: RAII classes and exceptions, on top of the C interface of mindvox.h.
//
//   mindvox::Embedder embedder("campplus.onnx");
//   mindvox::Speakers speakers(embedder.embedding_size());
//   speakers.Add("Anna", embedder.EmbedFile("anna.wav"));
//   for (const auto& match : speakers.Search(embedder.EmbedFile("who.wav"), 0.45, 3)) std::cout << match.name;
#ifndef MINDVOX_MINDVOX_HPP_
#define MINDVOX_MINDVOX_HPP_

#include <mindvox/mindvox.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace mindvox {

// The exception of all functions here. `status` is a code of mindvox_status, what() is the error text.
class Error : public std::runtime_error {
 public:
  Error(mindvox_status status, const std::string& text) : std::runtime_error(text), status_(status) {}
  mindvox_status status() const noexcept { return status_; }

 private:
  mindvox_status status_;
};

namespace internal {

inline void Check(mindvox_status status) {
  if (status != MINDVOX_OK) throw Error(status, mindvox_last_error());
}

// A handle with one owner.
template <typename Object, mindvox_status (*kDestroy)(Object*)>
class Handle {
 public:
  Handle() = default;
  ~Handle() { kDestroy(object_); }
  Handle(Handle&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  Object* get() const { return object_; }
  Object** out() { return &object_; }

 private:
  Object* object_ = nullptr;
};

}  // namespace internal

// Returns MINDVOX_VERSION of the loaded library.
inline int32_t Version() { return mindvox_version(); }

// Returns MINDVOX_OPTIONS_INIT.
inline mindvox_options DefaultOptions() { return MINDVOX_OPTIONS_INIT; }

// Returns the cosine of two embeddings.
inline double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) throw Error(MINDVOX_ERROR_ARGUMENT, "expected two embeddings of one size");
  double cosine = 0;
  internal::Check(mindvox_cosine(a.data(), b.data(), a.size(), &cosine));
  return cosine;
}

// An exported model with its front end: computes embeddings from samples. Several threads may use it.
class Embedder {
 public:
  explicit Embedder(const std::string& model_file, const mindvox_options& options = DefaultOptions()) {
    internal::Check(mindvox_embedder_create(model_file.c_str(), &options, handle_.out()));
    description_.struct_size = sizeof description_;
    internal::Check(mindvox_embedder_describe(handle_.get(), &description_));
  }

  size_t embedding_size() const { return description_.embedding_size; }
  int32_t sample_rate() const { return description_.sample_rate; }       // the model's, Hz
  double min_duration_s() const { return description_.min_duration_s; }  // shortest recording
  int64_t min_samples() const { return description_.min_samples; }       // the same, at the model's rate
  // The only length that the model takes, samples at its rate; 0: it takes any.
  int64_t window_samples() const { return description_.window_samples; }
  // Distance of window starts, samples at the model's rate; the embedding is the mean over windows; 0: no windows.
  int64_t window_step_samples() const { return description_.window_step_samples; }
  std::string engine() const { return description_.engine; }

  // Returns the embedding of mono samples, full scale 1, at any rate (Hz).
  std::vector<float> Embed(const std::vector<float>& samples, int32_t sample_rate) const {
    std::vector<float> embedding(embedding_size());
    internal::Check(
        mindvox_embed(handle_.get(), samples.data(), samples.size(), sample_rate, embedding.data(), embedding.size()));
    return embedding;
  }

  // Returns the embedding of mono samples, full scale 32768, at any rate (Hz).
  std::vector<float> Embed(const std::vector<int16_t>& samples, int32_t sample_rate) const {
    std::vector<float> embedding(embedding_size());
    internal::Check(mindvox_embed_int16(handle_.get(), samples.data(), samples.size(), sample_rate, embedding.data(),
                                        embedding.size()));
    return embedding;
  }

  // Returns the embedding of a recording in any format that libsndfile reads.
  std::vector<float> EmbedFile(const std::string& file) const {
    std::vector<float> embedding(embedding_size());
    internal::Check(mindvox_embed_file(handle_.get(), file.c_str(), embedding.data(), embedding.size()));
    return embedding;
  }

 private:
  internal::Handle<mindvox_embedder, mindvox_embedder_destroy> handle_;
  mindvox_description description_{};
};

struct Match {
  std::string name;
  double cosine = 0;
};

// A set of speakers in memory. Several threads may use it.
class Speakers {
 public:
  explicit Speakers(size_t embedding_size) { internal::Check(mindvox_speakers_create(embedding_size, handle_.out())); }

  // Adds a speaker with one embedding.
  void Add(const std::string& name, const std::vector<float>& embedding) {
    Add(name, std::vector<std::vector<float>>{embedding});
  }

  // Adds a speaker with the mean of several embeddings, each normalised first.
  void Add(const std::string& name, const std::vector<std::vector<float>>& embeddings) {
    const size_t size = embeddings.empty() ? 0 : embeddings.front().size();
    std::vector<float> rows;
    for (const auto& embedding : embeddings) {
      if (embedding.size() != size) throw Error(MINDVOX_ERROR_ARGUMENT, "expected embeddings of one size");
      rows.insert(rows.end(), embedding.begin(), embedding.end());
    }
    internal::Check(mindvox_speakers_add(handle_.get(), name.c_str(), rows.data(), embeddings.size(), size));
  }

  void Remove(const std::string& name) { internal::Check(mindvox_speakers_remove(handle_.get(), name.c_str())); }

  bool Contains(const std::string& name) const {
    int32_t is_there = 0;
    internal::Check(mindvox_speakers_contains(handle_.get(), name.c_str(), &is_there));
    return is_there != 0;
  }

  size_t size() const {
    size_t count = 0;
    internal::Check(mindvox_speakers_count(handle_.get(), &count));
    return count;
  }

  // Returns the names of all speakers, sorted.
  std::vector<std::string> Names() const {
    Matches matches;
    internal::Check(mindvox_speakers_list(handle_.get(), matches.out()));
    std::vector<std::string> names;
    for (auto& match : Read(matches)) names.push_back(std::move(match.name));
    return names;
  }

  // Returns at most `max_matches` speakers whose cosine is at least `threshold`, best first.
  std::vector<Match> Search(const std::vector<float>& embedding, double threshold, size_t max_matches) const {
    Matches matches;
    internal::Check(mindvox_speakers_search(handle_.get(), embedding.data(), embedding.size(), threshold, max_matches,
                                            matches.out()));
    return Read(matches);
  }

  // Returns whether the cosine of an embedding with a speaker is at least `threshold`.
  bool Verify(const std::string& name, const std::vector<float>& embedding, double threshold) const {
    int32_t is_accepted = 0;
    internal::Check(mindvox_speakers_verify(handle_.get(), name.c_str(), embedding.data(), embedding.size(), threshold,
                                            &is_accepted, nullptr));
    return is_accepted != 0;
  }

  // Returns the cosine of an embedding with a speaker.
  double CosineWith(const std::string& name, const std::vector<float>& embedding) const {
    double cosine = 0;
    internal::Check(
        mindvox_speakers_verify(handle_.get(), name.c_str(), embedding.data(), embedding.size(), 0, nullptr, &cosine));
    return cosine;
  }

 private:
  using Matches = internal::Handle<mindvox_matches, mindvox_matches_destroy>;

  static std::vector<Match> Read(const Matches& matches) {
    size_t count = 0;
    internal::Check(mindvox_matches_count(matches.get(), &count));
    std::vector<Match> read(count);
    for (size_t i = 0; i < count; ++i) {
      const char* name = nullptr;
      internal::Check(mindvox_matches_get(matches.get(), i, &name, &read[i].cosine));
      read[i].name = name;
    }
    return read;
  }

  internal::Handle<mindvox_speakers, mindvox_speakers_destroy> handle_;
};

}  // namespace mindvox

#endif  // MINDVOX_MINDVOX_HPP_
