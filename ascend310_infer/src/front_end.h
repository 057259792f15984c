// How waveforms become what a model takes: the front ends that models are trained with, chosen by the `type` of their
// stored form.
#ifndef ECAPA_FRONT_END_H_
#define ECAPA_FRONT_END_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ecapa {

// A front end, the C++ twin of FrontEnd in src/mindvox/frontend/. May be used by several threads at once.
class FrontEnd {
 public:
  // Makes the features of one waveform that comes in pieces: it is never held as a whole. Not for several threads.
  class Stream {
   public:
    virtual ~Stream() = default;

    // Takes the next samples, full scale 1.
    virtual void Push(const float* samples, size_t count) = 0;

    // Returns features (NumRows(N), size) of all N samples, before Finish of the front end. To be called once, last.
    virtual std::vector<float> Finish() = 0;
  };

  virtual ~FrontEnd() = default;

  // The stored form with all keys but those that change training features alone: what two front ends must agree on.
  virtual nlohmann::json comparable() const = 0;

  // Numbers of a row.
  virtual int64_t size() const = 0;

  // Of the waveform, Hz.
  virtual int64_t sample_rate() const = 0;

  // From the start of a frame to that of the next, seconds; 0: not known.
  virtual double frame_shift_s() const = 0;

  // Frames of a waveform; 0: it is too short for one.
  virtual int64_t NumFrames(int64_t num_samples) const = 0;

  // Rows of what a waveform becomes: its frames, or samples where the model makes features inside.
  virtual int64_t NumRows(int64_t num_samples) const { return NumFrames(num_samples); }

  // The fewest samples that give `num_frames` >= 1 frames.
  virtual int64_t NumSamples(int64_t num_frames) const = 0;

  // Returns the stream of a waveform, which the front end must outlive. Memory is reserved for `num_rows`, the
  // expected number of rows; another number works too.
  virtual std::unique_ptr<Stream> Start(int64_t num_rows) const = 0;

  // Does to the rows that the model sees, (T, size), what comes after cutting: subtracts their mean, for example.
  virtual void Finish(std::vector<float>* feats) const = 0;

  // Returns features (NumRows(N), size) of N >= 1 samples, full scale 1, before Finish.
  std::vector<float> operator()(const std::vector<float>& waveform) const;
};

// Returns the front end of a stored form.
//
// A type that this program does not know is no error yet: features that somebody else made can be finished. What would
// need their computation throws InputError, which lists the known types.
//
// Args:
//   feature_size: numbers of a frame that the model takes.
//   where: file that the stored form came from, for messages.
//
// Throws InputError: a key is missing or unknown, a value is impossible, or frames have another size.
std::shared_ptr<const FrontEnd> ReadFrontEnd(const nlohmann::json& stored, int64_t feature_size,
                                             const std::string& where);

// Compares a stored front end, which comes from `where`, with the expected one; throws InputError that names the
// differing keys, or what is wrong with the stored one.
void CheckFrontEnd(const FrontEnd& expected, const nlohmann::json& stored, const std::string& where);

}  // namespace ecapa

#endif  // ECAPA_FRONT_END_H_
