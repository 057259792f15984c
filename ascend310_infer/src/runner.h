// From features or samples to embeddings: cutting, finishing by the front end, batches of equal length, workers.
#ifndef ECAPA_RUNNER_H_
#define ECAPA_RUNNER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "src/encoder.h"
#include "src/exported_model.h"
#include "src/parts.h"
#include "src/pieces.h"
#include "src/sources.h"

namespace ecapa {

constexpr int64_t kMaxFrames = 15000;  // where nobody says otherwise: 150 s at the usual 10 ms a frame

struct RunOptions {
  std::optional<int64_t> cut_frames;  // frames kept of each utterance, repeated when it is shorter; none: all
  int64_t batch_size = 1;             // most utterances of one length that go through the model at once
  // Most frames that go through the model at once: a longer utterance is embedded in windows, and a batch holds no more
  // in all, unless the model's own batch size is fixed. 0: no limit. Without effect where a length is fixed, and on a
  // model that takes windows of its own: its batches are windows.
  int64_t max_frames = 0;
  Parts* parts = nullptr;  // what is kept of an earlier run of the same plan, and of this one; nullptr: nothing
  // Called now and then, from any worker, with the number of utterances that are done.
  std::function<void(size_t)> progress;
};

struct RunResult {
  std::vector<size_t> rows;       // of the source's utterances that have an embedding, rising
  std::vector<float> embeddings;  // (rows, emb_size)
  std::vector<Failure> failures;  // the source's own first, then in its order
  std::vector<double> latency_s;  // of each row of this run: from reading its batch to its embedding
  size_t num_kept = 0;            // rows of an earlier run
  int64_t num_frames = 0;         // of this run's rows, as cut
  bool has_windows = false;       // some utterance was longer than max_frames
  double elapsed_s = 0;
};

// Embeds every utterance of a source. Utterances are never padded: a batch holds utterances of one length, the shortest
// batches come first, and no result depends on which worker took it. One that cannot be read, is too short, or whose
// features or embedding are not finite, or for which memory does not suffice, is a failure and leaves the others as
// they are.
//
// The embedding of an utterance of several pieces (see PiecesOf) is the mean of theirs, weighted by their frames; each
// is finished on its own.
RunResult EmbedAll(const FeatureSource& source, const ExportedModel& model, Engine* engine, const RunOptions& options);

// Returns the embedding, finite, of one utterance: of its rows before the front end finishes them. `cut_frames` and
// `max_frames` of the options act as in EmbedAll, the others do not.
//
// Throws InputError: too few rows, or rows, a failure of the library or an embedding that is not finite.
std::vector<float> EmbedOne(std::vector<float> rows, const ExportedModel& model, Encoder* encoder,
                            const std::vector<int64_t>& gears, const RunOptions& options);

// Returns the frames of an utterance of `num_frames` that the model gets: `cut_frames` when it has a value, else the
// greatest gear that is not longer (the least when all are), else all.
int64_t FramesTaken(int64_t num_frames, const std::optional<int64_t>& cut_frames, const std::vector<int64_t>& gears);

}  // namespace ecapa

#endif  // ECAPA_RUNNER_H_
