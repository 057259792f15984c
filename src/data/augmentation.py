"""The augmenter and the features that a configuration asks for."""

from collections.abc import Callable

import numpy as np

from src.config import AugmentationOptions
from src.corpus.noises import NoiseFolder, RoomFolder, warn_about_skipped
from src.frontend.augment import Augmenter, parse_stages
from src.frontend.fbank import Fbank, FbankConfig


def make_augmenter(config: AugmentationOptions) -> Augmenter:
    """Open the folders of noises and rooms that the configured stages need, and return what draws and applies them.

    With `frontend: speechbrain` the distortions are SpeechBrain's own code, drawn by our generators.

    Raises:
        UsageError: a stage is unknown, or needs a folder that is not set.
        InputError: a folder holds nothing usable, or SpeechBrain is missing.
    """
    stages = parse_stages(config)
    steps = {step for stage in stages for step in stage.steps}
    noises = rooms = None
    if config.noise_folder and steps & {"noise", "music", "speech"}:
        noises = NoiseFolder.open(config.noise_folder)
        warn_about_skipped(config.noise_folder, noises.skipped)
    if config.rir_folder and "reverb" in steps:
        rooms = RoomFolder.open(config.rir_folder)
        warn_about_skipped(config.rir_folder, rooms.skipped)
    if config.frontend == "speechbrain":
        from src.frontend import speechbrain_front

        return Augmenter(stages, config, noises, rooms, speechbrain_front)
    return Augmenter(stages, config, noises, rooms)


def make_fbank(frontend: str, config: FbankConfig, dtype: type = np.float64) -> Callable[[np.ndarray], np.ndarray]:
    """Return what turns a waveform (N,) into features (T, F): ours, or SpeechBrain's own, with the same numbers.

    Args:
        dtype: of our transform; SpeechBrain's is single.

    Raises:
        InputError: SpeechBrain is missing.
    """
    if frontend == "speechbrain":
        from src.frontend.speechbrain_front import SpeechBrainFbank

        return SpeechBrainFbank(config)
    return Fbank(config, dtype)
