import dataclasses
import json

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindvox.data.eval_store import EvalStore, EvalStoreWriter
from mindvox.errors import InputError, UsageError
from mindvox.frontend.fbank import Fbank
from mindvox.frontend.frames import Windows
from mindvox.frontend.samples import Samples
from mindvox.scoring.embeddings import (
    EmbeddingStore,
    Identity,
    cell_encoder,
    crop_starts,
    extract,
    fill_batches,
    load_or_extract,
)

NUM_MELS = 4
FRONT_END = Fbank(n_mels=NUM_MELS).to_dict()
IDENTITY = Identity("model", "store", "engine 1.0 CPU", 10, FRONT_END)


class FakeStore:
    """What extract and load_or_extract use of an EvalStore, in memory."""

    def __init__(self, lengths):
        rng = np.random.default_rng(0)
        self.all_feats = [rng.normal(size=(length, NUM_MELS)).astype(np.float32) for length in lengths]
        self.utt_ids = [f"id{row}/a/0.wav" for row in range(len(lengths))]
        self.spk_ids = [f"id{row}" for row in range(len(lengths))]
        self.num_frames = np.array(lengths)
        self.front_end = FRONT_END

    def __len__(self):
        return len(self.utt_ids)

    def feats(self, index):
        return self.all_feats[index]

    def release(self):
        pass


def encode_first_frame(feats):
    return feats[:, 0] * feats.shape[1]


class TinyCell(nn.Cell):
    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(NUM_MELS, 3)

    def construct(self, feats):
        """Pool over time, so that every frame and no padding counts."""
        return ops.cat((self.dense(feats).mean(axis=1), feats.max(axis=1)), axis=1)


def stored(num_rows=3):
    embeddings = np.arange(num_rows * 2, dtype=np.float32).reshape(num_rows, 2)
    names = [f"id{row}" for row in range(num_rows)]
    return EmbeddingStore([f"{name}/a/0.wav" for name in names], names, embeddings, IDENTITY)


def test_extract_keeps_the_order_whatever_the_lengths():
    store = FakeStore([19, 15, 19, 17, 15, 19])
    embeddings = extract(encode_first_frame, store, None, batch_size=2)
    expected = [(feats[0] - feats.mean(axis=0)) * len(feats) for feats in store.all_feats]
    np.testing.assert_allclose(embeddings, expected, rtol=1e-4, atol=1e-5)
    assert embeddings.dtype == np.float32


def test_extract_batches_only_equal_lengths_the_longest_first_and_at_most_batch_size():
    shapes = []

    def encode(feats):
        shapes.append(feats.shape)
        return feats[:, 0]

    extract(encode, FakeStore([19, 15, 19, 17, 15, 19]), None, batch_size=2)
    assert shapes == [(2, 19, NUM_MELS), (1, 19, NUM_MELS), (1, 17, NUM_MELS), (2, 15, NUM_MELS)]


def test_extract_cuts_then_subtracts_the_mean_and_repeats_short_utterances():
    store, seen = FakeStore([19, 8]), []

    def encode(feats):
        seen.append(feats)
        return feats[:, 0]

    extract(encode, store, 10, batch_size=8)
    long, short = store.all_feats
    short = np.concatenate((short, short[:2]))
    expected = [long[:10] - long[:10].mean(axis=0), short - short.mean(axis=0)]
    np.testing.assert_allclose(np.concatenate(seen), expected, atol=1e-6)


def test_extract_prints_its_speed(capsys):
    extract(encode_first_frame, FakeStore([19, 15]), None, batch_size=2)
    assert "2 embeddings in " in capsys.readouterr().out


def test_extract_names_the_utterance_whose_embedding_is_not_finite():
    def encode(feats):
        return np.where(feats.shape[1] == 17, np.nan, feats[:, 0])

    with pytest.raises(InputError, match=r"1 of 1 embeddings .* id2/a/0.wav"):
        extract(encode, FakeStore([15, 15, 17]), None, batch_size=2)


def test_extract_refuses_what_is_shorter_than_the_model_sees_unless_cut():
    store = FakeStore([15, 8])
    with pytest.raises(InputError, match="id1/a/0.wav: 8 frames"):
        extract(encode_first_frame, store, None, batch_size=2, min_frames=9)
    assert extract(encode_first_frame, store, 10, batch_size=2, min_frames=9).shape == (2, NUM_MELS)
    with pytest.raises(UsageError, match="max_frames: expected 0 or at least 18 frames, got 17"):
        extract(encode_first_frame, store, None, batch_size=2, max_frames=17, min_frames=9)


@pytest.mark.parametrize("encode", [lambda feats: feats, lambda feats: feats[:1, 0], lambda feats: feats[0, 0]])
def test_extract_refuses_another_shape_than_one_vector_an_utterance(encode):
    with pytest.raises(InputError, match=r"id0/a/0.wav: expected embeddings \(2, D\)"):
        extract(encode, FakeStore([15, 15]), None, batch_size=2)


def test_extract_refuses_a_size_that_changes_on_the_way():
    with pytest.raises(InputError, match=r"id0/a/0.wav: expected embeddings \(1, D\)"):
        extract(lambda feats: feats[:, : len(feats[0]) - 14, 0], FakeStore([15, 16]), None, batch_size=2)


def test_fill_batches_repeats_rows_and_drops_the_surplus():
    sizes = []

    def encode(feats):
        sizes.append(len(feats))
        return feats[:, 0]

    feats = np.random.default_rng(0).normal(size=(3, 5, NUM_MELS))
    np.testing.assert_array_equal(fill_batches(encode, 8)(feats), feats[:, 0])
    assert sizes == [8]


def test_store_comes_back_as_it_was_saved(tmp_path):
    stored().save(tmp_path / "store")
    opened = EmbeddingStore.open(tmp_path / "store")
    assert (opened.utt_ids, opened.spk_ids, opened.identity) == (stored().utt_ids, stored().spk_ids, IDENTITY)
    np.testing.assert_array_equal(opened.embeddings, stored().embeddings)
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["embeddings.npy", "index.csv", "meta.json"]


def test_full_length_is_kept_as_null(tmp_path):
    identity = dataclasses.replace(IDENTITY, cut_frames=None)
    dataclasses.replace(stored(), identity=identity).save(tmp_path)
    assert json.loads((tmp_path / "meta.json").read_text())["cut_frames"] is None
    assert EmbeddingStore.open(tmp_path).identity == identity


def test_a_store_whose_writing_was_cut_off_does_not_open(tmp_path, monkeypatch):
    stored().save(tmp_path)
    monkeypatch.setattr(
        "mindvox.scoring.embeddings.write_csv", lambda *arguments: (_ for _ in ()).throw(OSError("disk"))
    )
    with pytest.raises(OSError, match="disk"):
        stored(5).save(tmp_path)
    with pytest.raises(InputError, match="no meta.json"):
        EmbeddingStore.open(tmp_path)


def damage_shape(folder):
    np.save(folder / "embeddings.npy", np.zeros((4, 2), np.float32))


def damage_dtype(folder):
    np.save(folder / "embeddings.npy", np.zeros((3, 2), np.float64))


def damage_values(folder):
    np.save(folder / "embeddings.npy", np.array([[0, 1], [0, np.inf], [0, 1]], np.float32))


def damage_bytes(folder):
    (folder / "embeddings.npy").write_bytes((folder / "embeddings.npy").read_bytes()[:-4])


def damage_names(folder):
    (folder / "index.csv").write_text("utt_id,spk_id\na,s\na,s\nb,s\n")


def damage_index(folder):
    (folder / "index.csv").write_text("utt_id,spk_id\n")


def damage_meta(folder):
    (folder / "meta.json").write_text('{"format_version": 1}')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_shape, r"expected float32 \(3, D\).*got float32 \(4, 2\)"),
        (damage_dtype, r"got float64 \(3, 2\)"),
        (damage_values, "the first is of id1/a/0.wav"),
        (damage_bytes, "missing or damaged"),
        (damage_names, "each utterance once"),
        (damage_index, "each utterance once, got 0 rows"),
        (damage_meta, "expected format_version 1 and model_sha256"),
        (lambda folder: (folder / "embeddings.npy").unlink(), "missing or damaged"),
        (lambda folder: (folder / "embeddings.npy").write_bytes(b""), "missing or damaged"),
        (lambda folder: (folder / "index.csv").unlink(), "no such csv file"),
    ],
)
def test_a_damaged_store_is_refused_and_made_anew(tmp_path, capsys, damage, message):
    stored().save(tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        EmbeddingStore.open(tmp_path)
    load_or_extract(tmp_path, IDENTITY, FakeStore([9, 9, 9]), encode_first_frame, 2)
    assert "making embeddings" in capsys.readouterr().out
    assert len(EmbeddingStore.open(tmp_path).utt_ids) == 3


def test_embeddings_are_reused_only_when_everything_is_the_same(tmp_path, capsys):
    calls = []

    def encode(feats):
        calls.append(len(feats))
        return feats[:, 0]

    store = FakeStore([9, 9])
    first = load_or_extract(tmp_path, IDENTITY, store, encode, 2)
    assert "making embeddings: there are none yet" in capsys.readouterr().out
    again = load_or_extract(tmp_path, IDENTITY, store, encode, 2)
    assert "reused" in capsys.readouterr().out
    assert calls == [2]
    np.testing.assert_array_equal(again.embeddings, first.embeddings)
    changes = {
        "model_sha256": "other",
        "store_sha256": "other",
        "engine": "other",
        "cut_frames": None,
        "front_end": {"hop_length_ms": 5.0},
    }
    for number, (name, value) in enumerate(changes.items(), 2):
        load_or_extract(tmp_path, dataclasses.replace(IDENTITY, **{name: value}), store, encode, 2)
        assert f"those there have another {name}" in capsys.readouterr().out
        load_or_extract(tmp_path, IDENTITY, store, encode, 2)
        capsys.readouterr()
        assert len(calls) == 2 * number - 1


@pytest.mark.parametrize("cut_frames", [None, 10])
def test_a_cells_embeddings_do_not_depend_on_the_batch(cut_frames):
    ms.set_context(mode=ms.GRAPH_MODE)
    cell = TinyCell()
    cell.set_train(False)
    store = FakeStore([19, 15, 19, 17, 15, 19, 19])
    in_batches = extract(cell_encoder(cell, NUM_MELS, 4 if cut_frames else None), store, cut_frames, batch_size=4)
    one_by_one = extract(cell_encoder(cell, NUM_MELS, 1 if cut_frames else None), store, cut_frames, batch_size=1)
    assert in_batches.shape == (7, 3 + NUM_MELS)
    np.testing.assert_allclose(in_batches, one_by_one, atol=1e-5)


def test_crops_are_spread_from_start_to_end():
    assert crop_starts(300, 100, 5).tolist() == [0, 50, 100, 150, 200]
    assert crop_starts(105, 100, 4).tolist() == [0, 1, 3, 5]  # linspace 0, 1.67, 3.33, 5, cut to whole frames
    assert crop_starts(100, 100, 3).tolist() == [0, 0, 0]
    assert crop_starts(300, 100, 1).tolist() == [0]


def test_extract_embeds_crops_of_each_utterance():
    store = FakeStore([25, 8, 19])
    embeddings = extract(encode_first_frame, store, 10, batch_size=4, num_crops=3)
    assert embeddings.shape == (3, 3, NUM_MELS)
    for row, feats in enumerate(store.all_feats):
        feats = np.concatenate((feats, feats))[: max(10, len(feats))]  # what is shorter is repeated
        crops = [feats[start : start + 10] for start in np.linspace(0, len(feats) - 10, 3).astype(int)]
        expected = [(crop[0] - crop.mean(axis=0)) * 10 for crop in crops]
        np.testing.assert_allclose(embeddings[row], expected, rtol=1e-4, atol=1e-5)


def load_wav(samples, num_frames, num_crops):
    """What loadWAV of voxceleb_trainer's DatasetLoader.py returns for evaluation (at its commit 2020-11 and later)."""
    length = num_frames * 160 + 240
    if len(samples) <= length:
        samples = np.pad(samples, (0, length - len(samples) + 1), "wrap")
    starts = np.linspace(0, len(samples) - length, num=num_crops)
    return np.stack([samples[int(start) : int(start) + length] for start in starts])


# Shorter than a crop, as long, and longer than ten.
@pytest.mark.parametrize("num_samples", [2000, 3440, 40000])
def test_crops_of_the_waveform_are_those_of_voxceleb_trainer(tmp_path, num_samples):
    front_end = Samples(peak=False)
    samples = np.random.default_rng(0).integers(-9000, 9000, num_samples).astype(np.int16)
    with EvalStoreWriter(tmp_path, None) as writer:
        writer.add("id0/a/0.wav", "id0", samples)
    store = EvalStore.open(tmp_path, front_end.to_dict())
    found = extract(lambda feats: feats[..., 0], store, 3440, 4, num_crops=10, crop_samples=3440)
    np.testing.assert_array_equal(found[0] * 32768, load_wav(samples, 20, 10))


def test_crops_are_stored_and_made_anew_when_their_number_changes(tmp_path, capsys):
    store = FakeStore([25, 19])
    for num_crops, message in ((3, "there are none yet"), (3, "reused"), (4, "another num_crops"), (0, "num_crops")):
        identity = dataclasses.replace(IDENTITY, num_crops=num_crops)
        made = load_or_extract(tmp_path / "e", identity, store, encode_first_frame, 4)
        assert message in capsys.readouterr().out
        assert made.embeddings.shape == ((2, num_crops, NUM_MELS) if num_crops else (2, NUM_MELS))
        np.testing.assert_array_equal(EmbeddingStore.open(tmp_path / "e").embeddings, made.embeddings)


def test_a_store_whose_crops_do_not_fit_its_description_is_refused(tmp_path):
    stored().save(tmp_path)
    meta = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps(meta | {"num_crops": 5}))
    with pytest.raises(InputError, match=r"expected float32 \(3, 5, D\)"):
        EmbeddingStore.open(tmp_path)


def test_a_description_without_crops_is_read(tmp_path):
    """C++ writes none."""
    stored().save(tmp_path)
    meta = json.loads((tmp_path / "meta.json").read_text())
    del meta["num_crops"]
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    assert EmbeddingStore.open(tmp_path).identity == IDENTITY


# Long utterances (issue 12, B16): windows. Second variants: crops and cut features, which have no windows; a batch of
# many utterances that are each short enough; a model that runs out of memory.


def test_a_long_utterance_is_the_mean_of_its_windows_weighted_by_their_frames():
    store = FakeStore([19, 50, 20, 41])
    embeddings = extract(encode_first_frame, store, None, batch_size=2, max_frames=20)
    expected = []
    for feats, edges in zip(store.all_feats, ([0, 19], [0, 16, 33, 50], [0, 20], [0, 13, 27, 41]), strict=True):
        windows = [feats[first:last] for first, last in zip(edges, edges[1:], strict=False)]
        parts = [(window[0] - window.mean(axis=0)) * len(window) for window in windows]
        expected.append(np.average(parts, axis=0, weights=[len(window) for window in windows]))
    np.testing.assert_allclose(embeddings, expected, rtol=1e-4, atol=1e-5)


def test_what_is_short_enough_has_the_same_embedding_with_and_without_a_limit():
    store = FakeStore([19, 20, 12])
    limited = extract(encode_first_frame, store, None, batch_size=2, max_frames=20)
    np.testing.assert_array_equal(limited, extract(encode_first_frame, store, None, batch_size=2))


def test_a_batch_holds_no_more_frames_than_one_window_may_have():
    shapes = []

    def encode(feats):
        shapes.append(feats.shape[:2])
        return feats[:, 0]

    extract(encode, FakeStore([18, 18, 18, 18, 18, 100]), None, batch_size=16, max_frames=40)
    assert shapes == [(1, 34), (1, 33), (1, 33), (2, 18), (2, 18), (1, 18)]


@pytest.mark.parametrize("num_crops", [0, 3])
def test_features_that_are_cut_have_no_windows(num_crops):
    store = FakeStore([50, 30])
    limited = extract(encode_first_frame, store, 25, batch_size=2, num_crops=num_crops, max_frames=20)
    np.testing.assert_array_equal(limited, extract(encode_first_frame, store, 25, batch_size=2, num_crops=num_crops))


# Windows of a model's own. Second variants: what is cut first, and crops.


@pytest.mark.parametrize(
    "windows", [Windows(10, 8), Windows(10, 8, "padded"), Windows(10, 8, "padded", 0.5)], ids=["aligned", "all", "half"]
)
@pytest.mark.parametrize(("cut_frames", "num_crops"), [(None, 0), (17, 0), (17, 2)])
def test_an_embedding_is_the_mean_over_the_windows_of_the_model(windows, cut_frames, num_crops):
    store, shapes = FakeStore([19, 8, 31, 10]), set()

    def encode(feats):
        shapes.add(feats.shape[1])
        return encode_first_frame(feats)

    limits = {"num_crops": num_crops, "max_frames": 5, "windows": windows}
    embeddings = extract(encode, store, cut_frames, batch_size=2, **limits)
    expected = []
    for feats in store.all_feats:
        pieces = [feats]
        if num_crops:
            feats = np.concatenate((feats, feats, feats))[: max(17, len(feats))]
            pieces = [feats[first : first + 17] for first in crop_starts(len(feats), 17, num_crops)]
        elif cut_frames:
            pieces = [np.concatenate((feats, feats, feats))[:17]]
        for piece in pieces:
            cut = [windows.cut(piece, start) for start in windows.starts(len(piece))]
            expected.append(np.mean([10 * (window[0] - window.mean(axis=0)) for window in cut], axis=0))
    np.testing.assert_allclose(embeddings.reshape(-1, NUM_MELS), expected, rtol=1e-4, atol=1e-5)
    assert shapes == {10}


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("Allocate memory failed, size 123")])
def test_a_model_that_runs_out_of_memory_is_told_with_the_utterance_and_the_keys(error):
    def encode(feats):
        raise error

    with pytest.raises(InputError, match=r"id1/a/0.wav: 16 frames at once .* max_frames or eval_batch_size"):
        extract(encode, FakeStore([15, 16]), None, batch_size=2)


def test_another_failure_of_the_model_keeps_its_type_and_names_the_utterance():
    def encode(feats):
        raise RuntimeError("the kernel Mul failed")

    with pytest.raises(RuntimeError, match="Mul") as caught:
        extract(encode, FakeStore([15, 16]), None, batch_size=2)
    assert "id1/a/0.wav" in caught.value.__notes__[0]  # the longest comes first


def test_the_limit_is_in_the_identity_only_where_it_had_an_effect(tmp_path):
    windowed = dataclasses.replace(IDENTITY, max_frames=20)
    assert windowed.differences(IDENTITY) == ["max_frames"]
    assert windowed.differences_in_making(IDENTITY) == []  # a cohort without long utterances fits
    assert windowed.differences_in_making(dataclasses.replace(IDENTITY, max_frames=30)) == ["max_frames"]
    for identity in (IDENTITY, windowed):
        dataclasses.replace(stored(), identity=identity).save(tmp_path)
        meta = json.loads((tmp_path / "meta.json").read_text())
        assert meta.get("max_frames") == identity.max_frames
        assert ("max_frames" in meta) == (identity is windowed)
        assert EmbeddingStore.open(tmp_path).identity == identity
