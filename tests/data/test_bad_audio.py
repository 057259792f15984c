"""A tree with thirty kinds of broken audio: prepared without a crash, each listed with its reason, none stored."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from src.corpus.quality import QualityLimits
from src.corpus.table_io import read_skipped
from src.data.prepare import prepare_train
from src.data.train_store import read_manifest, read_records
from src.errors import InputError

RATE = 16000
SPEECH = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE, **options) -> None:
    soundfile.write(path, samples, rate, **options)


def good(path: Path) -> None:
    write(path, SPEECH)


def changed(start: int, content: bytes) -> Callable[[Path], None]:
    """Return what writes a good file with other bytes at a place."""

    def make(path: Path) -> None:
        good(path)
        with open(path, "r+b") as stream:
            stream.seek(start)
            stream.write(content)

    return make


def cut(share: float, suffix_options: dict) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        write(path, SPEECH, **suffix_options)
        os.truncate(path, int(path.stat().st_size * share))

    return make


def with_sample(value: float) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        samples = SPEECH.copy()
        samples[5000] = value
        write(path, samples, subtype="FLOAT")

    return make


def constant(value: float) -> Callable[[Path], None]:
    return lambda path: write(path, np.full(RATE, value, np.float32))


def damaged_flac(path: Path) -> None:
    write(path, SPEECH)
    with open(path, "r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        stream.write(b"\xff\x00" * 200)


def riff(chunk: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WAVE" + chunk


def wav_format(code: int, channels: int, rate: int, bits: int) -> bytes:
    block = max(1, channels * bits // 8)
    return b"fmt " + struct.pack("<IHHIIHH", 16, code, channels, rate, rate * block, block, bits)


def data(content: bytes) -> bytes:
    return b"data" + struct.pack("<I", len(content)) + content


SAMPLES = (SPEECH * 32767).astype("<i2").tobytes()
FLAC = {"format": "FLAC"}
KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty.wav": (lambda path: path.write_bytes(b""), "empty file"),
    "empty_too.flac": (lambda path: path.write_bytes(b""), "empty file"),
    "text.wav": (lambda path: path.write_text("no audio\n" * 100), "not a readable audio file"),
    "text_too.flac": (lambda path: path.write_text("no audio\n" * 100), "not a readable audio file"),
    "html.wav": (lambda path: path.write_text("<html>404 Not Found</html>"), "not a readable audio file"),
    "random.wav": (lambda path: path.write_bytes(np.random.default_rng(1).bytes(9999)), "not a readable audio file"),
    "zeros_bytes.wav": (lambda path: path.write_bytes(bytes(9999)), "not a readable audio file"),
    "riff_alone.wav": (lambda path: path.write_bytes(b"RIFF"), "not a readable audio file"),
    "no_format.wav": (lambda path: path.write_bytes(riff(data(SAMPLES))), "not a readable audio file"),
    "no_data.wav": (lambda path: path.write_bytes(riff(wav_format(1, 1, RATE, 16))), ""),
    "no_samples.wav": (lambda path: write(path, SPEECH[:0]), "no samples"),
    "no_channels.wav": (lambda path: path.write_bytes(riff(wav_format(1, 0, RATE, 16) + data(SAMPLES))), ""),
    "rate_zero.wav": (lambda path: path.write_bytes(riff(wav_format(1, 1, 0, 16) + data(SAMPLES))), ""),
    "unknown_codec.wav": (lambda path: path.write_bytes(riff(wav_format(0x7777, 1, RATE, 16) + data(SAMPLES))), ""),
    "cut_header.wav": (cut(0.001, {}), "not a readable audio file"),
    "cut.wav": (cut(0.5, {}), "truncated"),
    "cut_too.flac": (cut(0.5, FLAC), "truncated or damaged"),
    "damaged.flac": (damaged_flac, "truncated or damaged"),
    "damaged_magic.flac": (changed(0, b"fLaX"), "not a readable audio file"),
    "nan.wav": (with_sample(np.nan), "NaN or infinite"),
    "infinite.wav": (with_sample(np.inf), "NaN or infinite"),
    "minus_infinite.wav": (with_sample(-np.inf), "NaN or infinite"),
    "unscaled.wav": (lambda path: write(path, 3000 * SPEECH, subtype="FLOAT"), "full scale is 1"),
    "silence.wav": (constant(0), "constant signal"),
    "direct_current.wav": (constant(0.25), "constant signal"),
    "full_scale.flac": (constant(1), "constant signal"),
    "opposite_channels.wav": (lambda path: write(path, np.stack([SPEECH, -SPEECH], axis=1)), "channels cancel"),
    "dither.wav": (lambda path: write(path, np.round(5 * SPEECH) / 32768), "silent: its largest sample is"),
    "clipped.wav": (lambda path: write(path, np.clip(100 * SPEECH, -1, 1)), "clipped"),
    "square.wav": (lambda path: write(path, np.where(SPEECH > 0, 1.0, -1.0)), "clipped: 100.0% of its samples"),
    "one_sample.wav": (lambda path: write(path, SPEECH[:1]), ""),
    "too_short.wav": (lambda path: write(path, SPEECH[:1599]), "too short: 0.100 s"),
    "dangling_link.wav": (lambda path: path.symlink_to("nowhere.wav"), "a link to nothing"),
}
CONVERTED: dict[str, Callable[[Path], None]] = {
    "stereo.wav": lambda path: write(path, np.stack([SPEECH, SPEECH], axis=1)),
    "eight_channels.wav": lambda path: write(path, np.stack([SPEECH] * 8, axis=1)),
    "8khz.wav": lambda path: write(path, SPEECH, 8000),
    "44khz.flac": lambda path: write(path, SPEECH, 44100),
}


@pytest.fixture
def tree(tmp_path) -> Path:
    session = tmp_path / "tree" / "wav" / "id1" / "session"
    session.mkdir(parents=True)
    for name, (make, _) in KINDS.items():
        make(session / name)
    for name, make in CONVERTED.items():
        make(session / name)
    good(session / "good.wav")
    write(session / "good_24.wav", SPEECH, subtype="PCM_24")
    return tmp_path / "tree"


def test_thirty_kinds_of_broken_audio_are_listed_and_not_stored(tree, train_config, tmp_path):
    assert len(KINDS) >= 30
    config = train_config(f"--data_folder={tree}", "--whole_utterance=true", "--max_bad_fraction=1")
    prepare_train(config)
    manifest = read_manifest(config.feat_folder)
    reasons = {entry.utt_id.removeprefix("id1/session/"): entry.reason for entry in manifest.skipped}
    assert set(reasons) == set(KINDS)
    for name, (_, expected) in KINDS.items():
        assert reasons[name]
        assert expected in reasons[name], (name, reasons[name])
    stored = {record.utt_id.removeprefix("id1/session/"): record.feats for record in read_records(config.feat_folder)}
    assert set(stored) == {"good.wav", "good_24.wav", *CONVERTED}
    assert manifest.num_converted == len(CONVERTED)
    assert all(np.isfinite(feats).all() for feats in stored.values())
    assert set(read_skipped(Path(config.save_folder, "skipped.csv"))) < set(manifest.skipped)


def test_more_than_the_allowed_share_of_bad_audio_is_an_error(tree, train_config):
    with pytest.raises(InputError, match="max_bad_fraction"):
        prepare_train(train_config(f"--data_folder={tree}", "--max_bad_fraction=0.5"))


def test_limits_are_the_users(tree, train_config):
    options = ["--max_bad_fraction=1", "--max_clipped_fraction=1", "--min_duration=0", "--whole_utterance=true"]
    config = train_config(f"--data_folder={tree}", *options)
    prepare_train(config)
    skipped = {entry.utt_id.removeprefix("id1/session/") for entry in read_manifest(config.feat_folder).skipped}
    assert skipped & {"clipped.wav", "square.wav", "too_short.wav"} == set()


@pytest.mark.parametrize(("num_clipped", "is_usable"), [(200, True), (201, False)])
def test_share_of_clipped_samples_counts(num_clipped, is_usable):
    samples = np.full(1000, 0.5, np.float32)
    samples[:num_clipped] = np.where(np.arange(num_clipped) % 2, 32767 / 32768, -1)
    limits = QualityLimits(min_duration_s=0, max_clipped_fraction=0.2)
    if is_usable:
        limits.check(samples)
    else:
        with pytest.raises(Exception, match=r"clipped: 20\.1% of its samples"):
            limits.check(samples)
