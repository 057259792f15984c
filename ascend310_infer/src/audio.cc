#include "src/audio.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "src/audio_header.h"
#include "src/errors.h"
#include "src/intake.h"
#include "src/names.h"

namespace ecapa {
namespace {

constexpr int kMaxChannels = 64;
constexpr sf_count_t kBlockFrames = 1 << 16;
constexpr int64_t kMp3Claim = 1000;  // times its size, so that libsndfile's guess of an MP3's length is never too small

InputError Truncated(int64_t promised, int64_t num_read) {
  return InputError(Concat("truncated: header says ", promised, " samples, ", num_read, " could be read"));
}

std::string LastError(SNDFILE* file) {
  std::string text = sf_strerror(file);
  while (!text.empty() && (text.back() == '.' || text.back() == '\n')) text.pop_back();
  return text;
}

std::string LogOf(SNDFILE* file) {
  std::string log(1 << 14, '\0');
  const int length = sf_command(file, SFC_GET_LOG_INFO, log.data(), static_cast<int>(log.size()));
  log.resize(static_cast<size_t>(std::clamp<int>(length, 0, static_cast<int>(log.size()))));
  return log;
}

}  // namespace

// The file as libsndfile sees it: a part of it, with other bytes at a place, or longer than it is.
class AudioFile::Bytes : public ByteReader {
 public:
  explicit Bytes(const std::filesystem::path& path) : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    struct stat status;
    std::string reason;
    if (descriptor_ < 0 || fstat(descriptor_, &status) != 0) {
      reason = std::strerror(errno);
    } else if (S_ISDIR(status.st_mode)) {
      reason = std::strerror(EISDIR);
    } else if (!S_ISREG(status.st_mode)) {
      reason = "not a regular file";
    } else if (status.st_size == 0) {
      reason = "empty file";
    } else {
      file_size_ = size_ = status.st_size;
      return;
    }
    if (descriptor_ >= 0) close(descriptor_);
    throw InputError(reason);
  }
  ~Bytes() override { close(descriptor_); }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  int64_t size() const override { return size_; }

  std::string Read(int64_t offset, size_t count) const override {
    std::string bytes(count, '\0');
    bytes.resize(ReadAt(offset, bytes.data(), count));
    return bytes;
  }

  // Lets a part of the file, as it is, stand for the whole.
  //
  // Args:
  //   end: the byte behind it; none: the end of the file.
  void SetPart(int64_t begin, std::optional<int64_t> end) {
    begin_ = begin;
    size_ = end.value_or(file_size_) - begin;
    claimed_ = 0;
    number_at_ = -1;
  }

  // Lets a little-endian number stand at a place of the part.
  void SetNumber(int64_t at, uint32_t number) {
    number_at_ = at;
    for (char& byte : number_) byte = static_cast<char>(number & 0xFF), number >>= 8;
  }

  // Claims that there are more bytes. The end stays where it is.
  void SetClaim(int64_t num_bytes) { claimed_ = num_bytes; }

  // Why bytes could not be read; 0: they could.
  int error_number() const { return error_number_; }

  SNDFILE* Open(SF_INFO* info) {
    SF_VIRTUAL_IO functions = {};
    functions.get_filelen = [](void* self) { return static_cast<Bytes*>(self)->claimed_size(); };
    functions.seek = [](sf_count_t offset, int whence, void* self) {
      return static_cast<Bytes*>(self)->Seek(offset, whence);
    };
    functions.read = [](void* buffer, sf_count_t count, void* self) {
      return static_cast<Bytes*>(self)->ReadNext(static_cast<char*>(buffer), count);
    };
    functions.tell = [](void* self) { return static_cast<Bytes*>(self)->position_; };
    position_ = 0;
    *info = {};
    return sf_open_virtual(&functions, SFM_READ, info, this);
  }

 private:
  sf_count_t claimed_size() const { return size_ + claimed_; }

  sf_count_t Seek(sf_count_t offset, int whence) {
    const sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? position_ : claimed_size();
    is_near_end_ = whence == SEEK_END && offset < 0;
    position_ = std::max<sf_count_t>(0, base + offset);
    return position_;
  }

  sf_count_t ReadNext(char* buffer, sf_count_t count) {
    if (count <= 0) return 0;
    size_t length = static_cast<size_t>(count);
    if (claimed_ > 0 && is_near_end_ && position_ + count <= claimed_size()) {
      std::memset(buffer, 0, length);  // libmpg123 looks for a tag in the last 128 bytes, and gives up without any
    } else {
      length = ReadAt(position_, buffer, length);
    }
    position_ += static_cast<sf_count_t>(length);
    return static_cast<sf_count_t>(length);
  }

  size_t ReadAt(int64_t offset, char* buffer, size_t count) const {
    size_t filled = 0;
    count = std::min(count, static_cast<size_t>(std::max<int64_t>(0, size_ - offset)));
    while (filled < count) {
      const ssize_t got = pread(descriptor_, buffer + filled, count - filled,
                                static_cast<off_t>(begin_ + offset + static_cast<int64_t>(filled)));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) error_number_ = errno;
      if (got <= 0) break;
      filled += static_cast<size_t>(got);
    }
    for (size_t i = 0; number_at_ >= 0 && i < sizeof number_; ++i) {
      const int64_t at = number_at_ + static_cast<int64_t>(i) - offset;
      if (at >= 0 && at < static_cast<int64_t>(filled)) buffer[at] = number_[i];
    }
    return filled;
  }

  int descriptor_;
  int64_t file_size_ = 0;
  int64_t begin_ = 0;  // of the part
  int64_t size_ = 0;   // of the part
  sf_count_t position_ = 0;
  bool is_near_end_ = false;
  int64_t claimed_ = 0;
  int64_t number_at_ = -1;  // -1: the bytes are as they are
  char number_[4] = {};
  mutable int error_number_ = 0;
};

AudioFile::AudioFile(const std::filesystem::path& path)
    : bytes_(std::make_unique<Bytes>(path)), file_(nullptr, &sf_close) {
  if (HasEndlessList(*bytes_)) throw InputError("not a readable audio file (damaged LIST chunk)");
  if (!Open()) {
    const std::string suffix = SuffixOf(path.string());
    if (IsAudioName(path.string()) && !IsSndfileName(path.string())) {
      throw InputError(Concat(suffix.substr(1), ": libsndfile does not read it: convert it, to .flac for example"));
    }
    throw InputError(Concat("not a readable audio file (", LastError(nullptr), ")"));
  }
  if ((info_.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_OGG && !EndsWithLastOggPage(*bytes_)) {
    throw InputError("truncated: the last page of the stream is missing");
  }
  Examine();
  starts_ = PartStarts(*bytes_, info_.format);
  if (starts_.size() == 1) return;
  const SF_INFO first = info_;
  for (size_t part = 0; part < starts_.size(); ++part) {
    OpenPart(part);
    if (info_.samplerate != first.samplerate || info_.channels != first.channels) {
      throw InputError("rate or channels change within it");
    }
  }
}

AudioFile::~AudioFile() = default;

bool AudioFile::Open() {
  file_.reset();
  file_.reset(bytes_->Open(&info_));
  return file_ != nullptr;
}

void AudioFile::OpenPart(size_t part) {
  part_ = part;
  bytes_->SetPart(starts_[part], part + 1 < starts_.size() ? std::optional(starts_[part + 1]) : std::nullopt);
  if (!Open()) {
    const char* where = part > 0 ? " behind its first stream" : "";
    throw InputError(Concat("not a readable audio file", where, " (", LastError(nullptr), ")"));
  }
  Examine();
}

void AudioFile::Examine() {
  is_counted_ = true;
  if ((info_.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_MPEG && !HasMp3Table(*bytes_)) {
    // Without a table libsndfile guesses the length from the file's size, and stops there.
    bytes_->SetClaim(kMp3Claim * bytes_->size());
    Reopen();
    is_counted_ = false;
  } else if (info_.frames == 0) {
    if (const auto unclosed = FindUnclosedData(*bytes_)) {
      bytes_->SetNumber(unclosed->size_at, static_cast<uint32_t>(unclosed->num_bytes));
      Reopen();
    }
  } else if (info_.frames == SF_COUNT_MAX) {
    is_counted_ = false;
  }
  if (info_.frames <= 0) throw InputError("no samples");
  if (info_.channels < 1 || info_.channels > kMaxChannels) {
    throw InputError(Concat(info_.channels, " channels: expected 1 to ", kMaxChannels));
  }
  if (info_.samplerate < kMinSampleRate || info_.samplerate > kMaxSampleRate) {
    throw InputError(Concat(info_.samplerate, " Hz: expected ", kMinSampleRate, " to ", kMaxSampleRate));
  }
  const auto promise = is_counted_ ? PromiseOf(*bytes_, info_, LogOf(file_.get())) : std::nullopt;
  if (promise && IsCut(*promise)) {
    const double share =
        static_cast<double>(promise->promised) / static_cast<double>(std::max<int64_t>(1, promise->real));
    throw Truncated(static_cast<int64_t>(static_cast<double>(info_.frames) * share), info_.frames);
  }
}

void AudioFile::Reopen() {
  if (!Open()) throw InputError(Concat("not a readable audio file (", LastError(nullptr), ")"));
}

int64_t AudioFile::NumSamples(int64_t sample_rate) {
  if (num_frames_ < 0) {
    num_frames_ = 0;
    bool is_at_start = true;
    for (size_t part = 0; part < starts_.size(); ++part) {
      if (part != part_) OpenPart(part);
      is_at_start = is_at_start && part == 0 && is_counted_;
      if (is_counted_) {
        num_frames_ += info_.frames;
      } else {
        DecodePart([&](const float*, size_t count) { num_frames_ += static_cast<int64_t>(count); });
      }
    }
    if (!is_at_start) OpenPart(0);
    if (num_frames_ == 0) throw InputError("no samples");
  }
  return ResampledLength(num_frames_, info_.samplerate, sample_rate);
}

void AudioFile::Read(int64_t sample_rate, const QualityLimits& limits, const SampleSink& sink) {
  Intake intake(info_.samplerate, info_.channels, sample_rate, sink);
  Decode([&](const float* frames, size_t count) { intake.Push(frames, count); });
  intake.Finish(limits);
}

void AudioFile::Decode(const SampleSink& sink) {
  for (size_t part = 0; part < starts_.size(); ++part) {
    if (part != part_) OpenPart(part);
    DecodePart(sink);
  }
}

void AudioFile::DecodePart(const SampleSink& sink) {
  std::vector<float> frames(static_cast<size_t>(kBlockFrames * info_.channels));
  int64_t num_read = 0;
  while (!is_counted_ || num_read < info_.frames) {
    const sf_count_t wanted = is_counted_ ? std::min<sf_count_t>(kBlockFrames, info_.frames - num_read) : kBlockFrames;
    const sf_count_t count = sf_readf_float(file_.get(), frames.data(), wanted);
    if (bytes_->error_number() != 0) throw InputError(Concat(std::strerror(bytes_->error_number())));
    if (sf_error(file_.get()) != SF_ERR_NO_ERROR) {
      throw InputError(Concat("truncated or damaged (", LastError(file_.get()), ")"));
    }
    if (count > 0) {
      sink(frames.data(), static_cast<size_t>(count));
      num_read += count;
      continue;
    }
    if (is_counted_) throw Truncated(info_.frames, num_read);
    break;
  }
}

}  // namespace ecapa
