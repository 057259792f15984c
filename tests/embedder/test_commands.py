"""`mindvox verify` and `mindvox embed`: what they print, write, and return."""

import json
import subprocess
import sys

import numpy as np
import pytest

from mindvox.cli.embed import main as embed
from mindvox.cli.verify import main
from mindvox.corpus.table_io import read_skipped
from mindvox.errors import InputError, UsageError
from mindvox.scoring.embeddings import EmbeddingStore
from tests.deploy.toy import relative
from tests.embedder.conftest import CARD, PUBLIC, UNUSABLE, USABLE

COMMAND = """
import sys
for name in ("mindspore", "scipy", "pandas"):
    sys.modules[name] = None  # an import of it fails
from mindvox.cli import console
sys.exit(console())
"""


@pytest.fixture
def home(models, tmp_path, monkeypatch):
    """The cache with a public model, which is a toy."""
    folder = tmp_path / "home" / "models"
    folder.mkdir(parents=True)
    (folder / PUBLIC).symlink_to(models["features"].parent)
    monkeypatch.setenv("MINDVOX_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def verify(arguments):
    """Call the command without the quality check, because the recordings are noise."""
    return main([*arguments, "--no_quality"])


def pair(recordings, *names):
    return [str(recordings / name) for name in names]


def test_same_person_is_exit_code_0(home, recordings, capsys):
    assert verify(pair(recordings, "anna/1.wav", "anna/1.wav")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "same person, score 1.0000",
        "thresholds of campplus_zh_en: same person from 0.9, different people below 0.5",
    ]


@pytest.mark.parametrize(("above", "code", "words"), [(-1e-5, 0, "same person"), (1e-5, 3, "different people")])
def test_a_threshold_can_be_given(home, recordings, capsys, above, code, words):
    files = pair(recordings, "anna/1.wav", "bert/1.wav")
    verify([*files, "--json"])
    score = json.loads(capsys.readouterr().out)["score"]
    assert verify([*files, f"--threshold={score + above}"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{words}, score {score:.4f}" and lines[1].startswith("thresholds of --threshold: ")


def test_a_score_between_the_thresholds_is_exit_code_4_and_says_why(home, models, recordings, capsys):
    files = pair(recordings, "anna/1.wav", "bert/1.wav")
    verify([*files, "--json"])
    score = json.loads(capsys.readouterr().out)["score"]
    folder = home / "between"
    folder.mkdir()
    for path in models["features"].parent.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    thresholds = {"same": score + 1e-5, "different": score - 1e-5, "why": "two words are not enough"}
    (folder / "card.json").write_text(json.dumps({**CARD, "thresholds": thresholds}))
    assert verify([*files, f"--model={folder}"]) == 4
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"cannot tell, score {score:.4f}: the score lies between the thresholds"
    assert lines[2] == "why: two words are not enough"


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used_is_exit_code_4(home, recordings, capsys, name):
    for files in (pair(recordings, name, "anna/1.wav"), pair(recordings, "anna/1.wav", name)):
        assert verify([*files]) == 4
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith(f"cannot tell: {recordings / name}: {UNUSABLE[name]}")


def test_a_missing_decoder_is_no_answer(home, recordings, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    unread = tmp_path / "a.m4a"
    unread.write_bytes(b"\0\0\0\x18ftypM4A ")
    with pytest.raises(InputError, match="a.m4a: m4a: install the extra media"):
        verify([str(unread), str(recordings / "anna" / "1.wav")])
    with pytest.raises(InputError, match="no recording can be used"):
        embed([str(tmp_path), f"--out={tmp_path / 'out.npz'}"])
    ((name, reason),) = read_skipped(tmp_path / "out.skipped.csv")
    assert name == "a.m4a" and "install the extra media" in reason


def test_json_holds_the_whole_answer(home, models, recordings, capsys):
    files = pair(recordings, "silent.wav", "anna/1.wav")
    assert verify([*files, "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert found["answer"] == "inconclusive" and found["score"] is None and "constant signal" in found["reason"]
    assert found["thresholds"] == {
        "accept": 0.9,
        "reject": 0.5,
        "source": PUBLIC,
        "why": CARD["thresholds"]["why"],
        "of": "cosine",
        "least_cosine": None,
    }
    silent, anna = found["recordings"]
    assert silent["problem"] == {"code": "unusable", "text": "constant signal"}
    assert anna == {"name": files[1], "problem": None, "quality": None}
    assert found["model"] == PUBLIC and len(found["model_sha256"]) == 64
    assert found["engine"].startswith("onnxruntime ")


def test_a_channel_can_be_chosen(home, recordings, capsys):
    stereo, mono = pair(recordings, "bert/stereo.wav", "anna/1.wav")
    assert verify([stereo, stereo, "--channel=1"]) == 0
    assert verify([stereo, mono, "--channel=1"]) == 4
    assert "no channel 1: it has 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["a.wav"], UsageError, "expected two recordings, or one and --record SECONDS"),
        (["a.wav", "b.wav", "c.wav"], UsageError, "unrecognized arguments: c.wav"),
        (["a.wav", "b.wav", "--threshold=2"], UsageError, "--threshold: expected a cosine from -1 to 1, got 2"),
        (["a.wav", "b.wav", "--threshold=nan"], UsageError, "--threshold: expected a cosine from -1 to 1, got nan"),
        (["a.wav", "b.wav", "--engine=x"], UsageError, "invalid choice: 'x'"),
        (["a.wav", "b.wav"], InputError, "a.wav: no such file"),
        ([".", "b.wav"], InputError, "a folder, expected a recording"),
    ],
)
def test_mistakes_of_the_command_are_no_answers(tmp_path, monkeypatch, arguments, error, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=said) as caught:
        verify(arguments)
    assert type(caught.value) is error  # UsageError is exit code 2, InputError 1


def test_a_model_that_is_not_fetched_says_how(recordings, tmp_path, monkeypatch):
    monkeypatch.setenv("MINDVOX_HOME", str(tmp_path))
    with pytest.raises(InputError, match="mindvox fetch campplus_zh_en"):
        verify(pair(recordings, "anna/1.wav", "bert/1.wav"))


def test_the_command_answers_without_mindspore_scipy_and_pandas(home, recordings):
    files = pair(recordings, "anna/1.wav", "anna/1.wav")

    def call(*arguments):
        return subprocess.run([sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True, check=False)

    done = call("verify", *files, "--no_quality")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("same person, score 1.0000\n")
    done = call("verify", files[0], str(recordings / "silent.wav"), "--no_quality")
    assert done.returncode == 4
    done = call("verify", *files, "--model=nobody")
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.startswith("error: nobody: neither a file")
    assert call("verify", files[0]).returncode == 2


def test_embed_writes_names_embeddings_and_what_was_skipped(home, models, embedders, recordings, tmp_path, capsys):
    out = tmp_path / "out" / "e.npz"
    assert embed([str(recordings), f"--out={out}"]) == 0
    assert sorted(path.name for path in out.parent.iterdir()) == ["e.npz", "e.skipped.csv"]
    with np.load(out, allow_pickle=False) as found:
        assert found["names"].tolist() == USABLE
        assert found["embeddings"].shape == (5, 6) and found["embeddings"].dtype == np.float32
        meta = json.loads(str(found["meta"]))
        for name, embedding in zip(USABLE, found["embeddings"], strict=True):
            assert relative(embedding, embedders["features"].embed(recordings / name)) <= 1e-5
    assert meta["model_sha256"] == embedders["features"].engine.exported.file_sha256
    assert [skipped.utt_id for skipped in read_skipped(out.with_name("e.skipped.csv"))] == [*UNUSABLE]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{out}: 5 embeddings of 6 numbers, onnxruntime ")
    assert lines[1].startswith(
        f"skipped: 3 recordings that cannot be used, listed in {out.with_name('e.skipped.csv')}, "
    )


def test_embed_writes_a_store_that_the_scorer_reads(home, recordings, tmp_path):
    assert embed([str(recordings), f"--out={tmp_path / 'store'}"]) == 0
    store = EmbeddingStore.open(tmp_path / "store")
    assert store.utt_ids == USABLE and store.spk_ids == ["anna", "anna", "bert", "bert", "bert"]
    assert store.identity.max_frames is None and store.identity.engine.startswith("onnxruntime ")
    assert len(read_skipped(tmp_path / "store" / "skipped.csv")) == 3
    first = store.identity.store_sha256
    assert embed([str(recordings / "anna"), f"--out={tmp_path / 'store'}"]) == 0  # over the old one
    store = EmbeddingStore.open(tmp_path / "store")
    assert store.utt_ids == ["1.wav", "2.flac"] and store.identity.store_sha256 != first
    assert read_skipped(tmp_path / "store" / "skipped.csv") == []


def test_embed_takes_one_file(home, recordings, tmp_path):
    out = tmp_path / "e.npz"
    assert embed([str(recordings / "anna" / "1.wav"), f"--out={out}"]) == 0
    with np.load(out, allow_pickle=False) as found:
        assert found["names"].tolist() == ["1.wav"]


def test_embed_of_nothing_usable_lists_it_and_leaves_an_earlier_file(home, recordings, tmp_path):
    out = tmp_path / "e.npz"
    out.write_bytes(b"earlier")
    with pytest.raises(InputError, match=r"no recording can be used, see .*e\.skipped\.csv; silent\.wav: constant"):
        embed([str(recordings / "silent.wav"), f"--out={out}"])
    assert out.read_bytes() == b"earlier" and len(read_skipped(tmp_path / "e.skipped.csv")) == 1


def test_embed_of_nothing_is_an_error(home, recordings, tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        embed([str(recordings / "nobody"), f"--out={tmp_path / 'e.npz'}"])
    with pytest.raises(UsageError, match="--out"):
        embed([str(recordings)])
