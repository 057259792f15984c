"""From waveforms to features: filterbank energies and their mean normalisation. Gets arrays, reads no files."""
