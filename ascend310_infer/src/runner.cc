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

// Utterances that go through the model together: several of one piece each, all of one length; or one of several
// pieces.
struct Batch {
  int64_t length;      // rows of each
  int64_t num_frames;  // of each
  bool has_pieces;     // one utterance, of several pieces
  std::vector<size_t> rows;
};

// An utterance as it is planned before it is read.
struct Job {
  int64_t length = 0;  // rows that the model gets; of all its pieces, the utterance's
  int64_t num_frames = 0;
  bool has_pieces = false;
};

// Puts utterances of one length together: at most `batch_size` of them, and at most `max_frames` frames in all unless
// that is 0.
std::vector<Batch> EqualLengthBatches(const std::vector<Job>& jobs, int64_t batch_size, int64_t max_frames) {
  std::vector<size_t> order(jobs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return jobs[a].length < jobs[b].length; });
  std::vector<Batch> batches;
  for (const size_t row : order) {
    const Job& job = jobs[row];
    const int64_t most = max_frames == 0 ? batch_size : std::clamp<int64_t>(max_frames / job.num_frames, 1, batch_size);
    if (batches.empty() || job.has_pieces || batches.back().has_pieces || batches.back().length != job.length ||
        static_cast<int64_t>(batches.back().rows.size()) == most) {
      batches.push_back({job.length, job.num_frames, job.has_pieces, {}});
    }
    batches.back().rows.push_back(row);
  }
  return batches;
}

std::string OutOfMemory(const ExportedModel& model, int64_t num_rows) {
  return Concat(num_rows, " ", model.unit(),
                " need more memory than there is. Set a smaller --max_frames, --batch_size or --workers");
}

// Returns the most frames that a model sees at once; 0: no limit, or it takes windows of its own.
int64_t WindowLimit(const ExportedModel& model, const RunOptions& options, const std::vector<int64_t>& gears) {
  return options.cut_frames || !gears.empty() || model.windows ? 0 : options.max_frames;
}

// Returns the rows of an utterance of `num_rows` that are embedded.
int64_t RowsTaken(const ExportedModel& model, int64_t num_rows, const RunOptions& options,
                  const std::vector<int64_t>& gears) {
  if (!options.cut_frames && gears.empty()) return num_rows;
  return model.RowsOf(FramesTaken(model.FramesIn(num_rows), options.cut_frames, gears));
}

// Returns the first `num_rows` rows of an utterance, repeated when it has fewer, as they are; `pieces` are those of
// them.
std::vector<float> Prepared(const ExportedModel& model, std::vector<float> rows, int64_t num_rows,
                            const std::vector<Piece>& pieces) {
  const int64_t least = model.RowsOf(model.min_frames);
  for (const Piece& piece : pieces) {
    if (piece.length >= least) continue;
    throw InputError(Concat(piece.length, " ", model.unit(), ", an embedding needs at least ", least,
                            ". Leave the utterance out, or cut all to one length, which repeats what is short."));
  }
  if (!AllFinite(rows.data(), rows.size())) {
    throw InputError(Concat("NaN or infinite ", model.framing ? "samples" : "features"));
  }
  CutFrames(num_rows, model.row_size(), &rows);
  return rows;
}

// Returns the embeddings of `num_inputs` inputs of equal length, finished.
std::vector<float> Encoded(const ExportedModel& model, Encoder* encoder, std::vector<float>* feats, size_t num_inputs,
                           int64_t length) {
  const size_t filled = feats->size();
  const auto batch_size = static_cast<size_t>(model.batch_size.value_or(static_cast<int64_t>(num_inputs)));
  feats->resize(filled / num_inputs * batch_size);  // a fixed batch that is not full: inputs are repeated
  for (size_t i = filled; i < feats->size(); ++i) (*feats)[i] = (*feats)[i - filled];
  if (model.is_transposed) *feats = Transposed(*feats, length, model.feature_size);
  std::vector<float> embeddings = encoder->Encode(*feats, static_cast<int64_t>(batch_size), length);
  if (embeddings.size() < num_inputs * static_cast<size_t>(model.emb_size)) {
    throw InputError("the model gave too few numbers");
  }
  return embeddings;
}

// Returns the mean of the embeddings of the pieces of one utterance, weighted by their frames.
//
// Args:
//   batch_size: most windows of a model that takes some that go through it at once; other pieces go one by one.
std::vector<float> EncodedInPieces(const ExportedModel& model, Encoder* encoder, const std::vector<float>& rows,
                                   const std::vector<Piece>& pieces, int64_t batch_size) {
  const auto width = static_cast<size_t>(model.row_size()), emb_size = static_cast<size_t>(model.emb_size);
  const auto most = static_cast<size_t>(model.windows ? model.batch_size.value_or(batch_size) : 1);
  std::vector<double> sum(emb_size);
  double num_frames = 0;
  for (size_t first = 0; first < pieces.size(); first += most) {
    const size_t count = std::min(most, pieces.size() - first);
    std::vector<float> batch;
    for (size_t i = first; i < first + count; ++i) {
      const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(pieces[i].first) * width);
      std::vector<float> values(begin,
                                begin + static_cast<std::ptrdiff_t>(static_cast<size_t>(pieces[i].count) * width));
      FinishPiece(model, pieces[i], &values);
      batch.insert(batch.end(), values.begin(), values.end());
    }
    const std::vector<float> embeddings = Encoded(model, encoder, &batch, count, pieces[first].length);
    for (size_t i = 0; i < count; ++i) {
      const auto weight = static_cast<double>(pieces[first + i].num_frames);
      for (size_t d = 0; d < emb_size; ++d) sum[d] += static_cast<double>(embeddings[i * emb_size + d]) * weight;
      num_frames += weight;
    }
  }
  std::vector<float> mean(emb_size);
  for (size_t d = 0; d < emb_size; ++d) mean[d] = static_cast<float>(sum[d] / num_frames);
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
        max_frames_(WindowLimit(model, options, gears)),
        num_utts_(source.utterances().size()) {
    std::vector<Job> jobs;
    for (const auto& utterance : source.utterances()) {
      taken_.push_back(RowsTaken(model, utterance.num_rows, options, gears));
      const std::vector<Piece> pieces = PiecesOf(model, taken_.back(), max_frames_);
      const bool has_pieces = pieces.size() > 1;
      jobs.push_back({has_pieces ? taken_.back() : pieces.front().length, model.FramesIn(taken_.back()), has_pieces});
    }
    batches_ = EqualLengthBatches(jobs, options.batch_size, model.batch_size ? 0 : max_frames_);
    embeddings_.resize(num_utts_);
    reasons_.resize(num_utts_);
    latency_s_.resize(num_utts_);
    if (options.parts == nullptr) return;
    for (const auto& [row, embedding] : options.parts->found()) {
      if (row < num_utts_) embeddings_[row] = embedding;
    }
  }

  // Takes batches until none is left.
  void Work(Encoder* encoder) {
    for (size_t i = next_batch_++; i < batches_.size() && !is_stopped_; i = next_batch_++) {
      try {
        if (!IsKept(batches_[i])) {
          Embed(batches_[i], encoder);
          Keep(batches_[i]);
        }
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
      result.has_windows = result.has_windows || (batch.has_pieces && !model_.windows);
      for (const size_t row : batch.rows) result.num_frames += latency_s_[row] ? batch.num_frames : 0;
    }
    for (size_t row = 0; row < num_utts_; ++row) {
      if (!reasons_[row].empty()) {
        result.failures.push_back({source_.utterances()[row].utt_id, reasons_[row]});
        continue;
      }
      result.rows.push_back(row);
      result.embeddings.insert(result.embeddings.end(), embeddings_[row].begin(), embeddings_[row].end());
      if (latency_s_[row]) result.latency_s.push_back(*latency_s_[row]);
    }
    result.num_kept = result.rows.size() - result.latency_s.size();
    return result;
  }

 private:
  // Whether an earlier run left all of a batch: a part of one is embedded again with the rest, so that the numbers are
  // those of a run that was never interrupted.
  bool IsKept(const Batch& batch) const {
    return std::all_of(batch.rows.begin(), batch.rows.end(), [&](size_t row) { return !embeddings_[row].empty(); });
  }

  void Keep(const Batch& batch) const {
    if (options_.parts == nullptr) return;
    Rows rows;
    for (const size_t row : batch.rows) {
      if (reasons_[row].empty()) rows[row] = embeddings_[row];
    }
    options_.parts->Add(rows);
  }

  void Embed(const Batch& batch, Encoder* encoder) {
    const auto start = Clock::now();
    std::vector<size_t> rows;  // that could be read
    try {
      if (batch.has_pieces) {
        EmbedInPieces(batch.rows.front(), encoder, start);
        return;
      }
      std::vector<float> feats;
      for (const size_t row : batch.rows) {
        try {
          const std::vector<Piece> pieces = PiecesOf(model_, taken_[row], max_frames_);
          std::vector<float> utterance = Prepared(model_, source_.Read(row), taken_[row], pieces);
          FinishPiece(model_, pieces.front(), &utterance);
          if (rows.empty()) {
            feats = std::move(utterance);  // no second copy of a long one
            feats.reserve(batch.rows.size() * feats.size());
          } else {
            feats.insert(feats.end(), utterance.begin(), utterance.end());
          }
          rows.push_back(row);
        } catch (const InputError& error) {
          reasons_[row] = error.what();
        }
      }
      if (!rows.empty()) Store(rows, Encoded(model_, encoder, &feats, rows.size(), batch.length), start);
    } catch (const InputError& error) {
      for (const size_t row : rows) reasons_[row] = error.what();
    } catch (const std::bad_alloc&) {
      for (const size_t row : batch.rows) reasons_[row] = OutOfMemory(model_, batch.length);
    }
  }

  void EmbedInPieces(size_t row, Encoder* encoder, Clock::time_point start) {
    try {
      const std::vector<Piece> pieces = PiecesOf(model_, taken_[row], max_frames_);
      const std::vector<float> utterance = Prepared(model_, source_.Read(row), taken_[row], pieces);
      Store({row}, EncodedInPieces(model_, encoder, utterance, pieces, options_.batch_size), start);
    } catch (const InputError& error) {
      reasons_[row] = error.what();
    } catch (const std::bad_alloc&) {
      reasons_[row] = OutOfMemory(model_, taken_[row]);
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
  const size_t num_utts_;
  std::vector<int64_t> taken_;  // rows of each utterance that are embedded
  std::vector<Batch> batches_;
  std::vector<std::vector<float>> embeddings_;
  std::vector<std::string> reasons_;              // why there is no embedding; empty: there is one
  std::vector<std::optional<double>> latency_s_;  // none: this run did not embed it
  std::atomic<size_t> next_batch_{0};
  std::atomic<size_t> num_done_{0};
  std::atomic<bool> is_stopped_{false};
};

}  // namespace

std::vector<float> EmbedOne(std::vector<float> rows, const ExportedModel& model, Encoder* encoder,
                            const std::vector<int64_t>& gears, const RunOptions& options) {
  const int64_t taken = RowsTaken(model, static_cast<int64_t>(rows.size()) / model.row_size(), options, gears);
  const std::vector<Piece> pieces = PiecesOf(model, taken, WindowLimit(model, options, gears));
  rows = Prepared(model, std::move(rows), taken, pieces);
  std::vector<float> embedding;
  if (pieces.size() > 1) {
    embedding = EncodedInPieces(model, encoder, rows, pieces, options.batch_size);
  } else {
    FinishPiece(model, pieces.front(), &rows);
    embedding = Encoded(model, encoder, &rows, 1, pieces.front().length);
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
