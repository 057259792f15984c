#include "fuzz/fuzz.h"
#include "src/exported_model.h"
#include "src/pieces.h"

namespace {

// Frames, samples and windows of a short utterance fit each other.
void CheckPieces(const ecapa::ExportedModel& model) {
  constexpr int64_t kFrames = 50;
  const int64_t num_rows = model.RowsOf(kFrames);
  ecapa::Require(model.FramesIn(num_rows) >= kFrames && model.RowsOf(model.FramesIn(num_rows)) <= num_rows);
  if (model.FramesIn(num_rows) > 1000) return;
  for (const int64_t max_frames : {0, 20}) {
    for (const auto& piece : ecapa::PiecesOf(model, num_rows, max_frames)) {
      ecapa::Require(piece.num_frames >= 1 && piece.first >= 0 && piece.count >= 1 && piece.length >= 1);
      ecapa::Require(piece.first + piece.count <= num_rows);
      if (piece.count * model.row_size() > 4096 || piece.length * model.row_size() > 4096) continue;
      std::vector<float> values(static_cast<size_t>(piece.count * model.row_size()), 0.25F);
      ecapa::FinishPiece(model, piece, &values);
      ecapa::Require(values.size() == static_cast<size_t>(piece.length * model.row_size()));
    }
  }
}

}  // namespace

// The model's description, the front end in it, and what the model is given.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return ecapa::Fuzz(data, size, [](std::string_view text) {
    const auto model = ecapa::ExportedModel::Parse(text, "fuzz.json");
    ecapa::Require(model.feature_size >= 1 && model.emb_size >= 1 && model.min_frames >= 1);
    ecapa::Require(model.front_end->size() == model.row_size());
    for (const auto& [name, channels] : model.further_outputs) ecapa::Require(channels >= 1);
    CheckPieces(model);
    ecapa::Require(model.front_end->sample_rate() >= 1);  // throws where the front end is not known
    if (model.framing) {
      const int64_t fewest = model.front_end->NumSamples(100);
      ecapa::Require(fewest >= 1 && model.front_end->NumFrames(fewest) >= 100);
      return;
    }
    for (const int64_t num_frames : {2, 100}) {
      const int64_t fewest = model.front_end->NumSamples(num_frames);
      ecapa::Require(model.front_end->NumFrames(fewest) == num_frames);
      ecapa::Require(model.front_end->NumFrames(fewest - 1) == num_frames - 1);
    }
    if (model.feature_size > 256 || model.front_end->NumSamples(2) > 4096) return;  // seconds of computation
    const std::vector<float> waveform(static_cast<size_t>(model.front_end->NumSamples(2)), 0.25F);
    ecapa::Require((*model.front_end)(waveform).size() == static_cast<size_t>(2 * model.feature_size));
  });
}
