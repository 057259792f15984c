"""The store of speakers in a PostgreSQL database with the extension pgvector.

The search in the database is exact: it compares the query with every centroid. Speakers that may be among the best,
given the rounding, are compared again in double precision, so that both stores give the same answer.

A deleted row stays in PostgreSQL's files until its table is rewritten. So `delete` hides a speaker from everybody at
once, and `erase` (`mindvox speakers purge`) removes the bytes. The database's own log and its backups keep them for as
long as its administrator has set.
"""

import json
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from mindvox.errors import InputError
from mindvox.speakers.search import best, could_be_best, rounding_of
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
    Matches,
    ModelIdentity,
    NoSuchSpeaker,
    NotErased,
    Sample,
    Speaker,
    SpeakerId,
    SpeakerStore,
    Summaries,
    Summary,
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
    import psycopg

CONNECT_S = 10
SPARE = 32  # candidates requested beyond k at once
LOCK_KEY = 0x6D765350  # advisory lock held while the tables are made
SCHEMA = """
CREATE TABLE mindvox_about (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE mindvox_speakers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    name text COLLATE "C" NOT NULL UNIQUE,
    centroid vector({emb_size}) NOT NULL,
    "group" text NOT NULL,
    consent text NOT NULL,
    expires double precision,
    created double precision NOT NULL,
    changed double precision NOT NULL,
    num_failures integer NOT NULL DEFAULT 0,
    last_failure double precision NOT NULL DEFAULT 0
);
CREATE INDEX ON mindvox_speakers ("group");
CREATE INDEX ON mindvox_speakers (expires) WHERE expires IS NOT NULL;
CREATE TABLE mindvox_samples (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    speaker bigint NOT NULL REFERENCES mindvox_speakers ON DELETE CASCADE,
    embedding vector({emb_size}) NOT NULL,
    source text NOT NULL,
    net_speech_s double precision NOT NULL,
    added double precision NOT NULL,
    duration_s double precision,
    level_dbfs double precision,
    clipped_share double precision,
    snr_db double precision,
    bandwidth_hz double precision,
    voice_agreement double precision
);
CREATE INDEX ON mindvox_samples (speaker);
CREATE TABLE mindvox_audit (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at double precision NOT NULL,
    action text NOT NULL,
    speaker bigint NOT NULL,
    name text NOT NULL,
    detail text NOT NULL
);
CREATE INDEX ON mindvox_audit (speaker);
CREATE FUNCTION mindvox_refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON mindvox_audit EXECUTE FUNCTION mindvox_refuse();
"""
TABLES = ("mindvox_speakers", "mindvox_samples")
IS_LIVE = "(expires IS NULL OR expires > %(now)s)"
IN_GROUP = '(%(group)s::text IS NULL OR "group" = %(group)s)'
Run = Callable[..., "psycopg.Cursor"]


class PostgresStore(SpeakerStore):
    """Speakers in a PostgreSQL database; as SpeakerStore, except that after `delete` the bytes stay until `erase`.

    One connection serves all threads, one call at a time. If it is lost, the next call connects again.

    Args:
        address: "postgresql://user@host/database", see libpq.
        clock: returns seconds since 1970; for tests.
    """

    def __init__(self, address: str, clock: Callable[[], float] = time.time) -> None:
        self._address = address
        self._clock = clock
        self._lock = threading.RLock()
        self._kept: Optional[psycopg.Connection] = None
        self.where = "the database"

    @classmethod
    def open(
        cls, address: str, model: Optional[ModelIdentity] = None, clock: Callable[[], float] = time.time
    ) -> "PostgresStore":
        """Open the store in a database; if there is none, make one for a model.

        Raises:
            InputError: psycopg is not installed; the database cannot be reached, or has no pgvector; it has no store
                and `model` is None; the store is for another model.
        """
        store = cls(address, clock)
        try:
            with store._writing(expire=False) as run:
                store.model = _prepare(run, store.where, model)
        except BaseException:
            store.close()
            raise
        return store

    def put_all(self, speakers: Iterable[Speaker], mode: str = NEW, keep_terms: bool = False) -> int:
        now = self._clock()
        prepared = checked_all(speakers, mode, self.model.emb_size, now)
        # In a pipeline, statements without an answer are sent together with the next one that has an answer.
        with self._connected() as connection, connection.pipeline(), self._writing() as run:
            for speaker in prepared:
                self._put(run, speaker, mode, keep_terms, now)
        return len(prepared)

    def _put(self, run: Run, speaker: Speaker, mode: str, keep_terms: bool, now: float) -> None:
        centroid = centroid_of(speaker.samples)
        values = stored_terms(speaker.terms)
        other = "SELECT 1 FROM mindvox_speakers WHERE public_id = %s AND name != %s"
        if speaker.id and run(other, [speaker.id, speaker.name]).fetchone():
            raise id_is_taken(speaker.id)
        row = run(
            'INSERT INTO mindvox_speakers (public_id, name, centroid, "group", consent, expires, created, changed) '
            "VALUES (%s, %s, %s::vector, %s, %s, %s, %s, %s) ON CONFLICT (name) DO NOTHING RETURNING id",
            [speaker.id or new_id(), speaker.name, _text_of(centroid), *values, speaker.created or now, now],
        ).fetchone()
        if row is not None:
            _add_samples(run, row[0], speaker.samples)
            _note(run, now, ENROLLED, row[0], speaker.name, len(speaker.samples))
            return
        if mode == NEW:
            raise already_enrolled(speaker.name)
        # Other processes that change this speaker wait here.
        row = run("SELECT id FROM mindvox_speakers WHERE name = %s FOR UPDATE", [speaker.name]).fetchone()
        if row is None:
            raise NoSuchSpeaker(f"{speaker.name}: another process has just deleted this speaker. Enrol again.")
        if mode == REPLACE:
            run("DELETE FROM mindvox_samples WHERE speaker = %s", row)
        else:
            centroid = centroid_of((*_samples(run, row[0]), *speaker.samples))
        _add_samples(run, row[0], speaker.samples)
        change = "UPDATE mindvox_speakers SET changed = %s, centroid = %s::vector WHERE id = %s"
        run(change, [now, _text_of(centroid), row[0]])
        if not keep_terms:
            run('UPDATE mindvox_speakers SET "group" = %s, consent = %s, expires = %s WHERE id = %s', [*values, row[0]])
        _note(run, now, ADDED if mode == ADD else REPLACED, row[0], speaker.name, len(speaker.samples))

    def get(self, who: Who) -> Speaker:
        with self._reading() as run:
            key, name, created, changed, public_id, *terms = self._row(run, who)
            return Speaker(name, _samples(run, key), terms_of(*terms), created, changed, public_id)

    def ids(self, names: Collection[str]) -> dict[str, str]:
        given = {"names": [check_name(name) for name in names], "now": self._clock()}
        with self._reading() as run:
            statement = f"SELECT name, public_id FROM mindvox_speakers WHERE name = ANY(%(names)s) AND {IS_LIVE}"
            return dict(run(statement, given).fetchall())

    def failures(self, who: Who) -> Failures:
        with self._reading() as run:
            return _failures(run, self._row(run, who)[0])

    def note_verification(self, who: Who, is_accepted: bool) -> Failures:
        with self._writing() as run:
            key = self._row(run, who, "FOR UPDATE")[0]
            noted = Failures(0, 0.0) if is_accepted else Failures(_failures(run, key).number + 1, self._clock())
            run("UPDATE mindvox_speakers SET num_failures = %s, last_failure = %s WHERE id = %s", [*noted, key])
            return noted

    def rename(self, who: Who, new_name: str) -> None:
        new_name = check_name(new_name)
        with self._writing() as run:
            key, name, *_ = self._row(run, who, "FOR UPDATE")
            taken = run("SELECT 1 FROM mindvox_speakers WHERE name = %s AND id != %s", [new_name, key]).fetchone()
            if taken:
                raise name_is_taken(new_name)
            now = self._clock()
            run("UPDATE mindvox_speakers SET name = %s, changed = %s WHERE id = %s", [new_name, now, key])
            _note(run, now, RENAMED, key, name, new_name)

    def delete(self, who: Who) -> None:
        """Delete a speaker, who is no longer found; the bytes stay until `erase`. Raise NoSuchSpeaker."""
        with self._writing() as run:
            key, name, *_ = self._row(run, who, "FOR UPDATE")
            run("DELETE FROM mindvox_speakers WHERE id = %s", [key])
            _note(run, self._clock(), DELETED, key, name)

    def list(self, after: str = "", limit: int = FIRST, group: Optional[str] = None) -> Summaries:
        with self._reading() as run:
            columns = 'name, created, changed, public_id, "group", consent, expires'
            rows = run(
                f"SELECT {columns}, count(*), sum(net_speech_s) FROM (SELECT * FROM mindvox_speakers "
                f"WHERE name > %(after)s AND {IN_GROUP} AND {IS_LIVE} ORDER BY name LIMIT %(limit)s) chosen "
                f"JOIN mindvox_samples ON speaker = chosen.id GROUP BY chosen.id, {columns} ORDER BY name",
                {"after": after, "limit": limit, "group": group, "now": self._clock()},
            )
            return [
                Summary(name, num_samples, speech_s, terms_of(*terms), created, changed, public_id)
                for name, created, changed, public_id, *terms, num_samples, speech_s in rows
            ]

    def count(self, group: Optional[str] = None) -> int:
        with self._reading() as run:
            statement = f"SELECT count(*) FROM mindvox_speakers WHERE {IN_GROUP} AND {IS_LIVE}"
            return _one(run(statement, {"group": group, "now": self._clock()}))

    def search(
        self, embeddings: np.ndarray, k: int = 1, among: Optional[Collection[str]] = None, group: Optional[str] = None
    ) -> Found:
        queries = checked_queries(embeddings, k, self.model.emb_size)
        given = {"among": None if among is None else [check_name(name) for name in among], "group": group}
        with self._reading() as run:
            _expire(run, self._clock())
            return [self._search(run, query, k, {**given, "now": self._clock()}) for query in queries]

    def _search(self, run: Run, query: np.ndarray, k: int, given: dict[str, Any]) -> Matches:
        error = rounding_of(self.model.emb_size)
        wanted = k + SPARE
        limits = {"group": '"group" = %(group)s', "among": "name = ANY(%(among)s)"}
        where = " AND ".join([IS_LIVE, *(limit for key, limit in limits.items() if given[key] is not None)])
        while True:
            # The query is converted once, and centroids only of the rows that are returned.
            rows = run(
                "SELECT found.id, found.name, speaker.centroid::text, found.score FROM ("
                "SELECT id, name, -(centroid <#> (SELECT %(query)s::vector)) AS score FROM mindvox_speakers "
                f"WHERE {where} ORDER BY score DESC, id LIMIT %(wanted)s"
                ") found JOIN mindvox_speakers speaker ON speaker.id = found.id ORDER BY found.score DESC, found.id",
                {**given, "query": _text_of(query), "wanted": wanted},
            ).fetchall()
            scores = np.array([row[3] for row in rows])
            if len(rows) < wanted or scores[-1] < scores[k - 1] - 2 * error:
                break
            wanted *= 8  # rows that were not fetched may be as near
        near = could_be_best(scores, k, error)
        names = {rows[place][0]: rows[place][1] for place in near}
        vectors = np.array([_array_of(rows[place][2]) for place in near], np.float32).reshape(-1, self.model.emb_size)
        hits = best(np.array(list(names), np.int64), vectors, query, k)
        return [Match(names[key], score) for key, score in hits]

    def centroids(self, limit: int) -> np.ndarray:
        with self._reading() as run:
            first = _one(run("SELECT min(id) FROM mindvox_speakers"))
            if first is None:
                return np.empty((0, self.model.emb_size), np.float32)
            last = _one(run("SELECT max(id) FROM mindvox_speakers"))
            keys = np.linspace(first, last, limit).astype(int).tolist()
            rows = run(
                "SELECT DISTINCT ON (found.id) found.centroid::text FROM unnest(%s::bigint[]) AS wanted CROSS JOIN "
                "LATERAL (SELECT id, centroid FROM mindvox_speakers WHERE id >= wanted ORDER BY id LIMIT 1) found "
                "ORDER BY found.id",
                [keys],
            )
            return np.array([_array_of(row[0]) for row in rows])

    def audit(self, after: int = 0, limit: int = FIRST, name: Optional[str] = None) -> Entries:
        with self._reading() as run:
            rows = run(
                "SELECT number, at, action, name, detail FROM mindvox_audit WHERE number > %(after)s AND "
                "(%(name)s::text IS NULL OR speaker IN (SELECT speaker FROM mindvox_audit WHERE name = %(name)s "
                "OR action = %(renamed)s AND detail = %(name)s)) ORDER BY number LIMIT %(limit)s",
                {"after": after, "limit": limit, "name": name and check_name(name), "renamed": RENAMED},
            )
            return [AuditEntry(*row) for row in rows]

    def purge(self) -> int:
        with self._writing(expire=False) as run:
            num_deleted = _expire(run, self._clock())
        self.erase()
        return num_deleted

    def erase(self) -> None:
        """Rewrite the tables without the deleted rows (VACUUM FULL, which locks them) and release the old files.

        Raises:
            NotErased: the user does not own the tables, or may not run CHECKPOINT.
        """
        import psycopg

        with self._connected() as connection:
            try:
                for table in TABLES:
                    connection.execute(f"VACUUM (FULL, ANALYZE) {table}")
                connection.execute("CHECKPOINT")
            except psycopg.errors.InsufficientPrivilege as error:
                raise NotErased(
                    f"{self.where}: deleted data cannot be found, but its bytes stay in the files ({error}). Let "
                    "the owner of the tables run `mindvox speakers purge`, with the role pg_checkpoint."
                ) from None

    def close(self) -> None:
        with self._lock:
            if self._kept is not None:
                self._kept.close()

    @contextmanager
    def _connected(self) -> "Iterator[psycopg.Connection]":
        """Yield the connection, for one call at a time; turn an error of the database into an InputError."""
        try:
            import psycopg
        except ImportError:
            raise InputError("PostgreSQL: psycopg is not installed: pip install -e '.[postgres]'") from None
        with self._lock:
            try:
                if self._kept is None or self._kept.closed:
                    self._kept = psycopg.connect(self._address, autocommit=True, connect_timeout=CONNECT_S)
                    info = self._kept.info  # without the password
                    self.where = f"postgresql://{info.host}:{info.port}/{info.dbname}"
                yield self._kept
            except psycopg.Error as error:
                raise InputError(f"{self.where}: {str(error).strip() or type(error).__name__}") from None

    @contextmanager
    def _reading(self) -> Iterator[Run]:
        """Yield the function that runs statements in a transaction."""
        with self._connected() as connection, connection.transaction():
            yield connection.execute

    @contextmanager
    def _writing(self, expire: bool = True) -> Iterator[Run]:
        """Yield the function that runs statements in an atomic transaction; delete expired speakers first."""
        with self._reading() as run:
            if expire:
                _expire(run, self._clock())
            yield run

    def _row(self, run: Run, who: Who, lock: str = "") -> tuple:
        """Return the key, name, times, id and terms of a speaker; raise NoSuchSpeaker."""
        column, value = ("public_id", who.value) if isinstance(who, SpeakerId) else ("name", check_name(who))
        row = run(
            'SELECT id, name, created, changed, public_id, "group", consent, expires FROM mindvox_speakers '
            f"WHERE {column} = %(value)s AND {IS_LIVE} {lock}",
            {"value": value, "now": self._clock()},
        ).fetchone()
        if row is None:
            raise no_such_speaker(who, self.where)
        return row


def _prepare(run: Run, where: str, model: Optional[ModelIdentity]) -> ModelIdentity:
    """Make the tables of a new store, or update those of an earlier format; return the store's model."""
    import psycopg

    run("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])
    if not _one(run("SELECT to_regclass('mindvox_about') IS NOT NULL")):
        if model is None:
            raise no_store(where)
        try:
            run("CREATE EXTENSION IF NOT EXISTS vector")
        except psycopg.errors.Error as error:
            advice = "Install pgvector on the server, and run `CREATE EXTENSION vector` in the database as a superuser."
            raise InputError(f"{where}: {str(error).splitlines()[0]}. {advice}") from None
        run(SCHEMA.format(emb_size=model.emb_size))
        for entry in about_store(model).items():
            run("INSERT INTO mindvox_about VALUES (%s, %s)", entry)
    found: dict[str, str] = dict(run("SELECT key, value FROM mindvox_about").fetchall())
    stored = model_of_store(where, found, model)
    if found["format_version"] == str(WITHOUT_QUALITY):
        columns = ", ".join(f"ADD COLUMN {column} double precision" for column in QUALITY_COLUMNS)
        try:
            run(f"ALTER TABLE mindvox_samples {columns}")
        except psycopg.errors.InsufficientPrivilege as error:
            raise InputError(
                f"{where}: a store of format {WITHOUT_QUALITY}; only the owner of its tables can update it to format "
                f"{FORMAT_VERSION} ({str(error).splitlines()[0]}). Let the owner run `mindvox speakers list` once."
            ) from None
        run("UPDATE mindvox_about SET value = %s WHERE key = 'format_version'", [str(FORMAT_VERSION)])
    return stored


def _one(cursor: "psycopg.Cursor") -> Any:
    row = cursor.fetchone()
    assert row is not None
    return row[0]


def _text_of(vector: np.ndarray) -> str:
    """Return a vector as pgvector reads it, float32: nine digits give the same number back."""
    values = vector.astype(np.float32).tolist()
    return f"[{','.join(['%.9g'] * len(values))}]" % tuple(values)


def _array_of(text: str) -> np.ndarray:
    """Return the vector that pgvector wrote, float32: it writes as many digits as the value needs."""
    return np.array(json.loads(text), np.float32)


def _failures(run: Run, key: int) -> Failures:
    row = run("SELECT num_failures, last_failure FROM mindvox_speakers WHERE id = %s", [key]).fetchone()
    assert row is not None
    return Failures(*row)


def _samples(run: Run, key: int) -> tuple[Sample, ...]:
    rows = run(
        f"SELECT embedding::text, source, net_speech_s, added, {', '.join(QUALITY_COLUMNS)} FROM mindvox_samples "
        "WHERE speaker = %s ORDER BY id",
        [key],
    )
    return tuple(
        Sample(_array_of(vector), source, net_speech_s, added, quality_of(net_speech_s, quality))
        for vector, source, net_speech_s, added, *quality in rows
    )


def _add_samples(run: Run, key: int, samples: Iterable[Sample]) -> None:
    others = ("source", "net_speech_s", "added", *QUALITY_COLUMNS)
    for sample in samples:
        values = (sample.source, sample.net_speech_s, sample.added, *stored_quality(sample))
        run(
            f"INSERT INTO mindvox_samples (speaker, embedding, {', '.join(others)}) "
            f"VALUES (%s, %s::vector{', %s' * len(others)})",
            [key, _text_of(sample.embedding), *values],
        )


def _expire(run: Run, now: float) -> int:
    """Delete the expired speakers and return their number."""
    # `min` takes the index of expiries; without this question, the statement below may read the whole table.
    if not _one(run("SELECT min(expires) <= %s FROM mindvox_speakers", [now])):
        return 0
    rows = run("DELETE FROM mindvox_speakers WHERE expires <= %s RETURNING id, name", [now]).fetchall()
    for key, name in rows:
        _note(run, now, EXPIRED, key, name)
    return len(rows)


def _note(run: Run, now: float, action: str, key: int, name: str, detail: object = "") -> None:
    """Add an entry to the audit."""
    run(
        "INSERT INTO mindvox_audit (at, action, speaker, name, detail) VALUES (%s, %s, %s, %s, %s)",
        [now, action, key, name, str(detail)],
    )
