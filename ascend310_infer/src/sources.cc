#include "src/sources.h"

#include <algorithm>
#include <iostream>
#include <system_error>
#include <unordered_set>
#include <utility>

#include "src/audio.h"
#include "src/errors.h"
#include "src/files.h"
#include "src/front_end.h"
#include "src/names.h"
#include "src/npy.h"
#include "src/walk.h"

namespace ecapa {
namespace {

using nlohmann::json;

constexpr int kStoreFormatVersion = 1;
constexpr int64_t kStoredRate = 16000;  // of stored samples, Hz

size_t ByteCount(int64_t num_frames, int64_t size) { return static_cast<size_t>(num_frames * size) * 4; }

std::vector<float> ReadFloats(const InputFile& file, int64_t offset, int64_t num_frames, int64_t size) {
  std::vector<float> values(static_cast<size_t>(num_frames * size));
  file.ReadAt(offset, values.data(), ByteCount(num_frames, size));
  return values;
}

// What the files of a list have in common with their names: the SHA-256 of all.
std::string Sha256OfFiles(const std::vector<ListEntry>& entries) {
  Sha256 digest;
  for (const auto& entry : entries) {
    const std::string line = Concat(entry.utt_id, "\t", Sha256OfFile(entry.path), "\n");
    digest.Update(line.data(), line.size());
  }
  return digest.Hex();
}

// Returns what becomes of stored samples, `num_rows` rows.
std::vector<float> ReadSamples(const FrontEnd& front_end, int64_t num_rows, const InputFile& file, int64_t offset,
                               int64_t num_samples) {
  constexpr int64_t kPieceSamples = 1 << 16;
  constexpr float kFullScale = 32768;
  const auto stream = front_end.Start(num_rows);
  std::vector<int16_t> stored;
  std::vector<float> samples;
  for (int64_t first = 0; first < num_samples; first += kPieceSamples) {
    const auto count = static_cast<size_t>(std::min(kPieceSamples, num_samples - first));
    stored.resize(count);
    samples.resize(count);
    file.ReadAt(offset + 2 * first, stored.data(), 2 * count);
    for (size_t i = 0; i < count; ++i) samples[i] = static_cast<float>(stored[i]) / kFullScale;
    stream->Push(samples.data(), count);
  }
  return stream->Finish();
}

// A model that takes samples cannot do anything with features.
void RequireFeatureModel(const ExportedModel& model, const std::string& where) {
  if (!model.framing) return;
  throw InputError(Concat(where, ": holds features, and ", model.path.string(), " takes samples, of which it makes ",
                          "features inside. Give it recordings (--wav_list), or a store of samples (prepared with ",
                          "--store_kind=waveform)."));
}

// A store of features, or of samples, of which the model's rows are made when they are read.
class EvalStore : public FeatureSource {
 public:
  EvalStore(const std::filesystem::path& folder, const ExportedModel& model)
      : FeatureSource(nullptr), maker_(model.front_end), size_(model.feature_size) {
    const json meta = ReadMeta(folder);
    has_samples_ = meta["front_end"].is_null();
    if (has_samples_) {
      front_end_ = model.stored_front_end;
      CheckRate(folder);
    } else {
      RequireFeatureModel(model, folder.string());
      front_end_ = meta["front_end"];
      CheckFrontEnd(*maker_, front_end_, folder.string());
    }
    sha256_ = meta["sha256"].get<std::string>();
    file_ = std::make_unique<InputFile>(folder / (has_samples_ ? "wave.npy" : "feats.npy"));
    const std::string index_name = (folder / "index.csv").string();
    utterances_ = ParseIndex(ReadText(index_name), index_name, has_samples_ ? "sample" : "frame");
    int64_t length = 0;
    for (auto& utterance : utterances_) {
      first_.push_back(length);
      length_.push_back(utterance.num_rows);
      length += utterance.num_rows;
      if (has_samples_) utterance.num_rows = NumRows(utterance, folder);
    }
    const NpyLayout layout = ReadNpyHeader(*file_, has_samples_ ? NpyKind::kSamples : NpyKind::kFrames);
    const int64_t columns = has_samples_ ? 1 : size_;
    if (layout.rows != length || layout.columns != columns) {
      throw InputError(Concat(file_->path().string(), ": index.csv and meta.json expect ",
                              has_samples_ ? "int16 (" : "float32 (", length, ", ", columns, "), got (", layout.rows,
                              ", ", layout.columns, "). Copy the whole folder again or prepare it from scratch."));
    }
    data_offset_ = layout.data_offset;
  }

  std::vector<float> Read(size_t row) const override {
    if (has_samples_) {
      return ReadSamples(*maker_, utterances_[row].num_rows, *file_, data_offset_ + 2 * first_[row], length_[row]);
    }
    return ReadFloats(*file_, data_offset_ + 4 * size_ * first_[row], length_[row], size_);
  }

  // Compares the content with meta.json: content that was replaced in place must not pass for what it names.
  std::string ContentSha256() const override {
    Sha256 digest;
    digest.UpdateFile(file_->path());
    digest.UpdateFile(file_->path().parent_path() / "index.csv");
    if (digest.Hex() != sha256_) {
      throw InputError(Concat(file_->path().parent_path().string(), ": ", file_->path().filename().string(),
                              " and index.csv are not the content that meta.json names: they are damaged or were "
                              "replaced. Copy the whole folder again or prepare it again."));
    }
    return sha256_;
  }

 private:
  static json ReadMeta(const std::filesystem::path& folder) {
    if (!std::filesystem::exists(folder / "meta.json")) {
      throw InputError(
          Concat(folder.string(), ": not a complete store: no meta.json. Let eval_data_prepare.py make it."));
    }
    const std::string name = (folder / "meta.json").string();
    const json meta = ParseJson(ReadText(name), name);
    const bool is_meta = meta.is_object() && meta.value("sha256", json()).is_string() && meta.contains("front_end") &&
                         (meta["front_end"].is_object() || meta["front_end"].is_null());
    if (!is_meta || meta.value("format_version", json()) != kStoreFormatVersion) {
      throw InputError(Concat(name, ": expected the description of a store, format_version ", kStoreFormatVersion,
                              ". Prepare it from scratch."));
    }
    return meta;
  }

  void CheckRate(const std::filesystem::path& folder) const {
    if (maker_->sample_rate() != kStoredRate) {
      throw InputError(Concat(folder.string(), ": holds waveforms at ", kStoredRate, " Hz, the model takes ",
                              maker_->sample_rate(), "."));
    }
  }

  int64_t NumRows(const Utterance& utterance, const std::filesystem::path& folder) const {
    if (maker_->NumFrames(utterance.num_rows) > 0) return maker_->NumRows(utterance.num_rows);
    throw InputError(Concat(folder.string(), ": ", utterance.utt_id, ": ", utterance.num_rows,
                            " samples are shorter than a frame, which has ", maker_->NumSamples(1),
                            ". Leave the utterance out."));
  }

  std::shared_ptr<const FrontEnd> maker_;
  int64_t size_;
  bool has_samples_ = false;
  std::unique_ptr<InputFile> file_;
  std::string sha256_;
  std::vector<int64_t> first_;   // frame or sample of each utterance in the file
  std::vector<int64_t> length_;  // frames or samples
  int64_t data_offset_ = 0;
};

// A source of one file an utterance: those whose header is wrong become failures.
class FileSource : public FeatureSource {
 public:
  std::string ContentSha256() const override { return Sha256OfFiles(entries_); }

 protected:
  using FeatureSource::FeatureSource;

  // `num_rows(path)` returns the length of a file, or throws InputError.
  template <typename NumRows>
  void Open(FileList files, const NumRows& num_rows) {
    failures_ = std::move(files.failures);
    for (auto& entry : files.entries) {
      try {
        utterances_.push_back({entry.utt_id, SpeakerOf(entry.utt_id), num_rows(entry.path)});
        entries_.push_back(std::move(entry));
      } catch (const InputError& error) {
        failures_.push_back({entry.utt_id, error.what()});
      }
    }
  }

  const std::string& path(size_t row) const { return entries_[row].path; }

 private:
  std::vector<ListEntry> entries_;  // of utterances_
};

class FeatureFiles : public FileSource {
 public:
  FeatureFiles(FileList files, const ExportedModel& model)
      : FileSource(model.stored_front_end), feature_size_(model.feature_size) {
    RequireFeatureModel(model, "--features");
    Open(std::move(files), [this](const std::string& path) { return Layout(InputFile(path)).rows; });
  }

  std::vector<float> Read(size_t row) const override {
    const InputFile file(path(row));
    const NpyLayout layout = Layout(file);
    if (layout.rows != utterances_[row].num_rows) {
      throw InputError(Concat(path(row), ": has changed while the program ran."));
    }
    return ReadFloats(file, layout.data_offset, layout.rows, feature_size_);
  }

 private:
  NpyLayout Layout(const InputFile& file) const {
    const NpyLayout layout = SuffixOf(file.path().string()) == ".npy" ? ReadNpyHeader(file) : RawLayout(file);
    if (layout.columns != feature_size_ || layout.rows < 1) {
      throw InputError(Concat(file.path().string(), ": expected (T, ", feature_size_, "), T >= 1, got (", layout.rows,
                              ", ", layout.columns, ")."));
    }
    return layout;
  }

  NpyLayout RawLayout(const InputFile& file) const {
    const int64_t frame_bytes = 4 * feature_size_;
    if (file.size() == 0 || file.size() % frame_bytes != 0) {
      throw InputError(Concat(file.path().string(), ": expected a multiple of ", frame_bytes, " bytes, frames of ",
                              feature_size_, " float32, got ", file.size(), "."));
    }
    return {file.size() / frame_bytes, feature_size_, 0};
  }

  int64_t feature_size_;
};

class Recordings : public FileSource {
 public:
  Recordings(FileList files, const ExportedModel& model, const QualityLimits& limits)
      : FileSource(model.stored_front_end),
        maker_(model.front_end),
        sample_rate_(maker_->sample_rate()),
        limits_(limits) {
    Open(std::move(files),
         [this](const std::string& path) { return NumRows(AudioFile(path).NumSamples(sample_rate_)); });
  }

  std::vector<float> Read(size_t row) const override {
    const int64_t num_rows = utterances_[row].num_rows;
    const auto stream = maker_->Start(num_rows);
    AudioFile(path(row)).Read(sample_rate_, limits_,
                              [&](const float* samples, size_t count) { stream->Push(samples, count); });
    std::vector<float> feats = stream->Finish();
    if (static_cast<int64_t>(feats.size()) != num_rows * maker_->size()) {
      throw InputError("has changed while the program ran");
    }
    return feats;
  }

 private:
  int64_t NumRows(int64_t num_samples) const {
    if (maker_->NumFrames(num_samples) > 0) return maker_->NumRows(num_samples);
    throw InputError(
        Concat("too short: ", num_samples, " samples at ", sample_rate_, " Hz, a frame has ", maker_->NumSamples(1)));
  }

  std::shared_ptr<const FrontEnd> maker_;
  int64_t sample_rate_;
  QualityLimits limits_;
};

}  // namespace

std::unique_ptr<FeatureSource> OpenEvalStore(const std::filesystem::path& folder, const ExportedModel& model) {
  return std::make_unique<EvalStore>(folder, model);
}

std::unique_ptr<FeatureSource> OpenFeatureFiles(FileList files, const ExportedModel& model) {
  return std::make_unique<FeatureFiles>(std::move(files), model);
}

std::unique_ptr<FeatureSource> OpenRecordings(FileList files, const ExportedModel& model, const QualityLimits& limits) {
  return std::make_unique<Recordings>(std::move(files), model, limits);
}

FileList FindFiles(const std::filesystem::path& list_or_folder, const FileKind& kind) {
  std::error_code not_there;  // then reading the list says why
  if (!std::filesystem::is_directory(list_or_folder, not_there)) {
    return {ParseList(ReadText(list_or_folder), list_or_folder.string()), {}};
  }
  const FoundFiles found = WalkFolder(list_or_folder, kind.is_wanted);
  FileList files;
  for (const auto& link : found.repeated_links) {
    std::cerr << "warning: " << (list_or_folder / link).string() << ": a link to files that are listed already\n";
  }
  for (const auto& file : found.skipped) files.failures.push_back({file.name, file.reason});
  for (const auto& name : found.names) {
    if (name.find('\\') == std::string::npos) {
      files.entries.push_back({name, (list_or_folder / name).string()});
    } else {
      files.failures.push_back({name, "a backslash in its name, which lists of Windows use between folders"});
    }
  }
  if (files.entries.empty() && files.failures.empty()) {
    throw InputError(Concat(list_or_folder.string(), ": expected files such as ", kind.examples, ", found none."));
  }
  return files;
}

std::vector<Utterance> ParseIndex(std::string_view text, const std::string& name, const std::string& unit) {
  constexpr int64_t kMaxLength = int64_t{1} << 40;  // in all: two years of samples; keeps sums of bytes from overflow
  const std::string first_key = "first_" + unit;
  const std::string count_key = "num_" + unit + "s";
  std::vector<Utterance> utterances;
  std::unordered_set<std::string> names;
  int64_t next = 0;
  for (auto& row : ParseCsv(text, name, {"utt_id", "spk_id", first_key, count_key})) {
    const auto first = ParseCount(row[2]);
    const auto count = ParseCount(row[3]);
    if (first != next || count.value_or(0) < 1 || *count > kMaxLength - next) {
      throw InputError(Concat(name, ": ", row[0], ": expected ", first_key, " ", next, " and ", count_key,
                              " >= 1, got ", row[2], " and ", row[3], "."));
    }
    if (!names.insert(UtteranceName(row[0], name)).second) {
      throw InputError(Concat(name, ": ", row[0], " is there twice. Prepare it from scratch."));
    }
    utterances.push_back({std::move(row[0]), std::move(row[1]), *count});
    next += *count;
  }
  if (utterances.empty()) throw InputError(Concat(name, ": no utterances in it. Prepare it from scratch."));
  return utterances;
}

}  // namespace ecapa
