"""Damaged trial lists: every one is refused with InputError, or read as an independent parser reads it."""

import random
import unicodedata
from types import SimpleNamespace

import pytest

from mindvox.corpus.trials import read_trials
from mindvox.errors import InputError
from mindvox.scoring.trial_list import TrialList
from tests.scoring.plain_names import plain_names

WORDS = {
    "voxceleb": ("{label} {a} {b}", {"1": True, "0": False}),
    "kaldi": ("{a} {b} {label}", {"target": True, "nontarget": False}),
    "cnceleb": ("{a} {b} {label}", {"1": True, "0": False}),
    "voxsrc": ("{a} {b}", {}),
}
SEPARATORS = ["\r", "\r\n", "\n", "\n\n", "\t", "\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\u2028", "\u3000", " "]
LABELS = ["0", "1", "2", "01", "1.0", "-1", "\u0661", "target", "nontarget", "TARGET"]
OTHERS = ["\x00", "\ufeff", "\u202e", "\U0001f642", "a/0", "#", '"', "'", ",", "x" * 5000]
PIECES = [text.encode() for text in SEPARATORS + LABELS + OTHERS] + [b"\xff", b"\xed\xa0\x80"]
UTT_IDS = [f"{speaker}/{number}" for speaker in "abc" for number in range(5)]
STORE = SimpleNamespace(utt_ids=UTT_IDS, spk_ids=[utt_id[0] for utt_id in UTT_IDS])


def plain_parse(content: bytes, trial_format: str, repeated: str, known=()):
    """Return the trials, or None when the list is wrong; written without a look at the reader."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    columns, truth = WORDS[trial_format]
    names = columns.replace("{", "").replace("}", "").split()
    rows = []
    for line in text.split("\n"):
        words = [word.strip() for word in line.strip().split("\t")]
        if len(words) != len(names) or "" in words:
            words = line.split()
        if not words:
            continue
        odd = any(unicodedata.category(letter)[0] in "CZ" and letter != " " for word in words for letter in word)
        if len(words) != len(names) or odd:
            return None
        row = dict(zip(names, words, strict=True))
        if "label" in row and row["label"] not in truth:
            return None
        rows.append((truth[row["label"]] if "label" in row else None, row["a"], row["b"]))
    spelled = plain_names([name for row in rows for name in row[1:]], known)
    if spelled is None:
        return None
    trials, seen = [], {}
    for (label, *_), a, b in zip(rows, spelled[::2], spelled[1::2], strict=True):
        if seen.setdefault(frozenset((a, b)), label) != label or (a == b and label is False):
            return None
        trials.append((label, a, b))
    if not trials or (repeated == "error" and len(set(trials)) < len(trials)):
        return None
    return trials


def make_list(rng: random.Random, trial_format: str) -> bytes:
    columns, truth = WORDS[trial_format]
    lines = []
    for _ in range(rng.randint(1, 6)):
        a, b = (rng.choice(UTT_IDS) for _ in range(2))
        lines.append(columns.format(label=list(truth)[a[0] != b[0]] if truth else "", a=a, b=b))
        if rng.random() < 0.1:  # the same pair once more: repeated or swapped, right or contradicting
            a, b = rng.choice([(a, b), (b, a)])
            lines.append(columns.format(label=rng.choice([*truth, ""]), a=a, b=b))
    return "\n".join(lines).encode() + rng.choice([b"\n", b""])


def mutate(rng: random.Random, content: bytes) -> bytes:
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        start, end = sorted(rng.randint(0, len(content)) for _ in range(2))
        end = min(end, start + rng.choice([0, 1, 5, 60]))
        kind = rng.randrange(5)
        if kind == 0:  # cut out
            content = content[:start] + content[end:]
        elif kind == 1:  # put in
            content = content[:start] + rng.choice(PIECES) + content[start:]
        elif kind == 2:  # put another in its place
            content = content[:start] + rng.choice(PIECES) + content[end:]
        elif kind == 3:  # repeat
            content = content[:end] + content[start:]
        elif content:  # turn a bit
            place = rng.randrange(len(content))
            content = content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]
    return content


def result_of(path, read):
    """Return what a reader returns, or None when it refuses the file; any other exception is a failure."""
    try:
        return read()
    except InputError as error:
        assert str(path) in str(error) and len(str(error)) < 1000
        return None


def in_store(trials):
    """Return the truths that a list has when all its utterances are known and both kinds are there, else None."""
    if trials is None or not {name for trial in trials for name in trial[1:]} <= set(UTT_IDS):
        return None
    truths = [label for label, *_ in trials]
    return truths if None in truths or len(set(truths)) == 2 else None


def check(path, seeds):
    num_right = 0
    for seed in seeds:
        rng = random.Random(seed)
        trial_format, repeated = rng.choice(list(WORDS)), rng.choice(["error", "keep"])
        content = mutate(rng, make_list(rng, trial_format))
        path.write_bytes(content)
        expected = plain_parse(content, trial_format, repeated)
        trials = result_of(path, lambda: read_trials(path, trial_format, repeated))  # noqa: B023 - called at once
        assert trials == expected, (seed, trial_format, repeated, content)
        found = result_of(path, lambda: TrialList.read(path, trial_format, STORE, repeated_trials=repeated))  # noqa: B023
        expected = plain_parse(content, trial_format, repeated, UTT_IDS)
        truths = in_store(expected)
        assert (found is None) == (truths is None), (seed, trial_format, repeated, content)
        if found is not None:
            assert truths == ([None] * len(truths) if found.is_target is None else found.is_target.tolist())
            rows = zip(found.enrol, found.test, strict=True)
            assert [(UTT_IDS[a], UTT_IDS[b]) for a, b in rows] == [trial[1:] for trial in expected]
        num_right += found is not None
    return num_right


def test_mutated_lists_are_refused_or_read_right(tmp_path):
    num_right = check(tmp_path / "trials", range(2000))
    assert 200 < num_right < 1800  # both happen often, or the test would say little


@pytest.mark.slow
def test_100000_mutated_lists_are_refused_or_read_right(tmp_path):
    check(tmp_path / "trials", range(2000, 102_000))
