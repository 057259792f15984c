#include "src/pieces.h"

#include <algorithm>
#include <cstddef>

#include "src/feature_ops.h"

namespace ecapa {
namespace {

// Returns the rows of frames `first` to `last`; with the utterance's last frame, all rows to its end.
Piece Between(const ExportedModel& model, int64_t num_rows, int64_t first, int64_t last) {
  const int64_t hop = model.framing ? model.framing->hop : 1;
  Piece piece;
  piece.num_frames = last - first;
  piece.first = std::min(first * hop, num_rows - 1);
  const int64_t rest = num_rows - piece.first;
  const bool reaches_end = last >= model.FramesIn(num_rows);
  piece.length = piece.count = reaches_end ? rest : std::min(rest, model.RowsOf(piece.num_frames));
  return piece;
}

}  // namespace

std::vector<Piece> PiecesOf(const ExportedModel& model, int64_t num_rows, int64_t max_frames) {
  const int64_t num_frames = model.FramesIn(num_rows);
  std::vector<Piece> pieces;
  if (model.windows) {
    for (const int64_t first : model.windows->Starts(num_frames)) {
      Piece piece = Between(model, num_rows, first, first + model.windows->num_frames);
      piece.length = model.RowsOf(model.windows->num_frames);
      piece.count = std::min(piece.count, piece.length);
      pieces.push_back(piece);
    }
    return pieces;
  }
  const std::vector<int64_t> edges = WindowEdges(num_frames, max_frames);
  for (size_t i = 0; i + 1 < edges.size(); ++i) pieces.push_back(Between(model, num_rows, edges[i], edges[i + 1]));
  return pieces;
}

void FinishPiece(const ExportedModel& model, const Piece& piece, std::vector<float>* values) {
  CutFrames(piece.count, model.row_size(), values);
  if (model.windows && model.windows->is_padded) {
    values->resize(static_cast<size_t>(piece.length * model.row_size()));
  } else {
    CutFrames(piece.length, model.row_size(), values);
  }
  model.front_end->Finish(values);
}

std::vector<int64_t> WindowEdges(int64_t num_frames, int64_t max_frames) {
  const int64_t num_windows = max_frames == 0 ? 1 : (num_frames + max_frames - 1) / max_frames;
  std::vector<int64_t> edges;
  for (int64_t i = 0; i <= num_windows; ++i) edges.push_back(i * num_frames / num_windows);
  return edges;
}

}  // namespace ecapa
