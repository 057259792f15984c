#include "src/feature_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "src/errors.h"

namespace ecapa {
namespace {

constexpr double kInstanceEps = 1e-5;

}  // namespace

bool AllFinite(const float* values, size_t count) {
  uint32_t greatest = 0;  // of the bits without sign: infinity is the first that is not finite; one vectorised pass
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    greatest = std::max(greatest, bits & 0x7FFFFFFFU);
  }
  return greatest < 0x7F800000U;
}

void CutFrames(int64_t num_frames, int64_t size, std::vector<float>* feats) {
  const auto wanted = static_cast<size_t>(num_frames * size);
  const size_t given = feats->size();
  feats->resize(wanted);
  for (size_t i = given; i < wanted; ++i) (*feats)[i] = (*feats)[i - given];
}

std::vector<float> Transposed(const std::vector<float>& feats, int64_t num_frames, int64_t size) {
  const auto rows = static_cast<size_t>(num_frames), columns = static_cast<size_t>(size);
  std::vector<float> transposed(feats.size());
  for (size_t start = 0; start + rows * columns <= feats.size(); start += rows * columns) {
    for (size_t row = 0; row < rows; ++row) {
      for (size_t column = 0; column < columns; ++column) {
        transposed[start + column * rows + row] = feats[start + row * columns + column];
      }
    }
  }
  return transposed;
}

void SubtractMean(int64_t size, std::vector<float>* feats) {
  const auto width = static_cast<size_t>(size);
  std::vector<double> mean(width);  // a sum of many frames in float32 drifts
  for (size_t i = 0; i < feats->size(); i += width) {
    for (size_t bin = 0; bin < width; ++bin) mean[bin] += static_cast<double>((*feats)[i + bin]);
  }
  const auto num_frames = static_cast<double>(feats->size() / width);
  std::vector<float> rounded(width);
  for (size_t bin = 0; bin < width; ++bin) rounded[bin] = static_cast<float>(mean[bin] / num_frames);
  for (size_t i = 0; i < feats->size(); i += width) {
    for (size_t bin = 0; bin < width; ++bin) (*feats)[i + bin] -= rounded[bin];
  }
}

void NormaliseInstance(int64_t size, std::vector<float>* feats) {
  const auto width = static_cast<size_t>(size);
  const auto num_frames = static_cast<double>(feats->size() / width);
  for (size_t bin = 0; bin < width; ++bin) {
    double mean = 0, variance = 0;
    for (size_t i = bin; i < feats->size(); i += width) mean += static_cast<double>((*feats)[i]) / num_frames;
    for (size_t i = bin; i < feats->size(); i += width) {
      const double centred = static_cast<double>((*feats)[i]) - mean;
      variance += centred * centred / num_frames;
    }
    const double deviation = std::sqrt(variance + kInstanceEps);
    for (size_t i = bin; i < feats->size(); i += width) {
      (*feats)[i] = static_cast<float>((static_cast<double>((*feats)[i]) - mean) / deviation);
    }
  }
}

void DivideByPeak(int64_t size, std::vector<float>* feats) {
  const auto width = static_cast<size_t>(size);
  for (size_t bin = 0; bin < width; ++bin) {
    float peak = 0;
    for (size_t i = bin; i < feats->size(); i += width) peak = std::max(peak, std::abs((*feats)[i]));
    if (peak == 0) continue;
    for (size_t i = bin; i < feats->size(); i += width) (*feats)[i] /= peak;
  }
}

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double product = 0, a_squared = 0, b_squared = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    a_squared += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    b_squared += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  if (a_squared == 0 || b_squared == 0) throw InputError("an embedding is zero: it has no direction to compare.");
  return product / std::sqrt(a_squared * b_squared);
}

}  // namespace ecapa
