#include <string>

#include "src/encoder.h"
#include "src/errors.h"

namespace ecapa {

Engine LoadEngine(const ExportedModel& model, [[maybe_unused]] const EngineOptions& options) {
  if (model.framing && options.precision != Precision::kFloat32) {
    throw UsageError(
        Concat("--precision: ", model.path.string(), " makes features of samples inside, which need f32."));
  }
  const std::string suffix = model.path.extension().string();
  if (suffix == ".onnx" || suffix == ".xml") {
#ifdef ECAPA_WITH_OPENVINO
    return LoadOpenVino(model, options);
#else
    throw UsageError(Concat(
        model.path.string(),
        ": this program was built without OpenVINO. Install the extra cpp (pip install -e '.[cpp]') and build again."));
#endif
  }
  if (suffix == ".mindir") {
#ifdef ECAPA_WITH_MSLITE
    return LoadMindSporeLite(model, options);
#else
    throw UsageError(Concat(model.path.string(),
                            ": this program was built without MindSpore Lite. Set LITE_HOME and build again, or run "
                            "`mindvox infer`."));
#endif
  }
  throw UsageError(Concat(model.path.string(), ": expected a model that ends in .mindir, .onnx or .xml."));
}

}  // namespace ecapa
