"""Parsers of values that are more than text, a number or a switch; they raise ValueError with what they expected."""

import re
from collections.abc import Callable
from typing import Any, Union

from mindvox.config.option import FALSE, TRUE


def class_num(value: Any) -> int:
    """Return the number of training speakers; 0 means `auto`."""
    if value == "auto":
        return 0
    try:
        count = int(str(value))
    except ValueError:
        raise ValueError("expected 'auto' or a number of speakers") from None
    if count < 2:
        raise ValueError("expected 'auto' or at least 2 speakers")
    return count


def store_kind(value: Any) -> str:
    """Return the content of a store, `features` or `waveform`; the first version called features `fbank`."""
    if value not in ("features", "waveform", "fbank"):
        raise ValueError("expected features or waveform")
    return "waveform" if value == "waveform" else "features"


def loss_scale(value: Any) -> Union[str, float]:
    """Return a factor on the loss, `auto` or `dynamic`."""
    if value in ("auto", "dynamic"):
        return value
    try:
        number = float(str(value))
    except ValueError:
        raise ValueError("expected auto, dynamic or a number") from None
    if not 1 <= number < float("inf"):
        raise ValueError("expected auto, dynamic or a number of at least 1")
    return number


def train_percent(value: Any) -> float:
    """Return the percentage of utterances for train, given [train, dev] or one number."""
    parts = value if isinstance(value, list) else str(value).strip("[]").split(",")
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) == 2 and sum(numbers) == 100:
        numbers = numbers[:1]
    if len(numbers) != 1 or not 0 < numbers[0] <= 100:
        raise ValueError("expected percents of train and dev such as [90, 10]")
    return numbers[0]


def _items(value: Any) -> list[str]:
    """Return the entries of a YAML list or of comma-separated text from the command line."""
    parts = value if isinstance(value, list) else str(value).strip("[] ").split(",")
    return [str(part).strip() for part in parts if str(part).strip()]


def input_kind(value: Any) -> str:
    """Return the input of an exported model, `features` or `waveform`; the model zoo calls features `fbank`."""
    kind = {"fbank": "features"}.get(str(value), str(value))
    if kind not in ("features", "waveform"):
        raise ValueError("expected features (or fbank) or waveform")
    return kind


def output_names(value: Any) -> tuple[str, ...]:
    """Return the names of an exported model's outputs; the first is the embedding."""
    names = tuple(_items(value))
    if names[:1] != ("embedding",) or len(set(names)) < len(names):
        raise ValueError("expected embedding, then other outputs without repetition, such as embedding,attention")
    return names


def part_names(value: Any) -> tuple[str, ...]:
    """Return the names of parts of a model, without repetition; an empty value means no parts."""
    names = tuple(_items(value)) if value is not None else ()
    if len(set(names)) < len(names):
        raise ValueError("expected different names of parts, such as head,blocks.0")
    return names


def stage_names(value: Any) -> tuple[str, ...]:
    """Return the names of augmentation stages, as `name:weight` where a weight is given."""
    names = []
    for part in value if isinstance(value, list) else _items(value):
        pairs = part.items() if isinstance(part, dict) else [(part, None)]  # YAML reads `name: 0.5` as a mapping
        names += [str(name) if weight is None else f"{name}:{weight}" for name, weight in pairs]
    if not names:
        raise ValueError("expected a list of stages such as [clean, add_noise]")
    return tuple("".join(name.split()) for name in names)


def _numbers(value: Any) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in _items(value))
    except ValueError:
        return ()


def span(minimum: float = -100.0, maximum: float = 100.0, whole: bool = False) -> Callable[[Any], tuple]:
    """Return a parser of [least, greatest]; a single number means both."""
    kind, words = (int, "two whole numbers") if whole else (float, "two numbers")

    def parse(value: Any) -> tuple:
        numbers = _numbers(value)
        low, high = numbers if len(numbers) == 2 else numbers * 2 if len(numbers) == 1 else (1.0, 0.0)
        if not minimum <= low <= high <= maximum or (whole and (low % 1 or high % 1)):
            raise ValueError(f"expected {words} [least, greatest] between {minimum:g} and {maximum:g}")
        return kind(low), kind(high)

    return parse


def speeds(value: Any) -> tuple[float, ...]:
    """Return speed factors that are whole percents."""
    factors = _numbers(value)
    percents = [round(100 * factor) for factor in factors]
    exact = all(abs(100 * factor - percent) < 1e-6 for factor, percent in zip(factors, percents, strict=True))
    if not factors or not exact or len(set(percents)) < len(percents) or not all(50 <= p <= 200 for p in percents):
        raise ValueError("expected different factors of whole percents between 0.5 and 2, such as [0.95, 1.0, 1.05]")
    return factors


def part(value: Any) -> str:
    """Return `i/n`."""
    match = re.fullmatch(r"([1-9][0-9]*)/([1-9][0-9]*)", str(value).strip())
    if not match or int(match[1]) > int(match[2]):
        raise ValueError("expected i/n with i from 1 to n, such as 1/4")
    return match[0]


def resume(value: Any) -> str:
    """Return `no`, `auto` or the path of a checkpoint."""
    text = "" if value is None else str(value)
    if text.lower() in ("", *FALSE):
        return "no"
    return "auto" if text.lower() in TRUE else text
