#include "src/embedder.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "src/audio.h"

namespace ecapa {
namespace {

constexpr size_t kPieceSamples = 1 << 16;  // bounds the scratch buffers
constexpr float kFullScale = 32768;

std::string Seconds(double duration_s) {
  char text[64];
  std::snprintf(text, sizeof text, "%.3f s", duration_s);
  return text;
}

// Makes a call at the end of its scope.
template <typename Call>
class AtEnd {
 public:
  explicit AtEnd(Call call) : call_(std::move(call)) {}
  ~AtEnd() { call_(); }
  AtEnd(const AtEnd&) = delete;
  AtEnd& operator=(const AtEnd&) = delete;

 private:
  Call call_;
};

}  // namespace

Embedder::Embedder(ExportedModel model, Engine engine, int64_t max_frames, const QualityLimits& limits)
    : model_(std::move(model)),
      engine_name_(std::move(engine.name)),
      gears_(std::move(engine.gears)),
      limits_(limits),
      idle_(std::move(engine.encoders)) {
  // A window may have half as many.
  if (max_frames > 0 && max_frames < 2 * model_.min_frames) {
    throw UsageError(
        Concat("max_frames: expected at least ", 2 * model_.min_frames, " or no limit, got ", max_frames, "."));
  }
  model_.front_end->sample_rate();  // throws where the front end is not known
  if (!model_.windows) options_.cut_frames = model_.num_frames;
  options_.max_frames = max_frames;
}

double Embedder::min_duration_s() const {
  const double shortest = static_cast<double>(min_samples()) / static_cast<double>(model_.front_end->sample_rate());
  return std::max(limits_.min_duration_s, shortest);
}

int64_t Embedder::min_samples() const {
  // What is shorter than a fixed length is repeated.
  return model_.front_end->NumSamples(model_.num_frames || !gears_.empty() ? 1 : model_.min_frames);
}

int64_t Embedder::window_samples() const {
  if (!model_.num_frames) return 0;
  return model_.framing ? model_.framing->NumSamples(*model_.num_frames)
                        : model_.front_end->NumSamples(*model_.num_frames);
}

int64_t Embedder::window_step_samples() const {
  if (!model_.windows) return 0;
  const double hop = model_.front_end->frame_shift_s() * static_cast<double>(model_.front_end->sample_rate());
  return model_.windows->step * std::lround(hop);
}

std::vector<float> Embedder::Embed(const float* samples, size_t num_samples, int64_t sample_rate) {
  return EmbedPieces(num_samples, sample_rate,
                     [&](size_t first, size_t count, Intake* intake) { intake->Push(samples + first, count); });
}

std::vector<float> Embedder::Embed(const int16_t* samples, size_t num_samples, int64_t sample_rate) {
  std::vector<float> piece;
  return EmbedPieces(num_samples, sample_rate, [&](size_t first, size_t count, Intake* intake) {
    piece.resize(count);
    for (size_t i = 0; i < count; ++i) piece[i] = static_cast<float>(samples[first + i]) / kFullScale;
    intake->Push(piece.data(), count);
  });
}

std::vector<float> Embedder::EmbedFile(const std::filesystem::path& path) {
  std::vector<float> rows;
  try {
    const int64_t rate = model_.front_end->sample_rate();
    AudioFile file(path);
    rows = RowsOf(file.NumSamples(rate), [&](const SampleSink& sink) { file.Read(rate, limits_, sink); });
  } catch (const InputError& error) {
    throw AudioError(Concat(path.string(), ": ", error.what()));
  }
  return Run(std::move(rows));
}

std::vector<float> Embedder::EmbedPieces(size_t num_samples, int64_t sample_rate, const Pusher& push) {
  if (sample_rate < kMinSampleRate || sample_rate > kMaxSampleRate) {
    throw UsageError(
        Concat("sample_rate: expected ", kMinSampleRate, " to ", kMaxSampleRate, " Hz, got ", sample_rate, "."));
  }
  const int64_t rate = model_.front_end->sample_rate();
  const double expected = static_cast<double>(num_samples) * static_cast<double>(rate);
  std::vector<float> rows;
  try {
    if (num_samples == 0) throw InputError("no samples");
    rows = RowsOf(static_cast<int64_t>(expected / static_cast<double>(sample_rate)), [&](const SampleSink& sink) {
      Intake intake(sample_rate, 1, rate, sink);
      for (size_t first = 0; first < num_samples; first += kPieceSamples) {
        push(first, std::min(kPieceSamples, num_samples - first), &intake);
      }
      intake.Finish(limits_);
    });
  } catch (const InputError& error) {
    throw AudioError(error.what());
  }
  return Run(std::move(rows));
}

std::vector<float> Embedder::RowsOf(int64_t num_samples, const Reader& read) const {
  const auto stream = model_.front_end->Start(model_.front_end->NumRows(num_samples));
  int64_t num_read = 0;
  read([&](const float* samples, size_t count) {
    num_read += static_cast<int64_t>(count);
    stream->Push(samples, count);
  });
  if (num_read < min_samples()) {
    const auto rate = static_cast<double>(model_.front_end->sample_rate());
    throw InputError(Concat("too short: ", Seconds(static_cast<double>(num_read) / rate), ", the model needs at least ",
                            Seconds(static_cast<double>(min_samples()) / rate)));
  }
  return stream->Finish();
}

std::vector<float> Embedder::Run(std::vector<float> rows) {
  std::unique_ptr<Encoder> encoder = TakeEncoder();
  const AtEnd end([&] { GiveBack(std::move(encoder)); });
  return EmbedOne(std::move(rows), model_, encoder.get(), gears_, options_);
}

std::unique_ptr<Encoder> Embedder::TakeEncoder() {
  std::unique_lock<std::mutex> lock(mutex_);
  is_given_back_.wait(lock, [this] { return !idle_.empty(); });
  std::unique_ptr<Encoder> encoder = std::move(idle_.back());
  idle_.pop_back();
  return encoder;
}

void Embedder::GiveBack(std::unique_ptr<Encoder> encoder) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(encoder));  // within its capacity: allocates nothing
  }
  is_given_back_.notify_one();
}

}  // namespace ecapa
