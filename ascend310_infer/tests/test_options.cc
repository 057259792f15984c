#include <doctest/doctest.h>

#include "src/options.h"
#include "tests/support.h"

namespace ecapa {
namespace {

Options Parse(std::vector<const char*> words) {
  words.insert(words.begin(), "ecapa_infer");
  return ParseOptions(static_cast<int>(words.size()), words.data());
}

std::string Message(const std::vector<const char*>& words) {
  try {
    Parse(words);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("a command line fills the options") {
  const Options options = Parse({"--model",
                                 "m.xml",
                                 "--wav_list=l.txt",
                                 "--output",
                                 "out",
                                 "--cut_frames",
                                 "301",
                                 "--batch_size=8",
                                 "--workers",
                                 "2",
                                 "--threads=4",
                                 "--precision",
                                 "bf16",
                                 "--device",
                                 "cpu",
                                 "--device_id",
                                 "3",
                                 "--cache_dir",
                                 "c",
                                 "--max_frames=0",
                                 "--min_duration",
                                 "0.5",
                                 "--max_clipped_fraction=0"});
  CHECK((options.model == "m.xml" && options.input == Input::kRecordings && options.data == "l.txt"));
  CHECK((options.output == "out" && options.cut_frames == 301 && options.batch_size == 8));
  CHECK((options.engine.num_workers == 2 && options.engine.num_threads == 4 && options.engine.device_id == 3));
  CHECK((options.engine.precision == Precision::kBfloat16 && options.engine.device == Device::kCpu));
  CHECK((options.max_frames == 0 && options.limits.min_duration_s == 0.5 && options.limits.max_clipped_fraction == 0));
  CHECK((options.engine.cache_folder == "c" && options.engine.lite_config.empty() && options.help.empty()));
}

TEST_CASE("two recordings are compared, with a threshold that may be negative") {
  const Options options = Parse({"--model=m", "--verify", "a.wav", "b.wav", "--threshold=-0.25"});
  CHECK((options.input == Input::kPair && options.pair == std::vector<std::string>{"a.wav", "b.wav"}));
  CHECK(options.threshold == -0.25);
  CHECK((options.max_frames == 15000 && options.limits.min_duration_s == 0.1));
  CHECK(options.limits.max_clipped_fraction == 0.2);
}

TEST_CASE("help names every option and needs no other") {
  const std::string help = Parse({"--help"}).help;
  for (const char* name : {"model", "data", "features", "wav_list", "verify", "threshold", "output", "cut_frames",
                           "batch_size", "workers", "threads", "precision", "max_frames", "min_duration",
                           "max_clipped_fraction", "device", "device_id", "lite_config", "cache_dir"}) {
    CHECK_MESSAGE(Contains(help, Concat("--", name)), name);
  }
}

TEST_CASE("every wrong command line has its message") {
  const auto with = [](std::vector<const char*> words) {
    for (const char* word : {"--model=m", "--data=d", "--output=o"}) words.push_back(word);
    return Message(words);
  };
  CHECK(with({}) == "nothing was thrown");
  CHECK(Message({"--data=d", "--output=o"}) == "--model: expected the exported model. See --help.");
  CHECK(Contains(Message({"--model=m", "--output=o"}), "expected one of --data, --features, --wav_list and --verify."));
  CHECK(Contains(with({"--wav_list=l"}), "expected one of --data"));
  CHECK(Message({"--model=m", "--data=d"}) == "--output: expected a folder to write to.");
  CHECK(with({"word"}) == "did not expect 'word'. See --help.");
  CHECK(with({"--threshold=1"}) == "--threshold: is for --verify.");
  CHECK(with({"--model=n"}) == "--model: given more than once.");
  CHECK(Message({"--model=m", "--verify", "a"}) == "--verify: expected two recordings, got 1.");
  CHECK(Message({"--model=m", "--verify", "a", "b", "c"}) == "--verify: expected two recordings, got 3.");
  CHECK(Message({"--model=m", "--verify", "a", "b", "--output=o"}) == "--output: --verify writes no files.");
  CHECK(Contains(Message({"--model=m", "--verify", "a", "b", "--threshold=nan"}), "nan"));
  CHECK(with({"--precision=f64"}) == "--precision: expected one of bf16, f16, f32, got 'f64'.");
  CHECK(with({"--device=tpu"}) == "--device: expected one of ascend, auto, cpu, got 'tpu'.");
  for (const char* key : {"cut_frames", "batch_size", "workers", "threads"}) {
    CHECK(Contains(with({Concat("--", key, "=0").c_str()}), Concat("--", key, ": expected at least 1, got 0.")));
    CHECK(Contains(with({Concat("--", key, "=-5").c_str()}), Concat("--", key, ": expected at least 1, got -5.")));
    CHECK(Contains(with({Concat("--", key, "=12x").c_str()}), "12x"));
    CHECK(Contains(with({Concat("--", key, "=99999999999999999999").c_str()}), "99999999999999999999"));
  }
  CHECK(with({"--max_frames=-1"}) == "--max_frames: expected at least 0, got -1.");
  for (const char* key : {"min_duration", "max_clipped_fraction"}) {
    CHECK(with({Concat("--", key, "=1").c_str()}) == Concat("--", key, ": is for recordings."));
    const std::string negative = Message({"--model=m", "--wav_list=l", "--output=o", Concat("--", key, "=-1").c_str()});
    CHECK(negative == Concat("--", key, ": expected at least 0, got -1."));
    CHECK(Contains(Message({"--model=m", "--wav_list=l", "--output=o", Concat("--", key, "=nan").c_str()}), "nan"));
  }
  CHECK(Contains(with({"--cut_frames=99999999"}), "expected at most 16777216"));
  CHECK(Contains(with({"--device_id=-1"}), "-1"));
  CHECK(Contains(with({"--batchsize=1"}), "batchsize"));
  CHECK(Contains(Message({"--model"}), "model"));
}

}  // namespace ecapa
