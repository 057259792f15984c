"""Damaged lists of recordings: every one is refused with InputError, or read; there is no other exception."""

import json
import random

import pytest

from mindvox.corpus.layouts import open_corpus
from mindvox.errors import InputError

RECORDING = {"id": "r", "sources": [{"type": "file", "channels": [0], "source": "a/1.wav"}]}
SUPERVISION = {"id": "u", "recording_id": "r", "start": 0.5, "duration": 1.0, "channel": 0, "speaker": "x"}
CUT = {"id": "c", "start": 1.0, "duration": 2.0, "supervisions": [SUPERVISION], "recording": RECORDING}
LISTS = {
    "table.csv": "id,path,speaker,start,stop\nu,a/1.wav,x,0.5,1\nv,b/2.wav,y,,\n",
    "table.tsv": 'path\tspk\n"a/1.wav"\tx\nb/2.wav\ty y\n',
    "two.txt": "x a/1.wav\ny b/2.wav\n",
    "labels.txt": "a/1.wav\t0\nb/2.wav\t1\n",
    "kaldi/wav.scp": "r1 a/1.wav\nr2 b/2.wav\n",
    "kaldi/utt2spk": "u1 x\nu2 y\n",
    "kaldi/segments": "u1 r1 0.5 1.0\nu2 r2 0 -1\n",
    "cuts.jsonl": json.dumps(CUT) + "\n",
    "pair/recordings.jsonl": json.dumps(RECORDING) + "\n",
    "pair/supervisions.jsonl": json.dumps(SUPERVISION) + "\n",
}
PIECES = [
    *("\n", "\t", " ", ",", '"', "|", "..", "/", "\\", "\x00", "\ufeff", "\u2028", "nan", "inf", "-1", "1e999"),
    *("{", "}", "[", "]", "null", "true", ":", "../../x", "a/1.wav", "\udcff", ".wav", "zoe\u0308"),
    *("9" * 400, "x" * 3000),
]


def damaged(rng: random.Random, text: str) -> bytes:
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        start, end = sorted(rng.randint(0, len(text)) for _ in range(2))
        end = min(end, start + rng.choice([0, 0, 1, 5, 40]))
        text = text[:start] + rng.choice([*PIECES, text[start : start + 30], ""]) + text[end:]
    content = bytearray(text.encode("utf-8", "surrogateescape"))
    if content and rng.random() < 0.1:
        content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content)


def check(folder, seeds):
    for name in ("a/1.wav", "b/2.wav", "kaldi/x", "pair/x"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    num_read = 0
    for seed in seeds:
        rng = random.Random(seed)
        changed = rng.choice(list(LISTS))
        for name, text in LISTS.items():
            (folder / name).write_bytes(damaged(rng, text) if name == changed else text.encode())
        place = folder / changed
        try:
            corpus = open_corpus(folder, data_list=place.parent if place.parent != folder else place)
        except InputError as error:
            assert str(folder) in str(error), (seed, str(error))
            continue
        num_read += 1
        assert all(recording.utt_id and recording.wav and recording.spk_id for recording in corpus.recordings), seed
        assert len(corpus.by_id) == len(corpus.recordings)
    return num_read


def test_400_damaged_lists_are_refused_or_read(tmp_path):
    assert 40 < check(tmp_path, range(400)) < 360


@pytest.mark.slow
def test_20000_damaged_lists_are_refused_or_read(tmp_path):
    check(tmp_path, range(400, 20_400))
