"""A new classifier that starts from the embeddings of its speakers."""

import mindspore as ms
import numpy as np
import pytest

from mindvox.data.pipeline import TrainBatches
from mindvox.data.train_store import TrainStoreWriter
from mindvox.errors import InputError, UsageError
from mindvox.frontend.fbank import Fbank
from mindvox.losses.aam_softmax import AamSoftmax
from mindvox.models import load_model
from mindvox.scoring.normalisation import unit_length
from mindvox.training.imprint import start_vectors
from mindvox.training.loop import set_up, train
from tests.training.runs import NUM_MELS, UTTERANCES, settings, write_store

pytestmark = pytest.mark.usefixtures("small_model")
NUM_SPEAKERS, LONGEST = 9, 45


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_model):
    folder = tmp_path_factory.mktemp("first")
    return train(settings(write_store(folder / "store"), folder, "--num_epochs=1"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A store of other speakers, whose longest recordings have LONGEST frames: crops of this length are not random."""
    return write_store(tmp_path_factory.mktemp("other") / "store", num_speakers=NUM_SPEAKERS)


@pytest.fixture(scope="module")
def embeddings(trained, other):
    """Unit embeddings of every recording of each speaker, (speakers, recordings, 6)."""
    batch = next(next(TrainBatches(other, NUM_SPEAKERS * UTTERANCES, LONGEST, seed=5).epochs()))
    model, _ = load_model(trained)
    rows = unit_length(model(ms.Tensor(batch.feats)).asnumpy(), batch.utt_ids)
    return rows[np.argsort(batch.label, kind="stable")].reshape(NUM_SPEAKERS, UTTERANCES, -1)


def started(store, folder, trained, *options):
    words = ("--pre_trained", f"--checkpoint_path={trained}", f"--train_frames={LONGEST}")
    return set_up(settings(store, folder, *words, *options), "CPU").step_cell.model_with_loss


def test_vectors_are_the_means_of_the_speakers_embeddings(other, tmp_path, trained, embeddings, capsys):
    found = started(other, tmp_path, trained, f"--imprint_utterances={UTTERANCES + 1}").loss.weight.asnumpy()
    means = embeddings.mean(axis=1)
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    said = f"classifier: {NUM_SPEAKERS} speakers start at the means of {NUM_SPEAKERS * UTTERANCES} embeddings"
    assert said in capsys.readouterr().out


def test_one_recording_of_each_speaker_is_drawn_with_the_seed(other, tmp_path, trained, embeddings):
    found = [
        started(other, tmp_path, trained, "--imprint_utterances=1", f"--seed={seed}").loss.weight.asnumpy()
        for seed in (1, 1, 2)
    ]
    is_it = np.isclose(found[0][:, None], embeddings, atol=1e-5).all(axis=2)  # (speakers, recordings)
    assert (is_it.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_vectors_start_at_random_without_it_and_a_known_classifier_is_kept(other, tmp_path, trained, embeddings):
    found = started(other, tmp_path, trained).loss.weight.asnumpy()
    assert np.abs((unit_length(found, range(NUM_SPEAKERS)) * embeddings.mean(axis=1)).sum(axis=1)).mean() < 0.8
    same = trained.parent.parent / "store"
    kept, imprinted = (
        started(same, tmp_path, trained, f"--imprint_utterances={number}").loss.weight.asnumpy() for number in (0, 4)
    )
    np.testing.assert_array_equal(kept, imprinted)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--loss.sub_centers=2"], "imprint_utterances: .* set loss.sub_centers: 1"),
        (["--loss.hidden_layers=1"], "imprint_utterances: .* set loss.hidden_layers: 0"),
        (
            ["--loss.name=softmax"],
            "imprint_utterances: this objective has no vector of each speaker",
        ),
    ],
)
def test_classifiers_of_other_kinds_are_refused(other, tmp_path, trained, options, said):
    with pytest.raises(InputError, match=said):
        started(other, tmp_path, trained, "--imprint_utterances=2", *options)


def test_a_new_network_is_refused(other, tmp_path):
    with pytest.raises(UsageError, match="imprint_utterances: expected 0 without pre_trained"):
        settings(other, tmp_path, "--imprint_utterances=2")


def test_classes_of_other_speeds_start_at_their_speakers_vectors():
    loss = AamSoftmax(4, 6)
    centers = np.eye(3, 4, dtype=np.float32)
    start_vectors(loss.speaker_vectors(), centers)
    np.testing.assert_array_equal(loss.weight.asnumpy(), np.concatenate([centers, centers]))


def test_a_speaker_without_recordings_keeps_a_random_vector(tmp_path, trained, capsys):
    rng = np.random.default_rng(0)
    speakers = {f"id{label}": label for label in range(3)}
    with TrainStoreWriter(tmp_path / "store", Fbank(n_mels=NUM_MELS).to_dict(), speakers) as writer:
        for index in range(8):
            writer.add(f"id{index % 2}/{index}", index % 2, rng.standard_normal((20, NUM_MELS)).astype(np.float32))
    found = started(tmp_path / "store", tmp_path, trained, "--imprint_utterances=2").loss.weight.asnumpy()
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.linalg.norm(found[:2], axis=1), 1, atol=1e-6)
    assert abs(np.linalg.norm(found[2]) - 1) > 1e-3
    assert "2 speakers start at the means of 4 embeddings" in capsys.readouterr().out
