import json
from itertools import combinations

import numpy as np
import pytest

from mindvox.data.eval_store import EvalStore, EvalStoreWriter
from mindvox.errors import InputError, UsageError
from mindvox.frontend.fbank import Fbank
from mindvox.scoring.calibrate import main
from mindvox.scoring.embeddings import EmbeddingStore, Identity
from mindvox.scoring.metrics import cllr
from mindvox.scoring.quality_measures import QualitySource
from mindvox.scoring.score_files import read_scores, write_scores

FRONT_END = Fbank(n_mels=2).to_dict()


def trials_of(first_speaker, num_speakers=5, utts_each=4):
    names = [
        f"s{speaker}/{utt}.wav"
        for speaker in range(first_speaker, first_speaker + num_speakers)
        for utt in range(utts_each)
    ]
    enrol, test = zip(*combinations(names, 2), strict=True)
    is_target = np.array([a.split("/")[0] == b.split("/")[0] for a, b in zip(enrol, test, strict=True)])
    return is_target, list(enrol), list(test)


def write_system(path, first_speaker, seed, order=None):
    """A score file of all pairs of five speakers; scores are neither centred nor scaled as likelihood ratios are."""
    is_target, enrol, test = trials_of(first_speaker)
    scores = np.random.default_rng(seed).normal(is_target * 0.3, 0.15)
    order = np.arange(len(enrol)) if order is None else order
    names = [[side[row] for row in order] for side in (enrol, test)]
    write_scores(path, is_target[order], *names, {"baseline": scores[order], "s-norm": 5 * scores[order] + 1})
    return path


@pytest.fixture
def files(tmp_path):
    """Score files of two systems for fitting (speakers s0 to s4) and testing (s5 to s9)."""
    made = {}
    for part, first_speaker in (("dev", 0), ("test", 5)):
        for number, system in enumerate("ab"):
            made[f"{part}_{system}"] = write_system(
                tmp_path / f"{part}_{system}.tsv", first_speaker, 10 * first_speaker + number
            )
    return made


def fit(tmp_path, *systems, options=()):
    path = tmp_path / "calibration.json"
    assert main(["fit", *map(str, systems), "--to", str(path), *map(str, options)]) == 0
    return path


def apply(calibration, *systems, options=()):
    path = calibration.with_name("out.tsv")
    assert main(["apply", str(calibration), *map(str, systems), "--to", str(path), *map(str, options)]) == 0
    return read_scores(path)


def test_calibrated_scores_are_the_weighted_sum_that_the_file_holds(files, tmp_path):
    calibration = fit(tmp_path, f"{files['dev_a']}:s-norm")
    table = apply(calibration, files["test_a"])
    stored = json.loads(calibration.read_text())
    expected = stored["weights"][0]["weight"] * read_scores(files["test_a"]).column("s-norm") + stored["offset"]
    np.testing.assert_allclose(table.column("llr"), expected, rtol=1e-7)
    assert list(table.columns) == ["s-norm", "llr"]


def test_calibration_lowers_cllr_on_other_speakers_and_prints_it(files, tmp_path, capsys):
    table = apply(fit(tmp_path, f"{files['dev_a']}:baseline"), files["test_a"])
    before, after = (cllr(table.column(name), table.truth()) for name in ("baseline", "llr"))
    assert after < 0.6 * before
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines if line.startswith("llr  ")][-1] == f"{after:.4f}"
    assert any(line.startswith("llr = ") for line in lines)


def test_fusion_matches_trials_by_name_and_systems_by_name(files, tmp_path):
    calibration = fit(tmp_path, f"x={files['dev_a']}:baseline", f"y={files['dev_b']}:s-norm")
    expected = apply(calibration, f"x={files['test_a']}", f"y={files['test_b']}")
    order = np.random.default_rng(0).permutation(190)
    shuffled = write_system(tmp_path / "shuffled.tsv", 5, 51, order)
    table = apply(calibration, f"y={shuffled}", f"x={files['test_a']}")
    assert table.enrol == expected.enrol
    assert list(table.columns) == ["x", "y", "llr"]
    np.testing.assert_array_equal(table.column("llr"), expected.column("llr"))
    assert cllr(table.column("llr"), table.truth()) < cllr(
        apply(fit(tmp_path, f"{files['dev_a']}:baseline"), files["test_a"]).column("llr"), table.truth()
    )


def test_speakers_of_the_fit_are_refused_by_name_unless_allowed(files, tmp_path):
    calibration = fit(tmp_path, f"{files['dev_a']}:s-norm")
    with pytest.raises(InputError, match="5 of its 5 speakers are among those of the fit, such as s0, s1, s2"):
        apply(calibration, files["dev_a"])
    apply(calibration, files["dev_a"], options=["--allow_seen_speakers"])


def test_speaker_table_serves_names_that_do_not_tell(files, tmp_path):
    def renamed(path):
        return (
            path.rename(path.with_stem(f"{path.stem}_flat"))
            if path.write_text(path.read_text().replace("/", "_"))
            else None
        )

    dev, test, index = renamed(files["dev_a"]), renamed(files["test_a"]), tmp_path / "index.csv"
    rows = [f"s{speaker}_{utt}.wav,{speaker % 6}" for speaker in range(10) for utt in range(4)]
    index.write_text("\n".join(["utt_id,spk_id", *rows]) + "\n")
    with pytest.raises(InputError, match="give --speakers"):
        fit(tmp_path, f"{dev}:s-norm")
    calibration = fit(tmp_path, f"{dev}:s-norm", options=["--speakers", index])
    with pytest.raises(InputError, match="4 of its 5 speakers .* such as 0, 1, 2"):
        apply(calibration, test, options=["--speakers", index])


def test_blind_trials_are_calibrated_without_error_rates(files, tmp_path, capsys):
    expected = apply(fit(tmp_path, f"{files['dev_a']}:s-norm"), files["test_a"]).column("llr")
    files["test_a"].write_text("".join(line.partition("\t")[2] for line in files["test_a"].open()))
    table = apply(tmp_path / "calibration.json", files["test_a"])
    np.testing.assert_array_equal(table.column("llr"), expected)
    assert table.is_target is None
    assert "no error rates" in capsys.readouterr().out


def test_falling_scores_are_pointed_out(files, tmp_path, capsys):
    table = read_scores(files["dev_a"])
    write_scores(files["dev_a"], table.is_target, table.enrol, table.test, {"distance": -table.column("baseline")})
    fit(tmp_path, f"{files['dev_a']}:distance")
    assert "distance: its weight is negative" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{dev_a}"], "expected .NAME=.SCORES.tsv:COLUMN"),
        (["{dev_a}:s-norm", "{dev_b}:s-norm"], "several systems need names"),
        (["a={dev_a}:s-norm", "a={dev_b}:s-norm"], "a name of its own"),
        (["llr={dev_a}:s-norm"], "a name of its own"),
        (["{dev_a}:s-norm", "--ridge", "-1"], "--ridge at least 0"),
        (["{dev_a}:s-norm", "--p_target", "1"], "--p_target between 0 and 1"),
        (["{dev_a}:s-norm", "--quality", "magnitude"], "need --embeddings"),
    ],
)
def test_wrong_usage_of_fit_says_what_is_expected(files, tmp_path, words, message):
    with pytest.raises(UsageError, match=message):
        fit(tmp_path, *(word.format(**files) for word in words))


def test_paths_of_systems_expand_with_and_without_a_name(files, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(files["dev_a"].parent))
    monkeypatch.setenv("DEV", str(files["dev_a"].parent))
    named = fit(tmp_path, f"x=~/{files['dev_a'].name}:baseline").read_text()
    assert fit(tmp_path, f"x={files['dev_a']}:baseline").read_text() == named
    calibration = fit(tmp_path, f"$DEV/{files['dev_a'].name}:baseline")
    apply(calibration, f"baseline=~/{files['test_a'].name}")
    apply(calibration, f"~/{files['test_a'].name}")


@pytest.mark.parametrize(
    "words", [["{test_a}"], ["x={test_a}", "z={test_b}"], ["x={test_a}", "x={test_b}"], ["x={test_a}"] * 3]
)
def test_apply_wants_the_systems_of_the_fit(files, tmp_path, words):
    calibration = fit(tmp_path, f"x={files['dev_a']}:baseline", f"y={files['dev_b']}:s-norm")
    with pytest.raises(UsageError, match="expected the systems of the fit, x=SCORES.tsv y=SCORES.tsv"):
        apply(calibration, *(word.format(**files) for word in words))


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 2},
        {"offset": "NaN"},
        {"offset": None},
        {"weights": []},
        {"weights": [{"input": "other", "weight": 1}]},
        {"systems": 3},
        {"quality": {"measures": ["duration"]}},
        {"speakers": None},
    ],
)
def test_damaged_calibration_is_refused(files, tmp_path, change):
    calibration = fit(tmp_path, f"{files['dev_a']}:s-norm")
    calibration.write_text(json.dumps(json.loads(calibration.read_text()) | change))
    with pytest.raises(InputError, match="expected a calibration"):
        apply(calibration, files["test_a"])


@pytest.fixture
def embedded(tmp_path):
    """Features, embeddings and a cohort for the trials' speakers: later utterances are longer."""
    rng = np.random.default_rng(0)
    spk_ids = [f"s{speaker}" for speaker in range(10) for _ in range(4)]
    utt_ids = [f"{spk_id}/{row % 4}.wav" for row, spk_id in enumerate(spk_ids)]
    with EvalStoreWriter(tmp_path / "store", FRONT_END) as writer:
        for utt_id, spk_id in zip(utt_ids, spk_ids, strict=True):
            num_frames = 100 + 700 * int(utt_id[-5]) + int(rng.integers(50))
            writer.add(utt_id, spk_id, np.zeros((num_frames, 2), dtype=np.float32))
    identity = Identity("model", EvalStore.open(tmp_path / "store").sha256, "engine", None, FRONT_END)
    embeddings = rng.normal(3, 1, size=(40, 8)).astype(np.float32)
    EmbeddingStore(utt_ids, spk_ids, embeddings, identity).save(tmp_path / "npys" / "eval")
    cohort = rng.normal(3, 1, size=(60, 8)).astype(np.float32)
    names = [f"c{row // 2}/{row % 2}.wav" for row in range(60)]
    identity = Identity("model", "cohort", "engine", None, FRONT_END)
    EmbeddingStore(names, [name.split("/")[0] for name in names], cohort, identity).save(tmp_path / "npys" / "norm")
    return QualitySource.open(tmp_path / "npys", tmp_path / "store")


def test_quality_measures_equal_a_plain_computation(embedded, files):
    table = read_scores(files["dev_a"])
    measured = embedded.measure(table, ["duration", "magnitude", "cohort_mean"], cohort_size=7)
    row = 37
    sides = [embedded.evaluation.utt_ids.index(side[row]) for side in (table.enrol, table.test)]
    cohort = np.asarray(embedded.cohort.embeddings, dtype=np.float64)
    mean = cohort.mean(axis=0)
    vectors = [embedded.evaluation.embeddings[side] - mean for side in sides]
    speakers = cohort.reshape(30, 2, 8).mean(axis=1) - mean
    cosines = [speakers @ vector / np.linalg.norm(vector) / np.linalg.norm(speakers, axis=1) for vector in vectors]
    expected = {
        "duration": [min(embedded.store.num_frames[side] / 100, 20) for side in sides],
        "magnitude": [np.linalg.norm(vector) for vector in vectors],
        "cohort_mean": [np.sort(cosine)[-7:].mean() for cosine in cosines],
    }
    for name, (a, b) in expected.items():
        found = [measured[f"{name} {kind}"][row] for kind in ("min", "max", "ratio")]
        np.testing.assert_allclose(found, [min(a, b), max(a, b), max(a, b) / min(a, b)], rtol=1e-5, err_msg=name)
    assert len(measured) == 9


def test_durations_end_at_20_s_and_at_the_cut(embedded, files):
    table = read_scores(files["dev_a"])
    assert embedded.measure(table, ["duration"], 2)["duration max"].max() == 20
    object.__setattr__(embedded.evaluation.identity, "cut_frames", 301)
    assert embedded.measure(table, ["duration"], 2)["duration max"].max() == pytest.approx(3.01)


def test_quality_measures_do_not_depend_on_the_order_of_the_sides(embedded, files):
    table = read_scores(files["dev_a"])
    is_target, enrol, test = table.is_target, table.enrol, table.test
    write_scores(files["dev_b"], is_target, test, enrol, table.columns)
    here, there = (
        embedded.measure(read_scores(files[name]), ["duration", "magnitude"], 5) for name in ("dev_a", "dev_b")
    )
    for name, values in here.items():
        np.testing.assert_array_equal(values, there[name])


def test_calibration_uses_quality_measures_of_the_same_model_alone(embedded, files, tmp_path):
    where = ["--embeddings", tmp_path / "npys", "--store", tmp_path / "store"]
    options = ["--quality", "duration,magnitude", *where]
    calibration = fit(tmp_path, f"{files['dev_a']}:s-norm", options=options)
    stored = json.loads(calibration.read_text())
    assert [item["input"] for item in stored["weights"]] == [
        "s-norm",
        *(f"{measure} {kind}" for measure in ("duration", "magnitude") for kind in ("min", "max", "ratio")),
    ]
    with pytest.raises(UsageError, match="--embeddings"):
        apply(calibration, files["test_a"])
    llrs = apply(calibration, files["test_a"], options=where).column("llr")
    weights = np.array([item["weight"] for item in stored["weights"]])
    table = read_scores(files["test_a"])
    measured = embedded.measure(table, ["duration", "magnitude"], 300)
    expected = np.column_stack([table.column("s-norm"), *measured.values()]) @ weights + stored["offset"]
    np.testing.assert_allclose(llrs, expected, rtol=1e-6, atol=1e-6)
    stored["quality"]["identity"]["model_sha256"] = "another"
    calibration.write_text(json.dumps(stored))
    with pytest.raises(InputError, match="differ .* in model_sha256"):
        apply(calibration, files["test_a"], options=where)


def test_cohort_mean_without_similar_speakers_says_what_to_do(embedded, files):
    with pytest.raises(InputError, match="cohort_mean is -.* smaller --cohort_size"):
        embedded.measure(read_scores(files["dev_a"]), ["cohort_mean"], cohort_size=300)


def test_utterance_without_embedding_is_named(embedded, files):
    write_scores(files["dev_a"], None, ["s0/0.wav"], ["x/0.wav"], {"score": np.ones(1)})
    with pytest.raises(InputError, match="1 of its 2 utterances have no embedding, such as x/0.wav"):
        embedded.measure(read_scores(files["dev_a"]), ["magnitude"], 5)


def test_store_of_other_embeddings_is_refused(embedded, tmp_path):
    with EvalStoreWriter(tmp_path / "other", FRONT_END) as writer:
        writer.add("a/0.wav", "a", np.zeros((10, 2), dtype=np.float32))
    with pytest.raises(InputError, match="not the store that the embeddings"):
        QualitySource.open(tmp_path / "npys", tmp_path / "other")
