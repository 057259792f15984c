#include "src/exported_model.h"

#include "src/errors.h"
#include "src/files.h"
#include "src/samples.h"

namespace ecapa {
namespace {

using nlohmann::json;

constexpr int kFormatVersion = 3;
constexpr int kOldFormatVersion = 2;            // read by its own keys
constexpr int64_t kMaxSize = int64_t{1} << 31;  // of a dimension: beyond it a description is damaged
constexpr int64_t kMaxTextBytes = int64_t{1} << 20;

// Takes typed values out of the description and collects what is wrong with them.
class Description {
 public:
  Description(const json& content, const std::string& name) : content_(content), name_(name) {}

  int64_t Count(const char* key) {
    const json& value = Find(key);
    if (!IsCount(value)) return Wrong(key, value), 0;
    return value.get<int64_t>();
  }

  std::optional<int64_t> FreeOrCount(const char* key) {
    if (Find(key).is_null()) return std::nullopt;
    return Count(key);
  }

  // Empty when the key is absent or null.
  std::string OptionalText(const char* key) { return IsGiven(key) ? Text(key) : ""; }

  // Returns whether the value is the second one; the first when the key is absent.
  bool OptionalChoice(const char* key, const char* first, const char* second) {
    const json& value = Find(key);
    if (!value.is_discarded() && value != first && value != second) Wrong(key, value);
    return value == second;
  }

  // 0 when the key is absent or null.
  int64_t OptionalCount(const char* key) { return IsGiven(key) ? Count(key) : 0; }

  std::optional<Conversion> OptionalConversion(const char* key) {
    if (!IsGiven(key)) return std::nullopt;
    const json& value = Find(key);
    Conversion conversion;
    const json mode = Member(value, "precision_mode"), gears = Member(value, "gears");
    bool fits = mode.is_string() && (gears.is_null() || (gears.is_array() && !gears.empty()));
    for (const json& gear : gears) {
      const int64_t before = conversion.gears.empty() ? 0 : conversion.gears.back();
      fits = fits && gear.is_number_integer() && gear > before && gear <= kMaxSize;
      if (fits) conversion.gears.push_back(gear.get<int64_t>());
    }
    if (!fits) return Wrong(key, value), std::nullopt;
    conversion.precision_mode = mode.get<std::string>();
    return conversion;
  }

  std::optional<Windows> OptionalWindows(const char* key) {
    if (!IsGiven(key)) return std::nullopt;
    const json& value = Find(key);
    const json num_frames = Member(value, "num_frames"), step = Member(value, "step"), last = Member(value, "last");
    const json coverage = Member(value, "min_coverage");
    const bool is_padded = last == "padded";
    const bool fits = IsCount(num_frames) && IsCount(step) && step <= num_frames && (is_padded || last == "aligned") &&
                      coverage.is_number() && coverage >= 0 && coverage <= (is_padded ? 1 : 0);
    if (!fits) return Wrong(key, value), std::nullopt;
    return Windows{num_frames.get<int64_t>(), step.get<int64_t>(), is_padded, coverage.get<double>()};
  }

  Framing ReadFraming(const char* key, bool* prepares) {
    const json& value = Find(key);
    const json least = Member(value, "least"), first = Member(value, "first"), hop = Member(value, "hop");
    const json changes = Member(value, "prepares");
    const bool fits = IsCount(least) && IsCount(hop) && first.is_number_integer() && first >= 0 && first <= least &&
                      changes.is_boolean();
    if (!fits) return Wrong(key, value), Framing();
    *prepares = changes.get<bool>();
    return {least.get<int64_t>(), first.get<int64_t>(), hop.get<int64_t>()};
  }

  // Counts by name.
  std::map<std::string, int64_t> Counts(const char* key) {
    const json& value = Find(key);
    std::map<std::string, int64_t> counts;
    if (!value.is_object()) return Wrong(key, value), counts;
    for (const auto& [name, count] : value.items()) {
      if (!IsCount(count)) return Wrong(key, value), counts;
      counts[name] = count.get<int64_t>();
    }
    return counts;
  }

  std::string Text(const char* key) {
    const json& value = Find(key);
    if (!value.is_string()) return Wrong(key, value), "";
    return value.get<std::string>();
  }

  json Object(const char* key) {
    const json& value = Find(key);
    if (!value.is_object()) Wrong(key, value);
    return value;
  }

  void Finish() const {
    if (!wrong_.empty()) {
      throw InputError(Concat(name_, ": missing or impossible values: ", wrong_, ". Export the model again."));
    }
  }

 private:
  static json Member(const json& value, const char* key) {
    return value.is_object() ? value.value(key, json()) : json();
  }

  static bool IsCount(const json& value) { return value.is_number_integer() && value >= 1 && value <= kMaxSize; }

  bool IsGiven(const char* key) const { return !Find(key).is_discarded() && !Find(key).is_null(); }

  const json& Find(const char* key) const {
    static const json kAbsent(json::value_t::discarded);
    const auto entry = content_.find(key);
    return entry == content_.end() ? kAbsent : *entry;
  }

  void Wrong(const char* key, const json& value) {
    wrong_ += (wrong_.empty() ? "" : ", ") + std::string(key);
    if (!value.is_discarded()) wrong_ += " " + value.dump(-1, ' ', false, json::error_handler_t::replace);
  }

  const json& content_;
  const std::string& name_;
  std::string wrong_;
};

void CheckSha256(const std::filesystem::path& path, const std::string& expected, const std::string& name) {
  if (Sha256OfFile(path) != expected) {
    throw InputError(
        Concat(path.string(), ": not the file that ", name, " describes (sha256 differs). Export it again."));
  }
}

}  // namespace

ExportedModel ExportedModel::Read(const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path)) {
    throw InputError(Concat(path.string(), ": no such model. export.py makes one."));
  }
  const std::string name = path.string() + ".json";
  ExportedModel model = Parse(ReadText(name, kMaxTextBytes), name);
  model.path = path;
  CheckSha256(path, model.file_sha256, name);
  if (!model.weights_sha256.empty()) {
    CheckSha256(std::filesystem::path(path).replace_extension(".bin"), model.weights_sha256, name);
  }
  return model;
}

ExportedModel ExportedModel::Parse(std::string_view text, const std::string& name) {
  const json content = ParseJson(text, name);
  const json version = content.is_object() ? content.value("format_version", json()) : json();
  if (version != kFormatVersion && version != kOldFormatVersion) {
    throw InputError(Concat(name, ": expected the description of an exported model, format ", kOldFormatVersion, " or ",
                            kFormatVersion, ". Export it again."));
  }
  const bool is_old = version == kOldFormatVersion;
  Description description(content, name);
  ExportedModel model;
  model.file_format = description.Text("file_format");
  model.batch_size = description.FreeOrCount("batch_size");
  model.num_frames = description.FreeOrCount("num_frames");
  model.min_frames = description.Count("min_frames");
  model.feature_size = description.Count(is_old ? "num_mels" : "feature_size");
  model.emb_size = description.Count("emb_size");
  if (!is_old) {
    model.further_outputs = description.Counts("further_outputs");
  } else if (const int64_t channels = description.OptionalCount("attention_size"); channels > 0) {
    model.further_outputs = {{"attention", channels}};
  }
  model.stored_front_end = description.Object("front_end");
  model.file_sha256 = description.Text("file_sha256");
  if (model.file_format == "IR") model.weights_sha256 = description.Text("weights_sha256");
  model.device_target = description.OptionalText("device_target");
  model.mindir_version = description.OptionalCount("mindir_version");
  model.least_lite = description.OptionalText("least_lite");
  model.conversion = description.OptionalConversion("conversion");
  const std::string input_kind = description.Text("input_kind");
  model.is_transposed = description.OptionalChoice("input_layout", "BTF", "BFT");
  model.windows = description.OptionalWindows("windows");
  bool prepares = false;
  if (input_kind == "waveform") model.framing = description.ReadFraming("framing", &prepares);
  description.Finish();
  if (input_kind != "waveform" && input_kind != (is_old ? "fbank" : "features")) {
    throw InputError(Concat(name, ": the model takes input of kind '", input_kind,
                            "'; this program knows features and waveform. Take a newer program."));
  }
  const bool has_gears = model.conversion && !model.conversion->gears.empty();
  if ((model.windows && (model.windows->num_frames != model.num_frames || has_gears)) ||
      (model.framing && (model.is_transposed || has_gears))) {
    throw InputError(Concat(name, ": windows, framing, num_frames, input_layout and conversion do not fit each other. ",
                            "Export the model again."));
  }
  if (model.framing) {
    model.front_end = std::make_shared<FrontEndInside>(model.stored_front_end, *model.framing, prepares, name);
  } else {
    model.front_end = ReadFrontEnd(model.stored_front_end, model.feature_size, name);
  }
  return model;
}

std::vector<int64_t> ExportedModel::InputShape(int64_t batch, int64_t rows) const {
  if (framing) return {batch, rows};
  if (is_transposed) return {batch, feature_size, rows};
  return {batch, rows, feature_size};
}

json ParseJson(std::string_view text, const std::string& name) {
  try {
    return json::parse(text);
  } catch (const json::exception& error) {
    throw InputError(Concat(name, ": expected JSON, got something else (", error.what(), "). Make it again."));
  }
}

std::string JsonText(const json& value) { return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n"; }

}  // namespace ecapa
