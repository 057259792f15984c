"""Preparation that is killed, shared out to machines, or handed to Dask gives what an unbroken one gives."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil  # one of MindSpore's requirements
import pytest
import soundfile

from mindvox.config import TrainPrepConfig, load_config
from mindvox.data.merge import merge_stores
from mindvox.data.train_store import read_manifest
from tests.stores import read_records

ROOT = Path(__file__).resolve().parents[2]
NUM_SPEAKERS, NUM_UTTERANCES = 6, 8


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Speech-like noise of half a second to two seconds, and a file that is no audio."""
    folder = tmp_path_factory.mktemp("corpus")
    for speaker in range(NUM_SPEAKERS):
        session = folder / "wav" / f"id{speaker:05d}" / "session"
        session.mkdir(parents=True)
        for number in range(NUM_UTTERANCES):
            rng = np.random.default_rng([speaker, number])
            soundfile.write(session / f"{number:05d}.wav", 0.1 * rng.standard_normal(8000 * (1 + number % 4)), 16000)
    (folder / "wav" / "id00000" / "session" / "bad.wav").write_text("no audio")
    return folder


def command(corpus: Path, folder: Path, *options: str) -> list[str]:
    """Return the command that prepares the corpus in folder/store: 96 records in 12 shards."""
    return [
        sys.executable,
        str(ROOT / "train_data_prepare.py"),
        os.devnull,
        f"--data_folder={corpus}",
        f"--output_folder={folder / 'tables'}",
        f"--feat_folder={folder / 'store'}",
        "--split_ratio=100",
        "--sentence_len=1",
        "--augmentations=clean,augment_wavedrop",
        "--shard_utterances=8",
        "--num_processes=2",
        *options,
    ]


def prepare(*arguments) -> str:
    done = subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def content(store: Path) -> list[tuple]:
    return [(record.utt_id, record.label, record.feats.tobytes()) for record in read_records(store)]


def files(store: Path) -> dict[str, bytes]:
    """Return the files of a store by name, but for lock files: who is killed at the end of a shard leaves its own."""
    return {path.name: path.read_bytes() for path in store.iterdir() if not path.name.startswith(".lock-")}


@pytest.fixture(scope="module")
def unbroken(corpus, tmp_path_factory) -> tuple[Path, float]:
    """A store that was written in one go, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("unbroken")
    started = time.perf_counter()
    prepare(corpus, folder)
    return folder / "store", time.perf_counter() - started


def kill_when(corpus: Path, folder: Path, num_shards: int, delay_s: float, *options: str) -> bool:
    """Kill a preparation some time after it has so many shards; tell whether it was still running."""
    process = subprocess.Popen(
        command(corpus, folder, *options),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and len(list((folder / "store").glob("shard-*.json"))) < num_shards:
        time.sleep(0.005)
    time.sleep(delay_s)
    was_running = process.poll() is None
    process.send_signal(signal.SIGKILL)  # the parent alone: its helpers must notice by themselves
    process.wait()
    assert_none_is_left(process.pid)
    return was_running


def assert_none_is_left(group: int) -> None:
    """Fail when a process of the group lives on."""
    deadline = time.monotonic() + 30
    while left := [process for process in psutil.process_iter(["status"]) if is_alive_in(process, group)]:
        assert time.monotonic() < deadline, f"helpers continue after their parent was killed: {left}"
        time.sleep(0.05)


def is_alive_in(process: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE
    except ProcessLookupError:
        return False


def assert_same(store: Path, expected: Path) -> None:
    assert content(store) == content(expected)
    assert files(store) == files(expected)


@pytest.mark.parametrize("num_processes", [1, 2])
def test_killed_preparation_continues_where_it_stopped(corpus, unbroken, tmp_path, num_processes):
    rng = random.Random(num_processes)
    assert kill_when(corpus, tmp_path, rng.randint(1, 8), rng.uniform(0, 0.05), f"--num_processes={num_processes}")
    assert not (tmp_path / "store" / "manifest.json").exists()
    output = prepare(corpus, tmp_path, "--num_processes=1")
    assert f" of {len(read_manifest(tmp_path / 'store').shards)} shards to make" in output
    assert "12 of 12 shards" not in output
    assert_same(tmp_path / "store", unbroken[0])


@pytest.mark.slow
def test_preparation_survives_twenty_kills_at_any_moment(corpus, unbroken, tmp_path):
    expected, duration_s = unbroken
    rng = random.Random(2)
    num_killed = 0
    while num_killed < 20:  # a kill that comes after the end is none
        folder = tmp_path / str(num_killed)
        num_killed += kill_when(corpus, folder, 0, rng.uniform(0, duration_s))
        prepare(corpus, folder)
        assert_same(folder / "store", expected)
        shutil.rmtree(folder)


def test_parts_that_run_at_once_are_merged_to_the_same_records(corpus, unbroken, tmp_path):
    processes = []
    for number in (1, 2):
        store = f"--feat_folder={tmp_path / 'store' / f'part-{number}'}"
        words = command(corpus, tmp_path / str(number), f"--part={number}/2", store, "--num_processes=1")
        processes.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
    for number, process in enumerate(processes, 1):
        output, _ = process.communicate()
        assert process.returncode == 0
        assert f"part {number}/2 is finished; 6 of 12 shards are still missing" in output
    merge_stores(load_config(TrainPrepConfig, [os.devnull, f"--feat_folder={tmp_path / 'store'}"]))
    assert content(tmp_path / "store" / "merged") == content(unbroken[0])
    assert read_manifest(tmp_path / "store" / "merged").skipped == read_manifest(unbroken[0]).skipped


@pytest.mark.slow
def test_parts_that_run_at_once_in_one_folder_complete_the_store(corpus, unbroken, tmp_path):
    processes = [
        subprocess.Popen(
            command(corpus, tmp_path, f"--part={number}/2", "--num_processes=1"), stdout=subprocess.DEVNULL
        )
        for number in (1, 2)
    ]
    assert [process.wait() for process in processes] == [0, 0]
    assert_same(tmp_path / "store", unbroken[0])


@pytest.mark.slow
def test_dask_makes_the_same_store(corpus, unbroken, tmp_path):
    pytest.importorskip("distributed", reason="needs the extra dask")
    prepare(corpus, tmp_path, "--dask=local")
    assert_same(tmp_path / "store", unbroken[0])
