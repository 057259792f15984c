// The C interface (mindvox.h) over Embedder and Speakers.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "include/mindvox/mindvox.h"
#include "src/embedder.h"
#include "src/encoder.h"
#include "src/errors.h"
#include "src/exported_model.h"
#include "src/feature_ops.h"
#include "src/handles.h"
#include "src/runner.h"
#include "src/speakers.h"

namespace ecapa {
namespace {

constexpr int32_t kMaxThreads = 1024;

// An error with its code.
class StatusError : public InputError {
 public:
  StatusError(mindvox_status status, const std::string& text) : InputError(text), status_(status) {}
  mindvox_status status() const { return status_; }

 private:
  mindvox_status status_;
};

// Of the calling thread's last failed call.
std::string& LastError() {
  thread_local std::string text;
  return text;
}

mindvox_status Failed(mindvox_status status, const char* text) noexcept {
  try {
    LastError() = text;
  } catch (...) {
    LastError().clear();  // no memory even for the text
  }
  return status;
}

// Makes a call and turns what it throws into a code; other InputErrors have the code `otherwise`.
template <typename Call>
mindvox_status Guarded(mindvox_status otherwise, const Call& call) noexcept {
  try {
    call();
    return MINDVOX_OK;
  } catch (const StatusError& error) {
    return Failed(error.status(), error.what());
  } catch (const UsageError& error) {
    return Failed(MINDVOX_ERROR_ARGUMENT, error.what());
  } catch (const AudioError& error) {
    return Failed(MINDVOX_ERROR_AUDIO, error.what());
  } catch (const InputError& error) {
    return Failed(otherwise, error.what());
  } catch (const std::bad_alloc&) {
    return Failed(MINDVOX_ERROR_MEMORY, "there is not enough memory. Set a smaller max_frames or num_workers.");
  } catch (const std::exception& error) {
    return Failed(MINDVOX_ERROR_INTERNAL, error.what());
  } catch (...) {
    return Failed(MINDVOX_ERROR_INTERNAL, "an exception of an unknown type");
  }
}

using Matches = std::vector<Match>;

// Never destroyed: at the exit of a process other threads may still use them.
template <typename Object>
Handles<Object>& HandlesOf() {
  static auto& handles = *std::make_unique<Handles<Object>>().release();
  return handles;
}

void NeedPointer(const void* pointer, const char* name) {
  if (pointer == nullptr) throw UsageError(Concat(name, ": expected a pointer, got NULL."));
}

std::string Text(const char* text, const char* name) {
  NeedPointer(text, name);
  return text;
}

// `Opaque` is the type of the interface, of which no object exists.
template <typename Object, typename Opaque>
void Publish(std::shared_ptr<Object> object, Opaque** handle) {
  *handle = reinterpret_cast<Opaque*>(HandlesOf<Object>().Add(std::move(object)));
}

template <typename Object, typename Opaque>
std::shared_ptr<Object> Require(Opaque* handle, const char* kind) {
  auto object = HandlesOf<Object>().Find(reinterpret_cast<uintptr_t>(handle));
  if (object == nullptr) {
    throw StatusError(MINDVOX_ERROR_HANDLE,
                      Concat("expected a handle of ", kind, ", got ",
                             handle == nullptr ? "NULL" : "one that was destroyed or is none", "."));
  }
  return object;
}

template <typename Object, typename Opaque>
mindvox_status Destroy(Opaque* handle, const char* kind) {
  return Guarded(MINDVOX_ERROR_INTERNAL, [&] {
    if (handle == nullptr) return;
    if (HandlesOf<Object>().Remove(reinterpret_cast<uintptr_t>(handle)) == nullptr) Require<Object>(handle, kind);
  });
}

std::shared_ptr<Embedder> EmbedderOf(mindvox_embedder* handle) { return Require<Embedder>(handle, "an embedder"); }
std::shared_ptr<Speakers> SpeakersOf(mindvox_speakers* handle) { return Require<Speakers>(handle, "speakers"); }
std::shared_ptr<Matches> MatchesOf(mindvox_matches* handle) { return Require<Matches>(handle, "matches"); }

// Returns the options of a caller whose struct may be of an earlier or later version than ours.
mindvox_options ReadOptions(const mindvox_options* given) {
  mindvox_options options = MINDVOX_OPTIONS_INIT;
  if (given == nullptr) return options;
  const size_t size = given->struct_size;
  if (size < sizeof(mindvox_options)) {  // the first version; later ones compare with its size
    throw UsageError(Concat("options: expected struct_size ", sizeof(mindvox_options), ", got ", size,
                            ". Begin with MINDVOX_OPTIONS_INIT."));
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  if (size > 4096 || std::any_of(bytes + sizeof options, bytes + size, [](unsigned char byte) { return byte != 0; })) {
    throw UsageError(Concat("options: struct_size ", size,
                            ": a member is set that this library does not know. Install a later one."));
  }
  std::memcpy(&options, given, sizeof options);
  return options;
}

int32_t CountOr(int32_t value, int32_t otherwise, const char* name) {
  if (value < 0 || value > kMaxThreads) {
    throw UsageError(Concat(name, ": expected 1 to ", kMaxThreads, ", or 0 for the default, got ", value, "."));
  }
  return value == 0 ? otherwise : value;
}

double ShareOr(double value, double otherwise, const char* name) {
  if (!(value >= 0)) throw UsageError(Concat(name, ": expected at least 0, got ", value, "."));
  return value == 0 ? otherwise : value;
}

Precision PrecisionOf(mindvox_precision precision) {
  switch (precision) {
    case MINDVOX_FLOAT32:
      return Precision::kFloat32;
    case MINDVOX_FLOAT16:
      return Precision::kFloat16;
    case MINDVOX_BFLOAT16:
      return Precision::kBfloat16;
  }
  throw UsageError(Concat("precision: expected a value of mindvox_precision, got ", precision, "."));
}

Device DeviceOf(mindvox_device device) {
  switch (device) {
    case MINDVOX_DEVICE_AUTO:
      return Device::kAuto;
    case MINDVOX_DEVICE_CPU:
      return Device::kCpu;
    case MINDVOX_DEVICE_ASCEND:
      return Device::kAscend;
  }
  throw UsageError(Concat("device: expected a value of mindvox_device, got ", device, "."));
}

std::shared_ptr<Embedder> MakeEmbedder(const std::string& model_file, const mindvox_options& given) {
  const auto processors =
      static_cast<int32_t>(std::clamp<int64_t>(std::thread::hardware_concurrency(), 1, kMaxThreads));
  EngineOptions options;
  options.num_threads = CountOr(given.num_threads, processors, "num_threads");
  options.num_workers = CountOr(given.num_workers, 1, "num_workers");
  options.precision = PrecisionOf(given.precision);
  options.device = DeviceOf(given.device);
  options.device_id = given.device_id;
  if (given.cache_folder != nullptr) options.cache_folder = given.cache_folder;
  if (given.lite_config != nullptr) options.lite_config = given.lite_config;
  if (given.reserved != 0) throw UsageError(Concat("reserved: expected 0, got ", given.reserved, "."));
  if (given.max_frames < -1) throw UsageError(Concat("max_frames: expected at least -1, got ", given.max_frames, "."));
  const int64_t max_frames = given.max_frames == 0 ? kMaxFrames : std::max<int64_t>(given.max_frames, 0);
  QualityLimits limits;
  limits.min_duration_s = ShareOr(given.min_duration_s, limits.min_duration_s, "min_duration_s");
  limits.max_clipped_fraction =
      ShareOr(given.max_clipped_fraction, limits.max_clipped_fraction, "max_clipped_fraction");
  ExportedModel model = ExportedModel::Read(model_file);
  options.rows_hint = model.num_frames ? model.RowsOf(*model.num_frames) : 0;
  options.batch_hint = model.batch_size.value_or(1);
  Engine engine = LoadEngine(model, options);
  return std::make_shared<Embedder>(std::move(model), std::move(engine), max_frames, limits);
}

void CheckSize(size_t given, size_t expected) {
  if (given != expected) {
    throw UsageError(Concat("embedding_size: expected ", expected, " numbers, got ", given, "."));
  }
}

// Writes what `embed(embedder)` returns.
template <typename Embed>
mindvox_status WriteEmbedding(mindvox_embedder* handle, float* embedding, size_t embedding_size, const Embed& embed) {
  return Guarded(MINDVOX_ERROR_ENGINE, [&] {
    const auto embedder = EmbedderOf(handle);
    NeedPointer(embedding, "embedding");
    CheckSize(embedding_size, static_cast<size_t>(embedder->model().emb_size));
    const std::vector<float> values = embed(embedder.get());
    std::copy(values.begin(), values.end(), embedding);
  });
}

StatusError NoSpeaker(const std::string& name) {
  return StatusError(MINDVOX_ERROR_NOT_FOUND, Concat("there is no speaker '", name, "'."));
}

}  // namespace
}  // namespace ecapa

using namespace ecapa;  // NOLINT: the functions below are this file's interface

int32_t mindvox_version(void) { return MINDVOX_VERSION; }

const char* mindvox_last_error(void) { return LastError().c_str(); }

mindvox_status mindvox_embedder_create(const char* model_file, const mindvox_options* options,
                                       mindvox_embedder** embedder) {
  return Guarded(MINDVOX_ERROR_MODEL, [&] {
    NeedPointer(embedder, "embedder");
    Publish(MakeEmbedder(Text(model_file, "model_file"), ReadOptions(options)), embedder);
  });
}

mindvox_status mindvox_embedder_destroy(mindvox_embedder* embedder) {
  return Destroy<Embedder>(embedder, "an embedder");
}

mindvox_status mindvox_embedder_describe(mindvox_embedder* embedder, mindvox_description* description) {
  return Guarded(MINDVOX_ERROR_INTERNAL, [&] {
    const auto object = EmbedderOf(embedder);
    NeedPointer(description, "description");
    constexpr size_t kFirstSize = offsetof(mindvox_description, min_samples);
    if (description->struct_size < kFirstSize) {
      throw UsageError(Concat("description: expected struct_size ", sizeof(mindvox_description), ", got ",
                              description->struct_size, "."));
    }
    // Members that a later version adds stay as they are.
    description->embedding_size = static_cast<size_t>(object->model().emb_size);
    description->sample_rate = static_cast<int32_t>(object->model().front_end->sample_rate());
    description->reserved = 0;
    description->min_duration_s = object->min_duration_s();
    description->engine = object->engine_name().c_str();
    if (description->struct_size < sizeof(mindvox_description)) return;
    description->min_samples = object->min_samples();
    description->window_samples = object->window_samples();
    description->window_step_samples = object->window_step_samples();
  });
}

mindvox_status mindvox_embed(mindvox_embedder* embedder, const float* samples, size_t num_samples, int32_t sample_rate,
                             float* embedding, size_t embedding_size) {
  return WriteEmbedding(embedder, embedding, embedding_size, [&](Embedder* object) {
    if (num_samples > 0) NeedPointer(samples, "samples");
    return object->Embed(samples, num_samples, sample_rate);
  });
}

mindvox_status mindvox_embed_int16(mindvox_embedder* embedder, const int16_t* samples, size_t num_samples,
                                   int32_t sample_rate, float* embedding, size_t embedding_size) {
  return WriteEmbedding(embedder, embedding, embedding_size, [&](Embedder* object) {
    if (num_samples > 0) NeedPointer(samples, "samples");
    return object->Embed(samples, num_samples, sample_rate);
  });
}

mindvox_status mindvox_embed_file(mindvox_embedder* embedder, const char* file, float* embedding,
                                  size_t embedding_size) {
  return WriteEmbedding(embedder, embedding, embedding_size,
                        [&](Embedder* object) { return object->EmbedFile(Text(file, "file")); });
}

mindvox_status mindvox_cosine(const float* a, const float* b, size_t embedding_size, double* cosine) {
  return Guarded(MINDVOX_ERROR_ARGUMENT, [&] {
    NeedPointer(a, "a");
    NeedPointer(b, "b");
    NeedPointer(cosine, "cosine");
    if (!AllFinite(a, embedding_size) || !AllFinite(b, embedding_size)) {
      throw UsageError("embedding: expected finite numbers, got NaN or infinity.");
    }
    *cosine = std::clamp(Cosine({a, a + embedding_size}, {b, b + embedding_size}), -1.0, 1.0);
  });
}

mindvox_status mindvox_speakers_create(size_t embedding_size, mindvox_speakers** speakers) {
  return Guarded(MINDVOX_ERROR_INTERNAL, [&] {
    NeedPointer(speakers, "speakers");
    Publish(std::make_shared<Speakers>(embedding_size), speakers);
  });
}

mindvox_status mindvox_speakers_destroy(mindvox_speakers* speakers) { return Destroy<Speakers>(speakers, "speakers"); }

mindvox_status mindvox_speakers_add(mindvox_speakers* speakers, const char* name, const float* embeddings,
                                    size_t num_embeddings, size_t embedding_size) {
  return Guarded(MINDVOX_ERROR_INTERNAL, [&] {
    const auto object = SpeakersOf(speakers);
    if (num_embeddings > 0) {
      NeedPointer(embeddings, "embeddings");
      CheckSize(embedding_size, object->emb_size());
    }
    if (!object->Add(Text(name, "name"), embeddings, num_embeddings)) {
      throw StatusError(MINDVOX_ERROR_EXISTS, Concat("there is a speaker '", name, "' already. Remove it first."));
    }
  });
}

mindvox_status mindvox_speakers_remove(mindvox_speakers* speakers, const char* name) {
  return Guarded(MINDVOX_ERROR_INTERNAL, [&] {
    const auto object = SpeakersOf(speakers);
    if (!object->Remove(Text(name, "name"))) throw NoSpeaker(name);
  });
}

mindvox_status mindvox_speakers_count(mindvox_speakers* speakers, size_t* count) {
  return Guarded(MINDVOX_ERROR_INTERNAL, [&] {
    const auto object = SpeakersOf(speakers);
    NeedPointer(count, "count");
    *count = object->count();
  });
}

mindvox_status mindvox_speakers_contains(mindvox_speakers* speakers, const char* name, int32_t* is_there) {
  return Guarded(MINDVOX_ERROR_INTERNAL, [&] {
    const auto object = SpeakersOf(speakers);
    NeedPointer(is_there, "is_there");
    *is_there = object->Contains(Text(name, "name")) ? 1 : 0;
  });
}

mindvox_status mindvox_speakers_search(mindvox_speakers* speakers, const float* embedding, size_t embedding_size,
                                       double threshold, size_t max_matches, mindvox_matches** matches) {
  return Guarded(MINDVOX_ERROR_INTERNAL, [&] {
    const auto object = SpeakersOf(speakers);
    NeedPointer(embedding, "embedding");
    NeedPointer(matches, "matches");
    CheckSize(embedding_size, object->emb_size());
    Publish(std::make_shared<Matches>(object->Search(embedding, threshold, max_matches)), matches);
  });
}

mindvox_status mindvox_speakers_list(mindvox_speakers* speakers, mindvox_matches** matches) {
  return Guarded(MINDVOX_ERROR_INTERNAL, [&] {
    const auto object = SpeakersOf(speakers);
    NeedPointer(matches, "matches");
    Matches listed;
    for (auto& name : object->Names()) listed.push_back({std::move(name), 0});
    Publish(std::make_shared<Matches>(std::move(listed)), matches);
  });
}

mindvox_status mindvox_speakers_verify(mindvox_speakers* speakers, const char* name, const float* embedding,
                                       size_t embedding_size, double threshold, int32_t* is_accepted, double* cosine) {
  return Guarded(MINDVOX_ERROR_INTERNAL, [&] {
    const auto object = SpeakersOf(speakers);
    NeedPointer(embedding, "embedding");
    CheckSize(embedding_size, object->emb_size());
    if (threshold != threshold) throw UsageError("threshold: expected a number, got NaN.");
    const auto found = object->CosineWith(Text(name, "name"), embedding);
    if (!found) throw NoSpeaker(name);
    if (is_accepted != nullptr) *is_accepted = *found >= threshold ? 1 : 0;
    if (cosine != nullptr) *cosine = *found;
  });
}

mindvox_status mindvox_matches_count(mindvox_matches* matches, size_t* count) {
  return Guarded(MINDVOX_ERROR_INTERNAL, [&] {
    const auto object = MatchesOf(matches);
    NeedPointer(count, "count");
    *count = object->size();
  });
}

mindvox_status mindvox_matches_get(mindvox_matches* matches, size_t index, const char** name, double* cosine) {
  return Guarded(MINDVOX_ERROR_INTERNAL, [&] {
    const auto object = MatchesOf(matches);
    if (index >= object->size()) {
      throw UsageError(Concat("index: expected less than ", object->size(), " matches, got ", index, "."));
    }
    if (name != nullptr) *name = (*object)[index].name.c_str();
    if (cosine != nullptr) *cosine = (*object)[index].cosine;
  });
}

mindvox_status mindvox_matches_destroy(mindvox_matches* matches) { return Destroy<Matches>(matches, "matches"); }
