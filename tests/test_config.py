"""Configuration: precedence, names, references, and everything wrong in one message.

Second variants of issue 12: dates, sexagesimal numbers, leading zeros, exponents and on/off as text (B7); variables in
references and in --config_path, an unknown user's home (B7); a byte order mark and CRLF in YAML (B12).
"""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from mindvox.config import Config, EvalPrepConfig, TrainPrepConfig, load_config, require, save_config, to_dict
from mindvox.config.__main__ import main
from mindvox.config.sections import DeviceOptions, ModelOptions
from mindvox.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent

# The parameter blocks of the model zoo's README: every key is accepted under the name that stands there.
SEED_CONFIG = """
inChannels: 40
channels: 512
base_lrate: 0.000002
max_lrate: 0.0002
momentum: 0.9
weightDecay: 0.000001
num_epochs: 5
minibatch_size: 96
emb_size: 128
step_size: 1000
CLASS_NUM: 7205
pre_trained: True
train_data_path: "/data/feat_train/"
keep_checkpoint_max: 3
checkpoint_path: "/ckpt/a.ckpt"
ckpt_save_dir: "./other/"
eval_data_path: "/data/feat_eval/"
veri_file_path: "veri_test_bleeched.txt"
model_path: "ckpt/b.ckpt"
score_norm: "z-norm"
train_norm_path: "/data/feat_norm/"
wav_cut: true
"""
SEED_PREPARE_TRAIN = """
output_folder: ./here/
save_folder: !ref <output_folder>/save/
feat_folder: /data/feat_train/
data_folder: /data/voxceleb12
train_annotation: !ref <save_folder>/train.csv
valid_annotation: !ref <save_folder>/dev.csv
"""
SEED_PREPARE_EVAL = """
output_folder: ./here/
feat_eval_folder: /data/feat_eval/
feat_norm_folder: /data/feat_norm/
data_folder: /data/voxceleb1/
save_folder: !ref <output_folder>/save/
"""


def written(tmp_path, text):
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def problems(cls, argv):
    with pytest.raises(UsageError) as caught:
        load_config(cls, argv, check=("model", "loss") if cls is Config else ())
    return str(caught.value)


def test_every_key_of_the_seeds_parameter_block_is_read(tmp_path):
    config = load_config(Config, [f"--config_path={written(tmp_path, SEED_CONFIG)}"])
    expected = {("cut_wav" if key == "wav_cut" else key): value for key, value in yaml.safe_load(SEED_CONFIG).items()}
    model = config.model.to_dict()
    read = {**to_dict(config), **config.schedule.to_dict(), **model, "inChannels": model["in_channels"]}
    assert {key: value for key, value in read.items() if key in expected} == expected


@pytest.mark.parametrize(("cls", "text"), [(TrainPrepConfig, SEED_PREPARE_TRAIN), (EvalPrepConfig, SEED_PREPARE_EVAL)])
def test_seeds_prepare_files_are_read_and_references_followed(tmp_path, cls, text):
    config = load_config(cls, [written(tmp_path, text)])
    assert config.save_folder == "./here/save/"
    assert config.data_folder.startswith("/data/voxceleb1")


@pytest.mark.parametrize("cls", [Config, TrainPrepConfig, EvalPrepConfig])
def test_shipped_file_names_every_key_and_loads(cls):
    config = load_config(cls, [])
    names = {
        TrainPrepConfig: "hparams/prepare_train.yaml",
        EvalPrepConfig: "hparams/prepare_eval.yaml",
        Config: "ecapa-tdnn_config.yaml",
    }
    text = (ROOT / names[cls]).read_text(encoding="utf-8")
    others = ("in_channels", "warmup_epochs")  # another spelling, and a key of schedules that are not the default
    flat = [key for field in fields(cls) for key in field.metadata.get("flat", {}) if key not in others]
    sections = [field.name for field in fields(cls) if "registry" in field.metadata]
    keys = [key for key in to_dict(config) if key not in sections] + flat
    assert [key for key in keys if f"\n{key}:" not in f"\n{text}"] == []


def test_command_line_beats_file_and_file_beats_default(tmp_path):
    path = written(tmp_path, "channels: 512\nemb_size: 64\n")
    config = load_config(Config, [f"--config_path={path}", "--emb_size", "32"])
    model = config.model.options
    assert (model.channels, model.emb_size, config.schedule.options.step_size) == (512, 32, 65000)


def test_reference_follows_the_command_line(tmp_path):
    config = load_config(TrainPrepConfig, [written(tmp_path, SEED_PREPARE_TRAIN), "--output_folder=/elsewhere/"])
    assert config.train_annotation == "/elsewhere/save/train.csv"


def test_reference_default_follows_its_key(tmp_path):
    config = load_config(TrainPrepConfig, [written(tmp_path, "feat_folder: f\n")])
    assert config.feat_folder_merge == "f/merged"


@pytest.mark.parametrize(
    "text",
    ["2024_05_01", "2024-05-01", "1e5", "1:30", "0123", "0x10", "on", "no", "True", "1.10", ".5", "1_000", "=", "声音"],
)
def test_text_keys_keep_the_text_as_it_is_written(tmp_path, text):
    path = written(tmp_path, f"file_name: {text}\nveri_file_path: {text}  # comment\n")
    config = load_config(Config, [f"--config_path={path}", f"--model_path={text}"])
    assert (config.file_name, config.veri_file_path, config.model_path) == (text, text, text)
    save_config(config, tmp_path / "saved.yaml")
    assert load_config(Config, [f"--config_path={tmp_path / 'saved.yaml'}"]) == config


def test_numbers_booleans_and_lists_are_read_as_before(tmp_path):
    text = (
        "channels: 512\nmax_lrate: 1e-3\nbase_lrate: .00001\nscale: 3e1\npre_trained: off\ntensorboard: On\n"
        "cut_wav: 'true'\nCLASS_NUM: 1211\nspeeds: [0.9, 1.0]\nnoise_snr: 5\naugmentations: [clean, add_noise: 0.5]\n"
        "loss_scale: 1024\nexclude_list: null\nenrol_map_path:\nvalid_trials: ~\n"
    )
    config = load_config(Config, [f"--config_path={written(tmp_path, text)}"])
    sections = config.model.options.channels, config.loss.options.scale
    rates = (config.schedule.options.max_lrate, config.schedule.options.base_lrate)
    assert (*sections, *rates) == (512, 30.0, 1e-3, 1e-5)
    assert (config.pre_trained, config.tensorboard, config.cut_wav, config.class_num) == (False, True, True, 1211)
    assert (config.speeds, config.noise_snr, config.loss_scale) == ((0.9, 1.0), (5.0, 5.0), 1024.0)
    assert config.augmentations == ("clean", "add_noise:0.5")
    assert (config.exclude_list, config.enrol_map_path, config.valid_trials) == ("", "", "")


@pytest.mark.parametrize("bad", ["channels: 1:30", "channels: true", "channels: 2024-05-01", "pre_trained: 2"])
def test_what_is_no_number_and_no_truth_value_is_refused(tmp_path, bad):
    assert "expected" in problems(Config, [f"--config_path={written(tmp_path, bad)}"])


def test_file_with_a_byte_order_mark_and_other_line_ends_is_read(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes("\ufeffdata_folder: 语音 # x\r\n\r\nn_mels: 40\r\n\r\n".encode())
    config = load_config(TrainPrepConfig, [str(path)])
    assert (config.data_folder, config.front_end.options.n_mels) == ("语音", 40)


def test_paths_expand_as_in_a_shell(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/big/data")
    text = "output_folder: ~/out\nfeat_folder: $DATA/feat\ndata_folder: ${DATA}set\nverification_file: a$$b~\n"
    path = written(tmp_path, text)
    config = load_config(TrainPrepConfig, [path, "--noise_folder=~"])
    assert (config.save_folder, config.feat_folder_merge) == ("/home/me/out/save/", "/big/data/feat/merged")
    assert (config.data_folder, config.noise_folder) == ("/big/dataset", "/home/me")
    assert config.verification_file == "a$b~"
    save_config(config, tmp_path / "saved.yaml")
    assert load_config(TrainPrepConfig, [str(tmp_path / "saved.yaml")]) == config
    monkeypatch.setenv("HERE", str(tmp_path))
    assert load_config(TrainPrepConfig, ["$HERE/settings.yaml", "--noise_folder=~"]) == config


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("$NOT_SET_HERE/x", "feat_folder: expected variables that are set, but $NOT_SET_HERE is not"),
        ("~nobody_of_that_name/x", "feat_folder: expected an existing user after ~"),
    ],
)
def test_undefined_variables_and_users_are_errors(tmp_path, given, said):
    assert said in problems(TrainPrepConfig, [written(tmp_path, f"feat_folder: {given}\n")])
    assert said in problems(TrainPrepConfig, [f"--feat_folder={given}"])


def test_undefined_variable_in_the_name_of_the_file_is_an_error():
    assert "--config_path: expected variables that are set" in problems(Config, ["--config_path=$NOT_SET_HERE/a.yaml"])


@pytest.mark.parametrize("cls", [Config, TrainPrepConfig, EvalPrepConfig])
def test_every_key_that_names_a_path_expands(cls):
    ends = ("_folder", "_path", "_dir", "_file", "_list", "_annotation", "_folder_merge", "_trials", "file_name")
    others = {"min_utts_for_dev", "repeated_trials"}
    named = {field.name for field in fields(cls) if field.name.endswith(ends)} - others
    assert named - {field.name for field in fields(cls) if field.metadata.get("path")} == set()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("true", "auto"),
        ("yes", "auto"),
        ("on", "auto"),
        ("auto", "auto"),
        ("no", "no"),
        ("off", "no"),
        ("a.ckpt", "a.ckpt"),
    ],
)
def test_resume_understands_yes_and_no(tmp_path, given, expected):
    path = written(tmp_path, f"resume: {given}\n")
    assert load_config(Config, [f"--config_path={path}"]).resume == expected
    assert load_config(Config, [f"--resume={given}"]).resume == expected


@pytest.mark.parametrize("spelling", ["CLASS_NUM", "class_num"])
def test_both_spellings_mean_the_same(tmp_path, spelling):
    path = written(tmp_path, f"{spelling}: 12\n")
    assert load_config(Config, [f"--config_path={path}"]).class_num == 12


def test_two_names_of_one_key_are_refused(tmp_path):
    path = written(tmp_path, "inChannels: 80\nin_channels: 80\n")
    assert "two spellings of one key" in problems(Config, [f"--config_path={path}"])


def test_all_problems_come_in_one_message(tmp_path):
    path = written(tmp_path, "chanels: 512\nemb_size: many\nscore_norm: s_norm\nmax_lrate: -1\npre_trained: maybe\n")
    message = problems(Config, [f"--config_path={path}", "--num_epochs=1.5", "--sed=3"])
    for part in (
        "unknown key 'chanels'; did you mean 'channels'?",
        "emb_size: expected a number, got 'many'",
        "score_norm: expected one of s-norm, z-norm, t-norm, none",
        "max_lrate: expected more than 0",
        "pre_trained: expected true or false",
        "num_epochs: expected a whole number",
        "unknown key 'sed'; did you mean 'seed'?",
        path,
    ):
        assert part in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: !new:os.system [echo]\n", "not a YAML file"),
        ("a: !!python/object/apply:os.system [echo]\n", "not a YAML file"),
        ("- a\n", "expected lines of 'key: value'"),
        ("channels: 512\nchannels: 256\n", "is given twice"),
        ("save_folder: !ref <nothing>/x\n", "not to 'nothing'"),
        ("save_folder: !ref <output_folder>\noutput_folder: !ref <save_folder>\n", "circular"),
        ("channels: [1\n", "not a YAML file"),
    ],
)
def test_wrong_files_are_refused_with_their_name(tmp_path, text, said):
    path = written(tmp_path, text)
    message = problems(TrainPrepConfig, [path])
    assert said in message and ("settings.yaml" in message or said in ("not to 'nothing'", "circular"))


def test_missing_file_is_named():
    assert "nowhere.yaml: no such configuration file" in problems(TrainPrepConfig, ["nowhere.yaml"])


def test_number_in_yaml_exponent_form_is_a_number(tmp_path):
    path = written(tmp_path, "base_lrate: 1e-6\n")  # text to YAML 1.1
    assert load_config(Config, [f"--config_path={path}"]).schedule.options.base_lrate == 1e-6


def test_flag_without_value_is_true():
    assert load_config(Config, ["--allow_seen_speakers"]).allow_seen_speakers


def test_keys_that_contradict_each_other_are_refused():
    assert "base_lrate: expected at most max_lrate" in problems(Config, ["--base_lrate=1", "--max_lrate=0.1"])
    assert "channels: expected a multiple of 8" in problems(Config, ["--channels=100"])
    assert "because pre_trained is set" in problems(Config, ["--pre_trained"])
    assert "stores each utterance once" in problems(TrainPrepConfig, ["--whole_utterance", "--number_of_epochs=2"])


@pytest.mark.parametrize(("given", "percent"), [("[90, 10]", 90), ("80", 80), ("[75.5, 24.5]", 75.5)])
def test_split_ratio_takes_one_or_two_percents(tmp_path, given, percent):
    assert load_config(TrainPrepConfig, [written(tmp_path, f"split_ratio: {given}\n")]).split_ratio == percent


@pytest.mark.parametrize("given", ["[90, 20]", "0", "ninety", "[1, 2, 97]"])
def test_split_ratio_refuses_other_values(tmp_path, given):
    assert "expected percents" in problems(TrainPrepConfig, [written(tmp_path, f"split_ratio: {given}\n")])


def test_saved_configuration_loads_to_the_same(tmp_path):
    config = load_config(Config, ["--channels=64", "--CLASS_NUM=auto", "--max_lrate=1e-3"])
    save_config(config, tmp_path / "config.yaml")
    assert load_config(Config, [f"--config_path={tmp_path / 'config.yaml'}"]) == config


def test_require_names_what_is_not_set():
    config = load_config(Config, ["--model_path="])
    with pytest.raises(UsageError, match="not set: model_path"):
        require(config, "model_path")


def test_help_explains_every_key(capsys):
    with pytest.raises(SystemExit) as caught:
        load_config(Config, ["--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    config = load_config(Config, [])
    for name in to_dict(config):
        assert f"--{name} " in text or hasattr(getattr(config, name), "registry")
    for section in (config.model, config.loss, config.front_end, config.schedule):
        for key in section.to_dict():
            assert f"--{section.registry.kind}.{key} " in text


def test_keys_are_listed_for_shell_scripts(capsys):
    assert main(["TrainPrepConfig", "--keys"]) == 0
    assert {"feat_folder", "sentence_len"} <= set(capsys.readouterr().out.split())
    assert main(["Config", "--channels=64"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["model"]["channels"] == 64
    with pytest.raises(UsageError):
        main(["Nothing"])


def test_keys_of_sections_may_be_nested_dotted_or_flat(tmp_path):
    nested = written(tmp_path, "model: {name: wespeaker_ecapa, channels: 16}\nloss:\n  margin: 0.3\n")
    config = load_config(Config, [f"--config_path={nested}", "--model.mfa_channels=24", "--emb_size=6"])
    expected = {"name": "wespeaker_ecapa", "in_channels": 80, "channels": 16, "emb_size": 6, "global_context": True}
    assert config.model.to_dict() == {**expected, "mfa_channels": 24, "emb_bn": False}
    assert config.loss.options.margin == 0.3
    assert load_config(Config, ["--model.channels", "16"]).model.options.channels == 16
    assert load_config(Config, ["--model=wespeaker_ecapa"]).model.name == "wespeaker_ecapa"


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("margin: 0.2\nloss: {margin: 0.3}\n", [], "'margin' and 'loss.margin' are two spellings of one key"),
        ("", ["--margin=0.2", "--loss.margin=0.3"], "are two spellings of one key"),
        ("model: ecapa\n", [], "got 'ecapa'; did you mean 'ecapa_tdnn'?"),
        ("model: [ecapa_tdnn]\n", [], "model: expected a name or a mapping such as"),
        ("model: {mfa_channels: 24}\n", [], "model ecapa_tdnn has no such key; wespeaker_ecapa have it"),
        ("", ["--loss.marg=1"], "command line: loss.marg: no loss has such a key"),
        ("", ["--loss.margin=2"], "command line: loss.margin: expected less than 1.5"),
        ("", ["--margin_from_epoch=3", "--margin_to_epoch=2"], "margin_from_epoch: expected at most margin_to_epoch 2"),
        ("lose: {margin: 1}\n", [], "unknown key 'lose'; did you mean 'loss'?"),
    ],
)
def test_wrong_sections_are_refused(tmp_path, text, words, said):
    assert said in problems(Config, [f"--config_path={written(tmp_path, text)}", *words])


def test_class_of_the_command_line_does_without_the_keys_that_the_file_has_for_another(tmp_path, capsys):
    path = written(tmp_path, "margin: 0.3\nscale: 20\nmodel: {name: ecapa_tdnn, channels: 16, emb_size: 7}\n")
    words = [f"--config_path={path}", "--loss.name=ge2e", "--model.name=campplus"]
    config = load_config(Config, words, check=("model", "loss", "sampler"))
    assert config.model.options.emb_size == 7 and config.loss.to_dict()["name"] == "ge2e"
    out = capsys.readouterr().out
    assert f"model keys of ecapa_tdnn alone, from {path}:\n  model.channels\n" in out
    assert f"loss keys of aam_softmax alone, from {path}:\n  margin, scale\n" in out
    assert load_config(Config, [f"--config_path={path}", "--loss.name=am_softmax"]).loss.options.margin == 0.3
    said = problems(Config, [*words, "--loss.margin=0.2"])
    assert "loss.margin: loss ge2e has no such key" in said
    of_file = written(tmp_path, "margin: 0.3\nloss: ge2e\n")
    assert "margin: loss ge2e has no such key" in problems(Config, [f"--config_path={of_file}"])


def test_keys_of_all_schedules_may_stand_in_a_file_and_those_of_another_are_not_used(tmp_path, capsys):
    """As in the files that runs saved before the schedules had a section."""
    text = "schedule: exponential\nbase_lrate: 1e-5\nstep_size: 65000\ncycle_peak: 0.5\nwarmup_epochs: 1\n"
    path = written(tmp_path, text)
    config = load_config(Config, [f"--config_path={path}"], check=("schedule",))
    assert config.schedule.options.warmup_epochs == 1 and config.schedule.options.base_lrate == 1e-5
    said = capsys.readouterr().out
    assert said == f"not used: schedule keys that exponential lacks, from {path}:\n  step_size, cycle_peak\n"
    said = problems(Config, [f"--config_path={path}", "--step_size=9"])
    assert "command line: step_size: schedule exponential has no such key; cyclic have it" in said
    nested = written(tmp_path, "schedule: {name: exponential, step_size: 9}\n")
    assert "schedule.step_size: schedule exponential has no such key" in problems(Config, [f"--config_path={nested}"])


def test_help_shows_the_keys_of_the_chosen_class_and_of_the_command_alone(capsys):
    with pytest.raises(SystemExit):
        load_config(Config, ["--help", "--model.name=wespeaker_ecapa"], shown=(ModelOptions, DeviceOptions))
    text = capsys.readouterr().out
    assert "--model.mfa_channels VALUE" in text and "--device_id VALUE" in text
    assert "max_lrate" not in text and "score_norm" not in text


def test_sections_are_not_imported_unless_they_are_asked_for():
    code = "import sys; from mindvox.config import *; load_config(Config, []); print('mindspore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("cls", [Config, TrainPrepConfig, EvalPrepConfig])
def test_frontend_is_the_earlier_name_of_feature_backend(cls, tmp_path):
    path = written(tmp_path, "frontend: speechbrain")
    argv = [f"--config_path={path}"] if cls is Config else [path]
    assert load_config(cls, argv).feature_backend == "speechbrain"
    assert load_config(cls, [*argv, "--frontend=builtin"]).feature_backend == "builtin"
    assert "are two spellings of one key" in problems(cls, [*argv, "--frontend=builtin", "--feature_backend=builtin"])
