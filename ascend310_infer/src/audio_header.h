// What the headers of audio files say about their length, where libsndfile does not tell or guesses: the rules of
// src/mindvox/corpus/audio_headers.py.
#ifndef ECAPA_AUDIO_HEADER_H_
#define ECAPA_AUDIO_HEADER_H_

#include <sndfile.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ecapa {

// The bytes of a file.
class ByteReader {
 public:
  virtual ~ByteReader() = default;
  virtual int64_t size() const = 0;

  // Returns `count` bytes from `offset` on, or fewer where the file ends.
  virtual std::string Read(int64_t offset, size_t count) const = 0;
};

// Tells whether an MP3 says in its first frame how long it is.
bool HasMp3Table(const ByteReader& file);

// Returns the bytes at which the parts of a file begin, 0 first: the streams of a chained Ogg, or MP3 files that were
// joined. libsndfile reads the first alone. Behind an MP3 without a table of its length, only frames of another rate or
// number of channels begin a part. Other formats have one part.
//
// Args:
//   format: of SF_INFO.
std::vector<int64_t> PartStarts(const ByteReader& file, int format);

// Tells whether a file ends with a whole Ogg page that is marked as the last of its stream.
bool EndsWithLastOggPage(const ByteReader& file);

// Tells whether libsndfile (1.2.2) may never return from opening a WAV: in a LIST chunk it goes back, over and over, by
// an entry's size of 2^31 or more, which no whole file has.
bool HasEndlessList(const ByteReader& file);

// Samples that a WAV does not count.
struct UnclosedData {
  int64_t size_at;    // where its header says that there are none
  int64_t num_bytes;  // there are
};

// Returns the samples behind a data chunk of size 0, which a recorder leaves that is switched off. There are none when
// a chain of chunks follows that ends with the file.
std::optional<UnclosedData> FindUnclosedData(const ByteReader& file);

// How much a header says that there is, and how much there is, in one unit.
struct Promise {
  int64_t promised = 0;
  int64_t real = 0;
};

// Returns what the header of an open file promises, as far as it is known.
//
// Args:
//   info: of the open file.
//   log: libsndfile's, which says "data : 64000 (should be 32000)".
std::optional<Promise> PromiseOf(const ByteReader& file, const SF_INFO& info, std::string_view log);

// Tells whether so much is missing that the file was cut. A header may promise a little too much: a recorder counted
// the header, or a whole block. A WAV that was written to a pipe promises about 2 or 4 GiB; its end is the file's.
bool IsCut(const Promise& promise);

}  // namespace ecapa

#endif  // ECAPA_AUDIO_HEADER_H_
