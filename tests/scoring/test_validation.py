"""Validation in training: what is compared, and that it leaves the model in training as it is."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mindspore import nn

from mindvox.config import Config, load_config
from mindvox.data.eval_store import EvalStoreWriter
from mindvox.data.pipeline import open_batches
from mindvox.errors import InputError, UsageError
from mindvox.frontend.fbank import Fbank
from mindvox.scoring.validation import Validation, ValidationTrials, _trials_of_halves, make_validation
from mindvox.training.loop import _step, set_up
from tests.training.runs import NUM_MELS, settings, write_store

pytestmark = pytest.mark.usefixtures("small_model")
FRONT_END = Fbank(n_mels=NUM_MELS).to_dict()
NAMES = [f"id{speaker}/s/{number}.wav" for speaker in range(3) for number in range(3)]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return write_store(tmp_path_factory.mktemp("validation") / "feat_train")


def trial_lines() -> list[str]:
    pairs = [(a, b) for index, a in enumerate(NAMES) for b in NAMES[index + 1 :]]
    return [f"{int(a[:3] == b[:3])} {a} {b}\n" for a, b in pairs]


@pytest.fixture(scope="module")
def eval_store(tmp_path_factory) -> Path:
    """Speakers that differ in spectral shape, with the trial list of all pairs."""
    folder = tmp_path_factory.mktemp("validation") / "feat_valid"
    trials = folder.parent / "valid.txt"
    trials.write_text("".join(trial_lines()))
    rng = np.random.default_rng(0)
    shapes = rng.standard_normal((3, NUM_MELS))
    with EvalStoreWriter(folder, FRONT_END, trials) as writer:
        for name in NAMES:
            length = 20 + 5 * int(name[6])
            trend = np.linspace(0, 30, length)[:, None] * shapes[int(name[2])]
            writer.add(name, name[:3], (trend + rng.standard_normal((length, NUM_MELS))).astype(np.float32))
    return folder


def listed(store: Path, eval_store: Path, folder: Path, *more: str) -> Config:
    return settings(store, folder, f"--valid_data_path={eval_store}", "--valid_trials=valid.txt", *more)


def test_halves_of_held_out_utterances_are_compared(store, tmp_path):
    batches = open_batches(settings(store, tmp_path, "--valid_utterances=8"))
    found = _trials_of_halves(batches, 9)
    assert len(found.store) == 16 and len(found.is_target) == 64
    for enrol, test, is_target in zip(found.enrol, found.test, found.is_target, strict=True):
        sides = [found.store.utt_ids[row] for row in (enrol, test)]
        assert sides[0].endswith("half 1") and sides[1].endswith("half 2")
        assert is_target == (sides[0][:4] == sides[1][:4])
    names, feats = zip(*[(name, feats) for name, _, feats in batches.held_out_feats()], strict=True)
    for index, (name, whole) in enumerate(zip(names, feats, strict=True)):
        assert found.store.utt_ids[2 * index] == f"{name}, half 1"
        middle = len(whole) // 2  # 15 frames: halves of 7, repeated to 9
        first, second = found.store.feats(2 * index), found.store.feats(2 * index + 1)
        assert len(first) == len(second) == max(middle, 9)
        np.testing.assert_array_equal(first[:middle], whole[:middle])
        np.testing.assert_array_equal(second[:middle], whole[middle : 2 * middle])


def test_validation_leaves_the_model_in_training_as_it_is(store, eval_store, tmp_path, capsys):
    config = listed(store, eval_store, tmp_path)
    run = set_up(config, "CPU")
    validate = make_validation(config, run.batches, run.meta["model"], "CPU")
    assert "validation: 9 pieces, 36 trials, 9 of them target" in capsys.readouterr().out
    model = run.step_cell.model_with_loss.model
    for batch in next(run.batches.epochs()):
        _step(run.step_cell, batch, 0.05, {"margin": 0.2})
        before = {name: value.asnumpy().copy() for name, value in run.step_cell.state().items()}
        found = validate(model)
        assert 0 <= found.eer <= 1 and -1 <= found.threshold <= 1 and 0 <= found.min_dcf <= 1
        for name, value in run.step_cell.state().items():
            np.testing.assert_array_equal(value.asnumpy(), before[name], err_msg=name)
        np.testing.assert_array_equal(validate.model.fc.weight.asnumpy(), before["model.fc.weight"])
    assert run.step_cell.training and model.training and not validate.model.training
    assert len(run.step_cell.compile_cache) == len(validate.model.compile_cache) == 1


def test_swapped_labels_of_the_validation_are_said_once(monkeypatch, capsys):
    """A variant of issue 12, B14: they would choose the worst checkpoint as the best."""
    speakers = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    monkeypatch.setattr("mindvox.scoring.validation.extract", lambda *_, **__: np.repeat(speakers, 2, axis=0))
    first, second = (index.ravel() for index in np.indices((20, 20)))
    swapped = ValidationTrials(
        SimpleNamespace(utt_ids=[str(row) for row in range(40)]), 2 * first, 2 * second + 1, first != second
    )
    validate = Validation(swapped, nn.Dense(1, 1), lambda feats: feats, 1)
    assert validate(validate.model).eer > 0.9 and validate(validate.model).eer > 0.9
    assert capsys.readouterr().err.count("target trials score lower than non-targets") == 1


def test_evaluation_list_must_not_choose_the_model(store, eval_store, tmp_path):
    other = tmp_path / "veri.txt"
    config = listed(store, eval_store, tmp_path, f"--veri_file_path={other}", "--trial_format=kaldi")
    words = [line.split() for line in trial_lines()]
    batches = open_batches(config)

    kind = {"0": "nontarget", "1": "target"}
    other.write_text("".join(f"{b} {a} {kind[label]}\n" for label, a, b in words[:5]))
    with pytest.raises(InputError, match=r"valid_trials: .*valid.txt shares 5 trials with .*veri.txt"):
        make_validation(config, batches, config.model.to_dict(), "CPU")
    other.write_text("x y target\nx z nontarget\n")
    assert make_validation(config, batches, config.model.to_dict(), "CPU") is not None


def test_store_of_another_front_end_is_refused(store, eval_store, tmp_path):
    meta = eval_store / "meta.json"
    text = meta.read_text()
    meta.write_text(re.sub(r'"hop_length_ms": [\d.]+', '"hop_length_ms": 12.5', text))
    config = listed(store, eval_store, tmp_path)
    try:
        with pytest.raises(InputError, match="hop_length_ms"):
            make_validation(config, open_batches(config), config.model.to_dict(), "CPU")
    finally:
        meta.write_text(text)


def test_without_trials_there_is_no_validation(store, tmp_path):
    config = settings(store, tmp_path)
    assert make_validation(config, open_batches(config), config.model.to_dict(), "CPU") is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--valid_trials=a.txt"], "valid_trials: expected together with valid_data_path"),
        (["--valid_data_path=a"], "valid_trials: expected together with valid_data_path"),
        (["--valid_trials=a", "--valid_data_path=a", "--valid_utterances=9"], "valid_utterances: expected 0 together"),
        (["--valid_steps=9"], "valid_steps: there is nothing to validate with"),
        (["--valid_utterances=9", "--valid_epochs=0"], "valid_epochs: expected valid_steps or valid_epochs above 0"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        load_config(Config, options)
