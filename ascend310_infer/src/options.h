// The command line.
#ifndef ECAPA_OPTIONS_H_
#define ECAPA_OPTIONS_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "src/encoder.h"
#include "src/quality.h"

namespace ecapa {

enum class Input { kEvalStore, kFeatureFiles, kRecordings, kPair };

struct Options {
  std::filesystem::path model;
  Input input = Input::kEvalStore;
  std::filesystem::path data;       // store, list or folder
  std::vector<std::string> pair;    // the two recordings of --verify
  std::optional<double> threshold;  // of the cosine
  std::filesystem::path output;     // folder
  std::optional<int64_t> cut_frames;
  std::optional<int64_t> batch_size;
  int64_t max_frames = 0;  // a longer utterance is cut into windows; 0: none is
  QualityLimits limits;    // of recordings
  EngineOptions engine;
  std::string help;  // not empty: print this and do nothing
};

// Parses the command line; throws UsageError with all that it can say.
Options ParseOptions(int argc, const char* const* argv);

}  // namespace ecapa

#endif  // ECAPA_OPTIONS_H_
