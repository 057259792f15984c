// What several tests need: a folder of their own, a small model description, an encoder without a library.
#ifndef ECAPA_TESTS_SUPPORT_H_
#define ECAPA_TESTS_SUPPORT_H_

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "src/encoder.h"
#include "src/errors.h"
#include "src/exported_model.h"
#include "src/files.h"
#include "src/front_end.h"
#include "src/npy.h"
#include "src/sources.h"

namespace ecapa {

// A folder that is removed with all in it.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_((std::filesystem::temp_directory_path() / "ecapa_test.XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no temporary folder");
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return std::filesystem::path(path_) / name; }
  std::filesystem::path path() const { return path_; }

  std::string Write(const std::string& name, std::string_view content) const {
    WriteFile(*this / name, {content});
    return (*this / name).string();
  }

 private:
  std::string path_;
};

inline std::string_view BytesOf(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

inline std::string NpyOf(const std::vector<float>& values, int64_t columns) {
  return NpyHeader(static_cast<int64_t>(values.size()) / columns, columns) + std::string(BytesOf(values));
}

// The shipped front end with another number of filters.
inline nlohmann::json FrontEndJson(int64_t n_mels) {
  return {{"type", "fbank"},       {"sample_rate", 16000}, {"n_mels", n_mels}, {"n_fft", 400},  {"win_length_ms", 25.0},
          {"hop_length_ms", 10.0}, {"f_min", 0.0},         {"f_max", 8000.0},  {"amin", 1e-10}, {"top_db", 80.0}};
}

inline nlohmann::json KaldiJson(int64_t n_mels) {
  return {{"type", "kaldi_fbank"}, {"sample_rate", 16000}, {"n_mels", n_mels}, {"win_length_ms", 25.0},
          {"hop_length_ms", 10.0}, {"f_min", 20.0},        {"f_max", 8000.0},  {"window", "povey"},
          {"waveform_scale", 1.0}, {"preemphasis", 0.97},  {"dither", 0.0},    {"subtract_mean", true}};
}

inline nlohmann::json ModelJson(int64_t n_mels, int64_t emb_size, const std::string& file_sha256 = "") {
  return {{"format_version", 3},
          {"file_format", "ONNX"},
          {"input_kind", "features"},
          {"batch_size", nullptr},
          {"num_frames", nullptr},
          {"min_frames", 3},
          {"feature_size", n_mels},
          {"emb_size", emb_size},
          {"further_outputs", nlohmann::json::object()},
          {"front_end", FrontEndJson(n_mels)},
          {"file_sha256", file_sha256}};
}

inline ExportedModel SmallModel(int64_t n_mels = 4, int64_t emb_size = 3) {
  return ExportedModel::Parse(ModelJson(n_mels, emb_size).dump(), "model.json");
}

// Writes a store of utterances speaker<row>/<row> with these lengths; feature values follow from their place.
inline void WriteStore(const TemporaryFolder& folder, const std::vector<int64_t>& lengths, int64_t n_mels = 4) {
  std::vector<float> values;
  std::string index = "utt_id,spk_id,first_frame,num_frames\n";
  int64_t first = 0;
  for (size_t row = 0; row < lengths.size(); ++row) {
    index += Concat("speaker", row, "/", row, ",speaker", row, ",", first, ",", lengths[row], "\n");
    for (int64_t i = 0; i < lengths[row] * n_mels; ++i) {
      values.push_back(static_cast<float>((i * 7 + static_cast<int64_t>(row) * 13) % 11) - 5);
    }
    first += lengths[row];
  }
  folder.Write("feats.npy", NpyOf(values, n_mels));
  folder.Write("index.csv", index);
  Sha256 digest;
  digest.UpdateFile(folder / "feats.npy");
  digest.UpdateFile(folder / "index.csv");
  const nlohmann::json meta = {{"format_version", 1}, {"front_end", FrontEndJson(n_mels)}, {"sha256", digest.Hex()}};
  folder.Write("meta.json", meta.dump());
}

// Gives each input a number of squares of its features, or samples; does not depend on the others of its batch.
class FakeEncoder : public Encoder {
 public:
  explicit FakeEncoder(const ExportedModel& model)
      : feature_size_(model.row_size()), emb_size_(model.emb_size), is_transposed_(model.is_transposed) {}

  std::vector<float> Encode(const std::vector<float>& feats, int64_t batch, int64_t frames) override {
    if (feats.size() != static_cast<size_t>(batch * frames * feature_size_)) throw std::logic_error("wrong feats");
    calls.push_back(batch);
    if (!failure.empty()) throw InputError(failure);
    std::vector<float> embeddings;
    for (int64_t row = 0; row < batch; ++row) {
      for (int64_t d = 0; d < emb_size_; ++d) {
        float sum = value_added;
        for (int64_t t = 0; t < frames; ++t) {
          const int64_t bin = d % feature_size_;
          const int64_t place = is_transposed_ ? bin * frames + t : t * feature_size_ + bin;
          const float value = feats[static_cast<size_t>(row * frames * feature_size_ + place)];
          sum += value * value * static_cast<float>(t + d + 1);
        }
        embeddings.push_back(sum);
      }
    }
    return embeddings;
  }

  std::vector<int64_t> calls;  // batch of each
  std::string failure;         // thrown by every call
  float value_added = 0;

 private:
  int64_t feature_size_;
  int64_t emb_size_;
  bool is_transposed_;
};

inline Engine FakeEngine(const ExportedModel& model, int num_workers = 1) {
  Engine engine;
  engine.name = "fake";
  for (int i = 0; i < num_workers; ++i) engine.encoders.push_back(std::make_unique<FakeEncoder>(model));
  return engine;
}

inline std::vector<float> Sine(double frequency, size_t count) {
  std::vector<float> waveform(count);
  for (size_t i = 0; i < count; ++i) {
    waveform[i] = static_cast<float>(0.5 * std::sin(2 * 3.14159265358979 * frequency * static_cast<double>(i) / 16000));
  }
  return waveform;
}

// A sine and noise, which keeps every feature above the floor.
inline std::vector<float> NoisySine(double frequency, size_t count) {
  std::vector<float> waveform = Sine(frequency, count);
  std::mt19937 generator(0);
  for (float& sample : waveform) sample += static_cast<float>(generator() % 201) / 1000 - 0.1F;
  return waveform;
}

// Returns the features of a waveform that comes in pieces of `piece` samples.
inline std::vector<float> InPieces(const FrontEnd& front_end, const std::vector<float>& waveform, size_t piece) {
  const auto stream = front_end.Start(0);
  for (size_t i = 0; i < waveform.size(); i += piece) {
    stream->Push(&waveform[i], std::min(piece, waveform.size() - i));
  }
  return stream->Finish();
}

// Returns the message of the InputError that `call` throws, or "nothing was thrown".
template <typename Call>
std::string MessageOf(const Call& call) {
  try {
    call();
  } catch (const InputError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

inline bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace ecapa

#endif  // ECAPA_TESTS_SUPPORT_H_
