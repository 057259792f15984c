#include "src/audio_header.h"

#include <algorithm>

#include "src/text.h"

namespace ecapa {
namespace {

constexpr int64_t kStreamBytes = 0x7FFF0000;
constexpr int64_t kMaxMissingBytes = 4096;
constexpr double kMaxMissingShare = 0.25;  // of what is there
constexpr int64_t kMaxOggPage = 65307;
constexpr size_t kOggHeadBytes = 27;    // of a page's header, before the table of its segments
constexpr size_t kFindBytes = 1 << 12;  // searched at once
constexpr int kMp3Chain = 3;            // frames that follow each other are an MP3, two may be chance

uint32_t Byte(std::string_view text, size_t at) { return static_cast<unsigned char>(text[at]); }

struct Chunk {
  std::string name;
  int64_t size = 0;
};

// Returns name and size of the RIFF chunk at a place, if there is one.
std::optional<Chunk> ChunkAt(const ByteReader& file, int64_t position, bool is_big_endian = false) {
  std::string head = file.Read(position, 8);
  if (head.size() < 8) return std::nullopt;
  if (is_big_endian) std::reverse(head.begin() + 4, head.end());
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

// Returns four bytes as a number, the greatest first; 0 when there are fewer.
uint32_t BigEndian(std::string_view text, size_t at) {
  if (text.size() < 4 || at > text.size() - 4) return 0;
  return Byte(text, at) << 24 | Byte(text, at + 1) << 16 | Byte(text, at + 2) << 8 | Byte(text, at + 3);
}

// Returns where the links of a chained Ogg begin: with the first page of a stream behind another stream's data.
std::vector<int64_t> OggStarts(const ByteReader& file) {
  constexpr size_t kMaxSegments = 255;
  std::vector<int64_t> starts = {0};
  bool was_first = true;
  for (int64_t position = 0; position < file.size();) {
    const std::string head = file.Read(position, kOggHeadBytes + kMaxSegments);
    if (head.size() < kOggHeadBytes || head.compare(0, 4, "OggS") != 0) {  // damaged: go on at the next page
      std::string block;
      size_t found = std::string::npos;
      for (++position; (block = file.Read(position, kFindBytes)).size() >= 4;) {
        found = block.find("OggS");
        if (found != std::string::npos) break;
        position += static_cast<int64_t>(block.size()) - 3;
      }
      if (found == std::string::npos) break;
      position += static_cast<int64_t>(found);
      continue;
    }
    const bool is_first = (Byte(head, 5) & 2) != 0;
    if (is_first && !was_first) starts.push_back(position);
    was_first = is_first;
    const size_t num_segments = Byte(head, kOggHeadBytes - 1);
    size_t length = kOggHeadBytes + num_segments;
    for (size_t i = kOggHeadBytes; i < std::min(kOggHeadBytes + num_segments, head.size()); ++i)
      length += Byte(head, i);
    position += static_cast<int64_t>(length);
  }
  return starts;
}

// Where the first frame of an MP3 says how long it is.
struct Mp3Table {
  int64_t position = 0;           // of the frame
  std::string frame;              // its first bytes
  size_t at = std::string::npos;  // of the table in them; npos: there is none
};

Mp3Table FindMp3Table(const ByteReader& file, int64_t begin) {
  Mp3Table table;
  table.position = begin;
  const std::string start = file.Read(begin, 10);
  if (start.size() == 10 && start.compare(0, 3, "ID3") == 0) {
    int64_t size = 0;
    for (size_t i = 6; i < 10; ++i) size = size << 7 | static_cast<int64_t>(Byte(start, i) & 0x7F);
    table.position += 10 + size;
  }
  table.frame = file.Read(table.position, 256);
  for (const char* name : {"Xing", "Info", "VBRI"}) {
    table.at = table.frame.find(name);
    if (table.at != std::string::npos) break;
  }
  return table;
}

// A frame of layer III, by its header.
struct Mp3Frame {
  int64_t length = 0;  // bytes
  uint32_t rate = 0;   // Hz
  bool is_mono = false;

  // Frames of another kind are another recording: libmpg123 stops at them.
  bool IsOfKindOf(const Mp3Frame& other) const { return rate == other.rate && is_mono == other.is_mono; }
};

std::optional<Mp3Frame> ReadMp3Frame(std::string_view head) {
  constexpr uint32_t kKbits[2][16] = {{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0},
                                      {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0}};
  constexpr uint32_t kRates[3] = {44100, 48000, 32000};  // of MPEG 1
  constexpr uint32_t kDivisors[4] = {4, 0, 2, 1};        // by version: MPEG 2.5, none, MPEG 2, MPEG 1
  if (head.size() < 4 || Byte(head, 0) != 0xFF || (Byte(head, 1) & 0xE6) != 0xE2) return std::nullopt;
  const uint32_t version = Byte(head, 1) >> 3 & 3;
  const bool is_mpeg1 = version == 3;
  const uint32_t kbits = kKbits[is_mpeg1 ? 1 : 0][Byte(head, 2) >> 4];
  const uint32_t rate_index = Byte(head, 2) >> 2 & 3;
  if (kDivisors[version] == 0 || rate_index == 3 || kbits == 0) return std::nullopt;
  const uint32_t rate = kRates[rate_index] / kDivisors[version];
  const uint32_t length = (is_mpeg1 ? 144 : 72) * 1000 * kbits / rate + (Byte(head, 2) >> 1 & 1);
  return Mp3Frame{static_cast<int64_t>(length), rate, Byte(head, 3) >> 6 == 3};
}

// Tells whether frames of one kind follow each other from a place on.
bool IsMp3(const ByteReader& file, int64_t position) {
  std::optional<Mp3Frame> first;
  for (int i = 0; i < kMp3Chain; ++i) {
    const auto frame = ReadMp3Frame(file.Read(position, 4));
    if (!frame || (first && !frame->IsOfKindOf(*first))) return false;
    first = frame;
    position += frame->length;
  }
  return true;
}

// Returns where the next MP3 begins; what is before it, such as tags, is skipped.
std::optional<int64_t> FindMp3(const ByteReader& file, int64_t position) {
  for (std::string block; (block = file.Read(position, kFindBytes)).size() >= 4;) {
    for (size_t at = 0; at + 4 <= block.size(); ++at) {
      if (!ReadMp3Frame(std::string_view(block).substr(at, 4))) continue;
      if (IsMp3(file, position + static_cast<int64_t>(at))) return position + static_cast<int64_t>(at);
    }
    position += static_cast<int64_t>(block.size()) - 3;
  }
  return std::nullopt;
}

// Returns the byte behind an MP3 by the table in its first frame, if it says that.
std::optional<int64_t> EndOfMp3(const ByteReader& file, int64_t begin) {
  const Mp3Table table = FindMp3Table(file, begin);
  if (table.at == std::string::npos) return std::nullopt;
  size_t at = table.at + 10;
  if (table.frame.compare(table.at, 4, "VBRI") != 0) {
    const uint32_t flags = BigEndian(table.frame, table.at + 4);
    if ((flags & 2) == 0) return std::nullopt;
    at = table.at + ((flags & 1) != 0 ? 12 : 8);
  }
  const int64_t num_bytes = BigEndian(table.frame, at);
  return num_bytes > 0 ? std::optional(table.position + num_bytes) : std::nullopt;
}

// Returns where the frames of an MP3 change their kind.
std::optional<int64_t> ChangeOfMp3(const ByteReader& file, int64_t begin) {
  auto position = FindMp3(file, FindMp3Table(file, begin).position);
  if (!position) return std::nullopt;
  const auto first = ReadMp3Frame(file.Read(*position, 4));
  while (true) {
    const auto frame = ReadMp3Frame(file.Read(*position, 4));
    if (frame && frame->IsOfKindOf(*first)) {
      *position += frame->length;
      continue;
    }
    position = FindMp3(file, *position);
    if (!position) return std::nullopt;
    if (!ReadMp3Frame(file.Read(*position, 4))->IsOfKindOf(*first)) return position;
  }
}

// Returns where joined MP3s begin: frames that follow what the table of the one before counts. Behind an MP3 without a
// table they are part of it, unless they are of another kind.
std::vector<int64_t> Mp3Starts(const ByteReader& file) {
  std::vector<int64_t> starts = {0};
  while (true) {
    const auto end = EndOfMp3(file, starts.back());
    const auto start = end ? FindMp3(file, *end) : ChangeOfMp3(file, starts.back());
    if (!start) return starts;
    starts.push_back(*start);
  }
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

bool HasMp3Table(const ByteReader& file) { return FindMp3Table(file, 0).at != std::string::npos; }

std::vector<int64_t> PartStarts(const ByteReader& file, int format) {
  switch (format & SF_FORMAT_TYPEMASK) {
    case SF_FORMAT_OGG:
      return OggStarts(file);
    case SF_FORMAT_MPEG:
      return Mp3Starts(file);
    default:
      return {0};
  }
}

bool EndsWithLastOggPage(const ByteReader& file) {
  const std::string tail = file.Read(std::max<int64_t>(0, file.size() - 2 * kMaxOggPage), 2 * kMaxOggPage);
  const size_t start = tail.rfind("OggS");
  if (start == std::string::npos || tail.size() - start <= kOggHeadBytes) return false;
  const std::string_view page = std::string_view(tail).substr(start);
  const size_t num_segments = Byte(page, kOggHeadBytes - 1);
  size_t length = kOggHeadBytes + num_segments;
  for (size_t i = kOggHeadBytes; i < std::min(kOggHeadBytes + num_segments, page.size()); ++i) length += Byte(page, i);
  return length <= page.size() && (Byte(page, 5) & 4) != 0;
}

bool HasEndlessList(const ByteReader& file) {
  constexpr int64_t kGoesBack = int64_t{1} << 31;
  const std::string start = file.Read(0, 12);
  const std::string riff = start.substr(0, 4);
  if (start.size() < 12 || start.substr(8) != "WAVE" || (riff != "RIFF" && riff != "RF64" && riff != "RIFX")) {
    return false;
  }
  const bool is_big_endian = riff == "RIFX";
  for (int64_t position = 12; const auto chunk = ChunkAt(file, position, is_big_endian);) {
    const int64_t end = position + 8 + chunk->size;
    int64_t entry = position + 12;  // behind the list's own name
    while (chunk->name == "LIST" && entry < end) {
      const auto found = ChunkAt(file, entry, is_big_endian);
      if (!found) break;
      if (found->size >= kGoesBack) return true;
      entry += 8 + found->size + found->size % 2;
    }
    position = end + chunk->size % 2;
  }
  return false;
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
