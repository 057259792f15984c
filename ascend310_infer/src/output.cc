#include "src/output.h"

#include <algorithm>
#include <cmath>
#include <system_error>

#include "src/errors.h"
#include "src/files.h"
#include "src/npy.h"
#include "src/text.h"

namespace ecapa {

using nlohmann::json;

namespace {

constexpr int kFormatVersion = 1;

json NumberOrNull(const std::optional<int64_t>& number) { return number ? json(*number) : json(); }

}  // namespace

void RemoveMeta(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::remove(folder / "meta.json", error);
  if (error) throw InputError(Concat((folder / "meta.json").string(), ": ", error.message(), "."));
}

void WriteEmbeddingStore(const std::filesystem::path& folder, const FeatureSource& source, const RunResult& result,
                         const Identity& identity) {
  RemoveMeta(folder);
  const size_t num_rows = result.rows.size();
  const auto width = static_cast<int64_t>(result.embeddings.size() / num_rows);
  const std::string header = NpyHeader(static_cast<int64_t>(num_rows), width);
  const auto* bytes = reinterpret_cast<const char*>(result.embeddings.data());
  WriteFile(folder / "embeddings.npy", {header, {bytes, result.embeddings.size() * sizeof(float)}});
  std::string index = CsvLine({"utt_id", "spk_id"});
  for (const size_t row : result.rows) {
    index += CsvLine({source.utterances()[row].utt_id, source.utterances()[row].spk_id});
  }
  WriteFile(folder / "index.csv", {index});
  json meta = {{"format_version", kFormatVersion},
               {"model_sha256", identity.model_sha256},
               {"store_sha256", identity.store_sha256},
               {"engine", identity.engine},
               {"cut_frames", NumberOrNull(identity.cut_frames)},
               {"front_end", identity.front_end}};
  if (identity.max_frames) meta["max_frames"] = *identity.max_frames;
  WriteFile(folder / "meta.json", {JsonText(meta)});
}

json Report(const RunResult& result, const Identity& identity, double load_s, double frame_shift_s) {
  json failures = json::array();
  for (const auto& failure : result.failures) {
    failures.push_back({{"utt_id", failure.utt_id}, {"reason", failure.reason}});
  }
  const auto num_done = static_cast<double>(result.latency_s.size());
  const double audio_s = static_cast<double>(result.num_frames) * frame_shift_s;
  json latency_ms = {{"max", 0}};
  for (const auto& [name, fraction] : {std::pair("p50", 0.5), {"p90", 0.9}, {"p99", 0.99}, {"max", 1.0}}) {
    latency_ms[name] = result.latency_s.empty() ? json() : json(1e3 * Quantile(result.latency_s, fraction));
  }
  return {{"format_version", kFormatVersion},
          {"engine", identity.engine},
          {"model_sha256", identity.model_sha256},
          {"store_sha256", identity.store_sha256},
          {"cut_frames", NumberOrNull(identity.cut_frames)},
          {"max_frames", NumberOrNull(identity.max_frames)},
          {"num_utterances", result.rows.size() + result.failures.size()},
          {"num_failed", result.failures.size()},
          {"num_kept", result.num_kept},
          {"failures", failures},
          {"num_frames", result.num_frames},
          {"audio_s", audio_s},
          {"load_s", load_s},
          {"elapsed_s", result.elapsed_s},
          {"utterances_per_s", num_done / result.elapsed_s},
          {"times_real_time", audio_s / result.elapsed_s},
          {"latency_ms", latency_ms}};
}

double Quantile(std::vector<double> values, double fraction) {
  std::sort(values.begin(), values.end());
  const double place = fraction * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - std::floor(place)) * (values[above] - values[below]);
}

}  // namespace ecapa
