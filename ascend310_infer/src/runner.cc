#include "src/runner.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <new>
#include <numeric>
#include <string>
#include <thread>
#include <utility>

#include "src/errors.h"
#include "src/feature_ops.h"

namespace ecapa {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Rows of one length.
struct Batch {
  int64_t num_frames;
  std::vector<size_t> rows;
};

// Puts rows of one length together: at most `batch_size` of them, and at most `max_frames` frames in all unless that is
// 0.
std::vector<Batch> EqualLengthBatches(const std::vector<int64_t>& lengths, int64_t batch_size, int64_t max_frames) {
  std::vector<size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return lengths[a] < lengths[b]; });
  std::vector<Batch> batches;
  for (const size_t row : order) {
    const int64_t length = lengths[row];
    const int64_t most = max_frames == 0 ? batch_size : std::clamp<int64_t>(max_frames / length, 1, batch_size);
    if (batches.empty() || batches.back().num_frames != length ||
        static_cast<int64_t>(batches.back().rows.size()) == most) {
      batches.push_back({length, {}});
    }
    batches.back().rows.push_back(row);
  }
  return batches;
}

std::string OutOfMemory(int64_t num_frames) {
  return Concat(num_frames,
                " frames need more memory than there is. Set a smaller --max_frames, --batch_size or --workers");
}

size_t Size(const ExportedModel& model, int64_t num_frames) {
  return static_cast<size_t>(num_frames * model.feature_size);
}

// Returns the most frames that a model sees at once; 0: no limit.
int64_t WindowLimit(const RunOptions& options, const std::vector<int64_t>& gears) {
  return options.cut_frames || !gears.empty() ? 0 : options.max_frames;
}

// Returns the first `num_frames` frames of an utterance, as they are.
std::vector<float> Prepared(const ExportedModel& model, std::vector<float> feats, int64_t num_frames) {
  if (num_frames < model.min_frames) {
    throw InputError(Concat(num_frames, " frames, an embedding needs at least ", model.min_frames,
                            ". Leave the utterance out, or cut all to one length, which repeats what is short."));
  }
  if (!AllFinite(feats.data(), feats.size())) throw InputError("NaN or infinite features");
  CutFrames(num_frames, model.feature_size, &feats);
  return feats;
}

// Returns the embeddings of `num_rows` utterances of equal length, finished.
std::vector<float> Encoded(const ExportedModel& model, Encoder* encoder, std::vector<float>* feats, size_t num_rows,
                           int64_t num_frames) {
  const size_t filled = feats->size();
  const auto batch_size = static_cast<size_t>(model.batch_size.value_or(static_cast<int64_t>(num_rows)));
  feats->resize(filled / num_rows * batch_size);  // a fixed batch that is not full: utterances are repeated
  for (size_t i = filled; i < feats->size(); ++i) (*feats)[i] = (*feats)[i - filled];
  if (model.is_transposed) *feats = Transposed(*feats, num_frames, model.feature_size);
  std::vector<float> embeddings = encoder->Encode(*feats, static_cast<int64_t>(batch_size), num_frames);
  if (embeddings.size() < num_rows * static_cast<size_t>(model.emb_size)) {
    throw InputError("the model gave too few numbers");
  }
  return embeddings;
}

// Returns the mean of the embeddings of windows of one utterance, before Finish, weighted by their frames.
std::vector<float> EncodedInWindows(const ExportedModel& model, Encoder* encoder, const std::vector<float>& feats,
                                    int64_t max_frames) {
  const auto num_frames = static_cast<int64_t>(feats.size()) / model.feature_size;
  const std::vector<int64_t> edges = WindowEdges(num_frames, max_frames);
  std::vector<double> sum(static_cast<size_t>(model.emb_size));
  for (size_t i = 0; i + 1 < edges.size(); ++i) {
    const int64_t length = edges[i + 1] - edges[i];
    const auto first = feats.begin() + static_cast<std::ptrdiff_t>(Size(model, edges[i]));
    std::vector<float> window(first, first + static_cast<std::ptrdiff_t>(Size(model, length)));
    model.front_end->Finish(&window);
    const std::vector<float> embedding = Encoded(model, encoder, &window, 1, length);
    for (size_t d = 0; d < sum.size(); ++d) sum[d] += static_cast<double>(embedding[d]) * static_cast<double>(length);
  }
  std::vector<float> mean(sum.size());
  for (size_t d = 0; d < sum.size(); ++d) mean[d] = static_cast<float>(sum[d] / static_cast<double>(num_frames));
  return mean;
}

constexpr char kNotFinite[] = "NaN or infinite values in the embedding";

// The workers' common state. A row's entries are written by the one worker that has it.
class Run {
 public:
  Run(const FeatureSource& source, const ExportedModel& model, const RunOptions& options,
      const std::vector<int64_t>& gears)
      : source_(source),
        model_(model),
        options_(options),
        max_frames_(WindowLimit(options, gears)),
        num_rows_(source.utterances().size()) {
    std::vector<int64_t> lengths;
    for (const auto& utterance : source.utterances()) {
      lengths.push_back(FramesTaken(utterance.num_frames, options.cut_frames, gears));
    }
    batches_ = EqualLengthBatches(lengths, options.batch_size, model.batch_size ? 0 : max_frames_);
    embeddings_.resize(num_rows_);
    reasons_.resize(num_rows_);
    latency_s_.resize(num_rows_);
  }

  // Takes batches until none is left.
  void Work(Encoder* encoder) {
    for (size_t i = next_batch_++; i < batches_.size() && !is_stopped_; i = next_batch_++) {
      try {
        Embed(batches_[i], encoder);
      } catch (...) {
        is_stopped_ = true;  // our own mistake or no memory: the other workers need not go on
        throw;
      }
      const size_t num_done = num_done_ += batches_[i].rows.size();
      if (options_.progress) options_.progress(num_done);
    }
  }

  RunResult Finish(double elapsed_s) {
    RunResult result;
    result.elapsed_s = elapsed_s;
    result.failures = source_.failures();
    for (const auto& batch : batches_) {
      result.has_windows = result.has_windows || IsLong(batch.num_frames);
      for (const size_t row : batch.rows) result.num_frames += reasons_[row].empty() ? batch.num_frames : 0;
    }
    for (size_t row = 0; row < num_rows_; ++row) {
      if (!reasons_[row].empty()) {
        result.failures.push_back({source_.utterances()[row].utt_id, reasons_[row]});
        continue;
      }
      result.rows.push_back(row);
      result.embeddings.insert(result.embeddings.end(), embeddings_[row].begin(), embeddings_[row].end());
      result.latency_s.push_back(latency_s_[row]);
    }
    return result;
  }

 private:
  bool IsLong(int64_t num_frames) const { return max_frames_ > 0 && num_frames > max_frames_; }

  void Embed(const Batch& batch, Encoder* encoder) {
    const auto start = Clock::now();
    std::vector<size_t> rows;  // of which the features could be read
    try {
      if (IsLong(batch.num_frames)) {
        for (const size_t row : batch.rows) EmbedInWindows(row, encoder, start);
        return;
      }
      std::vector<float> feats;
      for (const size_t row : batch.rows) {
        try {
          std::vector<float> utterance = Prepared(model_, source_.Read(row), batch.num_frames);
          model_.front_end->Finish(&utterance);
          if (rows.empty()) {
            feats = std::move(utterance);  // no second copy of a long one
            feats.reserve(batch.rows.size() * Size(model_, batch.num_frames));
          } else {
            feats.insert(feats.end(), utterance.begin(), utterance.end());
          }
          rows.push_back(row);
        } catch (const InputError& error) {
          reasons_[row] = error.what();
        }
      }
      if (!rows.empty()) Store(rows, Encoded(model_, encoder, &feats, rows.size(), batch.num_frames), start);
    } catch (const InputError& error) {
      for (const size_t row : rows) reasons_[row] = error.what();
    } catch (const std::bad_alloc&) {
      for (const size_t row : batch.rows) reasons_[row] = OutOfMemory(batch.num_frames);
    }
  }

  void EmbedInWindows(size_t row, Encoder* encoder, Clock::time_point start) {
    try {
      const int64_t num_frames = source_.utterances()[row].num_frames;
      const std::vector<float> feats = Prepared(model_, source_.Read(row), num_frames);
      Store({row}, EncodedInWindows(model_, encoder, feats, max_frames_), start);
    } catch (const InputError& error) {
      reasons_[row] = error.what();
    } catch (const std::bad_alloc&) {
      reasons_[row] = OutOfMemory(source_.utterances()[row].num_frames);
    }
  }

  void Store(const std::vector<size_t>& rows, const std::vector<float>& embeddings, Clock::time_point start) {
    const auto width = static_cast<size_t>(model_.emb_size);
    for (size_t i = 0; i < rows.size(); ++i) {
      const float* embedding = embeddings.data() + i * width;
      if (!AllFinite(embedding, width)) {
        reasons_[rows[i]] = kNotFinite;
        continue;
      }
      embeddings_[rows[i]].assign(embedding, embedding + width);
      latency_s_[rows[i]] = SecondsSince(start);
    }
  }

  const FeatureSource& source_;
  const ExportedModel& model_;
  const RunOptions& options_;
  const int64_t max_frames_;  // of a window; 0: no limit
  const size_t num_rows_;
  std::vector<Batch> batches_;
  std::vector<std::vector<float>> embeddings_;
  std::vector<std::string> reasons_;  // why there is no embedding; empty: there is one
  std::vector<double> latency_s_;
  std::atomic<size_t> next_batch_{0};
  std::atomic<size_t> num_done_{0};
  std::atomic<bool> is_stopped_{false};
};

}  // namespace

std::vector<float> EmbedOne(std::vector<float> feats, const ExportedModel& model, Encoder* encoder,
                            const std::vector<int64_t>& gears, const RunOptions& options) {
  const int64_t num_frames =
      FramesTaken(static_cast<int64_t>(feats.size()) / model.feature_size, options.cut_frames, gears);
  feats = Prepared(model, std::move(feats), num_frames);
  const int64_t max_frames = WindowLimit(options, gears);
  std::vector<float> embedding;
  if (max_frames > 0 && num_frames > max_frames) {
    embedding = EncodedInWindows(model, encoder, feats, max_frames);
  } else {
    model.front_end->Finish(&feats);
    embedding = Encoded(model, encoder, &feats, 1, num_frames);
  }
  embedding.resize(static_cast<size_t>(model.emb_size));
  if (!AllFinite(embedding.data(), embedding.size())) throw InputError(kNotFinite);
  return embedding;
}

int64_t FramesTaken(int64_t num_frames, const std::optional<int64_t>& cut_frames, const std::vector<int64_t>& gears) {
  if (cut_frames) return *cut_frames;
  if (gears.empty()) return num_frames;
  const auto above = std::upper_bound(gears.begin(), gears.end(), num_frames);
  return above == gears.begin() ? gears.front() : *(above - 1);
}

std::vector<int64_t> WindowEdges(int64_t num_frames, int64_t max_frames) {
  const int64_t num_windows = max_frames == 0 ? 1 : (num_frames + max_frames - 1) / max_frames;
  std::vector<int64_t> edges;
  for (int64_t i = 0; i <= num_windows; ++i) edges.push_back(i * num_frames / num_windows);
  return edges;
}

RunResult EmbedAll(const FeatureSource& source, const ExportedModel& model, Engine* engine, const RunOptions& options) {
  const auto start = Clock::now();
  Run run(source, model, options, engine->gears);
  std::vector<std::exception_ptr> errors(engine->encoders.size());
  const auto work = [&](size_t worker) {
    try {
      run.Work(engine->encoders[worker].get());
    } catch (...) {
      errors[worker] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  for (size_t worker = 1; worker < engine->encoders.size(); ++worker) threads.emplace_back(work, worker);
  work(0);
  for (auto& thread : threads) thread.join();
  for (const auto& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  return run.Finish(SecondsSince(start));
}

}  // namespace ecapa
