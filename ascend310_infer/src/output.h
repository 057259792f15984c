// What a run leaves behind: an embedding store and a report.
#ifndef ECAPA_OUTPUT_H_
#define ECAPA_OUTPUT_H_

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "src/exported_model.h"
#include "src/runner.h"
#include "src/sources.h"

namespace ecapa {

// What embeddings depend on: Identity in src/scoring/embeddings.py.
struct Identity {
  std::string model_sha256;
  std::string store_sha256;
  std::string engine;
  std::optional<int64_t> cut_frames;
  std::optional<int64_t> max_frames;  // of a window; none: no utterance was cut into windows
  nlohmann::json front_end;           // of the features
};

// Writes embeddings.npy, index.csv and, last, meta.json into a folder, as src/scoring/embeddings.py reads them: a
// folder with a meta.json is whole.
void WriteEmbeddingStore(const std::filesystem::path& folder, const FeatureSource& source, const RunResult& result,
                         const Identity& identity);

// Removes the meta.json of an earlier run, so that what is left of it is not taken for this one's.
void RemoveMeta(const std::filesystem::path& folder);

// Returns the run in numbers: speed and latencies of what it embedded itself, failures by name.
//
// Args:
//   load_s: time that loading the model took.
//   frame_shift_s: distance between frames.
nlohmann::json Report(const RunResult& result, const Identity& identity, double load_s, double frame_shift_s);

// Returns the value below which `fraction` of `values` lie, with straight lines between them, as numpy.quantile does.
double Quantile(std::vector<double> values, double fraction);

}  // namespace ecapa

#endif  // ECAPA_OUTPUT_H_
