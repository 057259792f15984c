"""Sizes of axes, including sizes that are known only when a model runs.

Every size is a function of the sizes of the model's inputs. Sums have a normal form, so that equal sums compare equal:
`T + 4 - 4` is `T`.
"""

from dataclasses import dataclass
from typing import Any, Optional, Union


@dataclass(frozen=True)
class Atom:
    """A term of a size that is not a sum.

    Attributes:
        op: "input", "mul", "floordiv", "mod", "min" or "max".
        args: two sizes; of "input": its name and the axis.
        least: a lower bound of the value.
    """

    op: str
    args: tuple[Any, Any]
    least: int


@dataclass(frozen=True)
class Free:
    """A size that is known only when the model runs: `offset` plus the sum of atoms times factors.

    Attributes:
        terms: atoms and their non-zero factors, in a fixed order.
        offset: constant term.
    """

    terms: tuple[tuple[Atom, int], ...]
    offset: int = 0


UNBOUNDED = -(2**62)

Size = Union[int, Free]
Shape = tuple[Size, ...]


def size_of_input(name: str, axis: int, least: int) -> Free:
    """Return the size of an input's axis, which is at least `least`."""
    return Free(((Atom("input", (name, axis), least), 1),))


def least(size: Size) -> int:
    """Return a lower bound; UNBOUNDED or close to it if none is known."""
    if isinstance(size, int):
        return size
    bounds: list[int] = [UNBOUNDED]
    if all(factor > 0 for _, factor in size.terms):
        bounds.append(size.offset + sum(atom.least * factor for atom, factor in size.terms))
    for atom, factor in size.terms:
        left, right = atom.args
        if atom.op == "floordiv" and isinstance(right, int) and right > 0 and factor % right == 0:
            # left - (right - 1) <= right * (left // right) <= left
            share = factor // right
            rest = sub(size, mul(Free(((atom, 1),)), factor))
            bounds.append(least(add(rest, mul(left if share < 0 else sub(left, right - 1), share))))
    return max(bounds)


def add(left: Size, right: Size) -> Size:
    """Return left + right."""
    if isinstance(left, int) and isinstance(right, int):
        return left + right
    terms: dict[Atom, int] = {}
    for size in (left, right):
        for atom, factor in () if isinstance(size, int) else size.terms:
            terms[atom] = terms.get(atom, 0) + factor
    return _sum(terms, _offset(left) + _offset(right))


def sub(left: Size, right: Size) -> Size:
    """Return left - right."""
    return add(left, mul(right, -1))


def mul(left: Size, right: Size) -> Size:
    """Return left * right."""
    if isinstance(left, int) and isinstance(right, int):
        return left * right
    if isinstance(left, int):
        return mul(right, left)
    if isinstance(right, int):
        return _sum({atom: factor * right for atom, factor in left.terms}, left.offset * right)
    # The products of variable terms, and each offset times the other size.
    total = add(mul(left, right.offset), mul(Free(right.terms), left.offset))
    for one, factor in left.terms:
        for other, other_factor in right.terms:
            total = add(total, mul(_product(one, other), factor * other_factor))
    return total


def floordiv(left: Size, right: Size) -> Size:
    """Return left // right, rounded down as in Python."""
    if isinstance(right, int):
        if isinstance(left, int):
            return left // right
        if all(factor % right == 0 for _, factor in left.terms):
            return _sum({atom: factor // right for atom, factor in left.terms}, left.offset // right)
        whole, rest = divmod(left.offset, right)
        bound = least(Free(left.terms, rest)) // right if right > 0 else UNBOUNDED
        return add(_of_atom("floordiv", Free(left.terms, rest), right, bound), whole)
    return _of_atom("floordiv", left, right, 0 if least(left) >= 0 and least(right) > 0 else UNBOUNDED)


def mod(left: Size, right: Size) -> Size:
    """Return left % right, with the sign of `right` as in Python."""
    if isinstance(right, int):
        if isinstance(left, int):
            return left % right
        if all(factor % right == 0 for _, factor in left.terms):
            return left.offset % right
        left = Free(left.terms, left.offset % right)
    return _of_atom("mod", left, right, 0 if least(right) > 0 else UNBOUNDED)


def minimum(left: Size, right: Size) -> Size:
    """Return the smaller one."""
    gap = sub(left, right)
    if isinstance(gap, int) or least(gap) >= 0 or least(mul(gap, -1)) >= 0:
        return right if least(gap) >= 0 else left
    return _ordered("min", left, right, min(least(left), least(right)))


def maximum(left: Size, right: Size) -> Size:
    """Return the greater one."""
    gap = sub(left, right)
    if isinstance(gap, int) or least(gap) >= 0 or least(mul(gap, -1)) >= 0:
        return left if least(gap) >= 0 else right
    return _ordered("max", left, right, max(least(left), least(right)))


def ceildiv(left: Size, right: int) -> Size:
    """Return left / right, rounded up."""
    return floordiv(add(left, right - 1), right)


def product(shape: Shape) -> Size:
    """Return the number of elements."""
    total: Size = 1
    for size in shape:
        total = mul(total, size)
    return total


def inserted_axes(longer: Shape, shorter: Shape) -> Optional[list[int]]:
    """Return the additional axes of size 1 of one shape, or None if the shapes differ otherwise."""
    axes, position = [], 0
    for axis, size in enumerate(longer):
        if position < len(shorter) and shorter[position] == size:
            position += 1
        elif size == 1:
            axes.append(axis)
        else:
            return None
    return axes if axes and position == len(shorter) else None


def _offset(size: Size) -> int:
    return size if isinstance(size, int) else size.offset


def _sum(terms: dict[Atom, int], offset: int) -> Size:
    kept = sorted(((atom, factor) for atom, factor in terms.items() if factor), key=repr)
    return Free(tuple(kept), offset) if kept else offset


def _of_atom(op: str, left: Size, right: Size, bound: int) -> Free:
    return Free(((Atom(op, (left, right), max(bound, UNBOUNDED)), 1),))


def _ordered(op: str, left: Size, right: Size, bound: int) -> Free:
    """Return a commutative operation with ordered operands, so that equal ones compare equal."""
    return _of_atom(op, right, left, bound) if repr(right) < repr(left) else _of_atom(op, left, right, bound)


def _product(left: Atom, right: Atom) -> Free:
    """Return the product of two atoms."""
    bound = left.least * right.least if min(left.least, right.least) >= 0 else UNBOUNDED
    return _ordered("mul", Free(((left, 1),)), Free(((right, 1),)), bound)
