"""Damaged score files are refused, or read as an independent reader reads them: no traceback, no wrong number."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest

from mindvox.errors import InputError
from mindvox.scoring.measures import measure_llr
from mindvox.scoring.score_files import read_scores
from tests.scoring.plain_names import plain_names

HOSTILE = [
    *("nan", "inf", "-inf", "1e999", "-1e-999", "1_0", "0x10", "1e", "--1", ".", "1.5.2", "+.5e-3", "٣", "½", "1,5"),
    *("\t", "\n", "\r", "\r\n", " ", "\x00", "\x0b", "\x1c", "\x85", "\u2028", "\ufeff", "\u200b", "é", "-", "#", '"'),
    *("0", "1", "2", "01", "True", "label", "baseline", "1\t", "\n\n", "a\tb", "=1+1", "<b>", "%s", "{}", "9" * 400),
]
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE]([+-]?[0-9]+))?")


def simple_read(data):
    """The file's trials as (is_target, enrol, test, numbers), by the rules of the form; None when it breaks one."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    if not text.endswith("\n"):
        return None
    header, *lines = [line[:-1] if line[-1:] == "\r" else line for line in text[:-1].split("\n")]
    while lines and not lines[-1].strip(" \r"):  # blank lines at the end, which an editor may add
        lines.pop()
    columns = header.split("\t")
    is_blind = columns[0] == "enrol"
    columns = ["label", *columns] if is_blind else columns
    scores = columns[3:]
    if columns[:3] != ["label", "enrol", "test"] or not scores or not lines or len(set(scores)) < len(scores):
        return None
    trials, seen = [], {}
    for line in lines:
        label, *rest = (["0"] if is_blind else []) + line.split("\t")
        if label not in ("0", "1") or len(rest) != len(columns) - 1 or not all(map(NUMBER.fullmatch, rest[2:])):
            return None
        trials.append((None if is_blind else label == "1", rest[0], rest[1], tuple(map(as_double, rest[2:]))))
    sides = [name for trial in trials for name in trial[1:3]]
    if any(not name or name != name.strip() or not name.isprintable() for name in (*scores, *sides)):
        return None
    names = plain_names(sides, ())
    if any(" " in name for name in scores) or names is None:
        return None
    for index, (is_target, *_, numbers) in enumerate(trials):
        pair = tuple(names[2 * index : 2 * index + 2])
        trials[index] = trial = (is_target, *pair, numbers)
        if not all(map(math.isfinite, numbers)) or seen.setdefault(pair, trial) != trial:
            return None
        if is_target is False and pair[0] == pair[1]:
            return None
    return trials


def as_double(text):
    """The nearest double of a decimal number, by exact fractions instead of float()."""
    mantissa, _, exponent = text.lower().partition("e")
    if abs(int(exponent or 0)) > 400:
        return 0.0 if int(exponent) < 0 or not mantissa.strip("+-.0") else math.inf
    try:
        return float(Fraction(mantissa if mantissa[-1] != "." else mantissa + "0") * Fraction(10) ** int(exponent or 0))
    except OverflowError:
        return math.inf


def good_file(rng):
    columns = ["baseline", "s-norm", "llr"][: rng.integers(1, 4)]
    lines = ["\t".join(["label", "enrol", "test", *columns])]
    for _ in range(rng.integers(1, 8)):
        names = [f"id{rng.integers(3)}/{rng.integers(3)}.wav" for _ in range(2)]
        lines.append(
            "\t".join([str(rng.integers(2)), *names, *(f"{score:.9g}" for score in rng.normal(size=len(columns)))])
        )
    return "".join(line + "\n" for line in lines)


def damaged(text, rng):
    """The bytes of a file with some damage."""
    for _ in range(rng.integers(0, 4)):
        kind, place = rng.integers(7), int(rng.integers(len(text) + 1))
        lines = text.splitlines(keepends=True) or [""]
        row = int(rng.integers(len(lines)))
        if kind == 0:  # something hostile within
            text = text[:place] + str(rng.choice(HOSTILE)) + text[place + int(rng.integers(2)) :]
        elif kind == 1:  # a field that is something else
            fields = lines[row].rstrip("\n").split("\t")
            fields[int(rng.integers(len(fields)))] = str(rng.choice(HOSTILE))
            text = "".join([*lines[:row], "\t".join(fields) + "\n", *lines[row + 1 :]])
        elif kind == 2:  # a line again, perhaps with another number or label
            line = lines[row].replace(str(rng.integers(10)), str(rng.integers(10)), int(rng.integers(2)))
            text = "".join([*lines, line])
        elif kind == 3:  # cut off
            text = text[:place]
        elif kind == 4:  # a column less or more
            fields = lines[row].rstrip("\n").split("\t")
            fields = fields[:-1] if rng.integers(2) else [*fields, "1"]
            text = "".join([*lines[:row], "\t".join(fields) + "\n", *lines[row + 1 :]])
        elif kind == 5:  # lines in another order
            text = "".join(lines[index] for index in rng.permutation(len(lines)))
        else:  # blind
            text = re.sub(r"(?m)^(label|[01])\t", "", text)
    data = bytearray(text.encode("utf-8"))
    if data and rng.integers(8) == 0:  # a byte that is something else
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
    return bytes(data)


def check(seed, path):
    """Read one damaged file both ways; return whether it was good."""
    rng = np.random.default_rng(seed)
    data = damaged(good_file(rng), rng)
    path.write_bytes(data)
    expected = simple_read(data)
    try:
        table = read_scores(path)
    except InputError as error:
        assert expected is None, (seed, data, str(error))
        assert str(error).startswith(str(path)), seed
        return False
    assert expected is not None, (seed, data)
    labels = [None] * len(table) if table.is_target is None else table.is_target.tolist()
    numbers = zip(*(scores.tolist() for scores in table.columns.values()), strict=True)
    assert list(zip(labels, table.enrol, table.test, numbers, strict=True)) == expected, (seed, data)
    check_measures(table)
    return True


def check_measures(table):
    """Error rates are numbers, or refused."""
    try:
        is_target = table.truth()
    except InputError:
        return
    for scores in table.columns.values():
        if np.abs(scores).max() < 1e300:  # their sum is a number, too
            found = measure_llr(scores, is_target)
            rates = [found.eer, found.min_cllr, found.roc_auc, *found.min_dcf.values()]
            assert all(0 <= rate <= 1 + 1e-9 for rate in rates), rates
            assert found.cllr >= found.min_cllr - 1e-9
            assert all(found.act_dcf[prior] >= cost - 1e-9 for prior, cost in found.min_dcf.items())


def check_many(seeds, path):
    good = sum(check(seed, path) for seed in seeds)
    assert 0.1 * len(seeds) < good < 0.6 * len(seeds), good  # else the damage is too great, or none


def test_2000_damaged_files_are_refused_or_read_right(tmp_path):
    check_many(range(2000), tmp_path / "scores.tsv")


@pytest.mark.slow
def test_100000_damaged_files_are_refused_or_read_right(tmp_path):
    check_many(range(100_000), tmp_path / "scores.tsv")
