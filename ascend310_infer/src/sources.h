// Where the inputs of a model come from: an evaluation store, a list of feature files, or a list of recordings.
#ifndef ECAPA_SOURCES_H_
#define ECAPA_SOURCES_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "src/exported_model.h"
#include "src/quality.h"
#include "src/text.h"

namespace ecapa {

struct Utterance {
  std::string utt_id;
  std::string spk_id;
  int64_t num_rows = 0;  // of what Read returns: frames, or samples
};

// An utterance that could not be embedded, and why.
struct Failure {
  std::string utt_id;
  std::string reason;
};

// Features of named utterances, before the front end finishes them; of a model that takes waveforms, samples.
class FeatureSource {
 public:
  virtual ~FeatureSource() = default;

  // The utterances that can be read as far as is known beforehand, in the order of the input.
  const std::vector<Utterance>& utterances() const { return utterances_; }

  // Those of the input that cannot.
  const std::vector<Failure>& failures() const { return failures_; }

  // Returns the rows (num_rows, row_size of the model) of utterance `row`. May be called from several threads; throws
  // InputError.
  virtual std::vector<float> Read(size_t row) const = 0;

  // The stored form of the front end that made the features.
  const nlohmann::json& front_end() const { return front_end_; }

  // Returns what the features depend on, as a SHA-256: the same content has the same wherever it lies.
  virtual std::string ContentSha256() const = 0;

 protected:
  explicit FeatureSource(nlohmann::json front_end) : front_end_(std::move(front_end)) {}

  nlohmann::json front_end_;
  std::vector<Utterance> utterances_;
  std::vector<Failure> failures_;
};

// Opens the evaluation store (src/mindvox/data/eval_store.py) in a folder: of features, or of samples.
//
// Throws InputError: there is no complete store, its files do not fit each other, or it was made with another front end
// than the model's. Of samples: this program does not know the model's front end, or it takes another rate. Of
// features: the model takes samples.
std::unique_ptr<FeatureSource> OpenEvalStore(const std::filesystem::path& folder, const ExportedModel& model);

// The files of a list or a folder, and those that cannot be used.
struct FileList {
  std::vector<ListEntry> entries;
  std::vector<Failure> failures;
};

// Opens files of features: `.npy`, float32 (T, feature_size), or any other suffix for the bare numbers.
//
// Throws InputError: the model takes samples.
std::unique_ptr<FeatureSource> OpenFeatureFiles(FileList files, const ExportedModel& model);

// Opens recordings, of which features are made as the model expects them. Reading one that does not keep to the limits
// throws InputError.
//
// Throws InputError: this program does not know the model's front end.
std::unique_ptr<FeatureSource> OpenRecordings(FileList files, const ExportedModel& model, const QualityLimits& limits);

// A kind of file, known by its name.
struct FileKind {
  std::function<bool(std::string_view)> is_wanted;
  std::string examples;  // of suffixes, for messages
};

// Returns the files of a list (see ParseList), or those of a kind below a folder (see WalkFolder), under their path
// below it and in its order. A link to a folder whose files are listed under another path is said on stderr.
//
// Throws InputError when there is none.
FileList FindFiles(const std::filesystem::path& list_or_folder, const FileKind& kind);

// Returns the rows of a store's index, of which a length in frames, or in samples, is in num_rows; throws InputError
// when they do not lie one after the other.
//
// Args:
//   unit: "frame" or "sample", as the header has it.
std::vector<Utterance> ParseIndex(std::string_view text, const std::string& name, const std::string& unit = "frame");

}  // namespace ecapa

#endif  // ECAPA_SOURCES_H_
