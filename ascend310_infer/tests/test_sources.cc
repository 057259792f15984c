#include <doctest/doctest.h>
#include <sndfile.h>

#include "src/names.h"
#include "src/sources.h"
#include "tests/support.h"

namespace ecapa {
namespace {

std::string StoreMessage(const TemporaryFolder& folder) {
  return MessageOf([&] { OpenEvalStore(folder.path(), SmallModel()); });
}

const FileKind kFeatures = {IsFeatureName, ".npy, .bin"};
const FileKind kAudio = {IsAudioName, ".wav, .flac"};

}  // namespace

TEST_CASE("an evaluation store gives each utterance its own frames") {
  const TemporaryFolder folder;
  WriteStore(folder, {5, 3, 9});
  const auto store = OpenEvalStore(folder.path(), SmallModel());
  REQUIRE(store->utterances().size() == 3);
  CHECK((store->utterances()[1].utt_id == "speaker1/1" && store->utterances()[1].spk_id == "speaker1"));
  CHECK((store->utterances()[1].num_rows == 3 && store->failures().empty()));
  CHECK(store->ContentSha256().size() == 64);
  std::vector<float> expected;
  for (int i = 0; i < 12; ++i) expected.push_back(static_cast<float>((i * 7 + 13) % 11) - 5);
  CHECK(store->Read(1) == expected);
  CHECK(store->Read(2).size() == 36);
}

TEST_CASE("an incomplete or altered store is refused") {
  const TemporaryFolder folder;
  CHECK(Contains(StoreMessage(folder), "not a complete store: no meta.json. Let eval_data_prepare.py make it."));
  WriteStore(folder, {5, 3});
  const std::string feats = ReadText(folder / "feats.npy");
  folder.Write("feats.npy", feats.substr(0, feats.size() - 1));
  CHECK(Contains(StoreMessage(folder), "feats.npy: its header says (8, 4), but it has 127 bytes of data."));
  folder.Write("feats.npy", feats + "x");
  CHECK(Contains(StoreMessage(folder), "but it has 129 bytes"));
  folder.Write("feats.npy", NpyOf(std::vector<float>(28), 4));
  CHECK(Contains(StoreMessage(folder), "index.csv and meta.json expect float32 (8, 4), got (7, 4)."));
  folder.Write("feats.npy", NpyOf(std::vector<float>(32), 8));
  CHECK(Contains(StoreMessage(folder), "expect float32 (8, 4), got (4, 8)."));
  std::filesystem::remove(folder / "feats.npy");
  CHECK(Contains(StoreMessage(folder), "feats.npy: No such file or directory."));
  WriteStore(folder, {5, 3});
  for (const char* meta : {"[]", "{}", "{\"format_version\": 2, \"sha256\": \"\", \"front_end\": {}}"}) {
    folder.Write("meta.json", meta);
    CHECK(Contains(StoreMessage(folder), "expected the description of a store, format_version 1."));
  }
  WriteStore(folder, {5, 3}, 8);
  CHECK(Contains(StoreMessage(folder), "made with another front end: n_mels 8 (expected 4)."));
}

TEST_CASE("features or an index that were replaced in place are noticed") {
  const TemporaryFolder folder;
  WriteStore(folder, {5, 3});
  const std::string feats = ReadText(folder / "feats.npy");
  folder.Write("feats.npy", feats.substr(0, feats.size() - 1) + static_cast<char>(feats.back() ^ 1));
  const auto store = OpenEvalStore(folder.path(), SmallModel());
  CHECK(Contains(MessageOf([&] { store->ContentSha256(); }), "are not the content that meta.json names"));
  folder.Write("feats.npy", feats);
  const std::string index = ReadText(folder / "index.csv");
  folder.Write("index.csv",
               index.substr(0, index.find("speaker1")) + "speakerX" + index.substr(index.find("speaker1") + 8));
  CHECK(Contains(MessageOf([&] { store->ContentSha256(); }), "are not the content that meta.json names"));
}

TEST_CASE("an index whose rows do not lie one after the other is refused") {
  const auto message = [](const std::string& rows) {
    return MessageOf([&] { ParseIndex("utt_id,spk_id,first_frame,num_frames\n" + rows, "i.csv"); });
  };
  CHECK(message("a,s,0,3\nb,s,3,4\n") == "nothing was thrown");
  CHECK(message("") == "i.csv: no utterances in it. Prepare it from scratch.");
  CHECK(Contains(message("a,s,1,3\n"), "i.csv: a: expected first_frame 0 and num_frames >= 1, got 1 and 3."));
  for (const char* rows : {"a,s,0,0\n", "a,s,0,-1\n", "a,s,0,x\n", "a,s,00,3\nb,s,2,1\n", "a,s,0,3\nb,s,4,1\n",
                           "a,s,0,99999999999999999999\n", "a,s,0,9223372036854775807\n"}) {
    CHECK_MESSAGE(Contains(message(rows), "expected first_frame"), rows);
  }
  for (const char* other : {"./a", "x/../a", ".//a"}) {
    CHECK(Contains(message(Concat("a,s,0,3\n", other, ",s,3,4\n")), "is there twice."));
  }
  CHECK(message("a,s,0,3\na,s,3,4\n") == "i.csv: a is there twice. Prepare it from scratch.");
}

TEST_CASE("a store of samples gives the features of the model's front end") {
  const TemporaryFolder folder;
  const std::vector<int64_t> lengths = {4000, 1, 70000};
  std::vector<int16_t> stored;
  std::string index = "utt_id,spk_id,first_sample,num_samples\n";
  for (size_t row = 0; row < lengths.size(); ++row) {
    index += Concat("u", row, ",s,", stored.size(), ",", lengths[row], "\n");
    for (int64_t i = 0; i < lengths[row]; ++i) stored.push_back(static_cast<int16_t>(i * i % 30011 - 15000));
  }
  std::string npy = Concat("{'descr': '<i2', 'fortran_order': False, 'shape': (", stored.size(), ",), }\n");
  npy = std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(npy.size()) + '\0' + npy;
  npy.append(reinterpret_cast<const char*>(stored.data()), 2 * stored.size());
  folder.Write("wave.npy", npy);
  folder.Write("index.csv", index);
  Sha256 digest;
  digest.UpdateFile(folder / "wave.npy");
  digest.UpdateFile(folder / "index.csv");
  const std::string sha256 = digest.Hex();
  const nlohmann::json meta = {{"format_version", 1}, {"front_end", nullptr}, {"sha256", sha256}};
  folder.Write("meta.json", meta.dump());
  const ExportedModel model = SmallModel();
  const auto store = OpenEvalStore(folder.path(), model);
  CHECK(store->ContentSha256() == sha256);
  CHECK(store->front_end() == model.stored_front_end);
  REQUIRE(store->utterances().size() == 3);
  size_t first = 0;
  for (size_t row = 0; row < 3; ++row) {
    std::vector<float> waveform;
    for (int64_t i = 0; i < lengths[row]; ++i) waveform.push_back(static_cast<float>(stored[first++]) / 32768);
    CHECK(store->utterances()[row].num_rows == model.front_end->NumFrames(lengths[row]));
    CHECK(store->Read(row) == (*model.front_end)(waveform));
  }
  auto content = ModelJson(4, 3);
  content["front_end"] = KaldiJson(4);
  const auto message = [&] {
    return MessageOf([&] { OpenEvalStore(folder.path(), ExportedModel::Parse(content.dump(), "m.json")); });
  };
  CHECK(Contains(message(), ": u1: 1 samples are shorter than a frame, which has 400. Leave the utterance out."));
  content["front_end"]["sample_rate"] = 24000;
  CHECK(Contains(message(), ": holds waveforms at 16000 Hz, the model takes 24000."));
  content["front_end"] = {{"type", "mfcc"}};
  CHECK(Contains(message(), "m.json: front end \"mfcc\": this program computes fbank, kaldi_fbank and samples."));
  content["front_end"] = {{"type", "mfcc"}, {"sample_rate", 16000}};
  content["input_kind"] = "waveform";
  content["framing"] = {{"least", 1}, {"first", 0}, {"hop", 160}, {"prepares", false}};
  const auto samples = OpenEvalStore(folder.path(), ExportedModel::Parse(content.dump(), "m.json"));
  first = 0;
  for (size_t row = 0; row < 3; ++row) {
    CHECK(samples->utterances()[row].num_rows == lengths[row]);
    const std::vector<float> found = samples->Read(row);
    REQUIRE(static_cast<int64_t>(found.size()) == lengths[row]);
    for (const float sample : found) REQUIRE(sample == static_cast<float>(stored[first++]) / 32768);
  }
  folder.Write("wave.npy", npy.substr(0, npy.size() - 2));
  CHECK(Contains(MessageOf([&] { OpenEvalStore(folder.path(), model); }), "wave.npy: its header says (74001), but it"));
}

TEST_CASE("features are refused where a model takes samples") {
  const TemporaryFolder folder;
  WriteStore(folder, {5, 3});
  folder.Write("a.npy", NpyOf({1, 2, 3, 4}, 4));
  auto content = ModelJson(4, 3);
  content["input_kind"] = "waveform";
  content["framing"] = {{"least", 1}, {"first", 0}, {"hop", 160}, {"prepares", false}};
  const ExportedModel model = ExportedModel::Parse(content.dump(), "m.json");
  CHECK(Contains(MessageOf([&] { OpenEvalStore(folder.path(), model); }), ": holds features, and "));
  CHECK(Contains(MessageOf([&] {
                   OpenFeatureFiles({{{"a", (folder / "a.npy").string()}}, {}}, model);
                 }),
                 "--features: holds features, and "));
}

TEST_CASE("single files, .npy and raw, are read, and those of a wrong size are failures") {
  const TemporaryFolder folder;
  const std::vector<float> values = {1, 2, 3, 4, 5, 6, 7, 8};
  std::filesystem::create_directories(folder / "spk");
  folder.Write("spk/a.npy", NpyOf(values, 4));
  folder.Write("spk/b.bin", BytesOf(values));
  folder.Write("c.npy", NpyOf(values, 2));
  folder.Write("d.bin", BytesOf(values).substr(1));
  folder.Write("e.bin", "");
  folder.Write("f.npy", "no array");
  folder.Write("g.npy", NpyHeader(0, 4));
  folder.Write("ignored.txt", "");
  const auto files = OpenFeatureFiles(FindFiles(folder.path(), kFeatures), SmallModel());
  REQUIRE(files->utterances().size() == 2);
  CHECK((files->utterances()[0].utt_id == "spk/a.npy" && files->utterances()[0].spk_id == "spk"));
  CHECK((files->Read(0) == values && files->Read(1) == values));
  REQUIRE(files->failures().size() == 5);
  CHECK(Contains(files->failures()[0].reason, "c.npy: expected (T, 4), T >= 1, got (4, 2)."));
  CHECK(Contains(files->failures()[1].reason, "expected a multiple of 16 bytes, frames of 4 float32, got 31."));
  CHECK(Contains(files->failures()[2].reason, "got 0."));
  CHECK(Contains(files->failures()[3].reason, "not a whole .npy file."));
  CHECK(Contains(files->failures()[4].reason, "got (0, 4)."));
}

TEST_CASE("the sha256 of files follows from names and content, not from where they lie") {
  const TemporaryFolder one, two;
  for (const auto* folder : {&one, &two}) folder->Write("a.bin", std::string(16, 'x'));
  const auto sha256 = [](const TemporaryFolder& folder) {
    return OpenFeatureFiles(FindFiles(folder.path(), kFeatures), SmallModel())->ContentSha256();
  };
  CHECK(sha256(one) == sha256(two));
  two.Write("a.bin", std::string(16, 'y'));
  CHECK(sha256(one) != sha256(two));
}

TEST_CASE("linked folders are searched too") {
  const TemporaryFolder corpus, folder;
  corpus.Write("a.bin", std::string(16, 'x'));
  std::filesystem::create_directory_symlink(corpus.path(), folder / "spk");
  const auto entries = FindFiles(folder.path(), kFeatures).entries;
  REQUIRE(entries.size() == 1);
  CHECK(entries[0].utt_id == "spk/a.bin");
}

TEST_CASE("a list that names a missing file gives a failure, a missing list an error") {
  const TemporaryFolder folder;
  folder.Write("l.txt", "name\tnowhere.npy\n");
  const auto files = OpenFeatureFiles(FindFiles(folder / "l.txt", kFeatures), SmallModel());
  CHECK((files->utterances().empty() && files->failures()[0].utt_id == "name"));
  CHECK(files->failures()[0].reason == "nowhere.npy: No such file or directory.");
  CHECK_THROWS_AS(FindFiles(folder / "none.txt", kFeatures), InputError);
  CHECK(Contains(MessageOf([&] { FindFiles(folder.path(), kAudio); }),
                 "expected files such as .wav, .flac, found none."));
}

TEST_CASE("files of a folder that cannot be used are failures, whatever their kind") {
  const TemporaryFolder folder;
  for (const char* name : {"a.m4a", "b.WAV", "c\\d.wav", "notes.txt"}) folder.Write(name, "text");
  std::filesystem::create_symlink("nowhere", folder / "gone.flac");
  const auto recordings = OpenRecordings(FindFiles(folder.path(), kAudio), SmallModel(), {});
  CHECK(recordings->utterances().empty());
  std::string said;
  for (const auto& failure : recordings->failures()) said += failure.utt_id + ": " + failure.reason + "\n";
  CHECK(Contains(said, "gone.flac: a link to nothing\n"));
  CHECK(Contains(said, "c\\d.wav: a backslash in its name"));
  CHECK(Contains(said, "a.m4a: m4a: libsndfile does not read it"));
  CHECK(Contains(said, "b.WAV: not a readable audio file ("));
  CHECK(recordings->failures().size() == 4);
}

TEST_CASE("recordings become features of as many frames as their header promised") {
  const TemporaryFolder folder;
  SF_INFO info{};
  info.samplerate = 16000;
  info.channels = 1;
  info.format = SF_FORMAT_WAV | SF_FORMAT_PCM_16;
  std::vector<float> samples(4000);
  for (size_t i = 0; i < samples.size(); ++i) samples[i] = static_cast<float>(i % 50) / 100;
  SNDFILE* file = sf_open((folder / "a.wav").c_str(), SFM_WRITE, &info);
  REQUIRE(file != nullptr);
  sf_writef_float(file, samples.data(), 4000);
  sf_close(file);
  folder.Write("b.wav", "RIFF");
  const auto recordings = OpenRecordings(FindFiles(folder.path(), kAudio), SmallModel(), {});
  REQUIRE((recordings->utterances().size() == 1 && recordings->failures().size() == 1));
  CHECK(recordings->utterances()[0].num_rows == 26);
  CHECK(recordings->Read(0).size() == 26 * 4);
}

}  // namespace ecapa
