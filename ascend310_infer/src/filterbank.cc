#include "src/filterbank.h"

namespace ecapa {

Filterbank::Filterbank(int64_t n_fft) : half_(static_cast<size_t>(n_fft / 2)), transform_(half_, false) {}

Filterbank::Worker::Worker(const Filterbank& filterbank)
    : filterbank_(filterbank),
      transform_(filterbank.transform_),
      frame_(2 * filterbank.half_),
      spectrum_(filterbank.half_),
      power_(filterbank.half_ + 1),
      energies_(filterbank.filters_.size()) {}

const std::vector<double>& Filterbank::Worker::Energies() {
  transform_.transform_real(frame_.data(), spectrum_.data());
  const size_t half = spectrum_.size();
  power_[0] = spectrum_[0].real() * spectrum_[0].real();  // the two real bins come together
  power_[half] = spectrum_[0].imag() * spectrum_[0].imag();
  for (size_t bin = 1; bin < half; ++bin) {
    power_[bin] = spectrum_[bin].real() * spectrum_[bin].real() + spectrum_[bin].imag() * spectrum_[bin].imag();
  }
  for (size_t i = 0; i < energies_.size(); ++i) {
    const Filter& filter = filterbank_.filters_[i];
    const double* bins = power_.data() + filter.first;
    double energy = 0;
    for (size_t k = 0; k < filter.weights.size(); ++k) energy += filter.weights[k] * bins[k];
    energies_[i] = energy;
  }
  return energies_;
}

}  // namespace ecapa
