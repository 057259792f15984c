"""From a corpus to its stores: tables, then the features of every recording in them."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
from tqdm import tqdm

from src.config import EvalPrepConfig, TrainPrepConfig, require
from src.corpus.audio import SAMPLE_RATE, BadAudio, read_audio
from src.corpus.tables import EvalTables, make_eval_tables, make_train_tables
from src.corpus.tree import Skipped, Utterance
from src.corpus.trials import find_trial_list
from src.data.cutting import Cutting
from src.data.eval_store import META_FILE, EvalStore, EvalStoreWriter
from src.data.store import check_free_space, holds_store
from src.data.train_store import KIND, MANIFEST_FILE, TrainStoreWriter, read_manifest
from src.errors import InputError, UsageError
from src.files import PathLike, sha256_file
from src.frontend.fbank import Fbank, FbankConfig

STORE_OVERHEAD = 1.1  # a store's size over that of its features
FILE_OVERHEAD_BYTES = 1 << 24  # of the store's last file
NAMES_SHOWN = 20


class Recordings:
    """Read utterances one after the other; unreadable ones are left out and listed, converted ones are counted.

    Args:
        utterances: what to read.
        data_folder: what their paths are relative to.
        skipped: files of this corpus that were left out before.
        max_skipped: more than so many left out, the earlier ones included, are an InputError; None: any number is well.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        data_folder: PathLike,
        skipped: Sequence[Skipped] = (),
        max_skipped: Optional[float] = None,
    ) -> None:
        self.skipped = list(skipped)
        self.num_read = 0
        self._utterances = utterances
        self._data_folder = data_folder
        self._max_skipped = max_skipped
        self._num_samples = 0
        self._converted: list[str] = []
        self._started = time.perf_counter()

    def __iter__(self) -> Iterator[tuple[Utterance, np.ndarray]]:
        for utterance in tqdm(self._utterances, "computing features", unit=" utterances", disable=None):
            try:
                clip = read_audio(Path(self._data_folder, utterance.wav), utterance.start, utterance.stop)
            except BadAudio as error:
                self._skip(Skipped(utterance.utt_id, error.reason))
                continue
            self.num_read += 1
            self._num_samples += len(clip.waveform)
            if clip.was_converted:
                self._converted.append(utterance.utt_id)
            yield utterance, clip.waveform
        if self._converted:
            print(
                f"warning: {len(self._converted)} recordings were not 16 kHz mono and were converted, such as "
                f"{self._converted[0]}",
                file=sys.stderr,
            )

    def _skip(self, entry: Skipped) -> None:
        self.skipped.append(entry)
        if self._max_skipped is not None and len(self.skipped) > self._max_skipped:
            raise InputError(
                f"{self._data_folder}: {len(self.skipped)} recordings cannot be used so far, more than "
                f"max_bad_fraction allows: {list_skipped(self.skipped)}. Repair or remove them."
            )

    def summary(self, folder: PathLike, num_records: int) -> str:
        """Return a line about the finished store in `folder`."""
        elapsed_s = time.perf_counter() - self._started
        audio_s = self._num_samples / SAMPLE_RATE
        num_bytes = sum(path.stat().st_size for path in Path(folder).iterdir() if path.is_file())
        return (
            f"{folder}: {num_records} records from {self.num_read} utterances of {audio_s / 3600:.2f} h, "
            f"{num_bytes / 1e6:.1f} MB, {len(self.skipped)} recordings skipped, {elapsed_s:.1f} s "
            f"({audio_s / elapsed_s:.0f} times real time)"
        )


def list_skipped(skipped: Sequence[Skipped]) -> str:
    """Return the first names with reasons, and how many there are besides."""
    shown = ", ".join(f"{utt_id} ({reason})" for utt_id, reason in skipped[:NAMES_SHOWN])
    return shown if len(skipped) <= NAMES_SHOWN else f"{shown} and {len(skipped) - NAMES_SHOWN} more"


def prepare_train(config: TrainPrepConfig) -> None:
    """Make the training store of a corpus in `feat_folder`; keep one that was made from the same things.

    Raises:
        InputError: no usable corpus, too many unreadable recordings, no room, or another store in `feat_folder`.
    """
    require(config, "feat_folder")
    tables = make_train_tables(config)
    if tables.dev:
        print(f"{config.valid_annotation}: held out for validation, not in the training store")
    cutting, front_end = Cutting.from_config(config), FbankConfig(n_mels=config.n_mels)
    settings = {
        "table_sha256": sha256_file(config.train_annotation),
        "speakers_sha256": sha256_file(Path(config.save_folder, "speakers.csv")),
        **cutting.settings(),
    }
    made_from = {"kind": KIND, "front_end": front_end.to_dict(), "settings": settings}
    if holds_store(config.feat_folder, MANIFEST_FILE, made_from, "feat_folder"):
        print(f"{config.feat_folder}: already prepared, {read_manifest(config.feat_folder).num_utterances} records")
        return
    _check_room(config.feat_folder, cutting, tables.train, front_end)
    num_files = len(tables.train) + len(tables.dev) + len(tables.skipped)
    recordings = Recordings(tables.train, config.data_folder, tables.skipped, config.max_bad_fraction * num_files)
    fbank = Fbank(front_end)
    with TrainStoreWriter(
        config.feat_folder, front_end.to_dict(), tables.speakers, config.shard_utterances, settings
    ) as writer:
        for utterance, waveform in recordings:
            for name, piece in cutting.pieces(utterance, waveform):
                writer.add(name, tables.speakers[utterance.spk_id], fbank(piece))
        writer.skipped = recordings.skipped
    print(recordings.summary(config.feat_folder, writer.num_utterances))


def prepare_eval(config: EvalPrepConfig) -> None:
    """Make the evaluation store of a trial list in `feat_eval_folder` and the cohort's in `feat_norm_folder`.

    Stores that were made from the same things are kept. Every utterance of the trial list must be readable: a list that
    loses trials gives another EER.

    Raises:
        InputError: an utterance of the trial list is missing or unreadable, too many of the cohort are, there is no
            room, or a folder holds another store.
    """
    require(config, "feat_eval_folder", "feat_norm_folder")
    if Path(config.feat_eval_folder).resolve() == Path(config.feat_norm_folder).resolve():
        raise UsageError(f"feat_eval_folder and feat_norm_folder are both {config.feat_eval_folder}: give two folders.")
    tables = make_eval_tables(config)
    front_end = FbankConfig(n_mels=config.n_mels)
    _prepare_trial_store(config, tables, front_end)
    if tables.norm:
        _prepare_cohort(config, tables, front_end)


def _prepare_trial_store(config: EvalPrepConfig, tables: EvalTables, front_end: FbankConfig) -> None:
    trial_list = find_trial_list(config.verification_file, config.data_folder)
    settings = {
        "trial_list_sha256": sha256_file(trial_list),
        "enrol_sha256": sha256_file(Path(config.save_folder, "enrol.csv")),
        "test_sha256": sha256_file(Path(config.save_folder, "test.csv")),
    }
    made_from = {"front_end": front_end.to_dict(), "trial_list": trial_list.name, "settings": settings}
    if _is_prepared(config.feat_eval_folder, made_from, "feat_eval_folder"):
        return
    by_id = {utterance.utt_id: utterance for utterance in [*tables.enrol, *tables.test]}
    utterances = [by_id[utt_id] for utt_id in sorted(by_id)]
    _check_room(config.feat_eval_folder, Cutting(length=0), utterances, front_end)
    recordings = Recordings(utterances, config.data_folder)
    fbank = Fbank(front_end)
    with EvalStoreWriter(config.feat_eval_folder, front_end.to_dict(), trial_list, settings) as writer:
        for utterance, waveform in recordings:
            writer.add(utterance.utt_id, utterance.spk_id, fbank(waveform))
        if recordings.skipped:
            raise InputError(
                f"{trial_list}: {len(recordings.skipped)} of its utterances cannot be used: "
                f"{list_skipped(recordings.skipped)}. Repair them, or take their trials out of the list."
            )
    print(recordings.summary(config.feat_eval_folder, len(utterances)))


def _prepare_cohort(config: EvalPrepConfig, tables: EvalTables, front_end: FbankConfig) -> None:
    cutting = Cutting.from_config(config)
    settings = {"norm_sha256": sha256_file(Path(config.save_folder, "norm.csv")), **cutting.settings()}
    made_from = {"front_end": front_end.to_dict(), "settings": settings}
    if _is_prepared(config.feat_norm_folder, made_from, "feat_norm_folder"):
        return
    _check_room(config.feat_norm_folder, cutting, tables.norm, front_end)
    num_files = len(tables.norm) + len(tables.skipped)
    recordings = Recordings(tables.norm, tables.norm_folder, tables.skipped, config.max_bad_fraction * num_files)
    fbank = Fbank(front_end)
    with EvalStoreWriter(config.feat_norm_folder, front_end.to_dict(), settings=settings) as writer:
        for utterance, waveform in recordings:
            (piece,) = cutting.pieces(utterance, waveform)
            writer.add(utterance.utt_id, utterance.spk_id, fbank(piece.waveform))
        writer.skipped = recordings.skipped
    print(recordings.summary(config.feat_norm_folder, recordings.num_read))


def _is_prepared(folder: str, made_from: dict[str, Any], option: str) -> bool:
    if not holds_store(folder, META_FILE, made_from, option):
        return False
    print(f"{folder}: already prepared, {len(EvalStore.open(folder))} utterances")
    return True


def _check_room(folder: str, cutting: Cutting, utterances: Sequence[Utterance], front_end: FbankConfig) -> None:
    num_bytes = 4 * front_end.n_mels * cutting.num_frames(utterances, front_end)
    check_free_space(folder, round(STORE_OVERHEAD * num_bytes) + FILE_OVERHEAD_BYTES)
