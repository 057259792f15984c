"""RawNet2's commands without training: arguments, devices, and what is written of each epoch."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mindvox.compat import rawnet2
from mindvox.compat.rawnet2 import Experiment, choose_devices, main, write_params
from mindvox.compat.rawnet2_folder import OutputFolder
from mindvox.compat.rawnet2_run import FolderWriter, KeptScores, trace_of
from mindvox.config import ROOT
from mindvox.errors import InputError, UsageError
from mindvox.scoring.validation import ValidationResult
from mindvox.training.position import Position
from mindvox.training.rank_table import Device, RankTable, Server

TWO = ROOT / "hparams" / "rank_table_cpu_2.json"


@pytest.fixture
def data(tmp_path):
    for name in ("VoxCeleb2/wav", "VoxCeleb1/eval_wav"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "VoxCeleb1" / "veri_test.txt").write_text("1 a b\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["full", "1"], "data_path"),
        (["half", "1", "--data_path=x"], "half"),
        (["full", "0", "--data_path=x"], "NUM_DEVICES: expected at least 1"),
        (["full", "1", "--data_path=x", "--name=a/b"], "--name: expected the name of a folder"),
        (["full", "1", "--data_path=DATA", "--resume=no"], "--resume: this command sets it"),
        (["full", "1", "--data_path=DATA", "--num_epoch=3"], "num_epochs"),
    ],
)
def test_wrong_arguments_are_refused_before_any_work(data, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        main([word.replace("DATA", str(data)) for word in words])
    assert not (tmp_path / "train").exists()


def test_missing_folders_are_named_with_what_is_expected(data):
    (data / "VoxCeleb1" / "veri_test.txt").unlink()
    with pytest.raises(InputError, match=r"has no VoxCeleb1/veri_test.txt. Expected VoxCeleb2/wav"):
        main(["full", "1", f"--data_path={data}"])


def test_settings_are_the_ports_unless_others_are_given(tmp_path):
    experiment = Experiment(True, Path("d"), tmp_path / "stores", tmp_path, "n", ("--minibatch_size=8",))
    folder = experiment.folder(8)
    assert folder.root == tmp_path / "train_8P" / "DNNS" / "n"
    config = experiment.config(folder, "CPU")
    assert (config.minibatch_size, config.num_epochs, config.seed, config.amp_level) == (8, 80, 1234, "O2")
    assert (config.valid_trials, config.resume, config.ckpt_save_dir) == ("veri_test.txt", "auto", str(folder.models))
    odd = Experiment(True, Path("d"), tmp_path / "$HOME ~", tmp_path, "n", ()).config(folder, "CPU")
    assert odd.train_data_path == str(tmp_path / "$HOME ~" / "train")
    timed = Experiment(False, Path("d"), tmp_path, tmp_path, "n", ()).config(folder, "CPU")
    assert (timed.num_epochs, timed.valid_trials) == (1, "")
    write_params(tmp_path / "f_params.txt", config)
    lines = (tmp_path / "f_params.txt").read_text().splitlines()
    assert lines == sorted(lines) and "model.num_samples:\t59049" in lines and "weightDecay:\t0.0001" in lines


def test_devices_are_those_of_the_table_else_of_this_machine(tmp_path, monkeypatch, capsys):
    table, target = choose_devices(TWO, 8, "CPU")
    assert (table.num_ranks, target) == (2, "CPU")
    monkeypatch.setattr(rawnet2, "num_cores", lambda: 3)
    table, target = choose_devices(None, 8, "auto")
    assert (table.servers[0].device_ids, target) == ([0, 1, 2], "CPU")
    assert "made one of 3 processes on the CPU (8 were asked for)" in capsys.readouterr().out
    with pytest.raises(UsageError, match="no Ascend device here"):
        choose_devices(None, 8, "Ascend")
    with pytest.raises(UsageError, match="--rank_table: required for device_target GPU"):
        choose_devices(None, 8, "GPU")
    found = RankTable((Server("127.0.0.1", tuple(Device(number, number) for number in range(16))),))
    monkeypatch.setattr(rawnet2, "table_of_devices", lambda: found)
    table, target = choose_devices(None, 8, "auto")
    assert (table.servers[0].device_ids, target) == (list(range(8)), "Ascend")
    content = json.loads(TWO.read_text())
    servers = [
        {"server_id": f"10.0.0.{number}", "device": [{"device_id": "0", "rank_id": str(number)}]} for number in (0, 1)
    ]
    (tmp_path / "two.json").write_text(json.dumps({**content, "server_count": "2", "server_list": servers}))
    with pytest.raises(UsageError, match="has 2 servers, this command trains on one machine"):
        choose_devices(tmp_path / "two.json", 8, "CPU")


class FakeCheckpoints:
    def __init__(self, folder):
        self.folder = folder

    def write_as(self, path, position):
        path.write_text(f"step {position.step}")


def test_each_epoch_leaves_its_log_scores_rate_and_checkpoint(tmp_path, capsys):
    folder = OutputFolder(tmp_path)
    folder.make()
    writer = FolderWriter(folder, utts_per_step=4, samples_per_utt=16000, num_devices=2, num_epochs=3)
    trials = SimpleNamespace(is_target=np.array([True, False]))
    writer.kept = KeptScores(SimpleNamespace(trials=trials))
    writer.kept.scores = np.array([0.75, -0.5])
    for epoch, eer in enumerate((0.25, 0.5)):
        for step in range(1, 41):
            position = Position(step=40 * epoch + step, epoch=epoch, record=4 * step)
            writer.after_step(position if step < 40 else Position(step=40 * (epoch + 1), epoch=epoch + 1), 1.5)
        position = Position(step=40 * (epoch + 1), epoch=epoch + 1, best_eer=0.25, best_step=40)
        (folder.models / "best.ckpt").write_text("best")
        writer.after_validation(position, ValidationResult(eer, 0.3, 0.5), FakeCheckpoints(folder.models))
    writer.close()
    log = (tmp_path / "log" / "eval_epoch1.txt").read_text()
    assert log.count("INFOEpoch:[1/3] \t loss = 1.500 \t]") == 2 and "INFOeer:0.5/epoch]" in log
    assert folder.last_fps() == float(re.search("INFOFPS:(.*)/epoch", log)[1])
    assert (tmp_path / "eers.txt").read_text() == "epoch:0, TA_eval_eer:0.2500\nepoch:1, TA_eval_eer:0.5000\n"
    assert folder.last_eer() == 0.5
    assert (tmp_path / "results" / "eval_epoch0.txt").read_text() == "0.75 1\n-0.5 0\n"
    names = sorted(path.name for path in folder.models.iterdir())
    assert names == ["TA_0_0.2500.ckpt", "TA_1_0.5000.ckpt", "best.ckpt", "best_opt_eval.ckpt"]
    assert capsys.readouterr().out.count("New best TA_EER: 0.250000") == 1
    assert len(json.loads((tmp_path / "prof" / "trace_epoch0.json").read_text())["traceEvents"]) == 39


def test_fps_counts_whole_recordings_on_each_device_after_five_steps(tmp_path, monkeypatch, capsys):
    folder = OutputFolder(tmp_path)
    folder.make()
    # The steps end at 0, 1, ..., 9 s, the first five of them untimed: 4 steps of 6 utterances in 4 s.
    monkeypatch.setattr("mindvox.compat.rawnet2_run.time.perf_counter", iter(range(10)).__next__)
    writer = FolderWriter(folder, utts_per_step=6, samples_per_utt=32000, num_devices=2, num_epochs=1)
    for step in range(1, 11):
        writer.after_step(Position(step=step, record=6 * step) if step < 10 else Position(step=10, epoch=1), 1.0)
    writer.close()
    assert "FPS:96.00/epoch, 6.0 utts/s" in capsys.readouterr().out  # 6 x 32000 / 1000 / 2
    assert folder.last_fps() == 96.0


def test_trace_has_the_steps_behind_the_first_in_microseconds():
    events = trace_of([10.0, 10.5, 12.5])["traceEvents"]
    assert [(event["name"], event["ts"], event["dur"]) for event in events] == [
        ("step 2", 0.0, 500000.0),
        ("step 3", 500000.0, 2000000.0),
    ]
