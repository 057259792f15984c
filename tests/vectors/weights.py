"""Deterministic numbers for the reference vectors: every weight, and every random test array, from its name alone.

Needs numpy only and uses integer arithmetic up to the last step, so that every machine and numpy version gives the same
bits. `make_state(entries)` is what most readers want:

    import json, numpy as np, weights
    case = np.load("net_ws_resnet34.npz")
    entries = json.loads(str(case["state"]))     # [[name, shape, rule], ...] in the order of the torch state dict
    state = weights.make_state(entries)          # {name: float32 array}; entries of rule "keep" are left out

Rules (N = the bounded bell-shaped numbers of `normal`, U = `uniform` in [0, 1)):
    matrix  N * sqrt(gain / fan_in); fan_in = product of all axes but the first; gain 2 for three or more axes
            (convolutions), 1 for two axes (linear layers, recurrent layers)
    column  N * sqrt(1 / rows), for parameters that are applied as x @ parameter, shape (rows, columns)
    scale   1 + 0.1 N       (weight of a normalisation)
    shift   0.1 N           (every bias, running_mean)
    var     1 + 0.5 U       (running_var)
    zero    0               (num_batches_tracked)
    low     30 + 55 i + 10 U, band: 40 + 60 U   (SincConv cut-off parameters, Hz; i = index of the filter)
    keep    a constant of the model (window, mel matrix): not generated, keep what the model computes itself
A rule may carry a factor, "var*3.21" or "shift*1.79": the value of the rule times that factor. The running statistics
of the network cases have such factors, measured once, so that activations keep a deviation near 1 in evaluation too.
"""

import zlib

import numpy as np

_U64 = np.uint64


def words(name, count):
    """Return `count` 64-bit words: the splitmix64 finaliser of (crc32(name) << 32) + i, i = 0, 1, ..."""
    start = _U64(zlib.crc32(name.encode("utf-8"))) << _U64(32)
    with np.errstate(over="ignore"):
        z = start + np.arange(count, dtype=_U64) + _U64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> _U64(27))) * _U64(0x94D049BB133111EB)
        return z ^ (z >> _U64(31))


def uniform(name, shape):
    """Float64 numbers in [0, 1): the upper 53 bits of each word over 2^53."""
    z = words(name, int(np.prod(shape, dtype=np.int64)))
    return ((z >> _U64(11)).astype(np.float64) / 2.0**53).reshape(shape)


def normal(name, shape):
    """Float64 numbers of mean 0 and deviation 1: the sum of the four 16-bit quarters of each word, standardised."""
    z = words(name, int(np.prod(shape, dtype=np.int64)))
    total = sum(((z >> _U64(s)) & _U64(0xFFFF)).astype(np.int64) for s in (0, 16, 32, 48))
    return ((total - 131070) / np.sqrt((2.0**32 - 1) / 3)).reshape(shape)


def rule_of(name, shape):
    """Name the rule that belongs to a state-dict entry."""
    last = name.split(".")[-1]
    if last == "num_batches_tracked":
        return "zero"
    if name.endswith(("spectrogram.window", "mel_scale.fb", "flipped_filter")):
        return "keep"
    if last == "low_hz_":
        return "low"
    if last == "band_hz_":
        return "band"
    if last == "running_var":
        return "var"
    if last in ("running_mean", "beta") or last.startswith("bias"):
        return "shift"
    if last == "attention" or last == "W":
        return "column"
    if last == "gamma" or (last.startswith("weight") and len(shape) == 1):
        return "scale"
    if last.startswith("weight") and len(shape) >= 2:
        return "matrix"
    raise ValueError(f"no rule for {name} {tuple(shape)}")


def make_array(name, shape, rule):
    """Return one float32 array (int64 for rule "zero"), or None for rule "keep"."""
    shape = tuple(shape)
    rule, _, factor = rule.partition("*")
    if rule == "keep":
        return None
    if rule == "zero":
        return np.zeros(shape, np.int64)
    if rule == "matrix":
        gain = 2.0 if len(shape) >= 3 else 1.0
        value = normal(name, shape) * np.sqrt(gain / np.prod(shape[1:], dtype=np.float64))
    elif rule == "column":
        value = normal(name, shape) * np.sqrt(1.0 / shape[0])
    elif rule == "scale":
        value = 1.0 + 0.1 * normal(name, shape)
    elif rule == "shift":
        value = 0.1 * normal(name, shape)
    elif rule == "var":
        value = 1.0 + 0.5 * uniform(name, shape)
    elif rule == "low":
        value = 30.0 + 55.0 * np.arange(shape[0], dtype=np.float64).reshape(shape) + 10.0 * uniform(name, shape)
    elif rule == "band":
        value = 40.0 + 60.0 * uniform(name, shape)
    else:
        raise ValueError(f"unknown rule {rule}")
    return (value * float(factor or 1)).astype(np.float32)


def make_state(entries):
    """Build {name: array} from [[name, shape, rule], ...], the JSON under key "state" of a case file."""
    arrays = ((name, make_array(name, shape, rule)) for name, shape, rule in entries)
    return {name: array for name, array in arrays if array is not None}


def features(name, batch, frames, bins):
    """Float32 (batch, frames, bins) made to look like mean-carrying log-mel features, on a grid of 1/64."""
    white = normal(name, (batch, frames, bins))
    slow = np.repeat(normal(name + "/slow", (batch, frames // 8 + 1, bins)), 8, axis=1)[:, :frames]
    level = normal(name + "/level", (batch, 1, bins))
    return (np.round((0.8 * white + 0.6 * slow + 0.5 * level) * 64) / 64).astype(np.float32)


def waveform(name, batch, samples):
    """Float32 (batch, samples) in (-1, 1): three harmonics whose loudness changes plus noise, on a grid of 1/32768."""
    noise = normal(name, (batch, samples))
    loud = np.repeat(uniform(name + "/loud", (batch, samples // 1600 + 1)), 1600, axis=1)[:, :samples]
    pitch = 100.0 + 80.0 * uniform(name + "/pitch", (batch, 1))
    phase = 2 * np.pi * pitch * np.arange(samples) / 16000.0
    tone = np.sin(phase) + 0.6 * np.sin(2 * phase) + 0.4 * np.sin(5 * phase)
    return (np.round((0.2 * loud * tone + 0.02 * noise) * 32768) / 32768).astype(np.float32)
