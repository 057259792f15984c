#include <doctest/doctest.h>
#include <sndfile.h>

#include <cmath>

#include "src/audio.h"
#include "src/audio_header.h"
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

constexpr QualityLimits kNoLimits = {0, 1};

std::vector<float> ReadAll(AudioFile* file, int64_t sample_rate) {
  std::vector<float> samples;
  file->Read(sample_rate, kNoLimits,
             [&](const float* next, size_t count) { samples.insert(samples.end(), next, next + count); });
  return samples;
}

std::string ReadMessage(const std::string& path) {
  return MessageOf([&] {
    AudioFile file(path);
    ReadAll(&file, 16000);
  });
}

// A file in memory.
class Text : public ByteReader {
 public:
  explicit Text(std::string text) : text_(std::move(text)) {}
  int64_t size() const override { return static_cast<int64_t>(text_.size()); }
  std::string Read(int64_t offset, size_t count) const override {
    return offset < size() ? text_.substr(static_cast<size_t>(offset), count) : "";
  }

 private:
  std::string text_;
};

}  // namespace

TEST_CASE("WAV and FLAC are read as they are") {
  const TemporaryFolder folder;
  const std::vector<float> samples = Ramp(100000);  // more than a block
  for (const int format : {kWav16, SF_FORMAT_FLAC | SF_FORMAT_PCM_16, SF_FORMAT_WAV | SF_FORMAT_FLOAT,
                           SF_FORMAT_RF64 | SF_FORMAT_PCM_24}) {
    AudioFile file(WriteAudio(folder, "a", samples, format));
    CHECK(file.NumSamples(16000) == 100000);
    CHECK(ReadAll(&file, 16000) == samples);
  }
}

TEST_CASE("channels are averaged and overdriven samples limited") {
  const TemporaryFolder folder;
  const auto path =
      WriteAudio(folder, "a.wav", {0.5F, 0.25F, 2.0F, 3.0F, -4.0F, 0.0F}, SF_FORMAT_WAV | SF_FORMAT_FLOAT, 2);
  AudioFile file(path);
  CHECK(ReadAll(&file, 16000) == std::vector<float>{0.375F, 1.0F, -1.0F});
}

TEST_CASE("what cannot be used has its reason") {
  const TemporaryFolder folder;
  const int kFloat = SF_FORMAT_WAV | SF_FORMAT_FLOAT;
  CHECK(ReadMessage((folder / "none.wav").string()) == "No such file or directory");
  CHECK(ReadMessage(folder.Write("empty.wav", "")) == "empty file");
  CHECK(Contains(ReadMessage(folder.Write("text.wav", "not audio at all")), "not a readable audio file ("));
  CHECK(Contains(ReadMessage(folder.Write("text.M4A", "not audio at all")), "m4a: libsndfile does not read it"));
  CHECK(Contains(ReadMessage(folder.Write("riff.wav", "RIFF and no more")), "not a readable audio file ("));
  CHECK(ReadMessage(WriteAudio(folder, "zero.wav", {})) == "no samples");
  CHECK(ReadMessage(WriteAudio(folder, "constant.wav", {0.5F, 0.5F})) == "constant signal");
  CHECK(ReadMessage(WriteAudio(folder, "short.wav", {0.5F, 0.25F})) == "nothing was thrown");  // without limits
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

// Second variants beside tests/verdicts.py, which the program runs on: sizes that lie by a share of a small file,
// chains of chunks that end one byte behind the file, tags before an MP3's first frame.
TEST_CASE("a header that promises a little too much is forgiven, a missing part is not") {
  CHECK_FALSE(IsCut({100, 100}));
  CHECK_FALSE(IsCut({50, 100}));
  CHECK_FALSE(IsCut({32000 + 4096, 32000}));
  CHECK(IsCut({32000 + 4097, 32000}));
  CHECK_FALSE(IsCut({125, 100}));
  CHECK(IsCut({126, 100}));
  CHECK_FALSE(IsCut({0x7FFF0000, 100}));
}

TEST_CASE("samples behind a data chunk of size 0 are found, other chunks are not taken for samples") {
  const std::string head("RIFF\0\0\0\0WAVE", 12);
  const std::string empty_data("data\0\0\0\0", 8);
  const std::string list("LIST\3\0\0\0abc", 11);
  const auto find = [](const std::string& text) { return FindUnclosedData(Text(text)); };
  const auto found = find(head + list + '\0' + empty_data + "\xFF\xFE\xFD");
  REQUIRE(found);
  CHECK((found->size_at == 28 && found->num_bytes == 3));
  CHECK_FALSE(find(head + empty_data));
  CHECK_FALSE(find(head + empty_data + list));  // without the byte that makes its length even
  CHECK_FALSE(find(head + empty_data + list + '\0'));
  CHECK(find(head + empty_data + list + std::string("\0x", 2)));
  CHECK_FALSE(find(head + std::string("data\2\0\0\0ab", 10)));
  CHECK_FALSE(find(head));
  CHECK_FALSE(find("RIFX" + head.substr(4) + empty_data + "abc"));
  CHECK_FALSE(find(""));
}

TEST_CASE("the table of an MP3 is found in its first frame, behind a tag too") {
  const std::string tag("ID3\4\0\0\0\0\1\0", 10);  // 128 bytes follow
  const std::string frame = "\xFF\xF3" + std::string(20, 'x');
  CHECK(HasMp3Table(Text(frame + "Xing")));
  CHECK(HasMp3Table(Text(tag + std::string(128, 'y') + frame + "Info")));
  CHECK_FALSE(HasMp3Table(Text(tag + std::string(128, 'y') + frame)));
  CHECK_FALSE(HasMp3Table(Text(frame + std::string(300, 'x') + "Xing")));
  CHECK_FALSE(HasMp3Table(Text("")));
}

// A page of an Ogg file, of 3 + 4 bytes of content.
std::string OggPage(char flags) {
  return "OggS" + std::string(1, '\0') + flags + std::string(20, '\0') + "\2\3\4" + "1234567";
}

TEST_CASE("the streams of a chained Ogg begin with a first page behind other pages") {
  const std::string link = OggPage(2) + OggPage(2) + OggPage(0) + OggPage(4);  // two streams that are mixed
  const auto size = static_cast<int64_t>(link.size());
  const auto starts = [](const std::string& text) { return PartStarts(Text(text), SF_FORMAT_OGG | SF_FORMAT_VORBIS); };
  CHECK(starts(link) == std::vector<int64_t>{0});
  CHECK(starts(link + link + link) == std::vector<int64_t>{0, size, 2 * size});
  CHECK(starts(link + "damage" + link) == std::vector<int64_t>{0, size + 6});
  CHECK(starts(link + std::string(9999, 'x') + link.substr(0, 30)) == std::vector<int64_t>{0, size + 9999});
  CHECK(starts("") == std::vector<int64_t>{0});
  CHECK(PartStarts(Text(link + link), SF_FORMAT_WAV) == std::vector<int64_t>{0});
}

TEST_CASE("joined MP3s begin behind what a table counts, or with frames of another kind") {
  // Frames of MPEG 2.5 at 8 kbit/s have 72 bytes at 8 kHz and 48 at 12 kHz.
  const auto frame = [](char rate_bits, char mode, size_t length, const std::string& content = "") {
    std::string bytes = {'\xFF', '\xE3', static_cast<char>(0x10 | rate_bits << 2), mode};
    bytes += content;
    bytes.resize(length);
    return bytes;
  };
  const auto times = [](int count, const std::string& text) {
    std::string repeated;
    for (int i = 0; i < count; ++i) repeated += text;
    return repeated;
  };
  const auto starts = [](const std::string& text) {
    return PartStarts(Text(text), SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III);
  };
  const std::string mono = frame(2, '\xC0', 72);
  const std::string stereo = frame(2, '\0', 72);
  const std::string faster = frame(1, '\xC0', 48);
  const std::string plain = times(5, mono);
  CHECK(starts(plain + plain) == std::vector<int64_t>{0});
  CHECK(starts(plain + "TAG" + std::string(5000, '\xFF') + plain) == std::vector<int64_t>{0});
  CHECK(starts(plain + times(5, faster)) == std::vector<int64_t>{0, 360});
  CHECK(starts(plain + "tag" + times(5, stereo) + plain) == std::vector<int64_t>{0, 363, 723});
  CHECK(starts(plain + times(2, stereo) + plain) == std::vector<int64_t>{0});   // two may be chance
  const std::string table = std::string("Xing\0\0\0\3\0\0\0\5\0\0\1\xB0", 16);  // 5 frames behind it, 432 bytes
  const std::string counted = frame(2, '\xC0', 72, table) + plain;
  REQUIRE(counted.size() == 432);
  CHECK(starts(counted) == std::vector<int64_t>{0});
  CHECK(starts(counted + "TAG" + std::string(125, '\0')) == std::vector<int64_t>{0});
  CHECK(starts(counted + counted + "TAG" + plain) == std::vector<int64_t>{0, 432, 867});
  CHECK(starts(counted + mono + mono) == std::vector<int64_t>{0});  // too little to be a recording
  const std::string vbri =
      frame(2, '\xC0', 72, std::string(32, '\0') + std::string("VBRI\0\0\0\0\0\0\0\0\1\xB0", 14)) + plain;
  CHECK(starts(vbri + counted) == std::vector<int64_t>{0, 432});
  CHECK(starts("") == std::vector<int64_t>{0});
}

TEST_CASE("a recording of several streams is read whole, at any rate, again and again") {
  const TemporaryFolder folder;
  constexpr int kVorbis = SF_FORMAT_OGG | SF_FORMAT_VORBIS;
  const std::string one = ReadText(WriteAudio(folder, "one.ogg", Ramp(20000), kVorbis));
  const std::string path = folder.Write("two.ogg", one + one);
  AudioFile whole((folder / "one.ogg").string());
  const std::vector<float> expected = ReadAll(&whole, 16000);
  REQUIRE(expected.size() == 20000);
  AudioFile file(path);
  CHECK(file.NumSamples(16000) == 40000);
  CHECK(file.NumSamples(8000) == 20000);
  const std::vector<float> samples = ReadAll(&file, 16000);
  REQUIRE(samples.size() == 40000);
  CHECK(std::equal(expected.begin(), expected.end(), samples.begin()));
  CHECK(std::equal(expected.begin(), expected.end(), samples.begin() + 20000));
  AudioFile unasked(path);
  CHECK(ReadAll(&unasked, 16000) == samples);
  const std::string other = ReadText(WriteAudio(folder, "other.ogg", Ramp(20000), kVorbis, 2));
  CHECK(ReadMessage(folder.Write("mixed.ogg", one + other)) == "rate or channels change within it");
  CHECK(Contains(ReadMessage(folder.Write("cut.ogg", one + one.substr(0, one.size() / 2))), "truncated"));
}

TEST_CASE("the last page of an Ogg file is whole and marked") {
  std::string page = "OggS" + std::string(22, '\0') + "\2\3\4" + "1234567";
  CHECK_FALSE(EndsWithLastOggPage(Text("x" + page)));
  page[5] = 4;
  CHECK(EndsWithLastOggPage(Text("x" + page)));
  CHECK_FALSE(EndsWithLastOggPage(Text(page.substr(0, page.size() - 1))));
  CHECK_FALSE(EndsWithLastOggPage(Text(page.substr(0, 27))));
  CHECK_FALSE(EndsWithLastOggPage(Text("")));
}

TEST_CASE("what a header promises is taken from libsndfile's log") {
  SF_INFO info{};
  info.format = SF_FORMAT_WAV;
  const auto promise = PromiseOf(Text(""), info, "WAVE\n data : 9 (should be 8)\ndata : 640 (should be 320)\nEnd");
  REQUIRE(promise);
  CHECK((promise->promised == 640 && promise->real == 320));
  for (const char* log : {"", "data : ", "data : 640", "data : 640 (should be x)", "data : x (should be 3)"}) {
    CHECK_FALSE(PromiseOf(Text(""), info, log));
  }
  info.format = SF_FORMAT_NIST;
  info.frames = 7;
  const auto counted = PromiseOf(Text("NIST_1A\n   1024\nsample_count -i 16000\n"), info, "");
  REQUIRE(counted);
  CHECK((counted->promised == 16000 && counted->real == 7));
}

TEST_CASE("a length that the header does not say is found by decoding, before reading or not") {
  const TemporaryFolder folder;
  const std::vector<float> samples = Ramp(100000);
  std::string flac = ReadText(WriteAudio(folder, "a.flac", samples, SF_FORMAT_FLAC | SF_FORMAT_PCM_16));
  flac[21] = static_cast<char>(flac[21] & 0xF0);
  flac.replace(22, 4, 4, '\0');
  const std::string path = folder.Write("stream.flac", flac);
  AudioFile counted(path);
  CHECK(counted.NumSamples(16000) == 100000);
  CHECK(ReadAll(&counted, 16000) == samples);
  AudioFile uncounted(path);
  CHECK(ReadAll(&uncounted, 16000) == samples);
}

TEST_CASE("resampling does not depend on the pieces in which the waveform comes") {
  const std::vector<float> samples = Ramp(3000);
  for (const auto& [from, to] :
       std::vector<std::pair<int, int>>{{44100, 16000}, {8000, 16000}, {16000, 16000}, {16000, 15999}}) {
    std::vector<std::vector<float>> all;
    for (const size_t piece : {size_t{1}, size_t{7}, size_t{1000}, size_t{3000}}) {
      all.emplace_back();
      Resampler resampler(
          from, to, [&](const float* next, size_t count) { all.back().insert(all.back().end(), next, next + count); });
      for (size_t i = 0; i < samples.size(); i += piece)
        resampler.Push(&samples[i], std::min(piece, samples.size() - i));
      resampler.Finish();
      CHECK(all.back() == all.front());
    }
    CHECK(static_cast<int64_t>(all.front().size()) == (3000 * int64_t{to} + from - 1) / from);
  }
}

TEST_CASE("a waveform that says nothing has its verdict, whatever pieces it comes in") {
  const auto verdict = [](std::vector<float> samples, size_t channels = 1) {
    return MessageOf([&] {
      WaveformJudge judge;
      std::vector<float> mono(samples.size() / channels);
      const size_t half = mono.size() / 2;
      judge.TakeFrames(samples.data(), half, channels, mono.data());
      judge.TakeFrames(samples.data() + half * channels, mono.size() - half, channels, mono.data() + half);
      judge.TakeSamples(mono.data(), half);
      judge.TakeSamples(mono.data() + half, mono.size() - half);
      judge.Check(QualityLimits(), 16000);
    });
  };
  const std::vector<float> good = Ramp(16000);
  CHECK(verdict(good) == "nothing was thrown");
  CHECK(verdict(Ramp(1599)) == "too short: 0.100 s, shorter than min_duration 0.1 s");
  CHECK(verdict(std::vector<float>(16000, 0.25F)) == "constant signal");
  std::vector<float> dither(16000, 0.01F);
  for (size_t i = 0; i < dither.size(); i += 2) dither[i] += 1 / 32768.0F;
  CHECK(verdict(dither) == "silent: no sample is farther than 2e-05 from their mean");
  std::vector<float> clipped = good;
  for (size_t i = 0; i < 4000; ++i) clipped[4 * i] = 3;
  CHECK(verdict(clipped) == "clipped: 25.0% of its samples are at full scale, more than max_clipped_fraction 20.0%");
  std::vector<float> opposite;
  for (const float sample : good) opposite.push_back(sample), opposite.push_back(-sample);
  CHECK(verdict(opposite, 2) == "its channels cancel each other");
  std::vector<float> bad = good;
  bad[15999] = std::nanf("");
  CHECK(verdict(bad) == "NaN or infinite samples");
  bad[15999] = 11;
  CHECK(verdict(bad) == "samples reach 11 where full scale is 1");
}

TEST_CASE("resampling keeps a tone and its level, and has resample_poly's length") {
  for (const auto& [from, to] :
       std::vector<std::pair<int, int>>{{8000, 16000}, {44100, 16000}, {48000, 16000}, {384001, 16000}}) {
    std::vector<float> tone(static_cast<size_t>(from / 2 + 1));
    for (size_t i = 0; i < tone.size(); ++i) {
      tone[i] = static_cast<float>(0.5 * std::sin(2 * 3.14159265358979 * 440 * static_cast<double>(i) / from));
    }
    const TemporaryFolder folder;
    AudioFile file(WriteAudio(folder, "a.wav", tone, SF_FORMAT_WAV | SF_FORMAT_FLOAT, 1, from));
    const auto length = file.NumSamples(to);
    const std::vector<float> resampled = ReadAll(&file, to);
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
  CHECK(ReadMessage(folder.Write("rate.wav", wav)) == "1073741824 Hz: expected 2000 to 768000");
}

}  // namespace ecapa
