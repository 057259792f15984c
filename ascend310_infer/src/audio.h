// Reading recordings, by the rules of src/mindvox/corpus/audio.py and decoders.py.
#ifndef ECAPA_AUDIO_H_
#define ECAPA_AUDIO_H_

#include <sndfile.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "src/quality.h"
#include "src/resample.h"

namespace ecapa {

// A recording that is open, in any format that libsndfile reads, and whose header can be relied upon.
class AudioFile {
 public:
  // Throws InputError, the reason without the file's name: it is missing, is no audio, has no samples, or fewer than
  // its header says. Several recordings in one file, a chained Ogg or joined MP3s, are one; they must have one rate and
  // one number of channels.
  explicit AudioFile(const std::filesystem::path& path);
  ~AudioFile();

  // The file's own rate, Hz.
  int64_t sample_rate() const { return info_.samplerate; }

  // Length at `sample_rate` (Hz): resampled, rounded up, when the file has another rate. A file whose header does not
  // say its length, as an MP3 or a FLAC from a stream, is decoded for it. To be called before Read, if at all.
  //
  // Throws InputError, the reason without the file's name, when the file is damaged.
  int64_t NumSamples(int64_t sample_rate);

  // Passes all samples to `sink`, in pieces: channels averaged, resampled to `sample_rate` when the file has another,
  // limited to [-1, 1]. To be called once.
  //
  // Throws InputError, the reason without the file's name, when the file is cut or damaged, or its waveform is unusable
  // (see WaveformJudge). What the sink has got is then worthless.
  void Read(int64_t sample_rate, const QualityLimits& limits, const SampleSink& sink);

 private:
  class Bytes;

  // Opens the bytes as they stand from their beginning; returns whether libsndfile reads them.
  bool Open();

  // Open() of what was open before.
  void Reopen();

  // Opens a part of the file.
  void OpenPart(size_t part);

  // Finds out how long the open part is, and how it must be read.
  void Examine();

  // Passes all frames to `sink`, which gets the number of frames. The file must be at its beginning.
  void Decode(const SampleSink& sink);

  // Decode of the open part.
  void DecodePart(const SampleSink& sink);

  std::unique_ptr<Bytes> bytes_;       // outlives file_
  std::vector<int64_t> starts_ = {0};  // of the file's parts, bytes: see PartStarts
  size_t part_ = 0;                    // that is open
  SF_INFO info_{};                     // of the open part; rate and channels are those of all
  std::unique_ptr<SNDFILE, int (*)(SNDFILE*)> file_;
  bool is_counted_ = true;   // info_.frames is the truth, or what the header promises
  int64_t num_frames_ = -1;  // of all parts; -1: not known
};

}  // namespace ecapa

#endif  // ECAPA_AUDIO_H_
