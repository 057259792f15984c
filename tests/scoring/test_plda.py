import json
from dataclasses import replace

import numpy as np
import pytest

from mindvox.errors import InputError
from mindvox.scoring.embeddings import EmbeddingStore, Identity
from mindvox.scoring.metrics import eer
from mindvox.scoring.plda import Plda, main
from mindvox.scoring.score_files import read_scores

IDENTITY = Identity("model", "store", "engine", None, {"n_mels": 80})
SIZE = 12


def embedding_store(prefix, num_speakers, utts_each, seed):
    """Speakers differ in a few directions, in which their utterances differ less than in the others."""
    rng = np.random.default_rng(seed)
    scale = np.linspace(2, 0.1, SIZE)
    speakers = np.repeat(rng.normal(size=(num_speakers, SIZE)) * scale, utts_each, axis=0)
    embeddings = 3 + speakers + rng.normal(size=speakers.shape) * np.linspace(0.8, 2.5, SIZE)
    spk_ids = [f"{prefix}{row // utts_each}" for row in range(len(speakers))]
    utt_ids = [f"{spk_id}/s/{row % utts_each}.wav" for row, spk_id in enumerate(spk_ids)]
    return EmbeddingStore(utt_ids, spk_ids, embeddings.astype(np.float32), IDENTITY)


@pytest.fixture(scope="module")
def train():
    return embedding_store("t", 120, 6, seed=0)


@pytest.fixture(scope="module")
def evaluation():
    return embedding_store("e", 15, 5, seed=1)


def all_pairs(store):
    first, second = np.triu_indices(len(store.utt_ids), 1)
    spk_ids = np.array(store.spk_ids)
    return first, second, spk_ids[first] == spk_ids[second]


def one_each(store):
    return np.arange(len(store.utt_ids))[:, None]


@pytest.mark.parametrize(("lda_dim", "length_norm"), [(None, False), (None, True), (5, False), (5, True)])
def test_plda_beats_the_cosine_where_directions_differ_in_worth(train, evaluation, lda_dim, length_norm):
    enrol, test, is_target = all_pairs(evaluation)
    rows = evaluation.embeddings - train.embeddings.mean(axis=0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = np.sum(rows[enrol] * rows[test], axis=1)
    scores = Plda.fit(train, lda_dim, length_norm).score(evaluation, one_each(evaluation), enrol, test)
    assert eer(scores, is_target).eer < 0.75 * eer(cosine, is_target).eer


def test_without_preparation_scores_do_not_depend_on_the_basis_of_the_embeddings(train, evaluation):
    enrol, test, _ = all_pairs(evaluation)
    mix = np.linalg.qr(np.random.default_rng(0).normal(size=(SIZE, SIZE)))[0] * np.linspace(0.5, 4, SIZE)
    expected = Plda.fit(train, length_norm=False).score(evaluation, one_each(evaluation), enrol, test)
    mixed = [
        replace(store, embeddings=(store.embeddings @ mix + 7).astype(np.float32)) for store in (train, evaluation)
    ]
    found = Plda.fit(mixed[0], length_norm=False).score(mixed[1], one_each(evaluation), enrol, test)
    np.testing.assert_allclose(found, expected, atol=1e-3)  # float32 embeddings


def test_length_norm_makes_scores_depend_on_the_direction_alone(train, evaluation):
    plda = Plda.fit(train, length_norm=True)
    enrol, test, _ = all_pairs(evaluation)
    expected = plda.score(evaluation, one_each(evaluation), enrol, test)
    stretched = plda.transform.mean + 2.5 * (evaluation.embeddings - plda.transform.mean)
    found = plda.score(replace(evaluation, embeddings=stretched), one_each(evaluation), enrol, test)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_several_enrolment_utterances_are_surer_than_one(train):
    plda, store = Plda.fit(train), embedding_store("e", 60, 5, seed=2)
    models = np.arange(300).reshape(60, 5)[:, :3]
    tests = np.arange(300).reshape(60, 5)[:, 3:].ravel()
    enrol, test = np.repeat(np.arange(60), len(tests)), np.tile(tests, 60)
    is_target = enrol == test // 5
    of_three, of_one = (plda.score(store, rows, enrol, test) for rows in (models, models[:, :1]))
    assert eer(of_three, is_target).eer < 0.8 * eer(of_one, is_target).eer


def test_saved_model_scores_the_same(train, evaluation, tmp_path):
    plda = Plda.fit(train, 5)
    plda.save(tmp_path / "plda")
    enrol, test, _ = all_pairs(evaluation)
    opened = Plda.open(tmp_path / "plda")
    np.testing.assert_array_equal(
        *(model.score(evaluation, one_each(evaluation), enrol, test) for model in (plda, opened))
    )
    assert opened.speakers == plda.speakers
    assert opened.training == plda.training


def test_speakers_of_the_training_are_refused(train, evaluation):
    both = replace(evaluation, spk_ids=["t7", *evaluation.spk_ids[1:]])
    plda = Plda.fit(train)
    with pytest.raises(InputError, match="trained on 1 of the speakers to score, such as t7"):
        plda.score(both, one_each(both), np.array([0]), np.array([9]))
    plda.score(both, one_each(both)[1:], np.array([0]), np.array([9]))  # t7 is in no trial


def test_embeddings_of_another_model_are_refused(train, evaluation):
    other = replace(evaluation, identity=replace(IDENTITY, model_sha256="another", cut_frames=301))
    with pytest.raises(InputError, match="differ .* in model_sha256, cut_frames"):
        Plda.fit(train).score(other, one_each(other), np.array([0]), np.array([9]))


def test_crops_are_refused(train):
    crops = replace(train, embeddings=train.embeddings[:, None], identity=replace(IDENTITY, num_crops=1))
    with pytest.raises(InputError, match="has 1 crops of each"):
        Plda.fit(crops)


def test_embedding_without_direction_is_named(train, evaluation):
    plda = Plda.fit(train)
    with pytest.raises(InputError, match="e0/s/1.wav: an embedding equal to the mean"):
        plda.transform(np.stack([evaluation.embeddings[0], plda.transform.mean]), ["e0/s/0.wav", "e0/s/1.wav"])


def test_one_utterance_a_speaker_cannot_train():
    with pytest.raises(InputError, match="Give more utterances of the same speakers"):
        Plda.fit(embedding_store("t", 200, 1, seed=0))


@pytest.mark.parametrize(
    "change", [{"format_version": 9}, {"identity": None}, {"identity": {"a": 1}}, {"length_norm": ...}]
)
def test_damaged_description_is_refused(train, tmp_path, change):
    Plda.fit(train).save(tmp_path)
    stored = json.loads((tmp_path / "plda.json").read_text()) | change
    (tmp_path / "plda.json").write_text(json.dumps({key: value for key, value in stored.items() if value is not ...}))
    with pytest.raises(InputError, match=str(tmp_path)):
        Plda.open(tmp_path)


def test_changed_arrays_are_refused(train, tmp_path):
    Plda.fit(train).save(tmp_path)
    with open(tmp_path / "plda.npz", "r+b") as stream:
        stream.seek(300)
        stream.write(b"x")
    with pytest.raises(InputError, match="not the file that plda.json describes"):
        Plda.open(tmp_path)


@pytest.fixture
def folders(train, evaluation, tmp_path):
    train.save(tmp_path / "norm")
    evaluation.save(tmp_path / "eval")
    enrol, test, is_target = all_pairs(evaluation)
    names = evaluation.utt_ids
    lines = [f"{int(truth)} {names[a]} {names[b]}\n" for a, b, truth in zip(enrol, test, is_target, strict=True)]
    (tmp_path / "trials.txt").write_text("".join(lines))
    return tmp_path


def test_commands_train_score_and_write_a_score_file(folders, train, evaluation, capsys):
    assert main(["fit", str(folders / "norm"), "--to", str(folders / "plda"), "--lda_dim", "5"]) == 0
    assert "720 embeddings of 120 speakers, 12 dimensions, compared in 5" in capsys.readouterr().out
    words = [str(folders / name) for name in ("plda", "eval", "trials.txt")]
    assert main(["score", *words, "--to", str(folders / "plda.tsv")]) == 0
    enrol, test, is_target = all_pairs(evaluation)
    expected = Plda.fit(train, 5).score(evaluation, one_each(evaluation), enrol, test)
    table = read_scores(folders / "plda.tsv")
    np.testing.assert_allclose(table.column("plda"), expected, rtol=1e-6)
    assert f"{eer(expected, is_target).eer:.4f}" in capsys.readouterr().out


def test_commands_take_enrolment_maps_and_blind_lists(folders, train, evaluation):
    main(["fit", str(folders / "norm"), "--to", str(folders / "plda")])
    (folders / "enroll.map").write_text("".join(f"m{n} e{n}/s/0.wav e{n}/s/1.wav\n" for n in range(15)))
    (folders / "blind.txt").write_text("m3 e3/s/4.wav\nm5 e3/s/4.wav\n")
    words = [str(folders / name) for name in ("plda", "eval", "blind.txt")]
    options = ["--trial_format", "voxsrc", "--enrol_map", str(folders / "enroll.map"), "--to", str(folders / "out.tsv")]
    assert main(["score", *words, *options]) == 0
    table = read_scores(folders / "out.tsv")
    expected = Plda.fit(train).score(evaluation, [[15, 16], [25, 26]], np.array([0, 1]), np.array([19, 19]))
    np.testing.assert_allclose(table.column("plda"), expected, rtol=1e-6)
    assert table.is_target is None
