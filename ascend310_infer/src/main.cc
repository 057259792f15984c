// ecapa_infer: embeddings of an evaluation store, feature files or recordings, and the cosine of two recordings.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <mutex>

#include "src/encoder.h"
#include "src/errors.h"
#include "src/exported_model.h"
#include "src/feature_ops.h"
#include "src/files.h"
#include "src/names.h"
#include "src/options.h"
#include "src/output.h"
#include "src/parts.h"
#include "src/runner.h"
#include "src/sources.h"

namespace ecapa {
namespace {

constexpr size_t kFailuresPrinted = 10;

std::unique_ptr<FeatureSource> OpenSource(const Options& options, const ExportedModel& model) {
  switch (options.input) {
    case Input::kEvalStore:
      return OpenEvalStore(options.data, model);
    case Input::kFeatureFiles:
      return OpenFeatureFiles(FindFiles(options.data, {IsFeatureName, ".npy, .bin"}), model);
    case Input::kRecordings:
      return OpenRecordings(FindFiles(options.data, {IsAudioName, ".wav, .flac, .mp3, ..."}), model, options.limits);
    case Input::kPair:
      return OpenRecordings({{{options.pair[0], options.pair[0]}, {options.pair[1], options.pair[1]}}, {}}, model,
                            options.limits);
  }
  throw std::logic_error("an input that is none");
}

// Sizes that both the model and the command line fix must agree.
int64_t Agree(const std::optional<int64_t>& given, int64_t fixed, const char* key, const ExportedModel& model) {
  if (given && *given != fixed) {
    throw UsageError(Concat("--", key, ": ", *given, " was given, ", model.path.string(), " takes ", fixed, "."));
  }
  return fixed;
}

RunOptions SizesOf(const Options& options, const ExportedModel& model) {
  RunOptions run;
  run.cut_frames = options.cut_frames;
  run.batch_size = options.batch_size.value_or(1);
  run.max_frames = options.max_frames;
  // A window may have half as many.
  if (run.max_frames > 0 && run.max_frames < 2 * model.min_frames) {
    throw UsageError(
        Concat("--max_frames: expected 0 or at least ", 2 * model.min_frames, ", got ", run.max_frames, "."));
  }
  // A model that takes windows has them of the whole, or of what is kept of it.
  if (model.num_frames && !model.windows) {
    run.cut_frames = Agree(options.cut_frames, *model.num_frames, "cut_frames", model);
  }
  if (model.batch_size) run.batch_size = Agree(options.batch_size, *model.batch_size, "batch_size", model);
  if (run.cut_frames && *run.cut_frames < model.min_frames) {
    throw UsageError(Concat("--cut_frames: expected at least ", model.min_frames, ", got ", *run.cut_frames, "."));
  }
  return run;
}

// Prints how far a run is, on one line of a terminal.
class Progress {
 public:
  explicit Progress(size_t total) : total_(total), is_terminal_(isatty(STDERR_FILENO) == 1) {}
  ~Progress() {
    if (is_terminal_) std::fputs("\r\x1b[K", stderr);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void operator()(size_t num_done) {
    if (!is_terminal_) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(200)) return;
    last_ = now;
    std::fprintf(stderr, "\r%zu/%zu", num_done, total_);
  }

 private:
  const size_t total_;
  const bool is_terminal_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point last_;
};

void PrintFailures(const std::vector<Failure>& failures) {
  for (size_t i = 0; i < std::min(failures.size(), kFailuresPrinted); ++i) {
    std::cerr << "error: " << failures[i].utt_id << ": " << failures[i].reason << "\n";
  }
  if (failures.size() > kFailuresPrinted) {
    std::cerr << "error: " << failures.size() - kFailuresPrinted << " more failed.\n";
  }
}

void PrintSpeed(const RunResult& result, double frame_shift_s) {
  const double audio_s = static_cast<double>(result.num_frames) * frame_shift_s;
  const size_t num_done = result.latency_s.size();
  std::printf("%zu embeddings in %.1f s: %.1f utterances/s, %.1f times real time", num_done, result.elapsed_s,
              static_cast<double>(num_done) / result.elapsed_s, audio_s / result.elapsed_s);
  if (result.num_kept > 0) std::printf("; %zu of an earlier run", result.num_kept);
  std::printf("\n");
}

int Verify(const RunResult& result, const ExportedModel& model, const std::optional<double>& threshold) {
  PrintFailures(result.failures);
  if (!result.failures.empty()) return 1;
  const auto middle = result.embeddings.begin() + static_cast<std::ptrdiff_t>(model.emb_size);
  const double cosine = Cosine({result.embeddings.begin(), middle}, {middle, result.embeddings.end()});
  std::printf("cosine %.6f", cosine);
  if (threshold) std::printf(" %s", cosine >= *threshold ? "accept" : "reject");
  std::printf("\n");
  return 0;
}

// Returns all that the embeddings of a list, and their order, follow from.
nlohmann::json PlanOf(const Options& options, const RunOptions& run, const ExportedModel& model,
                      const std::string& store_sha256, const std::string& engine) {
  return {{"format_version", 1},
          {"model_sha256", model.file_sha256},
          {"store_sha256", store_sha256},
          {"engine", engine},
          {"cut_frames", run.cut_frames ? nlohmann::json(*run.cut_frames) : nlohmann::json()},
          {"max_frames", run.max_frames},
          {"batch_size", run.batch_size},
          {"min_duration_s", options.limits.min_duration_s},
          {"max_clipped_fraction", options.limits.max_clipped_fraction}};
}

int Main(int argc, const char* const* argv) {
  Options options = ParseOptions(argc, argv);
  if (!options.help.empty()) {
    std::cout << options.help << std::flush;
    return 0;
  }
  const ExportedModel model = ExportedModel::Read(options.model);
  RunOptions run = SizesOf(options, model);
  const auto source = OpenSource(options, model);
  const bool is_pair = options.input == Input::kPair;
  std::optional<FolderLock> lock;
  if (!is_pair) {
    MakeFolder(options.output);  // before hours of work, should that fail
    lock.emplace(options.output);
    RemoveMeta(options.output);
  }

  const auto start = std::chrono::steady_clock::now();
  const int64_t frames_hint = model.windows ? model.windows->num_frames : run.cut_frames.value_or(0);
  options.engine.rows_hint = frames_hint > 0 ? model.RowsOf(frames_hint) : 0;
  options.engine.batch_hint = run.batch_size;
  Engine engine = LoadEngine(model, options.engine);
  const double load_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  // Before the run: hours later a file may have gone.
  const std::string store_sha256 = is_pair ? "" : source->ContentSha256();
  std::optional<Parts> parts;
  if (!is_pair) {
    parts.emplace(options.output / ".parts", PlanOf(options, run, model, store_sha256, engine.name), model.emb_size);
    run.parts = &*parts;
  }
  RunResult result;
  {
    Progress progress(source->utterances().size());
    run.progress = std::ref(progress);
    result = EmbedAll(*source, model, &engine, run);
  }
  if (is_pair) return Verify(result, model, options.threshold);

  const Identity identity = {model.file_sha256,
                             store_sha256,
                             engine.name,
                             run.cut_frames,
                             result.has_windows ? std::optional(run.max_frames) : std::nullopt,
                             source->front_end()};
  WriteFile(options.output / "report.json",
            {JsonText(Report(result, identity, load_s, model.front_end->frame_shift_s()))});
  PrintFailures(result.failures);
  // A store is embedded whole or not at all: its reader asks for every utterance. Of a list, the others are kept.
  const bool is_whole = result.failures.empty();
  if (is_whole || (options.input != Input::kEvalStore && !result.rows.empty())) {
    WriteEmbeddingStore(options.output, *source, result, identity);
    parts->Remove();
    PrintSpeed(result, model.front_end->frame_shift_s());
  }
  if (is_whole) return 0;
  std::cerr << "error: " << result.failures.size() << " of " << result.rows.size() + result.failures.size()
            << " utterances failed; " << (options.output / "report.json").string() << " lists them.\n";
  return 1;
}

}  // namespace
}  // namespace ecapa

int main(int argc, char** argv) {
  try {
    const int code = ecapa::Main(argc, argv);
    if (std::fflush(stdout) != 0) throw ecapa::InputError("standard output cannot be written.");
    return code;
  } catch (const ecapa::UsageError& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}
