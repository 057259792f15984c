#include "src/audio_header.h"

#include <algorithm>

#include "src/text.h"

namespace ecapa {
namespace {

constexpr int64_t kStreamBytes = 0x7FFF0000;
constexpr int64_t kMaxMissingBytes = 4096;
constexpr double kMaxMissingShare = 0.25;  // of what is there
constexpr int64_t kMaxOggPage = 65307;

uint32_t Byte(std::string_view text, size_t at) { return static_cast<unsigned char>(text[at]); }

struct Chunk {
  std::string name;
  int64_t size = 0;
};

// Returns name and size of the RIFF chunk at a place, if there is one.
std::optional<Chunk> ChunkAt(const ByteReader& file, int64_t position) {
  const std::string head = file.Read(position, 8);
  if (head.size() < 8) return std::nullopt;
  const uint32_t size = Byte(head, 4) | Byte(head, 5) << 8 | Byte(head, 6) << 16 | Byte(head, 7) << 24;
  return Chunk{head.substr(0, 4), static_cast<int64_t>(size)};
}

// Tells whether chunks follow each other from `position` to the end of the file.
bool IsChain(const ByteReader& file, int64_t position) {
  while (position < file.size()) {
    const auto chunk = ChunkAt(file, position);
    if (!chunk) return false;
    for (const char character : chunk->name) {
      if (character < ' ' || character > '~') return false;
    }
    position += 8 + chunk->size + chunk->size % 2;
  }
  return position <= file.size() + 1;
}

// Returns the number behind `label` in a text of which it begins a line.
std::optional<int64_t> NumberAfter(std::string_view text, std::string_view label, std::string_view* rest) {
  for (size_t at = text.find(label); at != std::string_view::npos; at = text.find(label, at + 1)) {
    if (at != 0 && text[at - 1] != '\n') continue;
    *rest = text.substr(at + label.size());
    const size_t length = std::min(rest->find_first_not_of("0123456789"), rest->size());
    const auto number = ParseCount(rest->substr(0, length));
    rest->remove_prefix(length);
    if (number) return number;
  }
  return std::nullopt;
}

// Returns how libsndfile's log names the part of a file that holds the samples.
std::string_view LogLabel(int format) {
  switch (format & SF_FORMAT_TYPEMASK) {
    case SF_FORMAT_WAV:
    case SF_FORMAT_WAVEX:
      return "data : ";
    case SF_FORMAT_AIFF:
      return " SSND : ";
    case SF_FORMAT_AU:
      return "  Data Size   : ";
    case SF_FORMAT_W64:
      return "riff : ";
    case SF_FORMAT_RF64:
      return "  Riff size : ";
    default:
      return "";
  }
}

}  // namespace

bool HasMp3Table(const ByteReader& file) {
  const std::string start = file.Read(0, 10);
  int64_t position = 0;
  if (start.size() == 10 && start.compare(0, 3, "ID3") == 0) {
    for (size_t i = 6; i < 10; ++i) position = position << 7 | static_cast<int64_t>(Byte(start, i) & 0x7F);
    position += 10;
  }
  const std::string frame = file.Read(position, 256);
  for (const char* table : {"Xing", "Info", "VBRI"}) {
    if (frame.find(table) != std::string::npos) return true;
  }
  return false;
}

bool EndsWithLastOggPage(const ByteReader& file) {
  constexpr size_t kHeadBytes = 27;
  const std::string tail = file.Read(std::max<int64_t>(0, file.size() - 2 * kMaxOggPage), 2 * kMaxOggPage);
  const size_t start = tail.rfind("OggS");
  if (start == std::string::npos || tail.size() - start <= kHeadBytes) return false;
  const std::string_view page = std::string_view(tail).substr(start);
  const size_t num_segments = Byte(page, kHeadBytes - 1);
  size_t length = kHeadBytes + num_segments;
  for (size_t i = kHeadBytes; i < std::min(kHeadBytes + num_segments, page.size()); ++i) length += Byte(page, i);
  return length <= page.size() && (Byte(page, 5) & 4) != 0;
}

std::optional<UnclosedData> FindUnclosedData(const ByteReader& file) {
  const std::string start = file.Read(0, 12);
  if (start.substr(0, 4) != "RIFF" || start.size() < 12 || start.substr(8) != "WAVE") return std::nullopt;
  int64_t position = 12;
  while (const auto chunk = ChunkAt(file, position)) {
    if (chunk->name == "data") {
      const int64_t begin = position + 8;
      const int64_t rest = std::min<int64_t>(file.size() - begin, kStreamBytes);
      if (chunk->size != 0 || rest == 0 || IsChain(file, begin)) return std::nullopt;
      return UnclosedData{position + 4, rest};
    }
    position += 8 + chunk->size + chunk->size % 2;
  }
  return std::nullopt;
}

std::optional<Promise> PromiseOf(const ByteReader& file, const SF_INFO& info, std::string_view log) {
  const int type = info.format & SF_FORMAT_TYPEMASK;
  std::string_view rest;
  if (const std::string_view label = LogLabel(info.format); !label.empty()) {
    const auto promised = NumberAfter(log, label, &rest);
    constexpr std::string_view kReal = " (should be ";
    if (!promised || rest.substr(0, kReal.size()) != kReal) return std::nullopt;
    rest.remove_prefix(kReal.size());
    const auto real = ParseCount(rest.substr(0, rest.find(')')));
    return real ? std::optional(Promise{*promised, *real}) : std::nullopt;
  }
  if (type == SF_FORMAT_NIST) {
    const auto promised = NumberAfter(file.Read(0, 1024), "sample_count -i ", &rest);
    return promised ? std::optional(Promise{*promised, info.frames}) : std::nullopt;
  }
  if (type == SF_FORMAT_VOC && log.find("truncated file") != std::string_view::npos) {
    const auto promised = NumberAfter(log, " Extended II : ", &rest);
    return promised ? std::optional(Promise{*promised, file.size()}) : std::nullopt;
  }
  return std::nullopt;
}

bool IsCut(const Promise& promise) {
  const int64_t missing = promise.promised - promise.real;
  if (missing <= 0 || promise.promised >= kStreamBytes) return false;
  return missing > kMaxMissingBytes ||
         static_cast<double>(missing) > kMaxMissingShare * static_cast<double>(promise.real);
}

}  // namespace ecapa
