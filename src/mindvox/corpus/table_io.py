"""The csv files of a corpus: utterance tables, speakers with their labels, and unused files."""

from collections.abc import Iterable, Sequence

from mindvox.corpus.audio import SAMPLE_RATE
from mindvox.corpus.names import utterance_name
from mindvox.corpus.tree import Skipped, Utterance
from mindvox.errors import InputError
from mindvox.files import PathLike, csv_rows, read_csv, write_csv

TABLE_HEADER = ("ID", "duration", "wav", "start", "stop", "spk_id")
SPEAKERS_HEADER = ("label", "spk_id")
SKIPPED_HEADER = ("utt_id", "reason")


def write_table(path: PathLike, utterances: Iterable[Utterance]) -> None:
    """Write utterances as csv."""
    write_csv(path, TABLE_HEADER, utterances)


def read_table(path: PathLike) -> list[Utterance]:
    """Read utterances from csv; IDs are names in the form of src/mindvox/corpus/names.py.

    Raises:
        InputError: the file is missing or is not a table, a number is wrong, or an ID is repeated.
    """
    utterances: dict[str, Utterance] = {}
    for line_no, row in csv_rows(path, TABLE_HEADER):
        utterance = _parse_row(row, f"{path}:{line_no}")
        if utterances.setdefault(utterance.utt_id, utterance) is not utterance:
            raise InputError(f"{path}:{line_no}: the ID '{utterance.utt_id}' is there twice; give each row its own.")
    return list(utterances.values())


def describe_table(path: PathLike, utterances: Sequence[Utterance]) -> None:
    """Print the content of a table."""
    num_speakers = len({utterance.spk_id for utterance in utterances})
    hours = sum(utterance.stop - utterance.start for utterance in utterances) / SAMPLE_RATE / 3600
    print(f"{path}: {len(utterances)} utterances, {num_speakers} speakers, {hours:.2f} h")


def _parse_row(row: Sequence[str], where: str) -> Utterance:
    spelling, duration, wav, start, stop, spk_id = row
    utt_id = utterance_name(spelling, where) if spelling else ""
    try:
        utterance = Utterance(utt_id, float(duration), wav, int(start), int(stop), spk_id)
    except ValueError:
        raise InputError(f"{where}: expected duration in seconds, start and stop in samples, got {row}.") from None
    if not (utt_id and wav and spk_id and 0 <= utterance.start < utterance.stop):
        raise InputError(f"{where}: expected ID, wav and spk_id, and 0 <= start < stop, got {row}.")
    return utterance


def write_speakers(path: PathLike, spk_ids: Iterable[str]) -> None:
    """Write the speakers with labels 0, 1, ... in the order of their ids."""
    write_csv(path, SPEAKERS_HEADER, enumerate(sorted(set(spk_ids))))


def read_speakers(path: PathLike) -> dict[str, int]:
    """Read the label of each speaker; raise InputError unless the ids are sorted and labelled 0, 1, ..."""
    rows = read_csv(path, SPEAKERS_HEADER)
    spk_ids = [spk_id for _, spk_id in rows]
    if rows != [[str(label), spk_id] for label, spk_id in enumerate(sorted(set(spk_ids)))]:
        raise InputError(
            f"{path}: expected labels 0, 1, ... on speakers that are sorted and stand once. Make it again."
        )
    return {spk_id: label for label, spk_id in enumerate(spk_ids)}


def write_skipped(path: PathLike, skipped: Iterable[Skipped]) -> None:
    """Write the unused files with the reasons."""
    write_csv(path, SKIPPED_HEADER, skipped)


def read_skipped(path: PathLike) -> list[Skipped]:
    """Read a file that write_skipped wrote."""
    return [Skipped(*row) for row in read_csv(path, SKIPPED_HEADER)]
