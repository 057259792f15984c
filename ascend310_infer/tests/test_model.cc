#include <doctest/doctest.h>

#include "src/exported_model.h"
#include "tests/support.h"

namespace ecapa {

using nlohmann::json;

TEST_CASE("a description gives sizes, null being free") {
  json content = ModelJson(80, 192, "abc");
  content["num_frames"] = 301;
  const ExportedModel model = ExportedModel::Parse(content.dump(), "m.json");
  CHECK_FALSE(model.batch_size);
  CHECK(model.num_frames == 301);
  CHECK(model.front_end->frame_shift_s() == doctest::Approx(0.01));
  CHECK((model.min_frames == 3 && model.feature_size == 80 && model.emb_size == 192));
}

TEST_CASE("a damaged description is refused, with all that is wrong") {
  const auto message = [](const json& content) {
    return MessageOf([&] { ExportedModel::Parse(content.dump(), "m.json"); });
  };
  for (const auto& entry : std::vector<std::pair<std::string, json>>{{"feature_size", 0},
                                                                     {"emb_size", -1},
                                                                     {"min_frames", 1.5},
                                                                     {"batch_size", "any"},
                                                                     {"num_frames", true},
                                                                     {"feature_size", 1e30},
                                                                     {"front_end", json::array()},
                                                                     {"further_outputs", {{"attention", 0}}},
                                                                     {"file_sha256", nullptr}}) {
    const auto& key = entry.first;
    const auto& value = entry.second;
    json content = ModelJson(80, 192);
    content[key] = value;
    CHECK_MESSAGE(Contains(message(content), "m.json: missing or impossible values: " + key + " " + value.dump()), key);
    content.erase(key);
    CHECK_MESSAGE(Contains(message(content), "missing or impossible values: " + key + "."), key);
  }
  CHECK(Contains(message(json::array()), "expected the description of an exported model, format 2 or 3."));
  CHECK(Contains(message({{"format_version", 1}}), "format 2 or 3."));
  json kind = ModelJson(80, 192);
  kind["input_kind"] = "spikes";
  CHECK(Contains(message(kind), "input of kind 'spikes'; this program knows features and waveform."));
  json layout = ModelJson(80, 192);
  CHECK(ExportedModel::Parse(layout.dump(), "m.json").InputShape(2, 50) == std::vector<int64_t>{2, 50, 80});
  layout["input_layout"] = "BFT";
  CHECK(ExportedModel::Parse(layout.dump(), "m.json").InputShape(2, 50) == std::vector<int64_t>{2, 80, 50});
  layout["input_layout"] = "TBF";
  CHECK(Contains(message(layout), "m.json: missing or impossible values: input_layout \"TBF\"."));
  json size = ModelJson(80, 192);
  size["feature_size"] = 40;
  CHECK(Contains(message(size), "m.json: its front end gives frames of 80 numbers, the model takes 40."));
  CHECK(Contains(MessageOf([] { ExportedModel::Parse("{", "m.json"); }), "m.json: expected JSON, got something else"));
}

TEST_CASE("windows are read, and impossible ones named") {
  const auto message = [](const json& content) {
    return MessageOf([&] { ExportedModel::Parse(content.dump(), "m.json"); });
  };
  json content = ModelJson(80, 192);
  content["windows"] = nullptr;
  CHECK_FALSE(ExportedModel::Parse(content.dump(), "m.json").windows);
  content["windows"] = {{"num_frames", 160}, {"step", 77}, {"last", "padded"}, {"min_coverage", 0.75}};
  CHECK(Contains(message(content), "m.json: windows, framing, num_frames, input_layout and conversion do not fit"));
  content["num_frames"] = 160;
  const ExportedModel model = ExportedModel::Parse(content.dump(), "m.json");
  CHECK((model.windows->num_frames == 160 && model.windows->step == 77 && model.windows->is_padded));
  CHECK(model.windows->min_coverage == 0.75);
  for (const auto& [key, value] : std::vector<std::pair<std::string, json>>{{"num_frames", 0},
                                                                            {"step", 161},
                                                                            {"step", 0},
                                                                            {"last", "cut"},
                                                                            {"last", "aligned"},
                                                                            {"min_coverage", 1.1}}) {
    json damaged = content;
    damaged["windows"][key] = value;
    CHECK_MESSAGE(Contains(message(damaged), "m.json: missing or impossible values: windows {"),
                  damaged["windows"].dump());
  }
  content["conversion"] = {{"gears", {160}}, {"precision_mode", "preferred_fp32"}};
  CHECK(Contains(message(content), "conversion do not fit"));
}

TEST_CASE("a model of waveforms has sizes in samples") {
  const auto message = [](const json& content) {
    return MessageOf([&] { ExportedModel::Parse(content.dump(), "m.json"); });
  };
  json content = ModelJson(80, 192);
  content["input_kind"] = "waveform";
  content["front_end"] = {{"type", "mfcc"}, {"sample_rate", 16000}};
  CHECK(Contains(message(content), "m.json: missing or impossible values: framing. Export the model again."));
  content["framing"] = {{"least", 400}, {"first", 400}, {"hop", 160}, {"prepares", false}};
  const ExportedModel model = ExportedModel::Parse(content.dump(), "m.json");
  CHECK((model.row_size() == 1 && model.feature_size == 80 && std::string(model.unit()) == "samples"));
  CHECK((model.RowsOf(1) == 400 && model.RowsOf(298) == 47920 && model.FramesIn(48000) == 298));
  CHECK((model.FramesIn(399) == 0 && model.InputShape(2, 48000) == std::vector<int64_t>{2, 48000}));
  CHECK(std::string(model.InputName()) == "waveform");
  CHECK((model.front_end->sample_rate() == 16000 && model.front_end->NumFrames(48000) == 298));
  for (const auto& [key, value] : std::vector<std::pair<std::string, json>>{
           {"least", 0}, {"first", 401}, {"first", -1}, {"hop", 0}, {"hop", "160"}, {"prepares", nullptr}}) {
    json damaged = content;
    damaged["framing"][key] = value;
    CHECK_MESSAGE(Contains(message(damaged), "m.json: missing or impossible values: framing {"),
                  damaged["framing"].dump());
  }
  json layout = content;
  layout["input_layout"] = "BFT";
  CHECK(Contains(message(layout), "input_layout and conversion do not fit"));
  content["framing"]["prepares"] = true;
  CHECK(Contains(message(content), "in a way that this program does not know"));
}

TEST_CASE("a description of version 2 is read by its own names") {
  json content = ModelJson(80, 192);
  for (const char* key : {"feature_size", "further_outputs"}) content.erase(key);
  content["format_version"] = 2;
  content["num_mels"] = 80;
  content["input_kind"] = "fbank";
  content["attention_size"] = nullptr;
  ExportedModel model = ExportedModel::Parse(content.dump(), "m.json");
  CHECK((model.feature_size == 80 && model.further_outputs.empty()));
  content["attention_size"] = 1536;
  model = ExportedModel::Parse(content.dump(), "m.json");
  CHECK(model.further_outputs == std::map<std::string, int64_t>{{"attention", 1536}});
  content["attention_size"] = -1;
  CHECK(Contains(MessageOf([&] { ExportedModel::Parse(content.dump(), "m.json"); }),
                 "impossible values: attention_size -1."));
  content = ModelJson(80, 192);
  content["further_outputs"] = {{"attention", 1536}, {"frames", 3}};
  model = ExportedModel::Parse(content.dump(), "m.json");
  CHECK(model.further_outputs == std::map<std::string, int64_t>{{"attention", 1536}, {"frames", 3}});
  content["input_kind"] = "fbank";
  CHECK(Contains(MessageOf([&] { ExportedModel::Parse(content.dump(), "m.json"); }), "input of kind 'fbank'"));
}

TEST_CASE("what was added to the format later may be absent") {
  json content = ModelJson(80, 192);
  content["device_target"] = nullptr;
  content["conversion"] = nullptr;
  ExportedModel model = ExportedModel::Parse(content.dump(), "m.json");
  CHECK((model.device_target.empty() && model.mindir_version == 0 && model.least_lite.empty() && !model.conversion));
  content["device_target"] = "Ascend";
  content["mindir_version"] = 1;
  content["least_lite"] = "2.0.0";
  content["conversion"] = {{"gears", {200, 300}}, {"precision_mode", "preferred_fp32"}};
  model = ExportedModel::Parse(content.dump(), "m.json");
  CHECK((model.device_target == "Ascend" && model.mindir_version == 1 && model.least_lite == "2.0.0"));
  CHECK((model.conversion && model.conversion->gears == std::vector<int64_t>{200, 300}));
  for (const json& gears : {json::array({300, 200}), json::array({0}), json::array(), json("200"), json({1.5})}) {
    content["conversion"]["gears"] = gears;
    CHECK(
        Contains(MessageOf([&] { ExportedModel::Parse(content.dump(), "m.json"); }), "impossible values: conversion"));
  }
}

TEST_CASE("model and description must belong together") {
  const TemporaryFolder folder;
  CHECK(Contains(MessageOf([&] { ExportedModel::Read(folder / "m.onnx"); }), "no such model. export.py makes one."));
  folder.Write("m.onnx", "abc");
  CHECK(Contains(MessageOf([&] { ExportedModel::Read(folder / "m.onnx"); }), "m.onnx.json: No such file"));
  folder.Write("m.onnx.json", ModelJson(80, 192, "00").dump());
  CHECK(Contains(MessageOf([&] { ExportedModel::Read(folder / "m.onnx"); }), "(sha256 differs). Export it again."));
  json content = ModelJson(80, 192, Sha256OfFile(folder / "m.onnx"));
  folder.Write("m.onnx.json", content.dump());
  CHECK(ExportedModel::Read(folder / "m.onnx").path == folder / "m.onnx");
}

TEST_CASE("the weights of an IR are part of it") {
  const TemporaryFolder folder;
  folder.Write("m.xml", "<net/>");
  json content = ModelJson(80, 192, Sha256OfFile(folder / "m.xml"));
  content["file_format"] = "IR";
  folder.Write("m.xml.json", content.dump());
  CHECK(Contains(MessageOf([&] { ExportedModel::Read(folder / "m.xml"); }), "weights_sha256"));
  folder.Write("m.bin", "weights");
  content["weights_sha256"] = Sha256OfFile(folder / "m.bin");
  folder.Write("m.xml.json", content.dump());
  CHECK(ExportedModel::Read(folder / "m.xml").feature_size == 80);
  folder.Write("m.bin", "weight");
  CHECK(Contains(MessageOf([&] { ExportedModel::Read(folder / "m.xml"); }), "m.bin: not the file that"));
}

}  // namespace ecapa
