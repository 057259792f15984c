// What happens to features between their source and the model.
#ifndef ECAPA_FEATURE_OPS_H_
#define ECAPA_FEATURE_OPS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ecapa {

// Tells whether all values are finite.
bool AllFinite(const float* values, size_t count);

// Keeps the first `num_frames` frames of feats (T, size); what is shorter is repeated from its start.
void CutFrames(int64_t num_frames, int64_t size, std::vector<float>* feats);

// Returns feats (batch, T, size) as (batch, size, T).
std::vector<float> Transposed(const std::vector<float>& feats, int64_t num_frames, int64_t size);

// Subtracts from each bin of feats (T, size) its mean over the frames.
void SubtractMean(int64_t size, std::vector<float>* feats);

// Gives each bin of feats (T, size) a mean of zero and a biased deviation of one over the frames; 1e-5 is added to the
// variance.
void NormaliseInstance(int64_t size, std::vector<float>* feats);

// Divides each bin of feats (T, size) by its largest absolute value over the frames, unless all are zero.
void DivideByPeak(int64_t size, std::vector<float>* feats);

// Returns the cosine of two vectors of one length; throws InputError when one has no length.
double Cosine(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace ecapa

#endif  // ECAPA_FEATURE_OPS_H_
