"""What every store of speakers does; the files of SQLite are in test_sqlite_store."""

from dataclasses import fields, replace

import numpy as np
import pytest

from mindvox.errors import InputError
from mindvox.speakers.store import (
    ADD,
    NEVER,
    QUALITY_COLUMNS,
    REPLACE,
    NoSuchSpeaker,
    Sample,
    Speaker,
    SpeakerExists,
    Terms,
    centroid_of,
    check_name,
    stored_quality,
)
from mindvox.speech.quality import Quality
from tests.speakers.conftest import EMB_SIZE, QUALITY, names_of, sample, vector


def test_what_was_put_is_returned(store, clock):
    terms = Terms("staff", "signed on paper, 2026-11-01", clock.now + 10)
    store.put("Anna", [sample(1, "a.wav", 3.5), sample(2, "b.wav")], terms)
    found = store.get("Anna")
    assert (found.name, found.terms, found.created, found.changed) == ("Anna", terms, clock.now, clock.now)
    assert [(one.source, one.net_speech_s, one.added) for one in found.samples] == [
        ("a.wav", 3.5, clock.now),
        ("b.wav", 2.0, clock.now),
    ]
    assert np.array_equal(found.samples[0].embedding, vector(1)) and found.samples[0].embedding.dtype == np.float32
    assert store.count() == 1


def test_the_quality_of_a_sample_is_kept(store):
    measured = [QUALITY, Quality(3.0, 2.5, None, 0.25, 12.5, None), None]
    store.put("Anna", [replace(sample(seed), quality=quality) for seed, quality in enumerate(measured)])
    found = store.get("Anna").samples
    assert [one.quality for one in found] == measured
    assert [one.net_speech_s for one in found] == [4.5, 2.5, 2.0]  # that of the quality where there is one
    assert store.list()[0].net_speech_s == 9.0


def test_all_of_a_quality_is_kept():
    assert set(QUALITY_COLUMNS) | {"net_speech_s"} == {field.name for field in fields(Quality)}
    assert stored_quality(sample(1)) == (None,) * len(QUALITY_COLUMNS)


def test_the_centroid_is_the_direction_of_the_mean_of_directions():
    long, short = np.array([4.0, 0.0]), np.array([0.0, 0.5])
    assert centroid_of([Sample(long), Sample(short)]) == pytest.approx([2**-0.5, 2**-0.5])
    with pytest.raises(InputError, match="contradict"):
        centroid_of([Sample(long), Sample(-long)])


def test_a_name_that_is_taken_asks_for_add_or_replace(store, clock):
    store.put("Anna", [sample(1)], Terms("staff", "yes"))
    with pytest.raises(SpeakerExists, match=r"--add.*--replace"):
        store.put("Anna", [sample(2)])
    clock.now += 5
    store.put("Anna", [sample(2)], mode=ADD)
    found = store.get("Anna")
    assert len(found.samples) == 2 and found.terms == Terms("staff", "yes") and found.changed == found.created + 5
    assert store.search(vector(1)[None])[0][0].score == pytest.approx(float(found.centroid @ vector(1)) / length(1))
    store.put("Anna", [sample(3)], Terms("guests"), mode=REPLACE)
    found = store.get("Anna")
    assert len(found.samples) == 1 and found.terms == Terms("guests")
    assert store.search(vector(3)[None])[0][0].score == pytest.approx(1, abs=1e-6)
    store.put("Bert", [sample(4)], mode=ADD)  # nobody of this name: enrolled
    assert store.count() == 2


def length(seed):
    return float(np.linalg.norm(vector(seed)))


def test_search_is_sorted_and_limited(store):
    for name, seed in zip("abcdef", range(6), strict=True):
        store.put(name, [sample(seed)], Terms("even" if seed % 2 == 0 else "odd"))
    queries = np.stack([vector(2), vector(5) * 7])
    everybody = store.search(queries, k=10)
    assert [matches[0].name for matches in everybody] == ["c", "f"] and all(len(found) == 6 for found in everybody)
    scores = [match.score for match in everybody[0]]
    assert scores == sorted(scores, reverse=True)
    expected = np.dot(vector(2), vector(5)) / length(2) / length(5)
    assert dict(everybody[0])["f"] == pytest.approx(expected, abs=1e-6)
    assert names_of(store.search(queries, among=["a", "f", "nobody"]))[1] == ["f"]
    assert set(names_of(store.search(queries, k=9, group="odd"))[0]) == {"b", "d", "f"}
    assert names_of(store.search(queries, k=9, group="odd", among=["a", "b"])) == [["b"], ["b"]]
    assert store.search(queries, among=[]) == [[], []] and store.search(np.empty((0, EMB_SIZE))) == []


def test_of_equal_scores_the_first_enrolled_comes_first(store):
    for name in ("zoe", "anna", "mia"):
        store.put(name, [sample(1)])
    assert names_of(store.search(vector(1)[None], k=2)) == [["zoe", "anna"]]


@pytest.mark.parametrize(
    ("embeddings", "k"),
    [(np.ones((1, EMB_SIZE + 1)), 1), (np.ones(EMB_SIZE), 1), (np.zeros((1, EMB_SIZE)), 1), (np.ones((1, EMB_SIZE)), 0)]
    + [(np.full((2, EMB_SIZE), np.nan), 1), (np.full((1, EMB_SIZE), np.inf), 1)],
)
def test_what_is_no_embedding_cannot_be_searched(store, embeddings, k):
    store.put("Anna", [sample(1)])
    with pytest.raises(ValueError, match="expected"):
        store.search(embeddings, k)


def test_a_speaker_can_be_renamed(store):
    store.put("Anna", [sample(1)])
    store.put("Bert", [sample(2)])
    store.search(vector(1)[None])  # the vectors are in memory before
    store.rename("Anna", "Ana")
    assert names_of(store.search(vector(1)[None])) == [["Ana"]]
    with pytest.raises(NoSuchSpeaker, match="Anna"):
        store.get("Anna")
    with pytest.raises(SpeakerExists, match="Bert"):
        store.rename("Ana", "Bert")
    with pytest.raises(NoSuchSpeaker):
        store.rename("nobody", "x")
    store.rename("Ana", "Ana")


def test_a_deleted_speaker_is_gone(store):
    store.put("Anna", [sample(1)])
    store.put("Bert", [sample(2)])
    assert names_of(store.search(vector(1)[None])) == [["Anna"]]
    store.delete("Anna")
    assert names_of(store.search(vector(1)[None], k=5)) == [["Bert"]] and store.count() == 1
    for call in (store.get, store.delete):
        with pytest.raises(NoSuchSpeaker):
            call("Anna")
    store.put("Anna", [sample(3)])
    assert names_of(store.search(vector(3)[None])) == [["Anna"]]


def test_list_goes_by_name_in_pages(store):
    store.put_all([Speaker(name, (sample(1), sample(2)), Terms(name[0])) for name in ("b2", "a1", "b1", "ä")])
    assert [line.name for line in store.list()] == ["a1", "b1", "b2", "ä"]
    assert [line.name for line in store.list(after="a1", limit=1)] == ["b1"]
    assert [line.name for line in store.list(group="b")] == ["b1", "b2"] and store.count("b") == 2
    line = store.list()[0]
    assert (line.num_samples, line.net_speech_s, line.terms.group) == (2, 4.0, "a")
    assert list(store.names()) == ["a1", "b1", "b2", "ä"]


def test_many_are_enrolled_together_or_not_at_all(store):
    assert store.put_all(Speaker(str(number), (sample(number),)) for number in range(3)) == 3
    with pytest.raises(SpeakerExists):
        store.put_all([Speaker("new", (sample(4),)), Speaker("1", (sample(5),))])
    assert store.count() == 3 and names_of(store.search(vector(4)[None], k=9))[0].count("new") == 0
    with pytest.raises(ValueError, match="mode"):
        store.put_all([], mode="merge")


def test_who_has_expired_is_found_no_more_and_deleted(store, clock):
    store.put("guest", [sample(1)], Terms(expires=clock.now + 60))
    store.put("staff", [sample(2)])
    assert names_of(store.search(vector(1)[None])) == [["guest"]]
    clock.now += 60
    assert store.count() == 1 and [line.name for line in store.list()] == ["staff"]
    with pytest.raises(NoSuchSpeaker):
        store.get("guest")
    assert names_of(store.search(vector(1)[None], k=2)) == [["staff"]]
    assert store.purge() == 0  # the search deleted already
    assert store.audit()[-1][2:4] == ("expired", "guest")
    store.put("guest", [sample(1)], Terms(expires=clock.now + 5))
    clock.now += 6
    assert store.purge() == 1
    store.put("guest", [sample(3)], Terms(expires=NEVER))
    clock.now += 1e9
    assert store.get("guest").terms.expires == NEVER


def test_the_audit_tells_what_was_done_without_the_voice(store, clock):
    store.put("Anna", [sample(1), sample(2)])
    store.put("Bert", [sample(3)])
    store.put("Anna", [sample(4)], mode=ADD)
    store.rename("Anna", "Ana")
    store.put("Ana", [sample(5)], mode=REPLACE)
    store.delete("Ana")
    of_ana = [("enrolled", "Anna", "2"), ("added", "Anna", "1"), ("renamed", "Anna", "Ana"), ("replaced", "Ana", "1")]
    of_ana += [("deleted", "Ana", "")]
    for name in ("Anna", "Ana"):
        assert [entry[2:] for entry in store.audit(name=name)] == of_ana
    entries = store.audit()
    assert len(entries) == 6 and [entry.at for entry in entries] == [clock.now] * 6
    assert store.audit(after=entries[3].number, limit=1) == entries[4:5]


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\0", "x" * 201])
def test_impossible_names_are_refused(store, name):
    with pytest.raises(InputError, match="name of a speaker"):
        store.put(name, [sample(1)])


def test_two_spellings_of_one_name_are_one():
    assert check_name(" Jose\u0301 ") == "Jos\u00e9"


@pytest.mark.parametrize("bad", [np.zeros(EMB_SIZE), np.ones(3), np.full(EMB_SIZE, np.nan)])
def test_impossible_embeddings_are_refused(store, bad):
    with pytest.raises(InputError, match=f"Anna: a.wav: expected an embedding of {EMB_SIZE} numbers"):
        store.put("Anna", [sample(1), replace(sample(2), embedding=bad)])
    with pytest.raises(InputError, match="Anna: expected at least one recording"):
        store.put("Anna", [])
    assert store.count() == 0


def test_centroids_are_spread_over_the_store(store):
    assert store.centroids(5).shape == (0, EMB_SIZE)
    store.put_all([Speaker(f"{number:02}", (sample(number),)) for number in range(10)])
    found = store.centroids(4)
    assert found.shape == (4, EMB_SIZE) and found.dtype == np.float32
    assert found[0] == pytest.approx(vector(0) / length(0)) and found[-1] == pytest.approx(vector(9) / length(9))
    assert len(store.centroids(100)) == 10
