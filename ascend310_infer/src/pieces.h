// What a model is given of an utterance: the whole, or windows of it. src/mindvox/engines/pieces.py does the same.
#ifndef ECAPA_PIECES_H_
#define ECAPA_PIECES_H_

#include <cstdint>
#include <vector>

#include "src/exported_model.h"

namespace ecapa {

// An input of a model. Rows are frames, or samples of a model that takes waveforms.
struct Piece {
  int64_t num_frames = 0;  // frames that it has, or that its samples have
  int64_t first = 0;       // row of the utterance
  int64_t count = 0;       // rows of the utterance, from there on, at least one
  int64_t length = 0;      // rows that the model gets: those, repeated from their first one or followed by zeros
};

// Returns the pieces of an utterance of `num_rows` rows, at least one frame: the windows that the model takes; else,
// when the utterance has more than `max_frames` frames, those of WindowEdges; else the whole.
//
// Args:
//   max_frames: without effect on a model that takes windows; 0: no limit.
std::vector<Piece> PiecesOf(const ExportedModel& model, int64_t num_rows, int64_t max_frames);

// Turns the rows of a piece into what the model is given: `length` rows, finished by the front end.
//
// Args:
//   values: (count, row_size) or, of a piece that begins with the utterance's first row, more.
void FinishPiece(const ExportedModel& model, const Piece& piece, std::vector<float>* values);

// Returns the edges of the windows that a long utterance is embedded in, from 0 to `num_frames`, as window_edges() in
// src/mindvox/frontend/frames.py does: n = ceil(num_frames / max_frames) windows, about equally long; one when
// max_frames is 0.
std::vector<int64_t> WindowEdges(int64_t num_frames, int64_t max_frames);

}  // namespace ecapa

#endif  // ECAPA_PIECES_H_
