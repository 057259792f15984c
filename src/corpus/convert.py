"""Conversion of a tree of m4a recordings to wav or flac, 16 kHz mono, by ffmpeg, several at once.

Usage: python -m src.corpus.convert SOURCE_FOLDER TARGET_FOLDER [--audio_format flac] [--keep_m4a]
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Optional

from src.corpus.audio import SAMPLE_RATE
from src.corpus.table_io import write_skipped
from src.corpus.tree import Skipped
from src.errors import InputError, run
from src.files import lock_folder, user_path
from src.progress import Progress

AUDIO_FORMATS = {"wav": "pcm_s16le", "flac": "flac"}
FAILED_FILE = "failed_conversions.csv"
TIMEOUT_S = 600
INSTALL_FFMPEG = (
    "ffmpeg: not found. Install it, with `apt-get install ffmpeg` on Debian and Ubuntu, `yum install ffmpeg` on "
    "openEuler, or `conda install ffmpeg`, and run again."
)


def convert_tree(
    source: Path, target: Path, audio_format: str = "wav", num_processes: int = 0, keep_source: bool = False
) -> list[Skipped]:
    """Convert SOURCE/**.m4a to TARGET/**.wav or .flac; return those that failed, which TARGET's csv file lists.

    Recordings that are there already are kept, so that an interrupted conversion continues.

    Args:
        audio_format: "wav" or "flac".
        num_processes: at once; 0: one for each core.
        keep_source: keep each .m4a; else it is removed as soon as it is converted.

    Raises:
        InputError: ffmpeg is not installed, or the source is no folder.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise InputError(INSTALL_FFMPEG)
    if not source.is_dir():
        raise InputError(f"{source}: no such folder.")
    names = sorted(path.relative_to(source).as_posix() for path in _recordings(source))
    progress = Progress(len(names), "recordings")
    convert = partial(_convert_one, ffmpeg, source, target, audio_format, keep_source)
    failed = []
    with ThreadPool(num_processes or len(os.sched_getaffinity(0))) as pool:
        for result in pool.imap(convert, names):
            if result is not None:
                failed.append(result)
            progress.show(1, "converted ")
    if failed:
        write_skipped(target / FAILED_FILE, failed)
    else:
        (target / FAILED_FILE).unlink(missing_ok=True)
    print(f"{target}: {len(names) - len(failed)} recordings converted, {len(failed)} failed")
    return failed


def _recordings(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith(".m4a") and not name.startswith("."):
                yield Path(parent, name)


def _convert_one(
    ffmpeg: str, source: Path, target: Path, audio_format: str, keep_source: bool, name: str
) -> Optional[Skipped]:
    recording = source / name
    converted = (target / name).with_suffix(f".{audio_format}")
    if not converted.exists():
        reason = _call_ffmpeg(ffmpeg, recording, converted, AUDIO_FORMATS[audio_format], audio_format)
        if reason:
            return Skipped(name, reason)
    if not keep_source:
        recording.unlink()
    return None


def _call_ffmpeg(ffmpeg: str, recording: Path, converted: Path, codec: str, audio_format: str) -> str:
    """Convert one recording; return why it failed, if it did."""
    converted.parent.mkdir(parents=True, exist_ok=True)
    temporary = converted.with_name(f".{converted.name}.part")  # names that start with a dot are no recordings
    command = [ffmpeg, "-nostdin", "-loglevel", "error", "-y", "-threads", "1", "-i", f"file:{recording}"]
    command += ["-map", "0:a:0", "-ac", "1", "-ar", str(SAMPLE_RATE), "-sample_fmt", "s16", "-c:a", codec]
    command += ["-bitexact", "-f", audio_format, f"file:{temporary}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False)
        if done.returncode != 0:
            return (done.stderr.strip().splitlines() or [f"ffmpeg ended with {done.returncode}"])[-1]
        temporary.replace(converted)
    except subprocess.TimeoutExpired:
        return f"ffmpeg took more than {TIMEOUT_S} s"
    finally:
        temporary.unlink(missing_ok=True)
    return ""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Convert a tree of recordings."""
    parser = argparse.ArgumentParser(prog="python -m src.corpus.convert", description=main.__doc__)
    parser.add_argument("source", type=user_path, metavar="SOURCE_FOLDER", help="holds <speaker>/<session>/<file>.m4a")
    parser.add_argument("target", type=user_path, metavar="TARGET_FOLDER", help="such as voxceleb12/wav")
    parser.add_argument("--audio_format", choices=tuple(AUDIO_FORMATS), default="wav", help="flac takes less room")
    parser.add_argument("--num_processes", type=int, default=0, help="at once; 0: one for each core")
    parser.add_argument("--keep_m4a", action="store_true", help="keep the .m4a files")
    given = parser.parse_args(argv)
    with lock_folder(given.target):
        failed = convert_tree(given.source, given.target, given.audio_format, given.num_processes, given.keep_m4a)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run(main))
