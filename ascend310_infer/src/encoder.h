// What runs an exported model, whichever library does.
#ifndef ECAPA_ENCODER_H_
#define ECAPA_ENCODER_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "src/exported_model.h"

namespace ecapa {

// A model that is ready to run. Not for several threads at once: each worker has its own.
class Encoder {
 public:
  virtual ~Encoder() = default;

  // Returns embeddings (batch, emb_size) of finished, finite features, or samples, in the model's layout
  // (ExportedModel::InputShape).
  //
  // Args:
  //   rows: of each input: frames, or samples.
  //
  // Throws InputError: the library reports a failure, or gives something else than float32 (batch, emb_size).
  virtual std::vector<float> Encode(const std::vector<float>& feats, int64_t batch, int64_t rows) = 0;
};

enum class Precision { kFloat32, kFloat16, kBfloat16 };
enum class Device { kAuto, kCpu, kAscend };

struct EngineOptions {
  Device device = Device::kAuto;
  uint32_t device_id = 0;
  Precision precision = Precision::kFloat32;
  int num_workers = 1;                           // encoders
  int num_threads = 1;                           // of all encoders together
  std::filesystem::path cache_folder;            // OpenVINO: compiled models are kept here; empty: nowhere
  std::filesystem::path lite_config;             // MindSpore Lite: its configuration file; empty: none
  std::filesystem::path device_folder = "/dev";  // where a device of Ascend is looked for
  int64_t rows_hint = 0;                         // all inputs will have as many frames, or samples; 0: any
  int64_t batch_hint = 1;                        // ... and come in batches of as many
};

// Encoders of one model.
struct Engine {
  std::string name;                                // library, version, device and precision
  std::vector<std::unique_ptr<Encoder>> encoders;  // one for each worker
  std::vector<int64_t> gears;                      // the only lengths that it takes, rising; empty: any
};

// Loads a model into the library that its suffix belongs to: .onnx and .xml: OpenVINO, .mindir: MindSpore Lite.
//
// Throws UsageError for options that the library does not have, or one that was not built in, or a lower precision than
// float32 for a model that makes features inside, which it would ruin; InputError when the model cannot be loaded or
// has other inputs or outputs than its description says.
Engine LoadEngine(const ExportedModel& model, const EngineOptions& options);

// The engines. Each is defined only where its library was found at build time.
Engine LoadOpenVino(const ExportedModel& model, const EngineOptions& options);
Engine LoadMindSporeLite(const ExportedModel& model, const EngineOptions& options);

}  // namespace ecapa

#endif  // ECAPA_ENCODER_H_
