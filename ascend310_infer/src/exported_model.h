// What an exported model takes and gives: FILE.json beside FILE, which export.py writes (ExportedModel in src/mindvox).
#ifndef ECAPA_EXPORTED_MODEL_H_
#define ECAPA_EXPORTED_MODEL_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/framing.h"
#include "src/front_end.h"
#include "src/windows.h"

namespace ecapa {

// How scripts/convert_310.sh made a .mindir that runs on Ascend alone.
struct Conversion {
  std::vector<int64_t> gears;  // the only lengths that it takes, rising; empty: the model's fixed one
  std::string precision_mode;  // how Ascend computes
};

// Sizes without a value are free. Rows are what an input consists of: frames, or samples.
struct ExportedModel {
  std::filesystem::path path;
  std::string file_format;            // "MINDIR", "ONNX", "IR" or "AIR"
  std::optional<int64_t> batch_size;  // utterances taken at once
  std::optional<int64_t> num_frames;  // frames of an utterance
  int64_t min_frames = 0;             // the fewest frames of an utterance
  int64_t feature_size = 0;           // numbers of a frame
  bool is_transposed = false;         // features have time as the last axis
  std::optional<Framing> framing;     // the model takes samples, (B, N), and makes features inside; none: features
  std::optional<Windows> windows;     // that an utterance is taken in; none: it is one input
  int64_t emb_size = 0;
  std::map<std::string, int64_t> further_outputs;  // beside the embedding, (B, T, channels): channels by name
  nlohmann::json stored_front_end;                 // how the features are made, as it is stored
  std::shared_ptr<const FrontEnd> front_end;       // the same, to be used
  std::string file_sha256;
  std::string weights_sha256;  // of the .bin beside an IR's .xml, else empty
  std::string device_target;   // the device that a .mindir is built for; empty: any
  int64_t mindir_version = 0;  // of its format; 0: not known
  std::string least_lite;      // the earliest MindSpore Lite that is known to read it; empty: not known
  std::optional<Conversion> conversion;

  // Reads FILE.json and checks that it belongs to FILE.
  //
  // Throws InputError: model or description is missing or damaged, they do not belong together, or recordings must be
  // prepared for the model in a way that this program does not know.
  static ExportedModel Read(const std::filesystem::path& path);

  // Returns the shape of a batch of inputs of as many rows, in the model's layout.
  std::vector<int64_t> InputShape(int64_t batch, int64_t rows) const;

  // Name of the only input.
  const char* InputName() const { return framing ? "waveform" : "feats"; }

  // Numbers of a row.
  int64_t row_size() const { return framing ? 1 : feature_size; }

  // What rows are called.
  const char* unit() const { return framing ? "samples" : "frames"; }

  // The fewest rows that have as many frames.
  int64_t RowsOf(int64_t frames) const { return framing ? framing->NumSamples(frames) : frames; }

  // The frames of as many rows.
  int64_t FramesIn(int64_t rows) const { return framing ? framing->NumFrames(rows) : rows; }

  // Reads the content of FILE.json, without FILE; `name` is its path, for messages.
  static ExportedModel Parse(std::string_view text, const std::string& name);
};

// Parses JSON; throws InputError when `text`, the content of `name`, is none.
nlohmann::json ParseJson(std::string_view text, const std::string& name);

// Returns JSON as the project writes it: indented, keys sorted, UTF-8, with a line end.
std::string JsonText(const nlohmann::json& value);

}  // namespace ecapa

#endif  // ECAPA_EXPORTED_MODEL_H_
