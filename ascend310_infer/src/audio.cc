#include "src/audio.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>

#include "src/errors.h"
#include "src/feature_ops.h"
#include "src/text.h"

namespace ecapa {
namespace {

constexpr float kMaxPeak = 10;  // beyond this a float file was never scaled to [-1, 1]
constexpr int64_t kStreamBytes =
    0x7FFF0000;  // a WAV written to a pipe promises about 2 or 4 GiB; its end is the file's
constexpr int kMaxSampleRate = 768000;
constexpr int kMaxChannels = 64;
constexpr size_t kBlockFrames = 1 << 16;

constexpr double kPi = 3.14159265358979323846;
constexpr double kKaiserBeta = 5;  // resample_poly's default window

// Opens a file of a format that we read; libsndfile knows many more, of which most are rarely tested.
int OpenDescriptor(const std::filesystem::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY);
  if (descriptor < 0) throw InputError(Concat(std::strerror(errno)));
  char magic[4] = {};
  const ssize_t count = pread(descriptor, magic, sizeof magic, 0);
  const std::string start(magic, sizeof magic);
  if (start == "RIFF" || start == "RIFX" || start == "RF64" || start == "fLaC") return descriptor;
  const int reason = errno;
  close(descriptor);
  if (count < 0) throw InputError(Concat(std::strerror(reason)));
  throw InputError(count == 0 ? "empty file" : "not a readable audio file: neither WAV nor FLAC");
}

std::string LastError(SNDFILE* file) {
  std::string text = sf_strerror(file);
  while (!text.empty() && (text.back() == '.' || text.back() == '\n')) text.pop_back();
  return text;
}

// Returns the length in a WAV header: libsndfile gives what the file really has and notes the other in its log, as
// "data : 64000 (should be 32000)".
int64_t PromisedFrames(SNDFILE* file, int64_t frames) {
  std::string log(1 << 14, '\0');
  const int length = sf_command(file, SFC_GET_LOG_INFO, log.data(), static_cast<int>(log.size()));
  log.resize(static_cast<size_t>(std::clamp<int>(length, 0, static_cast<int>(log.size()))));
  constexpr std::string_view kData = "data : ";
  constexpr std::string_view kReal = " (should be ";
  for (size_t at = log.find(kData); at != std::string::npos; at = log.find(kData, at + 1)) {
    if (at != 0 && log[at - 1] != '\n') continue;
    const std::string_view rest = std::string_view(log).substr(at + kData.size());
    const size_t middle = rest.find(kReal);
    const size_t end = rest.find(')');
    if (middle == std::string_view::npos || end == std::string_view::npos || end < middle) continue;
    const auto promised = ParseCount(rest.substr(0, middle));
    const auto real = ParseCount(rest.substr(middle + kReal.size(), end - middle - kReal.size()));
    if (!promised || !real || *promised >= kStreamBytes || *real == 0) return frames;
    return static_cast<int64_t>(static_cast<double>(frames) * static_cast<double>(*promised) /
                                static_cast<double>(*real));
  }
  return frames;
}

// The filter of scipy.signal.resample_poly: a sinc under a Kaiser window, its gain 1 at 0 Hz, times `up`. In single
// precision, as SciPy has it for such a waveform.
std::vector<float> ResamplingFilter(int64_t up, int64_t down) {
  const int64_t rate = std::max(up, down);
  const int64_t half = 10 * rate;
  std::vector<double> taps(static_cast<size_t>(2 * half + 1));
  for (int64_t i = -half; i <= half; ++i) {
    const double x = kPi * static_cast<double>(i) / static_cast<double>(rate);
    const double position = static_cast<double>(i) / static_cast<double>(half);
    const double sinc = i == 0 ? 1 : std::sin(x) / x;
    taps[static_cast<size_t>(i + half)] =
        sinc * std::cyl_bessel_i(0.0, kKaiserBeta * std::sqrt(std::max(0.0, 1 - position * position)));
  }
  const double sum = std::accumulate(taps.begin(), taps.end(), 0.0);
  std::vector<float> filter(taps.size());
  for (size_t i = 0; i < taps.size(); ++i) filter[i] = static_cast<float>(taps[i] / sum) * static_cast<float>(up);
  return filter;
}

int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

AudioFile::AudioFile(const std::filesystem::path& path) : file_(nullptr, &sf_close) {
  const int descriptor = OpenDescriptor(path);
  file_.reset(sf_open_fd(descriptor, SFM_READ, &info_, SF_TRUE));  // closes the descriptor, even when it fails
  if (file_ == nullptr) throw InputError(Concat("not a readable audio file (", LastError(nullptr), ")"));
  if (info_.frames == SF_COUNT_MAX) throw InputError("header does not say its length: encode it again, to a file");
  if (info_.frames <= 0) throw InputError("no samples");
  if (info_.channels < 1 || info_.channels > kMaxChannels) {
    throw InputError(Concat(info_.channels, " channels: expected 1 to ", kMaxChannels));
  }
  if (info_.samplerate < 1 || info_.samplerate > kMaxSampleRate) {
    throw InputError(Concat(info_.samplerate, " Hz: expected 1 to ", kMaxSampleRate));
  }
  const int64_t promised = PromisedFrames(file_.get(), info_.frames);
  if (promised > info_.frames) {
    throw InputError(Concat("truncated: header says ", promised, " samples, ", info_.frames, " could be read"));
  }
}

int64_t AudioFile::NumSamples(int64_t sample_rate) const {
  return info_.frames / info_.samplerate * sample_rate +
         CeilDivide(info_.frames % info_.samplerate * sample_rate, info_.samplerate);
}

std::vector<float> AudioFile::Read(int64_t sample_rate) {
  std::vector<float> waveform = ReadMono();
  if (info_.samplerate != sample_rate) {
    const int64_t divisor = std::gcd<int64_t, int64_t>(sample_rate, info_.samplerate);
    waveform = ResamplePoly(waveform, sample_rate / divisor, info_.samplerate / divisor);
  }
  const auto [least, greatest] = std::minmax_element(waveform.begin(), waveform.end());
  if (*least == *greatest) throw InputError("constant signal");
  for (float& sample : waveform) sample = std::clamp(sample, -1.0F, 1.0F);
  return waveform;
}

std::vector<float> AudioFile::ReadMono() {
  const auto channels = static_cast<size_t>(info_.channels);
  std::vector<float> block(kBlockFrames * channels);
  std::vector<float> waveform;  // grows as samples come: a header may promise what no memory holds
  float peak = 0;
  while (static_cast<int64_t>(waveform.size()) < info_.frames) {
    const auto wanted = std::min<sf_count_t>(kBlockFrames, info_.frames - static_cast<int64_t>(waveform.size()));
    const sf_count_t count = sf_readf_float(file_.get(), block.data(), wanted);
    if (count <= 0) {
      if (sf_error(file_.get()) != SF_ERR_NO_ERROR) {
        throw InputError(Concat("truncated or damaged (", LastError(file_.get()), ")"));
      }
      throw InputError(
          Concat("truncated: header says ", info_.frames, " samples, ", waveform.size(), " could be read"));
    }
    const size_t num_values = static_cast<size_t>(count) * channels;
    if (!AllFinite(block.data(), num_values)) throw InputError("NaN or infinite samples");
    for (size_t i = 0; i < num_values; i += channels) {
      float sum = 0;
      for (size_t channel = 0; channel < channels; ++channel) {
        sum += block[i + channel];
        peak = std::max(peak, std::abs(block[i + channel]));
      }
      waveform.push_back(sum / static_cast<float>(channels));
    }
  }
  if (peak > kMaxPeak) throw InputError(Concat("samples reach ", peak, " where full scale is 1"));
  return waveform;
}

std::vector<float> ResamplePoly(const std::vector<float>& waveform, int64_t up, int64_t down) {
  const std::vector<float> filter = ResamplingFilter(up, down);
  const int64_t half = 10 * std::max(up, down);
  const auto num_in = static_cast<int64_t>(waveform.size());
  std::vector<float> resampled(static_cast<size_t>(CeilDivide(num_in * up, down)));
  for (size_t k = 0; k < resampled.size(); ++k) {
    const int64_t centre = static_cast<int64_t>(k) * down;  // on a grid `up` times as fine as the waveform's
    const int64_t first = std::max<int64_t>(0, CeilDivide(std::max<int64_t>(0, centre - half), up));
    const int64_t last = std::min(num_in - 1, (centre + half) / up);
    double sum = 0;
    for (int64_t n = first; n <= last; ++n) {
      sum += static_cast<double>(waveform[static_cast<size_t>(n)]) *
             static_cast<double>(filter[static_cast<size_t>(centre - n * up + half)]);
    }
    resampled[k] = static_cast<float>(sum);
  }
  return resampled;
}

}  // namespace ecapa
