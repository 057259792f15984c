// Reading recordings, by the rules of src/corpus/audio.py.
#ifndef ECAPA_AUDIO_H_
#define ECAPA_AUDIO_H_

#include <sndfile.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

namespace ecapa {

// A WAV or FLAC file that is open, and whose header can be relied upon.
class AudioFile {
 public:
  // Throws InputError, the reason without the file's name: it is missing, is neither WAV nor FLAC, has no samples, or
  // fewer than its header says.
  explicit AudioFile(const std::filesystem::path& path);

  // The file's own rate, Hz.
  int64_t sample_rate() const { return info_.samplerate; }

  // Length at `sample_rate` (Hz): resampled, rounded up, when the file has another rate.
  int64_t NumSamples(int64_t sample_rate) const;

  // Returns all samples: channels averaged, resampled to `sample_rate` when the file has another, limited to [-1, 1].
  // To be called once.
  //
  // Throws InputError, the reason without the file's name: the file is cut or damaged, is constant, or has NaN,
  // infinite or unscaled samples.
  std::vector<float> Read(int64_t sample_rate);

 private:
  std::vector<float> ReadMono();

  SF_INFO info_{};
  std::unique_ptr<SNDFILE, int (*)(SNDFILE*)> file_;
};

// Changes the rate of a waveform by up / down: scipy.signal.resample_poly with its default window, in double precision.
std::vector<float> ResamplePoly(const std::vector<float>& waveform, int64_t up, int64_t down);

}  // namespace ecapa

#endif  // ECAPA_AUDIO_H_
