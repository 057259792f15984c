"""Build the augmenter of a configuration."""

from typing import NamedTuple, Optional

from mindvox.config import AugmentationOptions
from mindvox.corpus.audio import Skipped
from mindvox.corpus.noises import NoiseFolder, RoomFolder, warn_about_skipped
from mindvox.frontend.augment import Augmenter, parse_stages


class Folders(NamedTuple):
    """Checked folders of noises and rooms, which other processes receive without checking them again."""

    noises: Optional[NoiseFolder] = None
    rooms: Optional[RoomFolder] = None

    def skipped(self) -> list[Skipped]:
        """Return the files that are not used, named by the key of their folder and their path in it."""
        named = (("noise_folder", self.noises), ("rir_folder", self.rooms))
        return [Skipped(f"{key}/{name}", reason) for key, folder in named if folder for name, reason in folder.skipped]


def open_folders(config: AugmentationOptions) -> Folders:
    """Check the folders of noises and rooms that the configured stages need; unusable files are listed on stderr.

    Raises:
        UsageError: a stage is unknown.
        InputError: a folder holds nothing usable.
    """
    steps = {step for stage in parse_stages(config) for step in stage.steps}
    noises = rooms = None
    if config.noise_folder and steps & {"noise", "music", "speech"}:
        noises = NoiseFolder.open(config.noise_folder)
        warn_about_skipped(config.noise_folder, noises.skipped)
    if config.rir_folder and "reverb" in steps:
        rooms = RoomFolder.open(config.rir_folder)
        warn_about_skipped(config.rir_folder, rooms.skipped)
    return Folders(noises, rooms)


def make_augmenter(config: AugmentationOptions, folders: Optional[Folders] = None) -> Augmenter:
    """Return an augmenter that draws and applies the configured stages.

    With `feature_backend: speechbrain`, SpeechBrain's code distorts, but our generators draw its parameters.

    Args:
        folders: checked noises and rooms; None: call open_folders.

    Raises:
        UsageError: a stage is unknown, or needs a folder that is not set.
        InputError: a folder has no usable file, or SpeechBrain is missing.
    """
    stages = parse_stages(config)
    noises, rooms = open_folders(config) if folders is None else folders
    if config.feature_backend == "speechbrain":
        from mindvox.frontend import speechbrain_front

        return Augmenter(stages, config, noises, rooms, speechbrain_front)
    return Augmenter(stages, config, noises, rooms)
