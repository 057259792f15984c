import numpy as np
import pytest

kaldiio = pytest.importorskip("kaldiio", reason="needs the extra kaldi")

from mindvox.errors import InputError  # noqa: E402
from mindvox.scoring.convert import main, read_kaldi  # noqa: E402
from mindvox.scoring.embeddings import EmbeddingStore, Identity  # noqa: E402


@pytest.fixture
def store():
    embeddings = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    utt_ids = [f"s{number // 2}/{number}.wav" for number in range(5)]
    return EmbeddingStore(utt_ids, [name[:2] for name in utt_ids], embeddings, Identity("m", "s", "e", None, {}))


@pytest.fixture
def exported(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store.save("store")
    assert main(["export", "store", "out/eval"]) == 0
    return tmp_path / "out"


def test_kaldi_reads_what_is_exported(store, exported):
    for loaded in (dict(kaldiio.load_ark("out/eval.ark")), kaldiio.load_scp("out/eval.scp")):
        assert list(loaded) == store.utt_ids
        np.testing.assert_array_equal([loaded[name] for name in store.utt_ids], store.embeddings)
    assert (exported / "eval.utt2spk").read_text().splitlines()[2] == "s1/2.wav s1"


@pytest.mark.parametrize("suffix", ["ark", "scp"])
def test_what_is_exported_is_imported_again(store, exported, suffix, capsys):
    assert main(["import", f"out/eval.{suffix}", "again", "--utt2spk", "out/eval.utt2spk", "--model", "wespeaker"]) == 0
    assert "again: 5 embeddings of size 7" in capsys.readouterr().out
    again = EmbeddingStore.open("again")
    assert (again.utt_ids, again.spk_ids) == (store.utt_ids, store.spk_ids)
    np.testing.assert_array_equal(again.embeddings, store.embeddings)
    assert again.identity.model_sha256 == "name:wespeaker"


def test_an_scp_names_files_here_or_beside_it(exported, monkeypatch):
    scp = (exported / "eval.scp").read_text().replace("out/eval.ark", "eval.ark")
    (exported / "moved.scp").write_text(scp)
    assert len(read_kaldi(exported / "moved.scp")[0]) == 5


def test_vectors_of_kaldiio_and_kaldis_text_are_read(tmp_path):
    kaldiio.save_ark(str(tmp_path / "double.ark"), {"a": np.array([1.5, 2.5]), "b": np.array([0.5, -1.0])})
    names, embeddings = read_kaldi(tmp_path / "double.ark")
    assert names == ["a", "b"] and embeddings.dtype == np.float32
    np.testing.assert_array_equal(embeddings, [[1.5, 2.5], [0.5, -1.0]])
    (tmp_path / "text.ark").write_text("a  [ 1 -0.5 2e-3 ]\nb  [ 3 4 5 ]\n")  # whole numbers have no point in Kaldi
    np.testing.assert_allclose(read_kaldi(tmp_path / "text.ark")[1], [[1, -0.5, 0.002], [3, 4, 5]])


def binary(size, numbers, kind=b"FV"):
    return b"\0B" + kind + b" \4" + size.to_bytes(4, "little", signed=True) + np.array(numbers, "<f4").tobytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected vectors, got none"),
        (b"a PKL\x80\x04\x95", "expected a float vector, got what begins with b'PKL"),
        (b"a NPY", "expected a float vector"),
        (b"a RIFF0000WAVE", "expected a float vector"),
        (b"a " + binary(2, [1, 2], b"FM"), "expected a float vector"),
        (b"a " + binary(-1, [1, 2]), "says -1 numbers, has 0"),
        (b"a " + binary(2**31 - 1, [1, 2]), "says 2147483647 numbers, has 0"),
        (b"a " + binary(3, [1, 2]), "says 3 numbers, has 2"),
        (b"a " + binary(2, [1, 2])[:8], "expected a float vector"),
        (b"a " + binary(1, [1]) + b"b " + binary(2, [1, 2]), "expected vectors of one size, got sizes 1, 2"),
        (b"a " + binary(1, [1]) + b"a " + binary(1, [2]), "a is there twice"),
        (b"a " + binary(1, [np.nan]), "NaN or infinite values; the first is of a"),
        (b"abc", "expected '<utterance> <vector>' at byte 0"),
        (b"\xff\xfe " + binary(1, [1]), "expected a name in UTF-8 at byte 0"),
        (b"a [ 1 2", "expected a vector"),
        (b"a [ 1 x ]\n", "expected a vector"),
        (b"a [ 1 ] 2\n", "expected a vector"),
        (b"a [ ]\n", "got sizes 0"),
    ],
)
def test_damaged_and_dangerous_archives_are_refused(tmp_path, content, message):
    (tmp_path / "x.ark").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_kaldi(tmp_path / "x.ark")


@pytest.mark.parametrize(
    "place",
    [
        "touch {pwned} |",
        "| touch {pwned}",
        "cat x.ark; touch {pwned} |",
        "x.ark:0[0:1]",
        "-",
        "none.ark:0",
        "x.ark:999",
    ],
)
def test_commands_and_odd_places_in_an_scp_are_refused_and_not_run(tmp_path, place):
    (tmp_path / "x.ark").write_bytes(b"a " + binary(1, [1]))
    (tmp_path / "x.scp").write_text(f"a {place.format(pwned=tmp_path / 'pwned')}\n")
    with pytest.raises(InputError, match="x.scp"):
        read_kaldi(tmp_path / "x.scp")
    assert not (tmp_path / "pwned").exists()


def test_a_pickle_behind_an_scp_is_not_loaded(tmp_path):
    kaldiio.save_ark(str(tmp_path / "p.ark"), {"a": np.zeros(3)}, scp=str(tmp_path / "p.scp"), write_function="pickle")
    with pytest.raises(InputError, match="expected a float vector, got what begins with b'PKL"):
        read_kaldi(tmp_path / "p.scp")


def test_missing_speakers_are_named(exported):
    (exported / "few").write_text("s0/0.wav s0\n")
    with pytest.raises(InputError, match="lacks 4 of 5 utterances, such as s0/1.wav"):
        main(["import", "out/eval.ark", "again", "--utt2spk", "out/few", "--model", "m"])


def test_names_with_spaces_cannot_be_exported(store, tmp_path):
    store.utt_ids[0] = "a b"
    store.save(tmp_path / "store")
    with pytest.raises(InputError, match="'a b': a Kaldi table cannot hold"):
        main(["export", str(tmp_path / "store"), str(tmp_path / "x")])
