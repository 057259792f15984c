"""Convert a tree of recordings to wav or flac, 16 kHz mono, in several processes.

Usage: mindvox convert-audio SOURCE_FOLDER TARGET_FOLDER [--audio_format flac] [--keep_m4a]
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Optional

import soundfile

from mindvox.arguments import Parser
from mindvox.corpus.audio import SAMPLE_RATE, BadAudio, Skipped, read_audio, suffix_of, to_int16
from mindvox.corpus.decoders import MEDIA_SUFFIXES
from mindvox.corpus.table_io import write_skipped
from mindvox.corpus.walk import walk_audio
from mindvox.errors import InputError, run
from mindvox.files import atomic_path, lock_folder, user_path
from mindvox.progress import Progress

AUDIO_FORMATS = ("wav", "flac")
FAILED_FILE = "failed_conversions.csv"


def convert_tree(
    source: Path, target: Path, audio_format: str = "wav", num_processes: int = 0, keep_source: bool = False
) -> list[Skipped]:
    """Convert all files that are audio by name; return the failed ones, which a csv file in TARGET lists.

    The samples are those that preparation would read from the source, rounded to 16 bits. Existing recordings are kept,
    so that an interrupted conversion resumes.

    Args:
        audio_format: "wav" or "flac".
        num_processes: number of processes; 0: one per core.
        keep_source: keep each .m4a; otherwise remove it once it is converted. Other files always stay.

    Raises:
        InputError: the source is not a folder, or PyAV is needed but not installed.
    """
    found = walk_audio(source)
    names, twins = _without_twins(source, target, found.names, audio_format)
    if find_spec("av") is None and any(suffix_of(name) in MEDIA_SUFFIXES for name in names):
        raise InputError(f"{source}: PyAV is needed to convert it: pip install -e '.[media]'")
    progress = Progress(len(names), "recordings")
    convert = partial(_convert_one, source, target, audio_format, keep_source)
    failed = [*found.skipped, *twins]
    # Not forked: the copy of a process with threads can deadlock.
    context = multiprocessing.get_context("spawn")
    with context.Pool(num_processes or len(os.sched_getaffinity(0)), _ignore_interrupts) as pool:
        for result in pool.imap(convert, names):
            if result is not None:
                failed.append(result)
            progress.show(1, "converted ")
    if failed:
        write_skipped(target / FAILED_FILE, failed)
    else:
        (target / FAILED_FILE).unlink(missing_ok=True)
    num_converted = len(names) + len(found.skipped) + len(twins) - len(failed)
    print(f"{target}: {num_converted} recordings converted, {len(failed)} failed")
    return failed


def _without_twins(
    source: Path, target: Path, names: Sequence[str], audio_format: str
) -> tuple[list[str], list[Skipped]]:
    """Return the recordings to convert, and those that would overwrite another one."""
    first: dict[Path, str] = {}
    twins = []
    for name in names:
        converted = _converted_path(target, name, audio_format)
        if first.setdefault(converted, name) != name:
            twins.append(Skipped(name, f"would become the same file as {first[converted]}"))
    return [name for converted, name in first.items() if source / name != converted], twins


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent stops the others


def _converted_path(target: Path, name: str, audio_format: str) -> Path:
    return (target / name).with_suffix(f".{audio_format}")


def _convert_one(source: Path, target: Path, audio_format: str, keep_source: bool, name: str) -> Optional[Skipped]:
    recording, converted = source / name, _converted_path(target, name, audio_format)
    if not converted.exists():
        try:
            samples = to_int16(read_audio(recording).waveform)
        except BadAudio as error:
            return Skipped(name, error.reason)
        with atomic_path(converted) as temporary:
            soundfile.write(temporary, samples, SAMPLE_RATE, format=audio_format.upper(), subtype="PCM_16")
    if not keep_source and suffix_of(name) == ".m4a":
        recording.unlink()
    return None


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Convert a tree of recordings, all that are audio by name, to 16 kHz wav or flac (docs/data.md)."""
    parser = Parser(prog="mindvox convert-audio", description=main.__doc__)
    parser.add_argument(
        "source", type=user_path, metavar="SOURCE_FOLDER", help="folder with <speaker>/<session>/<file>.m4a, ..."
    )
    parser.add_argument("target", type=user_path, metavar="TARGET_FOLDER", help="folder to write, as voxceleb12/wav")
    parser.add_argument("--audio_format", choices=AUDIO_FORMATS, default="wav", help="file format; flac is smaller")
    parser.add_argument("--num_processes", type=int, default=0, help="number of processes; 0: one per core")
    parser.add_argument("--keep_m4a", action="store_true", help="keep the .m4a files; other files always stay")
    given = parser.parse_args(argv)
    with lock_folder(given.target):
        failed = convert_tree(given.source, given.target, given.audio_format, given.num_processes, given.keep_m4a)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run(main))
