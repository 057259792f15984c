// From samples or a recording to an embedding, one call at a time or several at once.
#ifndef ECAPA_EMBEDDER_H_
#define ECAPA_EMBEDDER_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "src/encoder.h"
#include "src/errors.h"
#include "src/exported_model.h"
#include "src/intake.h"
#include "src/quality.h"
#include "src/runner.h"

namespace ecapa {

// A recording cannot be used.
class AudioError : public InputError {
 public:
  using InputError::InputError;
};

// A model that embeds recordings, the C++ twin of Embedder in src/mindvox/embedder.py. May be used by several threads:
// as many calls run at once as the engine has encoders, others wait.
class Embedder {
 public:
  // Args:
  //   max_frames: a longer recording is embedded in windows; 0: no limit. Without effect on a model of a fixed length,
  //     which sees the start, and on one that takes windows of its own.
  //
  // Throws UsageError: windows of `max_frames` would be shorter than the model takes. InputError: this program does not
  // compute the model's front end.
  Embedder(ExportedModel model, Engine engine, int64_t max_frames, const QualityLimits& limits);

  const ExportedModel& model() const { return model_; }
  const std::string& engine_name() const { return engine_name_; }

  // The shortest recording that can be embedded, s.
  double min_duration_s() const;

  // The fewest samples, at the model's rate, that the model takes.
  int64_t min_samples() const;

  // The only length that the model takes, samples at its rate; 0: it takes any.
  int64_t window_samples() const;

  // Distance of the windows that the model takes a recording in, samples at its rate; 0: it takes none.
  int64_t window_step_samples() const;

  // Returns the embedding of mono samples, full scale 1.
  //
  // Throws AudioError, the reason: they are too short, silent, clipped or not finite. UsageError: the rate is not
  // kMinSampleRate to kMaxSampleRate Hz. InputError: the engine fails, or the embedding is not finite.
  std::vector<float> Embed(const float* samples, size_t num_samples, int64_t sample_rate);

  // The same of 16-bit samples, full scale 32768.
  std::vector<float> Embed(const int16_t* samples, size_t num_samples, int64_t sample_rate);

  // The same of a recording that libsndfile reads. AudioError begins with its name.
  std::vector<float> EmbedFile(const std::filesystem::path& path);

 private:
  // Passes all samples, at the model's rate, to a sink; throws InputError when they cannot be used.
  using Reader = std::function<void(const SampleSink& sink)>;

  // Passes `count` samples from number `first` on to an intake.
  using Pusher = std::function<void(size_t first, size_t count, Intake* intake)>;

  std::vector<float> EmbedPieces(size_t num_samples, int64_t sample_rate, const Pusher& push);

  // Returns the model's rows before Finish of the front end. `num_samples` at the model's rate are expected.
  std::vector<float> RowsOf(int64_t num_samples, const Reader& read) const;

  // Returns the embedding of such rows.
  std::vector<float> Run(std::vector<float> rows);

  std::unique_ptr<Encoder> TakeEncoder();
  void GiveBack(std::unique_ptr<Encoder> encoder);

  const ExportedModel model_;
  const std::string engine_name_;
  const std::vector<int64_t> gears_;
  const QualityLimits limits_;
  RunOptions options_;
  std::mutex mutex_;
  std::condition_variable is_given_back_;
  std::vector<std::unique_ptr<Encoder>> idle_;
};

}  // namespace ecapa

#endif  // ECAPA_EMBEDDER_H_
