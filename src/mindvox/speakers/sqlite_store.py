"""The store of speakers in one SQLite file.

What a deleted speaker leaves in the file. SQLite's `secure_delete` overwrites what it frees, but not what balancing its
trees has copied elsewhere before: a few bytes in a thousand deletions stayed (3.40). So embeddings lie in tables of
rows of one length that are only ever appended and overwritten in place, with zeros when a speaker is deleted, and used
again for the next; such tables are never rebalanced. The log (`-wal`) still has earlier pages; a deletion ends with
emptying it.

SQLite before 3.51.3 can damage a database when one process empties the log a second time while another one commits (its
"WAL-reset bug"; seen here with 3.40: a speaker was missing from an index after a minute of eight processes). So whoever
commits or empties the log holds a lock on a database beside it, PATH-lock, which is empty: SQLite's own locks are those
that every system has, and they end with the process.

Every change has a row in `audit`, written in its transaction. The rows since the last search tell which vectors in
memory are out of date, whichever process changed them. Of many speakers, codes are held in place of vectors (`codes`).
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

WAIT_S = 60.0  # for other processes that write, or still read what is to be erased
RETRY_S = 0.01
READERS_S = 0.1  # that who empties the log waits for readers, before writers have their turn
ROWS_AT_ONCE = 20_000
FEW = 500  # values in one statement; SQLite allows 32,766
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
IN_MEMORY = 100_000  # speakers; of more, codes are searched, where faiss is installed
CENTROIDS = "SELECT speakers.id, vector FROM speakers JOIN centroids ON slot = centroid"
Run = Callable[..., sqlite3.Cursor]


class SqliteStore(SpeakerStore):
    """Speakers in one SQLite file; see SpeakerStore.

    The centroids, or codes of them, are held in memory for the search. One connection serves all threads, one call at a
    time.

    Args:
        path: an existing store, see `open`.
        connection: to it.
        gate: connection to the database that is locked by who commits or empties the log.
        model: whose embeddings it holds.
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
        self._seen = 0  # number of the last entry of the audit that the vectors follow

    @classmethod
    def open(
        cls, path: PathLike, model: Optional[ModelIdentity] = None, clock: Callable[[], float] = time.time
    ) -> "SqliteStore":
        """Open a store, or make one for a model where there is none.

        Raises:
            InputError: there is none and `model` is None; it is of another model; it is no store; it cannot be written.
        """
        path = Path(path)
        if model is None and not path.is_file():
            raise no_store(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # nobody but its owner reads voices
        with _said_clearly(str(path)):
            connection, gate = _connect(path), _connect(Path(f"{path}-lock"))
            try:
                connection.row_factory = sqlite3.Row
                with _alone(gate):
                    found = _prepare(path, connection, model)
                store = cls(path, connection, gate, found, clock)
                with suppress(NotErased):  # what a killed process left; the next one tries again
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
            with self._writing():  # deletes who has expired
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
        with self._reading() as run:  # what a killed process has left in codes
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
            wait_s: for other processes that still read what the log has; None: WAIT_S.

        Raises:
            NotErased: they read on.
        """
        give_up = time.monotonic() + (WAIT_S if wait_s is None else wait_s)
        while True:
            with self._lock:  # between two attempts other threads go on
                if self._empty_log(max(give_up - time.monotonic(), 0)):
                    return
            if time.monotonic() >= give_up:
                raise self._not_erased("another process keeps its bytes in the log", "it has ended")
            time.sleep(RETRY_S)

    def _empty_log(self, wait_s: float) -> bool:
        """Return whether the log could be moved into the file and emptied, after waiting for readers."""
        self._connection.execute(f"PRAGMA busy_timeout = {round(min(wait_s, READERS_S) * 1000)}")
        try:
            with _alone(self._gate):
                return not self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "locked" in str(error):  # SQLite does not wait for another process that empties it
                return False
            raise self._not_erased(f"its bytes are still in the log ({error})", "that is mended") from None
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {round(WAIT_S * 1000)}")

    def _not_erased(self, why: str, when: str) -> NotErased:
        return NotErased(
            f"{self.where}: what was deleted is found no more, but {why}. Run `mindvox speakers purge` when {when}."
        )

    def close(self) -> None:
        with self._lock, _said_clearly(self.where), _alone(self._gate):
            self._connection.close()  # the last one empties the log
        self._gate.close()

    @contextmanager
    def _writing(self, expire: bool = True) -> Iterator[Run]:
        """Yield what runs statements in a transaction that is whole or absent.

        Args:
            expire: delete first who has expired.
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
                with suppress(NotErased):  # no matter of who asked for something else; the next erasure does it
                    self.erase()

    @contextmanager
    def _reading(self) -> Iterator[Run]:
        """Yield what runs statements on one state of the store."""
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
        """Yield what runs statements on one state of the store, which the vectors in memory follow."""
        while True:
            with self._reading() as run:
                if self._follow(run):
                    yield run
                    return

    def _follow(self, run: Run) -> bool:
        """Bring the vectors in memory to the state of the store; False: that has to be done with a newer state."""
        last = _last_entry(run)
        if last == self._seen:
            return True
        seen, self._seen = self._seen, 0  # until all is done
        if seen == 0 and not self._needs_codes(run):
            self._vectors = Vectors(self.model.emb_size)
            for keys, vectors in self._in_chunks(run(CENTROIDS)):
                self._vectors.put_all(keys, vectors)
        elif seen == 0 or (self._apply(run, self._vectors, seen) and self._needs_codes(run)):
            return self._renew_codes(run, last, wait=seen == 0)
        self._seen = last
        return True

    def _apply(self, run: Run, vectors: "Union[Vectors, CodedVectors]", since: int) -> bool:
        """Take over what has changed since an entry of the audit; return whether other codes are wanted."""
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
        """Take the newest codes that there are, or make some; see `_follow`.

        Args:
            last: the last entry of the audit.
            wait: for another process that makes some; False: go on with the vectors in memory meanwhile.
        """
        from mindvox.speakers.codes import CodeFiles, write_codes

        if wait and (is_done := self._take_codes(run, last)) is not None:
            return is_done
        with ExitStack() as stack:
            try:
                stack.enter_context(self._making_codes(wait))
            except InputError:  # another process makes some
                self._seen = last
                return True
            if (is_done := self._take_codes(run, last)) is not None:  # made meanwhile
                return is_done
            for files in self._code_files():
                files.remove_unfinished()
            made = CodeFiles(self._path, last)
            write_codes(made, self.model.emb_size, lambda: self._in_chunks(run(f"{CENTROIDS} ORDER BY speakers.id")))
            self._use_codes(run, made, last)
            for files in self._code_files():
                if files.number < last:
                    files.remove()
        return False  # what was deleted meanwhile is erased from them with a newer state

    def _take_codes(self, run: Run, last: int) -> Optional[bool]:
        """Take the newest codes; return whether that is done, see `_follow`, or None: there are none that are good."""
        for files in self._code_files():
            if files.is_finished and files.number > last:
                return False
            with suppress(OSError, ValueError, KeyError, RuntimeError):  # unfinished, or damaged
                return None if self._use_codes(run, files, last) else True
        return None

    def _use_codes(self, run: Run, files: "CodeFiles", last: int) -> bool:
        """Search codes from now on; return whether others are wanted."""
        from mindvox.speakers.codes import CodedVectors

        def fetch(keys: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
            return self._fetch(self._connection.execute, keys)

        found = CodedVectors(files, self.model.emb_size, fetch)
        is_outdated = self._apply(run, found, files.number)
        self._vectors, self._seen = found, last
        return is_outdated

    def _making_codes(self, wait: bool) -> AbstractContextManager[None]:
        """Keep other processes from making codes; raise InputError where they do so, unless `wait`."""
        return lock_output(self._path.with_name(f"{self._path.name}-codes"), wait)

    def _code_files(self) -> "Sequence[CodeFiles]":
        if not any(name.startswith(f"{self._path.name}-codes-") for name in os.listdir(self._path.parent)):
            return []
        from mindvox.speakers.codes import CodeFiles

        return CodeFiles.all_of(self._path)

    def _fetch(self, run: Run, keys: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return those of the keys that there are, and their centroids."""
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


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)


@contextmanager
def _alone(gate: sqlite3.Connection) -> Iterator[None]:
    """Keep others from committing, and from emptying the log, while the block runs."""
    gate.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        gate.execute("ROLLBACK")


def _prepare(path: Path, connection: sqlite3.Connection, model: Optional[ModelIdentity]) -> ModelIdentity:
    """Set a connection up, make the tables of a store that is new or complete those of before; return its model."""
    run = connection.execute
    application, num_tables = run("PRAGMA application_id").fetchone()[0], _num_tables(run)
    if application != APPLICATION_ID and num_tables:
        raise InputError(f"{path}: expected a store of speakers, this is a database of something else.")
    _use_log(path, connection)
    for pragma in ("synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
        run(f"PRAGMA {pragma}")
    run("BEGIN IMMEDIATE")
    try:
        if not _num_tables(run):  # another process may have made them since
            if model is None:
                raise no_store(path, "an empty file, no store of speakers")
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
    """Let the store keep a log, so that readers and a writer do not wait for each other."""
    give_up = time.monotonic() + WAIT_S
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError:  # SQLite does not wait here while another process does the same
            if time.monotonic() > give_up:
                raise
            time.sleep(RETRY_S)
    if mode != "wal":
        raise InputError(f"{path}: this file system cannot hold a store (SQLite's write-ahead log): use a local disk.")


def _last_entry(run: Run) -> int:
    """Return the number of the last entry of the audit."""
    return run("SELECT ifnull(max(number), 0) FROM audit").fetchone()[0]


def _changed(run: Run, since: int) -> list[int]:
    """Return the speakers whose centroid of before is not valid any more since an entry of the audit."""
    rows = run(
        "SELECT DISTINCT speaker FROM audit WHERE number > ? AND action IN (?, ?, ?, ?)",
        (since, ADDED, REPLACED, DELETED, EXPIRED),
    )
    return [row[0] for row in rows]


def _num_tables(run: Run) -> int:
    return run("SELECT count(*) FROM sqlite_master").fetchone()[0]


@contextmanager
def _said_clearly(where: str) -> Iterator[None]:
    """Turn what SQLite says of a file into an InputError."""
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
    """Store a vector in a row that is free, else in a new one; return its slot."""
    row = run(f"SELECT slot FROM free_{table} LIMIT 1").fetchone()
    if row is None:
        return _key(run(f"INSERT INTO {table} (vector) VALUES (?)", (_bytes(vector),)))
    run(f"DELETE FROM free_{table} WHERE slot = ?", (row[0],))
    _overwrite(run, table, row[0], vector)
    return row[0]


def _overwrite(run: Run, table: str, slot: int, vector: np.ndarray) -> None:
    run(f"UPDATE {table} SET vector = ? WHERE slot = ?", (_bytes(vector), slot))


def _empty(run: Run, table: str, slot: int) -> None:
    """Overwrite a vector with zeros; its row can be used again."""
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
    """Delete the speakers who have expired and return their number."""
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
