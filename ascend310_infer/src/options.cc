#include "src/options.h"

#include <algorithm>
#include <cxxopts.hpp>
#include <map>
#include <thread>

#include "src/errors.h"
#include "src/runner.h"

namespace ecapa {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 24;  // of a batch, in utterances, or a cut, in frames
constexpr int64_t kMaxThreads = 1024;

constexpr char kUsage[] =
    "--model FILE (--data DIR | --features PATH | --wav_list PATH) --output DIR [OPTION...]\n"
    "  ecapa_infer --model FILE --verify ENROL TEST [--threshold X] [OPTION...]\n";

cxxopts::Options Describe() {
  cxxopts::Options description("ecapa_infer", "Speaker embeddings from a model that export.py wrote.\n");
  description.custom_help(kUsage).positional_help("").set_width(110);
  const auto text = [] { return cxxopts::value<std::string>(); };
  const auto count = [] { return cxxopts::value<int64_t>(); };
  const auto number = [] { return cxxopts::value<double>(); };

  auto input = description.add_options("Input and output");
  input("model", "exported model: .onnx or .xml (OpenVINO), .mindir (MindSpore Lite); its .json beside it", text(),
        "FILE");
  input("data", "evaluation store: feat_eval_folder or feat_norm_folder", text(), "DIR");
  input("features",
        "features of single utterances, .npy (T, bins) or raw float32: a list of files, 'path' or "
        "'utt_id<TAB>path' a line, or a folder of .npy and .bin",
        text(), "PATH");
  input("wav_list", "recordings: such a list, or a folder of .wav, .flac, .mp3, .ogg, ...", text(), "PATH");
  input("verify", "print the cosine of two recordings' embeddings");
  input("threshold", "with --verify: also print accept, when the cosine is at least X, or reject", number(), "X");
  input("min_duration", "of recordings: the shortest usable one, s", number()->default_value("0.1"), "X");
  input("max_clipped_fraction", "of recordings: the largest share of samples at full scale",
        number()->default_value("0.2"), "X");
  input("output", "folder of embeddings.npy, index.csv, meta.json and report.json", text(), "DIR");
  input("recordings", "", cxxopts::value<std::vector<std::string>>());
  description.parse_positional({"recordings"});

  auto running = description.add_options("Running");
  running("cut_frames",
          "keep the first N frames of each utterance, repeated when it is shorter; default: all, or what the model "
          "takes",
          count(), "N");
  running("max_frames",
          "an utterance of more frames is cut into equal windows, whose embeddings are averaged; bounds the memory; 0: "
          "no limit",
          count()->default_value(std::to_string(kMaxFrames)), "N");
  running("batch_size",
          "utterances of equal length that go through the model at once, no more than --max_frames together; default: "
          "1, or what the model takes",
          count(), "N");
  running("workers", "batches that are computed at the same time", count()->default_value("1"), "N");
  running("threads", "processor threads of all workers together; default: all", count(), "N");
  running("precision", "f32, bf16 (OpenVINO) or f16 (MindSpore Lite)", text()->default_value("f32"), "NAME");
  running("device", "auto, cpu or ascend", text()->default_value("auto"), "NAME");
  running("device_id", "number of the Ascend device", cxxopts::value<uint32_t>()->default_value("0"), "N");
  running("lite_config", "MindSpore Lite's configuration file, such as for precision_mode on Ascend", text(), "FILE");
  running("cache_dir", "keep OpenVINO's compiled model here: the next start is faster", text(), "DIR");
  running("help", "print this");
  return description;
}

template <typename Value>
Value OneOf(const cxxopts::ParseResult& given, const std::string& key, const std::map<std::string, Value>& values) {
  const auto found = values.find(given[key].as<std::string>());
  if (found != values.end()) return found->second;
  std::string listed;
  for (const auto& [name, value] : values) listed += (listed.empty() ? "" : ", ") + name;
  throw UsageError(Concat("--", key, ": expected one of ", listed, ", got '", given[key].as<std::string>(), "'."));
}

int64_t Count(const cxxopts::ParseResult& given, const std::string& key, int64_t most, int64_t least = 1) {
  const auto value = given[key].as<int64_t>();
  if (value < least) throw UsageError(Concat("--", key, ": expected at least ", least, ", got ", value, "."));
  if (value > most) throw UsageError(Concat("--", key, ": expected at most ", most, ", got ", value, "."));
  return value;
}

std::optional<int64_t> SizeIfGiven(const cxxopts::ParseResult& given, const std::string& key) {
  if (given.count(key) == 0) return std::nullopt;
  return Count(given, key, kMaxSize);
}

double NotNegative(const cxxopts::ParseResult& given, const std::string& key) {
  const auto value = given[key].as<double>();
  if (!(value >= 0)) throw UsageError(Concat("--", key, ": expected at least 0, got ", value, "."));
  return value;
}

void ReadInput(const cxxopts::ParseResult& given, Options* options) {
  const std::map<std::string, Input> inputs = {{"data", Input::kEvalStore},
                                               {"features", Input::kFeatureFiles},
                                               {"wav_list", Input::kRecordings},
                                               {"verify", Input::kPair}};
  int num_inputs = 0;
  for (const auto& [key, input] : inputs) {
    if (given.count(key) == 0) continue;
    ++num_inputs;
    options->input = input;
    if (input != Input::kPair) options->data = given[key].as<std::string>();
  }
  if (num_inputs != 1) throw UsageError("expected one of --data, --features, --wav_list and --verify. See --help.");
  if (given.count("recordings") > 0) options->pair = given["recordings"].as<std::vector<std::string>>();
  const size_t num_recordings = options->input == Input::kPair ? 2 : 0;
  if (num_recordings == 2 && options->pair.size() != 2) {
    throw UsageError(Concat("--verify: expected two recordings, got ", options->pair.size(), "."));
  }
  if (num_recordings == 0 && !options->pair.empty()) {
    throw UsageError(Concat("did not expect '", options->pair.front(), "'. See --help."));
  }
  if (num_recordings == 2 && given.count("output") > 0) throw UsageError("--output: --verify writes no files.");
  if (num_recordings == 0 && given.count("output") == 0) throw UsageError("--output: expected a folder to write to.");
  if (num_recordings == 0 && given.count("threshold") > 0) throw UsageError("--threshold: is for --verify.");
  const bool has_recordings = options->input == Input::kRecordings || options->input == Input::kPair;
  for (const char* key : {"min_duration", "max_clipped_fraction"}) {
    if (!has_recordings && given.count(key) > 0) throw UsageError(Concat("--", key, ": is for recordings."));
  }
}

Options Convert(const cxxopts::ParseResult& given) {
  for (const auto& item : given.arguments()) {
    if (item.key() != "recordings" && given.count(item.key()) > 1) {
      throw UsageError(Concat("--", item.key(), ": given more than once."));
    }
  }
  Options options;
  if (given.count("model") == 0) throw UsageError("--model: expected the exported model. See --help.");
  options.model = given["model"].as<std::string>();
  ReadInput(given, &options);
  const auto text = [&](const char* key) { return given.count(key) ? given[key].as<std::string>() : std::string(); };
  options.output = text("output");
  if (given.count("threshold") > 0) {
    options.threshold = given["threshold"].as<double>();
  }
  options.limits.min_duration_s = NotNegative(given, "min_duration");
  options.limits.max_clipped_fraction = NotNegative(given, "max_clipped_fraction");
  options.max_frames = Count(given, "max_frames", kMaxSize, 0);
  options.cut_frames = SizeIfGiven(given, "cut_frames");
  options.batch_size = SizeIfGiven(given, "batch_size");
  EngineOptions& engine = options.engine;
  engine.precision = OneOf<Precision>(
      given, "precision", {{"f32", Precision::kFloat32}, {"f16", Precision::kFloat16}, {"bf16", Precision::kBfloat16}});
  engine.device =
      OneOf<Device>(given, "device", {{"auto", Device::kAuto}, {"cpu", Device::kCpu}, {"ascend", Device::kAscend}});
  engine.device_id = given["device_id"].as<uint32_t>();
  engine.num_workers = static_cast<int>(Count(given, "workers", kMaxThreads));
  engine.num_threads = static_cast<int>(given.count("threads") > 0
                                            ? Count(given, "threads", kMaxThreads)
                                            : std::clamp<int64_t>(std::thread::hardware_concurrency(), 1, kMaxThreads));
  engine.lite_config = text("lite_config");
  engine.cache_folder = text("cache_dir");
  return options;
}

}  // namespace

Options ParseOptions(int argc, const char* const* argv) {
  cxxopts::Options description = Describe();
  try {
    const cxxopts::ParseResult given = description.parse(argc, argv);
    if (given.count("help") > 0) {
      Options options;
      options.help = description.help({"Input and output", "Running"});
      return options;
    }
    return Convert(given);
  } catch (const cxxopts::exceptions::exception& error) {
    throw UsageError(Concat(error.what(), ". See --help."));
  }
}

}  // namespace ecapa
