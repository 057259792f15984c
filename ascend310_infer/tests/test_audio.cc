#include <doctest/doctest.h>
#include <sndfile.h>

#include <cmath>

#include "src/audio.h"
#include "tests/support.h"

namespace ecapa {
namespace {

constexpr int kWav16 = SF_FORMAT_WAV | SF_FORMAT_PCM_16;

std::string WriteAudio(const TemporaryFolder& folder, const std::string& name, const std::vector<float>& samples,
                       int format = kWav16, int channels = 1, int sample_rate = 16000) {
  SF_INFO info{};
  info.samplerate = sample_rate;
  info.channels = channels;
  info.format = format;
  const std::string path = (folder / name).string();
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  REQUIRE(file != nullptr);
  const auto frames = static_cast<sf_count_t>(samples.size()) / channels;
  CHECK(sf_writef_float(file, samples.data(), frames) == frames);
  sf_close(file);
  return path;
}

std::vector<float> Ramp(size_t count) {
  std::vector<float> samples(count);
  for (size_t i = 0; i < count; ++i) samples[i] = static_cast<float>(static_cast<int>(i % 256) - 128) / 256;
  return samples;
}

std::string ReadMessage(const std::string& path) {
  return MessageOf([&] { AudioFile(path).Read(16000); });
}

}  // namespace

TEST_CASE("WAV and FLAC are read as they are") {
  const TemporaryFolder folder;
  const std::vector<float> samples = Ramp(100000);  // more than a block
  for (const int format : {kWav16, SF_FORMAT_FLAC | SF_FORMAT_PCM_16, SF_FORMAT_WAV | SF_FORMAT_FLOAT,
                           SF_FORMAT_RF64 | SF_FORMAT_PCM_24}) {
    AudioFile file(WriteAudio(folder, "a", samples, format));
    CHECK(file.NumSamples(16000) == 100000);
    CHECK(file.Read(16000) == samples);
  }
}

TEST_CASE("channels are averaged and overdriven samples limited") {
  const TemporaryFolder folder;
  const auto path =
      WriteAudio(folder, "a.wav", {0.5F, 0.25F, 2.0F, 3.0F, -4.0F, 0.0F}, SF_FORMAT_WAV | SF_FORMAT_FLOAT, 2);
  CHECK(AudioFile(path).Read(16000) == std::vector<float>{0.375F, 1.0F, -1.0F});
}

TEST_CASE("what cannot be used has its reason") {
  const TemporaryFolder folder;
  const int kFloat = SF_FORMAT_WAV | SF_FORMAT_FLOAT;
  CHECK(ReadMessage((folder / "none.wav").string()) == "No such file or directory");
  CHECK(ReadMessage(folder.Write("empty.wav", "")) == "empty file");
  CHECK(ReadMessage(folder.Write("text.wav", "not audio at all")) == "not a readable audio file: neither WAV nor FLAC");
  CHECK(Contains(ReadMessage(folder.Write("riff.wav", "RIFF and no more")), "not a readable audio file ("));
  CHECK(ReadMessage(WriteAudio(folder, "zero.wav", {})) == "no samples");
  CHECK(ReadMessage(WriteAudio(folder, "constant.wav", {0.5F, 0.5F})) == "constant signal");
  CHECK(ReadMessage(WriteAudio(folder, "nan.wav", {0.5F, std::nanf("")}, kFloat)) == "NaN or infinite samples");
  CHECK(ReadMessage(WriteAudio(folder, "int.wav", {0.5F, 32767}, kFloat)) ==
        "samples reach 32767 where full scale is 1");
  CHECK(ReadMessage(folder.path().string()) == "Is a directory");
}

TEST_CASE("files are closed, whether they could be read or not") {
  const TemporaryFolder folder;
  const auto good = WriteAudio(folder, "a.wav", Ramp(400));
  const auto bad = folder.Write("riff.wav", "RIFF and no more");
  const auto count = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); };
  const auto before = count();
  for (int i = 0; i < 20; ++i) ReadMessage(good), ReadMessage(bad);
  CHECK(count() == before);
}

TEST_CASE("a file that is cut off is found out, a stream's length is not taken for a promise") {
  const TemporaryFolder folder;
  const std::string wav = ReadText(WriteAudio(folder, "a.wav", Ramp(4000)));
  CHECK(ReadMessage(folder.Write("cut.wav", wav.substr(0, 44 + 4000))) ==
        "truncated: header says 4000 samples, 2000 could be read");
  std::string stream = wav;
  stream.replace(4, 4, "\xFF\xFF\xFF\x7F");
  stream.replace(40, 4, "\x00\x00\xFF\x7F", 4);
  CHECK(ReadMessage(folder.Write("stream.wav", stream)) == "nothing was thrown");
  const std::string flac = ReadText(WriteAudio(folder, "a.flac", Ramp(100000), SF_FORMAT_FLAC | SF_FORMAT_PCM_16));
  CHECK(Contains(ReadMessage(folder.Write("cut.flac", flac.substr(0, flac.size() / 2))), "truncated"));
}

TEST_CASE("resampling keeps a tone and its level, and has resample_poly's length") {
  for (const auto& [from, to] : std::vector<std::pair<int, int>>{{8000, 16000}, {44100, 16000}, {48000, 16000}}) {
    std::vector<float> tone(static_cast<size_t>(from / 2 + 1));
    for (size_t i = 0; i < tone.size(); ++i) {
      tone[i] = static_cast<float>(0.5 * std::sin(2 * 3.14159265358979 * 440 * static_cast<double>(i) / from));
    }
    const TemporaryFolder folder;
    AudioFile file(WriteAudio(folder, "a.wav", tone, SF_FORMAT_WAV | SF_FORMAT_FLOAT, 1, from));
    const auto length = file.NumSamples(to);
    const std::vector<float> resampled = file.Read(to);
    CHECK(static_cast<int64_t>(resampled.size()) == length);
    double greatest = 0;
    for (size_t i = 1000; i < 7000; ++i) {
      const double expected = 0.5 * std::sin(2 * 3.14159265358979 * 440 * static_cast<double>(i) / to);
      greatest = std::max(greatest, std::abs(static_cast<double>(resampled[i]) - expected));
    }
    CHECK(greatest < 2e-3);  // the filter's ripple
  }
}

TEST_CASE("rates and channels out of bounds are refused before any memory is taken for them") {
  const TemporaryFolder folder;
  std::string wav = ReadText(WriteAudio(folder, "a.wav", Ramp(400)));
  wav.replace(24, 4, "\x00\x00\x00\x40", 4);
  CHECK(ReadMessage(folder.Write("rate.wav", wav)) == "1073741824 Hz: expected 1 to 768000");
}

}  // namespace ecapa
