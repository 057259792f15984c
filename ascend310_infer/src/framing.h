// How the frames of a front end lie in a waveform.
#ifndef ECAPA_FRAMING_H_
#define ECAPA_FRAMING_H_

#include <algorithm>
#include <cstdint>

namespace ecapa {

// Frame t is there when the waveform has `first` + t * `hop` samples. All three are counts of samples.
struct Framing {
  int64_t least = 1;  // the shortest waveform, of one frame or more
  int64_t first = 1;  // at most `least`
  int64_t hop = 1;

  // Frames of a waveform; 0: it is too short for one.
  int64_t NumFrames(int64_t num_samples) const { return num_samples < least ? 0 : 1 + (num_samples - first) / hop; }

  // The fewest samples that give `num_frames` >= 1 frames or more.
  int64_t NumSamples(int64_t num_frames) const { return std::max(least, first + (num_frames - 1) * hop); }
};

}  // namespace ecapa

#endif  // ECAPA_FRAMING_H_
