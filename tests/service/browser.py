"""A real Chromium whose microphone plays files."""

import os
import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "data" / "mini_librispeech" / "voxceleb1" / "wav"
CHROMIUM = shutil.which("chromium")
RATE = 16000  # Hz, of the recordings
LONGEST_ANSWER_MS = 30_000
PAUSE_S = 0.3  # before somebody speaks


def missing() -> str:
    """Return what the tests of the page need but is not installed; empty: nothing is missing."""
    absent = [name for name in ("playwright", "axe_playwright_python") if find_spec(name) is None]
    if CHROMIUM is None:
        absent.append("chromium (scripts/install_system_packages.sh --tests)")
    return ", ".join(absent)


class Microphone:
    """The audio that the browser's microphone hears; the browser rereads the file for each recording.

    Args:
        path: the .wav file to write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.play(np.zeros(RATE, np.float32))

    def play(self, waveform: np.ndarray) -> float:
        """Play samples (N,) after a pause, and return their length in s."""
        heard = np.concatenate([np.zeros(round(PAUSE_S * RATE), np.float32), waveform])
        new = self.path.with_suffix(".new")
        soundfile.write(new, heard, RATE, subtype="PCM_16", format="WAV")
        os.replace(new, self.path)
        return len(heard) / RATE


@contextmanager
def chromium(microphone: Microphone):
    """Run Chromium; yield playwright's browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            headless=False,  # playwright's own headless mode is another program; --headless=new is the browser itself
            args=[
                *("--headless=new", "--no-sandbox", "--use-fake-ui-for-media-stream"),
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={microphone.path}%noloop",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()


def recordings(reader: str) -> list[Path]:
    """Return the paths of a reader's recordings."""
    return sorted((RECORDINGS / reader).rglob("*.flac"))


def spoken(reader: str, first: int, count: int = 1) -> np.ndarray:
    """Return some of a reader's recordings (N,), one after the other."""
    paths = recordings(reader)[first : first + count]
    return np.concatenate([soundfile.read(path, dtype="float32")[0] for path in paths])
