"""Layouts of corpora: which ones can be read, how they are detected, and what to do if none fits."""

import argparse
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Optional

from mindvox.config import sections
from mindvox.corpus.audio import SUFFIX_EXAMPLES, Skipped, is_audio_name, suffix_of
from mindvox.corpus.lists import (
    KALDI_FILE,
    find_manifests,
    has_table_header,
    read_kaldi_folder,
    read_lhotse,
    read_path_speaker,
    read_speaker_path,
    read_table_list,
    split_two,
)
from mindvox.corpus.names import WAV_FOLDER
from mindvox.corpus.tree import (
    RAWNET_FOLDERS,
    TOO_DEEP,
    Listing,
    Recording,
    Utterance,
    list_cnceleb,
    list_flat,
    list_folders,
    list_rawnet,
    list_wav,
    read_headers,
    speaker_matcher,
)
from mindvox.corpus.trials import speaker_of
from mindvox.corpus.walk import walk_audio
from mindvox.errors import InputError, UsageError
from mindvox.files import PathLike, text_lines, user_text

PATTERN, LIST = "speaker_pattern", "data_list"


class Source(NamedTuple):
    """The location of a corpus: the keys data_folder, data_list and speaker_pattern of the preparation."""

    folder: str
    data_list: str = ""
    speaker_pattern: str = ""

    @property
    def listed(self) -> str:
        """Return the path of the list; the corpus's folder if there is none."""
        return self.data_list or self.folder


class Layout(NamedTuple):
    """A way of arranging recordings.

    Attributes:
        form: the arrangement as shown in messages; {} is the corpus's folder.
        read: the reader.
        speaker_by_name: whether the first folder of a name is the speaker, even for names outside of the corpus.
        needs: the key that the layout requires.
    """

    form: str
    read: Callable[[Source], Listing]
    speaker_by_name: bool = False
    needs: str = ""


LAYOUTS = {
    "wav": Layout(f"{{}}/wav/<speaker>/<session>/<file> ({SUFFIX_EXAMPLES})", lambda at: list_wav(at.folder), True),
    "folders": Layout("{}/<speaker>/.../<file>", lambda at: list_folders(at.folder), True),
    "flat": Layout("{}/... by speaker_pattern", lambda at: list_flat(at.folder, at.speaker_pattern), needs=PATTERN),
    "table": Layout("csv with path and speaker", lambda at: read_table_list(at.folder, at.data_list), needs=LIST),
    "speaker_path": Layout("<speaker> <path>", lambda at: read_speaker_path(at.folder, at.data_list), needs=LIST),
    "path_speaker": Layout("<path><TAB><speaker>", lambda at: read_path_speaker(at.folder, at.data_list), needs=LIST),
    "kaldi": Layout("wav.scp, utt2spk and perhaps segments", lambda at: read_kaldi_folder(at.folder, at.listed)),
    "lhotse": Layout("recordings and supervisions, or cuts", lambda at: read_lhotse(at.folder, at.listed)),
    "cnceleb": Layout("{0}/data/<speaker> and {0}/eval", lambda at: list_cnceleb(at.folder)),
    "rawnet": Layout("{}/dev_wav/<speaker>, ...", lambda at: list_rawnet(at.folder), True),
}


@dataclass(frozen=True)
class Corpus:
    """The recordings of a corpus, sorted by id.

    Attributes:
        folder: the folder to which paths are relative.
        layout: a key of LAYOUTS.
        recordings: the recordings; none has been opened yet.
        skipped: recordings that cannot be used where they are.
        ignored: links to recordings that are listed under another name.
        guess_speaker: returns the speaker of a name outside of the corpus, or None.
    """

    folder: str
    layout: str
    recordings: list[Recording]
    skipped: list[Skipped]
    ignored: list[Skipped]
    guess_speaker: Callable[[str], Optional[str]]

    @cached_property
    def by_id(self) -> dict[str, Recording]:
        """Return each recording by its id."""
        return {recording.utt_id: recording for recording in self.recordings}

    @cached_property
    def spk_ids(self) -> set[str]:
        """Return the speakers."""
        return {recording.spk_id for recording in self.recordings}

    def speaker(self, utt_id: str) -> Optional[str]:
        """Return the speaker of an utterance, in the corpus or not; None: unknown."""
        recording = self.by_id.get(utt_id)
        return recording.spk_id if recording else self.guess_speaker(utt_id)


def open_corpus(
    data_folder: PathLike, layout: str = "auto", speaker_pattern: str = "", data_list: PathLike = ""
) -> Corpus:
    """List the recordings of a corpus without opening them.

    Args:
        data_folder: the folder of the recordings.
        layout: a key of LAYOUTS; `auto`: detect it from the folder or the list.
        speaker_pattern: see speaker_matcher.
        data_list: list of the recordings, for layouts that need one; tried as given, then inside `data_folder`.

    Raises:
        InputError: there are no recordings, one is listed twice, or a list is wrong.
        UsageError: a key that the layout needs is missing, or a key was given that it does not use.
    """
    source = Source(str(data_folder), find_list(data_folder, data_list), speaker_pattern)
    if not Path(source.folder).is_dir():
        raise InputError(f"{source.folder}: no such folder; {_expected(source)}.")
    if source.data_list and not Path(source.data_list).exists():
        raise InputError(f"data_list: {source.data_list}: no such file or folder.")
    name = _detect(source) if layout == "auto" else layout
    _check_keys(name, source)
    if name == "wav" and not Path(source.folder, WAV_FOLDER).is_dir():
        raise _no_layout(source)
    listing = LAYOUTS[name].read(source)
    if not listing.recordings:
        left_out = "".join(f" Left out: {utt_id} ({reason}), ..." for utt_id, reason in listing.skipped[:1])
        raise InputError(
            f"{source.listed}: no recordings; {_expected(source, name)}.{left_out} {_advice(source, name)}".rstrip()
        )
    recordings = sorted(map(_with_composed_speaker, listing.recordings))
    _check_once(source.listed, recordings)
    if name not in ("wav", layout):
        speakers = len({recording.spk_id for recording in recordings})
        print(f"{source.listed}: layout {name}: {len(recordings)} recordings of {speakers} speakers")
    guess: Callable[[str], Optional[str]] = speaker_of if LAYOUTS[name].speaker_by_name else lambda utt_id: None
    if name == "flat":
        guess = speaker_matcher(speaker_pattern)
    return Corpus(source.folder, name, recordings, listing.skipped, listing.ignored, guess)


def find_list(data_folder: PathLike, data_list: PathLike) -> str:
    """Return the path of a list: as given, else inside the corpus's folder."""
    inside = Path(data_folder, data_list)
    return str(inside if data_list and not Path(data_list).exists() and inside.exists() else data_list)


def _with_composed_speaker(recording: Recording) -> Recording:
    """Return a recording with its speaker in Unicode form NFC, like names; folders of macOS are not."""
    if recording.spk_id.isascii():
        return recording
    return recording._replace(spk_id=unicodedata.normalize("NFC", recording.spk_id))


def _check_keys(name: str, source: Source) -> None:
    needs = LAYOUTS[name].needs
    if needs and not getattr(source, needs):
        example = ", such as '{speaker}_*' for anna_01.wav" if needs == PATTERN else ""
        raise UsageError(f"layout {name}: set {needs}{example}.")
    if source.speaker_pattern and name != "flat":
        raise UsageError(f"speaker_pattern: only the layout flat reads it, not {name}. Set layout: flat.")
    if source.data_list and needs != LIST and name not in ("kaldi", "lhotse"):
        raise UsageError(f"data_list: the layout {name} reads no list. Leave layout: auto, or name the list's layout.")


def _check_once(where: str, recordings: Iterable[Recording]) -> None:
    """Raise InputError if an id or a part of a file is listed twice."""
    ids: set[str] = set()
    parts: dict[tuple, Recording] = {}
    for recording in recordings:
        if recording.utt_id in ids:
            raise InputError(f"{where}: the utterance {recording.utt_id} is there twice. Keep one.")
        ids.add(recording.utt_id)
        other = parts.setdefault((recording.wav, recording.start_s, recording.stop_s), recording)
        if other is not recording:
            speakers = " and ".join(sorted({other.spk_id, recording.spk_id}))
            raise InputError(
                f"{where}: {recording.wav} is there twice, as {other.utt_id} and {recording.utt_id} (speaker "
                f"{speakers}). Keep one."
            )


def _detect(source: Source) -> str:
    """Return the layout of a folder or a list; raise InputError if none is recognised."""
    if source.data_list:
        return _detect_list(Path(source.data_list))
    folder = Path(source.folder)
    if source.speaker_pattern:
        return "flat"
    if Path(folder, WAV_FOLDER).is_dir():
        return "wav"
    listed = _listed_by(folder)
    if listed:
        return listed
    if any(Path(folder, name).is_dir() for name in RAWNET_FOLDERS):
        return "rawnet"
    if Path(folder, "data").is_dir() and Path(folder, "eval", "enroll").is_dir():
        return "cnceleb"
    names = walk_audio(folder).names
    if names and all("/" in name for name in names) and not any(f"/{WAV_FOLDER}/" in name for name in names):
        return "folders"
    raise _no_layout(source)


def _listed_by(folder: Path) -> str:
    """Return which lists a folder has, kaldi or lhotse; empty: none."""
    if Path(folder, KALDI_FILE).is_file():
        return "kaldi"
    return "lhotse" if any(find_manifests(folder, kind) for kind in ("cuts", "supervisions")) else ""


def _no_layout(source: Source) -> InputError:
    return InputError(f"{source.folder}: no folder 'wav' in it; {_expected(source)}. {_advice(source, 'wav')}")


def _expected(source: Source, layout: str = "wav") -> str:
    return f"expected {LAYOUTS[layout].form.format(Path(source.folder))}, or another layout of docs/data.md"


def _detect_list(path: Path) -> str:
    if path.is_dir():
        return "kaldi" if Path(path, KALDI_FILE).is_file() else "lhotse"
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        return "lhotse"
    if path.name == KALDI_FILE:
        raise InputError(f"data_list: {path}: give the folder that holds it, with utt2spk beside it.")
    if has_table_header(path):
        return "table"
    for _, line in text_lines(path, "list of recordings"):
        columns = split_two(line) if len(line.split()) > 1 else []
        if len(columns) == 2:
            if is_audio_name(columns[1]):
                return "speaker_path"
            if is_audio_name(columns[0]):
                return "path_speaker"
        raise InputError(
            f"data_list: {path}:1: expected a csv or tsv with a header (path, speaker, ...), lines '<speaker> <path>', "
            f"lines '<path><TAB><speaker>', or lhotse's .jsonl, got {line[:100]!r}. {path.name} may have another "
            "form, or files whose suffix is not that of audio."
        )
    raise InputError(f"data_list: {path}: expected recordings, got an empty file.")


def _advice(source: Source, tried: str) -> str:
    """Return what a folder holds, with counts, and the layouts that could read it."""
    if source.data_list and tried not in ("kaldi", "lhotse"):
        return ""
    folder = Path(source.folder)
    names = walk_audio(folder).names
    found, hints = [], []
    if names:
        kinds = Counter(suffix_of(name) for name in names)
        depths = Counter(name.count("/") for name in names)
        found.append(", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
        found.append("; ".join(f"{count} at depth {depth}" for depth, count in sorted(depths.items())))
        found.append(f"such as {names[0]}")
        corpora = sorted({name.split(f"/{WAV_FOLDER}/")[0] for name in names if f"/{WAV_FOLDER}/" in name})
        if corpora:
            hints.append(f"data_folder: {folder / corpora[0]} has a folder wav")
        elif min(depths) > 0 and tried != "folders":
            speakers = len({speaker_of(name.removeprefix(f"{WAV_FOLDER}/")) for name in names})
            hints.append(f"layout: folders takes the first folder as the speaker ({speakers} speakers)")
            if min(depths) > 1:
                pattern = "*/" * (names[0].count("/") - 1) + "{speaker}/*"
                hints.append(f"layout: flat with speaker_pattern: '{pattern}' takes the last folder")
        if min(depths) == 0 and tried != "flat":
            hints.append("layout: flat with speaker_pattern: '{speaker}_*' takes the speaker from the file's name")
    listed = _listed_by(folder)
    if listed and tried != listed:
        hints.append(f"layout: {listed} reads the lists in {folder}")
    others = sorted(
        path.name for path in folder.iterdir() if path.is_file() and path.suffix in (".csv", ".tsv", ".txt", ".lst")
    )
    if others:
        hints.append(f"data_list reads a list of the recordings, perhaps {others[0]}")
    text = f"Found below {folder}: {', '.join(found)}." if found else f"No audio file was found below {folder}."
    return f"{text} To import it: {'; '.join(hints)}." if hints else text


def scan_tree(data_folder: PathLike, progress: bool = True) -> tuple[list[Utterance], list[Skipped]]:
    """Return all utterances of a corpus in the layout `wav`, sorted by id, and the unusable recordings.

    Args:
        progress: show a progress bar if stderr is a terminal.
    """
    corpus = open_corpus(data_folder, "wav")
    utterances, unreadable = read_headers(corpus.folder, corpus.recordings, progress)
    return utterances, corpus.skipped + unreadable


def depth_advice(skipped: Iterable[Skipped]) -> str:
    """Return advice for recordings that are too deep for the layout wav; empty if there are none."""
    if any(entry.reason == TOO_DEEP for entry in skipped):
        return " layout: folders takes the first folder as the speaker, at any depth."
    return ""


def add_layout_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for the arrangement of a corpus."""
    parser.add_argument(
        "--layout",
        default="auto",
        choices=sections.LAYOUTS,
        metavar="NAME",
        help=f"{sections.LAYOUT_HELP} [{' | '.join(sections.LAYOUTS)}]",
    )
    parser.add_argument("--speaker_pattern", default="", metavar="TEXT", help=sections.SPEAKER_PATTERN_HELP)
    parser.add_argument("--data_list", type=user_text, default="", metavar="FILE", help=sections.DATA_LIST_HELP)
