#include "src/runner.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
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

std::vector<Batch> EqualLengthBatches(const std::vector<int64_t>& lengths, size_t batch_size) {
  std::vector<size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return lengths[a] < lengths[b]; });
  std::vector<Batch> batches;
  for (const size_t row : order) {
    if (batches.empty() || batches.back().num_frames != lengths[row] || batches.back().rows.size() == batch_size) {
      batches.push_back({lengths[row], {}});
    }
    batches.back().rows.push_back(row);
  }
  return batches;
}

// The workers' common state. A row's entries are written by the one worker that has it.
class Run {
 public:
  Run(const FeatureSource& source, const ExportedModel& model, const RunOptions& options,
      const std::vector<int64_t>& gears)
      : source_(source), model_(model), options_(options), num_rows_(source.utterances().size()) {
    std::vector<int64_t> lengths;
    for (const auto& utterance : source.utterances()) {
      lengths.push_back(FramesTaken(utterance.num_frames, options.cut_frames, gears));
    }
    batches_ = EqualLengthBatches(lengths, static_cast<size_t>(options.batch_size));
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
  void Embed(const Batch& batch, Encoder* encoder) {
    const auto start = Clock::now();
    std::vector<size_t> rows;
    std::vector<float> feats;
    for (const size_t row : batch.rows) {
      try {
        const std::vector<float> utterance = Prepare(row, batch.num_frames);
        feats.insert(feats.end(), utterance.begin(), utterance.end());
        rows.push_back(row);
      } catch (const InputError& error) {
        reasons_[row] = error.what();
      }
    }
    if (rows.empty()) return;
    const size_t filled = feats.size();
    const auto batch_size = static_cast<size_t>(model_.batch_size.value_or(static_cast<int64_t>(rows.size())));
    feats.resize(filled / rows.size() * batch_size);  // a fixed batch that is not full: utterances are repeated
    for (size_t i = filled; i < feats.size(); ++i) feats[i] = feats[i - filled];
    try {
      Store(rows, encoder->Encode(feats, static_cast<int64_t>(batch_size), batch.num_frames), start);
    } catch (const InputError& error) {
      for (const size_t row : rows) reasons_[row] = error.what();
    }
  }

  std::vector<float> Prepare(size_t row, int64_t num_frames) const {
    if (num_frames < model_.min_frames) {
      throw InputError(Concat(num_frames, " frames, an embedding needs at least ", model_.min_frames,
                              ". Leave the utterance out, or cut all to one length, which repeats what is short."));
    }
    std::vector<float> feats = source_.Read(row);
    if (!AllFinite(feats.data(), feats.size())) throw InputError("NaN or infinite features");
    CutFrames(num_frames, model_.num_mels, &feats);
    SubtractMean(model_.num_mels, &feats);
    return feats;
  }

  void Store(const std::vector<size_t>& rows, const std::vector<float>& embeddings, Clock::time_point start) {
    const auto width = static_cast<size_t>(model_.emb_size);
    if (embeddings.size() < rows.size() * width) throw InputError("the model gave too few numbers");
    for (size_t i = 0; i < rows.size(); ++i) {
      const float* embedding = embeddings.data() + i * width;
      if (!AllFinite(embedding, width)) {
        reasons_[rows[i]] = "NaN or infinite values in the embedding";
        continue;
      }
      embeddings_[rows[i]].assign(embedding, embedding + width);
      latency_s_[rows[i]] = SecondsSince(start);
    }
  }

  const FeatureSource& source_;
  const ExportedModel& model_;
  const RunOptions& options_;
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

int64_t FramesTaken(int64_t num_frames, const std::optional<int64_t>& cut_frames, const std::vector<int64_t>& gears) {
  if (cut_frames) return *cut_frames;
  if (gears.empty()) return num_frames;
  const auto above = std::upper_bound(gears.begin(), gears.end(), num_frames);
  return above == gears.begin() ? gears.front() : *(above - 1);
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
