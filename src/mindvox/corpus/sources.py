"""Resolve what a user names as recordings: a file, a folder, a list, or a corpus in any layout."""

from pathlib import Path

from mindvox.corpus.audio import SUFFIX_EXAMPLES, is_audio_name
from mindvox.corpus.layouts import Corpus, open_corpus
from mindvox.corpus.lists import KALDI_FILE, is_list_of_paths, read_paths
from mindvox.corpus.tree import Recording
from mindvox.corpus.walk import walk_audio
from mindvox.errors import InputError
from mindvox.files import PathLike

NO_SPEAKER = ""


def recordings_of(
    source: PathLike, layout: str = "auto", speaker_pattern: str = "", data_list: PathLike = ""
) -> Corpus:
    """List the recordings that a user means, without opening them.

    Args:
        source: a recording; a folder, from which all recordings at any depth are taken; a list with a path a line; or
            a source of `corpus_of`.
        layout, speaker_pattern, data_list: arrangement of a corpus; see `open_corpus`.

    Raises:
        InputError, UsageError: there are no recordings; see also `open_corpus`.
    """
    source = Path(source)
    is_plain = layout == "auto" and not data_list and not speaker_pattern
    if is_plain and source.is_dir() and not (source / KALDI_FILE).exists():
        return recordings_below(source)
    if is_plain and source.is_file() and is_audio_name(source.name):
        return _without_speakers(source.parent, [Recording(source.name, source.name, NO_SPEAKER)])
    if is_plain and source.is_file() and is_list_of_paths(source):
        return _without_speakers(source.parent, read_paths(source.parent, source))
    return corpus_of(source, layout, speaker_pattern, data_list)


def corpus_of(source: PathLike, layout: str = "auto", speaker_pattern: str = "", data_list: PathLike = "") -> Corpus:
    """List the recordings of a folder, or of a list with the recordings beside it; see `open_corpus`."""
    source = Path(source)
    if source.is_file() and not data_list:
        return open_corpus(source.parent, layout, speaker_pattern, source)
    return open_corpus(source, layout, speaker_pattern, data_list)


def recordings_below(folder: PathLike) -> Corpus:
    """List the recordings at any depth below a folder; speakers are ignored.

    Raises:
        InputError: there are no recordings.
    """
    found = walk_audio(folder)
    if not found.names and not found.skipped:
        raise InputError(f"{folder}: expected recordings ({SUFFIX_EXAMPLES}) in this folder, found none.")
    return _without_speakers(folder, [Recording(name, name, NO_SPEAKER) for name in found.names], found.skipped)


def _without_speakers(folder: PathLike, recordings: list[Recording], skipped: list | None = None) -> Corpus:
    return Corpus(str(folder), "any", recordings, skipped or [], [], lambda name: None)
