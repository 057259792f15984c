"""Build the front end of a configuration."""

from collections.abc import Mapping
from copy import copy
from typing import Any, Union

import numpy as np

from mindvox.config import Choice, Config, EvalPrepConfig, Given, TrainPrepConfig, describe
from mindvox.corpus.audio import SAMPLE_RATE
from mindvox.errors import InputError, UsageError
from mindvox.frontend import FrontEnd, check_front_end, front_end_of
from mindvox.frontend.fbank import Fbank
from mindvox.registry import FRONT_ENDS


def by_backend(front_end: FrontEnd, backend: str) -> FrontEnd:
    """Return the front end computed by a backend with the same results: ours, or SpeechBrain's code.

    Raises:
        UsageError: SpeechBrain has no such front end.
        InputError: SpeechBrain is missing.
    """
    if backend != "speechbrain":
        return front_end
    if not isinstance(front_end, Fbank):
        raise UsageError(f"feature_backend: speechbrain has no front end {front_end.name}: set builtin.")
    from mindvox.frontend.speechbrain_front import SpeechBrainFbank

    return SpeechBrainFbank(**vars(front_end.options))


def prepared_front_end(config: Union[TrainPrepConfig, EvalPrepConfig]) -> FrontEnd:
    """Return the front end of a preparation configuration.

    Raises:
        UsageError: the front end needs another sample rate, or stored pieces may be shorter than a frame.
        InputError: SpeechBrain is selected but missing.
    """
    front_end = config.front_end.build()
    _check_sample_rate(front_end)
    lengths = {"min_duration": config.min_duration}
    if not config.whole_utterance:
        lengths["sentence_len"] = config.sentence_len
    for key, duration_s in lengths.items():
        if front_end.num_frames(round(duration_s * SAMPLE_RATE)) < 1:
            least_s = front_end.num_samples(1) / SAMPLE_RATE
            raise UsageError(f"{key}: expected at least a frame of the front end, {least_s:g} s, got {duration_s:g} s.")
    return by_backend(front_end, config.feature_backend)


def training_front_end(config: Config) -> FrontEnd:
    """Return the front end of a training configuration, in single precision.

    If the configuration does not set the size of a frame and one key does, the model's input size is used.

    Raises:
        UsageError: the front end needs another sample rate.
        InputError: SpeechBrain is selected but missing.
    """
    choice = config.front_end
    cls = choice.registry.get(choice.name)
    settings = dict(vars(choice.options))
    if cls.size_option and cls.size_option not in choice.given:
        settings[cls.size_option] = config.model.options.in_channels
    front_end = cls(np.float32, **settings)
    _check_sample_rate(front_end)
    return by_backend(front_end, config.feature_backend)


def check_training_front_end(config: Config, stored: Mapping[str, Any], folder: str) -> None:
    """Raise InputError if a training configuration asks for other features than a store of features holds.

    Args:
        config: the settings; unset keys of the front end fit any store.
        stored: the store's front end, from its manifest.
        folder: folder of the store.
    """
    differing = config.front_end.differing(_as_section(stored, folder))
    if not differing:
        return
    check_front_end(training_front_end(config).to_dict(), stored, folder)
    said = ", ".join(f"{given.key} {given.value}" for given in differing)
    raise InputError(
        f"{folder}: holds features, the configuration says {said}, which acts on waveforms. Leave that out, or prepare "
        "with --store_kind=waveform."
    )


def take_front_end(config: Config, stored: Mapping[str, Any], source: object) -> Config:
    """Return the configuration with the front end of a checkpoint or store.

    Differing keys of a YAML file are ignored, and a line says so. Differing keys of the command line are an error.
    Options that affect only training features (dither) stay as the user set them.

    Args:
        config: the user's settings.
        stored: the front end of the checkpoint or store.
        source: its path, for messages.

    Raises:
        InputError: the command line sets another front end.
    """
    section = _as_section(stored, source)
    free = FRONT_ENDS.get(section["name"]).training_options
    kept = {key: given for key, given in config.front_end.given.items() if key in free}
    others = [given for given in config.front_end.differing(section) if given not in kept.values()]
    wrong = [given for given in others if given.is_of_command_line]
    if wrong:
        said = ", ".join(f"--{given.key}={given.value}" for given in wrong)
        raise InputError(
            f"{source}: has the front end {describe(section)}; the command line says {said}. Leave that out, or name "
            "another checkpoint or store."
        )
    if others:
        unused = ", ".join(f"{given.key} {given.value}" for given in others)
        print(f"not used: {unused} of the configuration; {source} has the front end {describe(section)}")
    name = section.pop("name")
    keys = {key: Given(str(source), f"front_end.{key}", value) for key, value in section.items()}
    taken = copy(config)
    taken.front_end = Choice(FRONT_ENDS, name, {**keys, **kept})
    return taken


def _as_section(stored: Mapping[str, Any], source: object) -> dict[str, Any]:
    """Return a stored front end as a section of the configuration."""
    front_end = front_end_of(stored, source)
    return {"name": front_end.name, **vars(front_end.options)}


def _check_sample_rate(front_end: FrontEnd) -> None:
    if front_end.sample_rate != SAMPLE_RATE:
        raise UsageError(
            f"front_end.sample_rate: recordings are read at {SAMPLE_RATE} Hz, got {front_end.sample_rate}."
        )
