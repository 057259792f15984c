"""Sizes that are known only when a model runs."""

import numpy as np
import pytest

from mindvox.deploy.graph import sizes
from mindvox.deploy.graph.sizes import Free, inserted_axes, size_of_input

BATCH, FRAMES = size_of_input("feats", 0, 1), size_of_input("feats", 1, 9)
OPERATIONS = {"mul": int.__mul__, "floordiv": int.__floordiv__, "mod": int.__mod__, "min": min, "max": max}


def value_of(size, batch, frames):
    """Compute a size for given sizes of the input."""
    if isinstance(size, int):
        return size
    total = size.offset
    for atom, factor in size.terms:
        if atom.op == "input":
            value = (batch, frames)[atom.args[1]]
        else:
            value = OPERATIONS[atom.op](*(value_of(part, batch, frames) for part in atom.args))
        assert value >= atom.least
        total += factor * value
    return total


def test_what_is_written_in_other_ways_is_the_same_size():
    padded = sizes.add(FRAMES, 4)
    assert sizes.sub(padded, 4) == FRAMES
    assert sizes.sub(FRAMES, FRAMES) == 0
    assert sizes.floordiv(sizes.mul(sizes.mul(FRAMES, 8), 3), 24) == FRAMES
    assert sizes.floordiv(sizes.add(FRAMES, 5), 2) == sizes.add(sizes.floordiv(sizes.add(FRAMES, 1), 2), 2)
    assert sizes.mul(sizes.add(FRAMES, 1), BATCH) == sizes.add(sizes.mul(BATCH, FRAMES), BATCH)
    assert sizes.mod(sizes.mul(FRAMES, 4), 2) == 0


def test_bounds_decide_what_they_can():
    assert sizes.minimum(3, FRAMES) == 3
    assert sizes.maximum(FRAMES, 9) == FRAMES
    assert sizes.minimum(FRAMES, sizes.mul(sizes.ceildiv(FRAMES, 100), 100)) == FRAMES
    assert sizes.minimum(FRAMES, sizes.mul(sizes.floordiv(FRAMES, 4), 4)) == sizes.mul(sizes.floordiv(FRAMES, 4), 4)
    undecided = sizes.minimum(FRAMES, 100)
    assert isinstance(undecided, Free) and value_of(undecided, 1, 50) == 50 and value_of(undecided, 1, 200) == 100


@pytest.mark.parametrize("seed", range(20))
def test_any_formula_has_the_value_that_python_computes(seed):
    rng = np.random.default_rng(seed)
    batch, frames = (int(rng.integers(1, 5)), int(rng.integers(9, 60)))
    made = [(BATCH, batch), (FRAMES, frames), (3, 3), (7, 7)]
    functions = [
        (sizes.add, int.__add__), (sizes.sub, int.__sub__), (sizes.mul, int.__mul__), (sizes.minimum, min),
        (sizes.maximum, max), (sizes.floordiv, int.__floordiv__), (sizes.mod, int.__mod__),
    ]  # fmt: skip
    for _ in range(25):
        compute, reference = functions[rng.integers(len(functions))]
        (left, left_value), (right, right_value) = (made[rng.integers(len(made))] for _ in range(2))
        if abs(left_value) > 10**6 or abs(right_value) > 10**6:
            continue
        if compute in (sizes.floordiv, sizes.mod) and sizes.least(right) <= 0:
            right, right_value = 5, 5
        size, expected = compute(left, right), reference(left_value, right_value)
        assert value_of(size, batch, frames) == expected
        assert sizes.least(size) <= expected
        made.append((size, expected))


def test_inserted_axes_are_found_where_only_ones_were_added():
    assert inserted_axes((BATCH, 8, 1, FRAMES), (BATCH, 8, FRAMES)) == [2]
    assert inserted_axes((1, 8, 1, 30), (1, 8, 30)) == [2]
    assert inserted_axes((BATCH, 4, 2), (BATCH, 8)) is None
    assert inserted_axes((BATCH, 8), (BATCH, 8)) is None
