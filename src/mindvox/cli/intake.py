"""From recordings as people have them to tables, trials and settings: mindvox intake SOURCE TARGET."""

from collections.abc import Sequence
from typing import Optional

from mindvox.corpus import intake
from mindvox.speech.detector import KeepSpeech


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Take recordings in, with a speech detector for `--do_vad`."""
    return intake.main(argv, KeepSpeech.fetched)
