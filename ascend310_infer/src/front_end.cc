#include "src/front_end.h"

#include <functional>
#include <map>
#include <set>

#include "src/errors.h"
#include "src/fbank.h"
#include "src/feature_ops.h"
#include "src/kaldi_fbank.h"
#include "src/samples.h"

namespace ecapa {
namespace {

using nlohmann::json;

using Reader = std::function<std::shared_ptr<const FrontEnd>(const json& stored, const std::string& where)>;

template <typename Kind, typename Config>
Reader ReaderOf() {
  return [](const json& stored, const std::string& where) {
    return std::make_shared<Kind>(Config::FromJson(stored, where));
  };
}

// The front ends that this program computes.
const std::map<std::string, Reader>& Readers() {
  static const std::map<std::string, Reader> readers = {{"fbank", ReaderOf<Fbank, FbankConfig>()},
                                                        {"kaldi_fbank", ReaderOf<KaldiFbank, KaldiFbankConfig>()},
                                                        {"samples", [](const json& stored, const std::string& where) {
                                                           return std::make_shared<Samples>(stored, where);
                                                         }}};
  return readers;
}

// Returns the names of Readers: "a, b and c".
std::string KnownTypes() {
  std::string known;
  size_t num_left = Readers().size();
  for (const auto& [type, reader] : Readers()) {
    const char* separator = known.empty() ? "" : num_left == 1 ? " and " : ", ";
    known += separator + type;
    --num_left;
  }
  return known;
}

std::string ValueText(const json& object, const std::string& key) {
  return object.contains(key) ? object[key].dump(-1, ' ', false, json::error_handler_t::replace) : "nothing";
}

// A front end of a type that this program does not know.
class OtherFrontEnd : public FrontEnd {
 public:
  OtherFrontEnd(const json& stored, int64_t feature_size, const std::string& where)
      : stored_(stored), size_(feature_size) {
    const json shift_ms = stored.value("hop_length_ms", json());
    if (shift_ms.is_number()) frame_shift_s_ = shift_ms.get<double>() / 1000;
    normalisation_ = stored.value("subtract_mean", json(true)) == json(false) ? "none" : "mean";
    if (stored.contains("normalisation")) normalisation_ = stored["normalisation"];
    if (normalisation_ != "none" && normalisation_ != "mean" && normalisation_ != "instance") {
      throw InputError(Concat(where, ": front end ", ValueText(stored, "type"),
                              ": expected normalisation none, mean or ", "instance, got ",
                              ValueText(stored, "normalisation"), ". Take a newer program."));
    }
    message_ = Concat(where, ": front end ", ValueText(stored, "type"), ": this program computes ", KnownTypes(),
                      ". Export the model with --input=waveform, which has its front end inside, or give it features ",
                      "(--data or --features) instead of recordings.");
  }

  json comparable() const override { return stored_; }
  int64_t size() const override { return size_; }
  double frame_shift_s() const override { return frame_shift_s_; }
  int64_t sample_rate() const override { throw InputError(message_); }
  int64_t NumFrames(int64_t) const override { throw InputError(message_); }
  int64_t NumSamples(int64_t) const override { throw InputError(message_); }
  std::unique_ptr<Stream> Start(int64_t) const override { throw InputError(message_); }
  void Finish(std::vector<float>* feats) const override {
    if (normalisation_ == "mean") SubtractMean(size_, feats);
    if (normalisation_ == "instance") NormaliseInstance(size_, feats);
  }

 private:
  json stored_;
  int64_t size_;
  double frame_shift_s_ = 0;
  json normalisation_;  // text, or whatever was stored
  std::string message_;
};

// ReadFrontEnd without the comparison of sizes.
std::shared_ptr<const FrontEnd> Read(const json& stored, int64_t feature_size, const std::string& where) {
  const json type = stored.value("type", json());
  const auto reader = type.is_string() ? Readers().find(type.get<std::string>()) : Readers().end();
  if (reader == Readers().end()) return std::make_shared<OtherFrontEnd>(stored, feature_size, where);
  return reader->second(stored, where);
}

}  // namespace

std::vector<float> FrontEnd::operator()(const std::vector<float>& waveform) const {
  const auto stream = Start(NumRows(static_cast<int64_t>(waveform.size())));
  stream->Push(waveform.data(), waveform.size());
  return stream->Finish();
}

std::shared_ptr<const FrontEnd> ReadFrontEnd(const json& stored, int64_t feature_size, const std::string& where) {
  auto front_end = Read(stored, feature_size, where);
  if (front_end->size() != feature_size) {
    throw InputError(Concat(where, ": its front end gives frames of ", front_end->size(), " numbers, the model takes ",
                            feature_size, ". Export the model again."));
  }
  return front_end;
}

void CheckFrontEnd(const FrontEnd& expected_front_end, const json& stored, const std::string& where) {
  const json expected = expected_front_end.comparable();
  const json got = Read(stored, 0, where)->comparable();
  if (expected.value("type", json()) != got.value("type", json())) {
    throw InputError(Concat(where, ": made with front end ", ValueText(got, "type"), ", expected ",
                            ValueText(expected, "type"), ": other features altogether."));
  }
  std::set<std::string> keys;
  for (const json* front_end : {&expected, &got}) {
    for (const auto& [key, value] : front_end->items()) keys.insert(key);
  }
  std::string differing;
  for (const auto& key : keys) {
    if (expected.value(key, json()) == got.value(key, json())) continue;
    differing += Concat(differing.empty() ? "" : ", ", key, " ", ValueText(got, key), " (expected ",
                        ValueText(expected, key), ")");
  }
  if (!differing.empty()) {
    throw InputError(
        Concat(where, ": made with another front end: ", differing, ". Prepare the data again for this model."));
  }
}

}  // namespace ecapa
