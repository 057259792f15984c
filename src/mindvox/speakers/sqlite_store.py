"""The store of speakers in one SQLite file.

Erasing a deleted speaker's bytes: SQLite's `secure_delete` overwrites the pages that it frees, but not copies that the
rebalancing of a tree has left elsewhere; a few bytes in a thousand deletions remained (3.40). So embeddings are in
tables whose rows all have one length. A row is appended once and then only overwritten in place: with zeros when its
speaker is deleted, and with the next embedding after that. These tables are never rebalanced. The log (`-wal`) still
holds earlier pages, so a deletion empties it at the end.

SQLite before 3.51.3 can damage a database when one process empties the log a second time while another one commits (its
"WAL-reset bug"; seen here with 3.40: with eight processes, a speaker was missing from an index after a minute). So a
process that commits or empties the log holds a lock on an empty database beside the store, PATH-lock. SQLite's own
locks work on every system and end with the process.

Every change has a row in `audit`, written in the same transaction. The rows since the last search tell which vectors in
memory are out of date, whichever process changed them. For many speakers, codes replace the vectors in memory
(`codes`).
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np

from mindvox.errors import InputError
from mindvox.files import PathLike, lock_output
from mindvox.speakers.search import Vectors
from mindvox.speakers.store import (
    ADD,
    ADDED,
    DELETED,
    ENROLLED,
    EXPIRED,
    FIRST,
    FORMAT_VERSION,
    NEW,
    QUALITY_COLUMNS,
    RENAMED,
    REPLACE,
    REPLACED,
    WITHOUT_QUALITY,
    AuditEntry,
    Entries,
    Failures,
    Found,
    Match,
    ModelIdentity,
    NotErased,
    Sample,
    Speaker,
    SpeakerId,
    SpeakerStore,
    Summaries,
    Summary,
    Terms,
    Who,
    about_store,
    already_enrolled,
    centroid_of,
    check_name,
    checked_all,
    checked_queries,
    id_is_taken,
    model_of_store,
    name_is_taken,
    new_id,
    no_store,
    no_such_speaker,
    quality_of,
    stored_quality,
    stored_terms,
    terms_of,
)

if TYPE_CHECKING:
    from mindvox.speakers.codes import CodedVectors, CodeFiles

WAIT_S = 60.0  # longest wait for other processes that write, or still read data to be erased
RETRY_S = 0.01
READERS_S = 0.1  # longest wait for readers in one attempt to empty the log; writers wait meanwhile
ROWS_AT_ONCE = 20_000
FEW = 500  # most values in one statement; SQLite allows 32,766
APPLICATION_ID = 0x6D765350  # "mvSP", in the file's header
SCHEMA = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE speakers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    centroid INTEGER NOT NULL UNIQUE,
    "group" TEXT NOT NULL,
    consent TEXT NOT NULL,
    expires REAL,
    created REAL NOT NULL,
    changed REAL NOT NULL,
    num_failures INTEGER NOT NULL DEFAULT 0,
    last_failure REAL NOT NULL DEFAULT 0
);
CREATE INDEX speakers_by_group ON speakers ("group");
CREATE INDEX speakers_by_expiry ON speakers (expires) WHERE expires IS NOT NULL;
CREATE TABLE samples (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    speaker INTEGER NOT NULL REFERENCES speakers (id),
    embedding INTEGER NOT NULL UNIQUE,
    source TEXT NOT NULL,
    net_speech_s REAL NOT NULL,
    added REAL NOT NULL,
    duration_s REAL,
    level_dbfs REAL,
    clipped_share REAL,
    snr_db REAL,
    bandwidth_hz REAL,
    voice_agreement REAL
);
CREATE INDEX samples_by_speaker ON samples (speaker);
CREATE TABLE centroids (slot INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE embeddings (slot INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE free_centroids (slot INTEGER PRIMARY KEY);
CREATE TABLE free_embeddings (slot INTEGER PRIMARY KEY);
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    action TEXT NOT NULL,
    speaker INTEGER NOT NULL,
    name TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_by_speaker ON audit (speaker);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END
"""
IS_LIVE = "(expires IS NULL OR expires > :now)"
IN_GROUP = '(:group IS NULL OR "group" = :group)'
IN_MEMORY = 100_000  # speakers; with more, codes are searched if faiss is installed
CENTROIDS = "SELECT speakers.id, vector FROM speakers JOIN centroids ON slot = centroid"
Run = Callable[..., sqlite3.Cursor]


class SqliteStore(SpeakerStore):
    """Speakers in one SQLite file; see SpeakerStore.

    The centroids, or codes of them, are held in memory for the search. One connection serves all threads, one call at a
    time.

    Args:
        path: an existing store, see `open`.
        connection: the connection to it.
        gate: the connection to the lock database; a process locks it to commit or to empty the log.
        model: the model that made the embeddings in the store.
        clock: returns seconds since 1970; for tests.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        gate: sqlite3.Connection,
        model: ModelIdentity,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.where = str(path)
        self.model = model
        self._connection, self._gate = connection, gate
        self._clock = clock
        self._lock = threading.RLock()
        self._path = path
        self._vectors: Union[Vectors, CodedVectors] = Vectors(model.emb_size)
        self._seen = 0  # number of the last audit entry that the vectors include

    @classmethod
    def open(
        cls, path: PathLike, model: Optional[ModelIdentity] = None, clock: Callable[[], float] = time.time
    ) -> "SqliteStore":
        """Open a store; if there is none, make one for a model.

        Raises:
            InputError: there is no store and `model` is None; the store is for another model; the file is something
                else; it cannot be written.
        """
        path = Path(path)
        if model is None and not path.is_file():
            raise no_store(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_private(path)
        with _said_clearly(str(path)):
            connection, gate = _connect(path), _connect(Path(f"{path}-lock"))
            try:
                connection.row_factory = sqlite3.Row
                with _alone(gate):
                    found = _prepare(path, connection, model)
                store = cls(path, connection, gate, found, clock)
                with suppress(NotErased):  # erase what a killed process left; the next process tries again
                    store.erase(wait_s=0)
            except BaseException:
                with suppress(sqlite3.Error), _alone(gate):
                    connection.close()
                gate.close()
                raise
        return store

    def put_all(self, speakers: Iterable[Speaker], mode: str = NEW, keep_terms: bool = False) -> int:
        now = self._clock()
        prepared = checked_all(speakers, mode, self.model.emb_size, now)
        with self._writing() as run:
            for speaker in prepared:
                self._put(run, speaker, mode, keep_terms, now)
        if mode == REPLACE:
            self.erase()
        return len(prepared)

    def _put(self, run: Run, speaker: Speaker, mode: str, keep_terms: bool, now: float) -> None:
        terms, centroid = stored_terms(speaker.terms), centroid_of(speaker.samples)
        row = run("SELECT id, centroid FROM speakers WHERE name = ?", (speaker.name,)).fetchone()
        if row is None:
            if run("SELECT 1 FROM speakers WHERE public_id = ?", (speaker.id,)).fetchone():
                raise id_is_taken(speaker.id)
            slot = _fill(run, "centroids", centroid)
            values = (speaker.id or new_id(), speaker.name, slot, *terms, speaker.created or now, now)
            key = _key(
                run(
                    'INSERT INTO speakers (public_id, name, centroid, "group", consent, expires, created, changed) '
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    values,
                )
            )
            _add_samples(run, key, speaker.samples)
            _note(run, now, ENROLLED, key, speaker.name, len(speaker.samples))
            return
        if mode == NEW:
            raise already_enrolled(speaker.name)
        key, slot = row
        if mode == REPLACE:
            _remove_samples(run, key)
        else:
            centroid = centroid_of((*_samples(run, key), *speaker.samples))
        _add_samples(run, key, speaker.samples)
        _overwrite(run, "centroids", slot, centroid)
        run("UPDATE speakers SET changed = ? WHERE id = ?", (now, key))
        if not keep_terms:
            run(
                'UPDATE speakers SET "group" = ?, consent = ?, expires = ? WHERE id = ?',
                (*terms, key),
            )
        _note(run, now, ADDED if mode == ADD else REPLACED, key, speaker.name, len(speaker.samples))

    def get(self, who: Who) -> Speaker:
        with self._reading() as run:
            row = self._row(run, who)
            samples = _samples(run, row["id"])
            return Speaker(row["name"], samples, _terms(row), row["created"], row["changed"], row["public_id"])

    def ids(self, names: Collection[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        with self._reading() as run:
            for part in _in_parts([check_name(name) for name in names]):
                statement = (
                    f"SELECT name, public_id FROM speakers WHERE name IN ({_marks(part)}) "
                    "AND (expires IS NULL OR expires > ?)"
                )
                found.update((row[0], row[1]) for row in run(statement, (*part, self._clock())))
        return found

    def failures(self, who: Who) -> Failures:
        with self._reading() as run:
            row = self._row(run, who)
            return Failures(row["num_failures"], row["last_failure"])

    def note_verification(self, who: Who, is_accepted: bool) -> Failures:
        with self._writing() as run:
            row = self._row(run, who)
            noted = Failures(0, 0.0) if is_accepted else Failures(row["num_failures"] + 1, self._clock())
            run("UPDATE speakers SET num_failures = ?, last_failure = ? WHERE id = ?", (*noted, row["id"]))
            return noted

    def rename(self, who: Who, new_name: str) -> None:
        new_name = check_name(new_name)
        with self._writing() as run:
            row = self._row(run, who)
            if run("SELECT 1 FROM speakers WHERE name = ? AND id != ?", (new_name, row["id"])).fetchone():
                raise name_is_taken(new_name)
            now = self._clock()
            run("UPDATE speakers SET name = ?, changed = ? WHERE id = ?", (new_name, now, row["id"]))
            _note(run, now, RENAMED, row["id"], row["name"], new_name)

    def delete(self, who: Who) -> None:
        with self._writing() as run:
            _delete(run, self._row(run, who), DELETED, self._clock())
        self.erase()

    def list(self, after: str = "", limit: int = FIRST, group: Optional[str] = None) -> Summaries:
        with self._reading() as run:
            rows = run(
                "SELECT chosen.*, count(*) AS num_samples, sum(net_speech_s) AS speech_s FROM (SELECT * FROM speakers "
                f"WHERE name > :after AND {IN_GROUP} AND {IS_LIVE} ORDER BY name LIMIT :limit) chosen "
                "JOIN samples ON samples.speaker = chosen.id GROUP BY chosen.id ORDER BY chosen.name",
                {"after": after, "limit": limit, "group": group, "now": self._clock()},
            )
            return [
                Summary(
                    *(row["name"], row["num_samples"], row["speech_s"], _terms(row), row["created"], row["changed"]),
                    row["public_id"],
                )
                for row in rows
            ]

    def count(self, group: Optional[str] = None) -> int:
        with self._reading() as run:
            statement = f"SELECT count(*) FROM speakers WHERE {IN_GROUP} AND {IS_LIVE}"
            return run(statement, {"group": group, "now": self._clock()}).fetchone()[0]

    def search(
        self, embeddings: np.ndarray, k: int = 1, among: Optional[Collection[str]] = None, group: Optional[str] = None
    ) -> Found:
        queries = checked_queries(embeddings, k, self.model.emb_size)
        with self._reading() as run:
            first = run("SELECT min(expires) FROM speakers WHERE expires IS NOT NULL").fetchone()[0]
        if first is not None and first <= self._clock():
            with self._writing():  # deletes expired speakers
                pass
        with self._searching() as run:
            found = self._vectors.search(queries, k, _allowed(run, among, group))
            names = _names(run, {key for hits in found for key, _ in hits})
        return [[Match(names[key], score) for key, score in hits] for hits in found]

    def centroids(self, limit: int) -> np.ndarray:
        with self._searching():
            keys = np.sort(self._vectors.keys)
            chosen = keys[np.linspace(0, len(keys) - 1, min(limit, len(keys))).astype(int)]
            return self._vectors.vectors(chosen)

    def audit(self, after: int = 0, limit: int = FIRST, name: Optional[str] = None) -> Entries:
        with self._reading() as run:
            rows = run(
                "SELECT number, at, action, name, detail FROM audit WHERE number > :after AND (:name IS NULL OR "
                "speaker IN (SELECT speaker FROM audit WHERE name = :name OR action = :renamed AND detail = :name)) "
                "ORDER BY number LIMIT :limit",
                {"after": after, "limit": limit, "name": name and check_name(name), "renamed": RENAMED},
            )
            return [AuditEntry(*row) for row in rows]

    def purge(self) -> int:
        with self._writing(expire=False) as run:
            num_deleted = _expire(run, self._clock())
        with self._reading() as run:  # erase what a killed process has left in codes
            for files in self._code_files():
                files.erase(_changed(run, files.number))
        with suppress(InputError), self._making_codes(wait=False):
            for files in self._code_files():
                files.remove_unfinished()
        self.erase()
        return num_deleted

    def erase(self, wait_s: Optional[float] = None) -> None:
        """Move the log into the file and empty it.

        Args:
            wait_s: longest wait in s for other processes that still read the log; None: WAIT_S.

        Raises:
            NotErased: a process still reads the log after that time.
        """
        give_up = time.monotonic() + (WAIT_S if wait_s is None else wait_s)
        while True:
            with self._lock:  # released between two attempts, so that other threads continue
                if self._empty_log(max(give_up - time.monotonic(), 0)):
                    return
            if time.monotonic() >= give_up:
                raise self._not_erased("another process keeps its bytes in the log", "it has ended")
            time.sleep(RETRY_S)

    def _empty_log(self, wait_s: float) -> bool:
        """Move the log into the file and empty it, after waiting for readers; return whether that was possible."""
        self._connection.execute(f"PRAGMA busy_timeout = {round(min(wait_s, READERS_S) * 1000)}")
        try:
            with _alone(self._gate):
                return not self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "locked" in str(error):  # SQLite does not wait for another process that empties the log
                return False
            raise self._not_erased(f"its bytes are still in the log ({error})", "the cause is removed") from None
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {round(WAIT_S * 1000)}")

    def _not_erased(self, why: str, when: str) -> NotErased:
        return NotErased(
            f"{self.where}: deleted data cannot be found, but {why}. Run `mindvox speakers purge` when {when}."
        )

    def close(self) -> None:
        with self._lock, _said_clearly(self.where), _alone(self._gate):
            self._connection.close()  # the last one empties the log
        self._gate.close()

    @contextmanager
    def _writing(self, expire: bool = True) -> Iterator[Run]:
        """Yield the function that runs statements in an atomic transaction.

        Args:
            expire: whether to delete expired speakers first.
        """
        has_expired = False
        with self._lock, _said_clearly(self.where):
            run = self._connection.execute
            with _alone(self._gate):
                run("BEGIN IMMEDIATE")
                try:
                    before = _last_entry(run)
                    has_expired = expire and _expire(run, self._clock()) > 0
                    yield run
                    changed = _changed(run, before)
                    run("COMMIT")
                except BaseException:
                    run("ROLLBACK")
                    raise
            if changed:
                for files in self._code_files():
                    files.erase(changed)
            if has_expired:
                with suppress(NotErased):  # the caller asked for something else; the next erasure does it
                    self.erase()

    @contextmanager
    def _reading(self) -> Iterator[Run]:
        """Yield the function that runs statements on one state of the store."""
        with self._lock, _said_clearly(self.where):
            self._connection.execute("BEGIN")
            try:
                yield self._connection.execute
            finally:
                self._connection.execute("COMMIT")

    def _row(self, run: Run, who: Who) -> sqlite3.Row:
        """Return the row of a speaker; raise NoSuchSpeaker."""
        column, value = ("public_id", who.value) if isinstance(who, SpeakerId) else ("name", check_name(who))
        given = {"value": value, "now": self._clock()}
        row = run(f"SELECT * FROM speakers WHERE {column} = :value AND {IS_LIVE}", given).fetchone()
        if row is None:
            raise no_such_speaker(who, self.where)
        return row

    @contextmanager
    def _searching(self) -> Iterator[Run]:
        """Yield the function that runs statements on one state of the store; the vectors in memory match that state."""
        while True:
            with self._reading() as run:
                if self._follow(run):
                    yield run
                    return

    def _follow(self, run: Run) -> bool:
        """Update the vectors in memory to the state of the store; return False if a newer state is needed for that."""
        last = _last_entry(run)
        if last == self._seen:
            return True
        seen, self._seen = self._seen, 0  # 0 until the update is complete
        if seen == 0 and not self._needs_codes(run):
            self._vectors = Vectors(self.model.emb_size)
            for keys, vectors in self._in_chunks(run(CENTROIDS)):
                self._vectors.put_all(keys, vectors)
        elif seen == 0 or (self._apply(run, self._vectors, seen) and self._needs_codes(run)):
            return self._renew_codes(run, last, wait=seen == 0)
        self._seen = last
        return True

    def _apply(self, run: Run, vectors: "Union[Vectors, CodedVectors]", since: int) -> bool:
        """Apply the changes since an audit entry to `vectors`; return whether its codes should be rebuilt."""
        rows = run("SELECT DISTINCT speaker FROM audit WHERE number > ? AND action != ?", (since, RENAMED))
        changed = [row[0] for row in rows]
        vectors.remove_all(changed)
        vectors.put_all(*self._fetch(run, changed))
        return vectors.is_outdated

    def _needs_codes(self, run: Run) -> bool:
        if run("SELECT count(*) FROM speakers").fetchone()[0] <= IN_MEMORY:
            return False
        from mindvox.speakers.codes import is_installed

        return is_installed()

    def _renew_codes(self, run: Run, last: int, wait: bool) -> bool:
        """Take the newest codes, or make new ones; return as `_follow` does.

        Args:
            last: number of the last audit entry.
            wait: whether to wait while another process makes codes; False: continue with the vectors in memory.
        """
        from mindvox.speakers.codes import CodeFiles, write_codes

        if wait and (is_done := self._take_codes(run, last)) is not None:
            return is_done
        with ExitStack() as stack:
            try:
                stack.enter_context(self._making_codes(wait))
            except InputError:  # another process is making codes
                self._seen = last
                return True
            if (is_done := self._take_codes(run, last)) is not None:  # another process has made them meanwhile
                return is_done
            for files in self._code_files():
                files.remove_unfinished()
            made = CodeFiles(self._path, last)
            write_codes(made, self.model.emb_size, lambda: self._in_chunks(run(f"{CENTROIDS} ORDER BY speakers.id")))
            self._use_codes(run, made, last)
            for files in self._code_files():
                if files.number < last:
                    files.remove()
        return False  # a newer state is needed to erase from the codes what was deleted meanwhile

    def _take_codes(self, run: Run, last: int) -> Optional[bool]:
        """Take the newest codes and return as `_follow` does; None: there are no usable codes."""
        for files in self._code_files():
            if files.is_finished and files.number > last:
                return False
            with suppress(OSError, ValueError, KeyError, RuntimeError):  # unfinished, or damaged
                return None if self._use_codes(run, files, last) else True
        return None

    def _use_codes(self, run: Run, files: "CodeFiles", last: int) -> bool:
        """Search these codes from now on; return whether they should be rebuilt."""
        from mindvox.speakers.codes import CodedVectors

        def fetch(keys: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
            return self._fetch(self._connection.execute, keys)

        found = CodedVectors(files, self.model.emb_size, fetch)
        is_outdated = self._apply(run, found, files.number)
        self._vectors, self._seen = found, last
        return is_outdated

    def _making_codes(self, wait: bool) -> AbstractContextManager[None]:
        """Keep other processes from making codes; if one is making them, wait, or raise InputError without `wait`."""
        return lock_output(self._path.with_name(f"{self._path.name}-codes"), wait)

    def _code_files(self) -> "Sequence[CodeFiles]":
        if not any(name.startswith(f"{self._path.name}-codes-") for name in os.listdir(self._path.parent)):
            return []
        from mindvox.speakers.codes import CodeFiles

        return CodeFiles.all_of(self._path)

    def _fetch(self, run: Run, keys: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the keys that exist, and their centroids."""
        found = [np.empty(0, np.int64)]
        vectors = [np.empty((0, self.model.emb_size), np.float32)]
        for part in _in_parts(keys):
            for some, theirs in self._in_chunks(run(f"{CENTROIDS} WHERE speakers.id IN ({_marks(part)})", part)):
                found.append(some)
                vectors.append(theirs)
        return np.concatenate(found), np.concatenate(vectors)

    def _in_chunks(self, rows: sqlite3.Cursor) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield keys (N,) and centroids (N, D) of the rows."""
        while part := rows.fetchmany(ROWS_AT_ONCE):
            vectors = np.frombuffer(b"".join(vector for _, vector in part), "<f4").reshape(len(part), -1)
            yield np.array([key for key, _ in part], np.int64), vectors


def _make_private(path: Path) -> None:
    """Make an empty file that only its owner may read; leave an existing one alone.

    An existing file must not even be opened: closing it would drop the locks of all this process's connections to it
    (POSIX), and another process that ends would then remove the log that they use.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)


@contextmanager
def _alone(gate: sqlite3.Connection) -> Iterator[None]:
    """Keep other connections from committing and from emptying the log while the block runs."""
    gate.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        gate.execute("ROLLBACK")


def _prepare(path: Path, connection: sqlite3.Connection, model: Optional[ModelIdentity]) -> ModelIdentity:
    """Set up a connection; make the tables of a new store, or update those of an earlier format; return the model."""
    run = connection.execute
    application, num_tables = run("PRAGMA application_id").fetchone()[0], _num_tables(run)
    if application != APPLICATION_ID and num_tables:
        raise InputError(f"{path}: expected a store of speakers, got another SQLite database. Choose another file.")
    _use_log(path, connection)
    for pragma in ("synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
        run(f"PRAGMA {pragma}")
    run("BEGIN IMMEDIATE")
    try:
        if not _num_tables(run):  # another process may have made them since
            if model is None:
                raise no_store(path, "an empty file, not a store of speakers")
            run(f"PRAGMA application_id = {APPLICATION_ID}")
            for statement in SCHEMA.split(";\n"):
                run(statement)
            for entry in about_store(model).items():
                run("INSERT INTO about VALUES (?, ?)", entry)
        found = {row["key"]: row["value"] for row in run("SELECT * FROM about")}
        stored = model_of_store(str(path), found, model)
        if found["format_version"] == str(WITHOUT_QUALITY):
            for column in QUALITY_COLUMNS:
                run(f"ALTER TABLE samples ADD COLUMN {column} REAL")
            run("UPDATE about SET value = ? WHERE key = 'format_version'", (str(FORMAT_VERSION),))
        run("COMMIT")
    except BaseException:
        run("ROLLBACK")
        raise
    return stored


def _use_log(path: Path, connection: sqlite3.Connection) -> None:
    """Turn on the write-ahead log, so that readers and a writer do not wait for each other."""
    give_up = time.monotonic() + WAIT_S
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError:  # SQLite does not wait here for another process that does the same
            if time.monotonic() > give_up:
                raise
            time.sleep(RETRY_S)
    if mode != "wal":
        raise InputError(f"{path}: this file system cannot hold a store (SQLite's write-ahead log): use a local disk.")


def _last_entry(run: Run) -> int:
    """Return the number of the last audit entry."""
    return run("SELECT ifnull(max(number), 0) FROM audit").fetchone()[0]


def _changed(run: Run, since: int) -> list[int]:
    """Return the speakers whose centroid at an audit entry is no longer valid."""
    rows = run(
        "SELECT DISTINCT speaker FROM audit WHERE number > ? AND action IN (?, ?, ?, ?)",
        (since, ADDED, REPLACED, DELETED, EXPIRED),
    )
    return [row[0] for row in rows]


def _num_tables(run: Run) -> int:
    return run("SELECT count(*) FROM sqlite_master").fetchone()[0]


@contextmanager
def _said_clearly(where: str) -> Iterator[None]:
    """Turn an error of SQLite into an InputError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        reason = f"another process has been writing for {WAIT_S:g} s" if "locked" in str(error) else str(error)
        raise InputError(f"{where}: {reason}.") from None
    except sqlite3.DatabaseError as error:
        raise InputError(f"{where}: expected a store of speakers ({error}).") from None


def _key(cursor: sqlite3.Cursor) -> int:
    """Return the key of the row that was inserted."""
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _fill(run: Run, table: str, vector: np.ndarray) -> int:
    """Store a vector in a free row, or in a new one if none is free; return its slot."""
    row = run(f"SELECT slot FROM free_{table} LIMIT 1").fetchone()
    if row is None:
        return _key(run(f"INSERT INTO {table} (vector) VALUES (?)", (_bytes(vector),)))
    run(f"DELETE FROM free_{table} WHERE slot = ?", (row[0],))
    _overwrite(run, table, row[0], vector)
    return row[0]


def _overwrite(run: Run, table: str, slot: int, vector: np.ndarray) -> None:
    run(f"UPDATE {table} SET vector = ? WHERE slot = ?", (_bytes(vector), slot))


def _empty(run: Run, table: str, slot: int) -> None:
    """Overwrite a vector with zeros and mark its row as free."""
    run(f"UPDATE {table} SET vector = zeroblob(length(vector)) WHERE slot = ?", (slot,))
    run(f"INSERT INTO free_{table} VALUES (?)", (slot,))


def _bytes(vector: np.ndarray) -> bytes:
    return vector.astype("<f4").tobytes()


def _samples(run: Run, key: int) -> tuple[Sample, ...]:
    rows = run(
        f"SELECT vector, source, net_speech_s, added, {', '.join(QUALITY_COLUMNS)} FROM samples "
        "JOIN embeddings ON slot = embedding WHERE speaker = ? ORDER BY id",
        (key,),
    )
    return tuple(
        Sample(np.frombuffer(vector, "<f4"), source, net_speech_s, added, quality_of(net_speech_s, quality))
        for vector, source, net_speech_s, added, *quality in rows
    )


def _add_samples(run: Run, key: int, samples: Iterable[Sample]) -> None:
    columns = ("speaker", "embedding", "source", "net_speech_s", "added", *QUALITY_COLUMNS)
    for sample in samples:
        slot = _fill(run, "embeddings", sample.embedding)
        values = (key, slot, sample.source, sample.net_speech_s, sample.added, *stored_quality(sample))
        run(f"INSERT INTO samples ({', '.join(columns)}) VALUES ({_marks(columns)})", values)


def _remove_samples(run: Run, key: int) -> None:
    for row in run("SELECT embedding FROM samples WHERE speaker = ?", (key,)).fetchall():
        _empty(run, "embeddings", row["embedding"])
    run("DELETE FROM samples WHERE speaker = ?", (key,))


def _delete(run: Run, row: sqlite3.Row, action: str, now: float) -> None:
    _remove_samples(run, row["id"])
    _empty(run, "centroids", row["centroid"])
    run("DELETE FROM speakers WHERE id = ?", (row["id"],))
    _note(run, now, action, row["id"], row["name"])


def _expire(run: Run, now: float) -> int:
    """Delete the expired speakers and return their number."""
    rows = run("SELECT * FROM speakers WHERE expires <= ?", (now,)).fetchall()
    for row in rows:
        _delete(run, row, EXPIRED, now)
    return len(rows)


def _note(run: Run, now: float, action: str, key: int, name: str, detail: object = "") -> None:
    """Add an entry to the audit."""
    run(
        "INSERT INTO audit (at, action, speaker, name, detail) VALUES (?, ?, ?, ?, ?)",
        (now, action, key, name, str(detail)),
    )


def _allowed(run: Run, among: Optional[Collection[str]], group: Optional[str]) -> Optional[set[int]]:
    """Return the keys of the speakers that a search is limited to; None: all."""
    allowed = None
    if group is not None:
        allowed = {row[0] for row in run('SELECT id FROM speakers WHERE "group" = ?', (group,))}
    if among is not None:
        named: set[int] = set()
        for names in _in_parts([check_name(name) for name in among]):
            named.update(row[0] for row in run(f"SELECT id FROM speakers WHERE name IN ({_marks(names)})", names))
        allowed = named if allowed is None else allowed & named
    return allowed


def _names(run: Run, keys: Collection[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for part in _in_parts(list(keys)):
        found.update(
            (row[0], row[1]) for row in run(f"SELECT id, name FROM speakers WHERE id IN ({_marks(part)})", part)
        )
    return found


def _in_parts(values: Sequence) -> Iterator[Sequence]:
    return (values[first : first + FEW] for first in range(0, len(values), FEW))


def _marks(values: Collection[Any]) -> str:
    return ",".join("?" * len(values))


def _terms(row: sqlite3.Row) -> Terms:
    return terms_of(row["group"], row["consent"], row["expires"])
