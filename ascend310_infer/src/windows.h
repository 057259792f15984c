// Windows of one length that a model takes an utterance in, whose embeddings are averaged.
#ifndef ECAPA_WINDOWS_H_
#define ECAPA_WINDOWS_H_

#include <cstdint>
#include <vector>

namespace ecapa {

// The C++ twin of Windows in src/mindvox/frontend/frames.py.
struct Windows {
  int64_t num_frames = 1;  // of a window
  int64_t step = 1;        // between the starts of two windows, frames, at most num_frames
  bool is_padded = false;  // zeros follow the utterance; else the last window ends with it, and a short one is repeated
  double min_coverage =
      0;  // of padded ones: share of the last window before the utterance's last frame, or it is left out

  // Returns the first frame of each window of an utterance of `length` >= 1 frames.
  std::vector<int64_t> Starts(int64_t length) const {
    std::vector<int64_t> starts = {0};
    if (!is_padded) {
      while (starts.back() + step + num_frames <= length) starts.push_back(starts.back() + step);
      if (starts.back() + num_frames < length) starts.push_back(length - num_frames);
      return starts;
    }
    while (starts.back() + num_frames <= length) starts.push_back(starts.back() + step);
    const auto covered = static_cast<double>(length - 1 - starts.back());
    if (starts.size() > 1 && covered < min_coverage * static_cast<double>(num_frames)) starts.pop_back();
    return starts;
  }
};

}  // namespace ecapa

#endif  // ECAPA_WINDOWS_H_
