"""Embeddings of long lists: in worker processes, part by part, and after a kill."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile

from mindvox import extraction
from mindvox.cli.embed import main as embed
from mindvox.corpus.sources import recordings_below, recordings_of
from mindvox.embedder import Embedder
from mindvox.errors import InputError, UsageError
from mindvox.extraction import EmbedderChoice, Workers, extract
from mindvox.scoring.embeddings import EmbeddingStore
from tests.embedder.conftest import noise

NUM_RECORDINGS, PART = 10, 3
SHORT = "4.wav"  # cannot be used
COMMAND = f"""
import sys
from mindvox import extraction
from mindvox.cli import console
extraction.PART_RECORDINGS, extraction.LEAST_PARTS = {PART}, 1
if __name__ == "__main__":
    sys.exit(console())
"""


@pytest.fixture
def model(models):
    return models["features"]


@pytest.fixture(scope="module")
def ten_recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    for number in range(NUM_RECORDINGS):
        samples = noise(700 if f"{number}.wav" == SHORT else 8000 + 160 * (number % 2), number)
        soundfile.write(folder / f"{number}.wav", samples, 16000)
    return folder


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(extraction, "PART_RECORDINGS", PART)
    monkeypatch.setattr(extraction, "LEAST_PARTS", 1)


@pytest.fixture
def of_one(model, ten_recordings, tmp_path):
    """The embeddings that one process makes of the recordings."""
    return extract(EmbedderChoice(str(model), num_threads=1), recordings_below(ten_recordings), tmp_path / "of_one")


@dataclass(frozen=True)
class Mortal:
    """A model whose process is killed by the recording `victim`, once: it removes the file."""

    model: str
    victim: str

    def open(self):
        embedder = Embedder.open(self.model, num_threads=1)
        embed_many = embedder.embed_many

        def embed_or_die(sections, channel):
            if Path(self.victim).name in sections and Path(self.victim).exists():
                time.sleep(2)  # the other process goes on
                os.remove(self.victim)
                os.kill(os.getpid(), signal.SIGKILL)
            return embed_many(sections, channel)

        embedder.embed_many = embed_or_die
        return embedder


def same(first, second):
    made, expected = first.embeddings, second.embeddings
    assert made.names == expected.names and made.skipped == expected.skipped
    np.testing.assert_array_equal(made.vectors, expected.vectors)
    assert first.content_sha256 == second.content_sha256


def test_processes_give_what_one_gives_in_the_order_of_the_list(model, ten_recordings, of_one, tmp_path):
    choice, corpus = EmbedderChoice(str(model), num_threads=1), recordings_below(ten_recordings)
    same(extract(choice, corpus, tmp_path / "parts", workers=Workers(2)), of_one)
    assert of_one.embeddings.names == [f"{number}.wav" for number in range(NUM_RECORDINGS) if f"{number}.wav" != SHORT]
    ((name, reason),) = of_one.embeddings.skipped
    assert name == SHORT and reason.startswith("too short")
    for name, vector in zip(of_one.embeddings.names, of_one.embeddings.vectors, strict=True):
        np.testing.assert_allclose(Embedder.open(model).embed(ten_recordings / name), vector, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_dask_gives_what_one_process_gives(model, ten_recordings, of_one, tmp_path):
    pytest.importorskip("distributed", reason="needs the extra dask")
    choice, corpus = EmbedderChoice(str(model), num_threads=1), recordings_below(ten_recordings)
    same(extract(choice, corpus, tmp_path / "parts", workers=Workers(2, "local")), of_one)


@pytest.mark.slow
def test_a_killed_process_is_one_error_and_nothing_finished_is_lost(model, ten_recordings, of_one, tmp_path):
    victim = tmp_path / "7.wav"  # of the third part
    victim.touch()
    choice, corpus = Mortal(str(model), str(victim)), recordings_below(ten_recordings)
    with pytest.raises(InputError, match="a process was killed"):
        extract(choice, corpus, tmp_path / "parts", workers=Workers(2))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").glob("part-*")}
    assert [path.name for path in sorted(kept)] == ["part-000000.npz", "part-000001.npz"]
    same(extract(choice, corpus, tmp_path / "parts", workers=Workers(2)), of_one)
    assert all(path.stat().st_mtime_ns == moment for path, moment in kept.items())


def test_a_killed_command_goes_on_and_writes_equal_files(model, ten_recordings, tmp_path):
    script = tmp_path / "command.py"
    script.write_text(COMMAND)

    def start(out):
        words = ["embed", str(ten_recordings), f"--out={out}", f"--model={model}", "--workers=2"]
        return subprocess.Popen([sys.executable, script, *words], cwd=tmp_path)

    parts = tmp_path / ".killed.npz.parts"
    with start(tmp_path / "killed.npz") as process:
        while not list(parts.glob("part-*")) and process.poll() is None:
            time.sleep(0.005)
        process.kill()
    assert not (tmp_path / "killed.npz").exists() and len(list(parts.glob("part-*.npz"))) >= 1
    for out in ("killed.npz", "whole.npz"):
        with start(tmp_path / out) as process:
            assert process.wait() == 0
    assert (tmp_path / "killed.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert (tmp_path / "killed.skipped.csv").read_bytes() == (tmp_path / "whole.skipped.csv").read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("change", ["model", "recording", "channel"])
def test_parts_of_another_run_are_not_taken(models, model, ten_recordings, tmp_path, change):
    folder = tmp_path / "recordings"
    folder.mkdir()
    for path in ten_recordings.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    choice, parts = EmbedderChoice(str(model)), tmp_path / "parts"
    first = extract(choice, recordings_below(folder), parts)
    if change == "recording":
        soundfile.write(folder / "0.wav", noise(9000, 99), 16000)
    if change == "model":
        choice = EmbedderChoice(str(models["kaldi"]))
    channel = 0 if change == "channel" else None
    before = (parts / "part-000003.npz").stat().st_mtime_ns
    second = extract(choice, recordings_below(folder), parts, channel)
    assert (parts / "part-000003.npz").stat().st_mtime_ns > before
    assert np.array_equal(first.embeddings.vectors[0], second.embeddings.vectors[0]) == (change == "channel")


def test_parts_of_long_recordings_are_small(ten_recordings, tmp_path, model, monkeypatch):
    monkeypatch.setattr(extraction, "PART_BYTES", 20000)  # each recording has 16 kB, the short one 1.4 kB
    extract(EmbedderChoice(str(model)), recordings_below(ten_recordings), tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("part-*"))) == NUM_RECORDINGS - 1


def test_a_short_list_has_parts_for_many_processes(ten_recordings, tmp_path, model, monkeypatch):
    monkeypatch.setattr(extraction, "LEAST_PARTS", 5)
    extract(EmbedderChoice(str(model)), recordings_below(ten_recordings), tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("part-*"))) == 5


def test_lists_and_sections_are_embedded(model, ten_recordings, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [f"--model={model}", "--out=store"]
    (tmp_path / "list.txt").write_text(f"{ten_recordings / '3.wav'}\n{ten_recordings / '1.wav'}\n\n")
    assert embed(["list.txt", *words]) == 0
    made = EmbeddingStore.open("store")
    assert [Path(name).name for name in made.utt_ids] == ["3.wav", "1.wav"]

    (tmp_path / "list.csv").write_text(f"path,speaker,start,stop,id\n{ten_recordings / '2.wav'},Anna,0.1,0.45,part\n")
    assert embed(["list.csv", *words]) == 0
    made = EmbeddingStore.open("store")
    assert (made.utt_ids, made.spk_ids) == (["part"], ["Anna"])
    samples, _ = soundfile.read(ten_recordings / "2.wav", dtype="float32")
    np.testing.assert_array_equal(made.embeddings[0], Embedder.open(model).embed(samples[1600:7200]))
    (tmp_path / "list.csv").write_text(f"path,speaker,start,stop,id\n{ten_recordings / '2.wav'},Anna,0.2,0.5,part\n")
    assert embed(["list.csv", *words]) == 0
    assert EmbeddingStore.open("store").identity.store_sha256 != made.identity.store_sha256
    (tmp_path / "list.csv").write_text(f"path,speaker,start,stop,id\n{ten_recordings / '2.wav'},Anna,0,9,part\n")
    with pytest.raises(InputError, match="part: stops at 9 s, but the file ends at 0.5 s"):
        embed(["list.csv", *words])
    assert not Path("store", ".parts").exists()


@pytest.mark.parametrize(
    ("lines", "said"),
    [("a.wav\nb\n", "list.txt:2: expected only the path"), ("a.wav\nb.wav\n./a.wav\n", "is in line 1")],
)
def test_mistakes_of_a_list(tmp_path, lines, said):
    (tmp_path / "list.txt").write_text(lines)
    with pytest.raises(InputError, match=said):
        recordings_of(tmp_path / "list.txt")


def test_a_number_of_workers_is_positive(ten_recordings, tmp_path):
    with pytest.raises(UsageError, match="--workers: expected at least 1, got 0"):
        embed([str(ten_recordings), f"--out={tmp_path / 'e.npz'}", "--workers=0"])


@pytest.mark.parametrize(("workers", "expected"), [(Workers(), 0), (Workers(2), 1), (Workers(1, "local"), 1)])
def test_a_process_of_several_has_one_thread(model, monkeypatch, workers, expected):
    sessions = []
    create = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda *given, **keys: sessions.append(given[1]) or create(*given, **keys)
    )
    EmbedderChoice(str(model), num_threads=workers.num_threads).open()
    assert [options.intra_op_num_threads for options in sessions] == [expected]
