"""Text that a user may write means the same with a byte order mark, CRLF and blank lines (issue 12, B12).

Second variants, which the issue's text does not name: enrolment maps, exclude lists, checksums, rank tables, Kaldi and
lhotse lists, score files, SpeechBrain's speakers, the list of room responses, tables with a line that is blank within.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mindvox.config import TrainPrepConfig, load_config
from mindvox.corpus import lists, noises
from mindvox.corpus.get_data import read_checksums
from mindvox.corpus.table_io import read_skipped, read_speakers, read_table
from mindvox.corpus.trials import read_enrol_map, read_names, read_trials
from mindvox.deploy.import_weights import read_label_encoder
from mindvox.errors import InputError
from mindvox.files import read_json
from mindvox.scoring.convert import read_utt2spk
from mindvox.scoring.score_files import read_scores
from mindvox.training.rank_table import read_rank_table

ROOT = Path(__file__).resolve().parents[1]
TABLE = "ID,duration,wav,start,stop,spk_id\n张三/s/1.wav,1.0,wav/张三/s/1.wav,0,16000,张三\n"
SCORES = "label\tenrol\ttest\tbaseline\n1\t张三/1.wav\tb/2.wav\t0.5\n0\tb/2.wav\tb/3.wav\t0.25\n"


def scores(path: Path) -> tuple:
    table = read_scores(path)
    return table.enrol, table.test, {name: values.tolist() for name, values in table.columns.items()}


def kaldi(path: Path) -> object:
    (path.parent / "wav.scp").write_text("u1 a.wav\n", encoding="utf-8")
    return lists.read_kaldi_folder(path.parent, path.parent)


def lhotse(path: Path) -> object:
    return lists.read_lhotse(path.parent, path)


RECORDING = {"id": "r1", "sources": [{"type": "file", "channels": [0], "source": "a.wav"}], "sampling_rate": 16000}
CUT = {"id": "张三-1", "start": 0, "duration": 1.0, "channel": 0, "recording": {**RECORDING, "duration": 1.0}}
CUT["supervisions"] = [{"id": "s1", "recording_id": "r1", "start": 0, "duration": 1.0, "speaker": "张三"}]
READERS: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "trials": ("t.txt", "1 张三/s/1.wav 张三/s/2.wav\n0 张三/s/1.wav b/s/1.wav\n", read_trials),
    "enrolment map": ("enroll.map", "m1 张三/s/1.wav 张三/s/2.wav\nm2 b/s/1.wav\n", read_enrol_map),
    "exclude list": ("names.txt", "张三/s/1.wav\nb/s/1.wav\n", read_names),
    "table": ("train.csv", TABLE, read_table),
    "speakers": ("speakers.csv", "label,spk_id\n0,b\n1,张三\n", read_speakers),
    "skipped": ("skipped.csv", "utt_id,reason\n张三/s/9.wav,silent\n", read_skipped),
    "yaml": ("a.yaml", "data_folder: 语音\nn_mels: 40\n", lambda path: load_config(TrainPrepConfig, [str(path)])),
    "rank table": ("rank.json", (ROOT / "hparams" / "rank_table_cpu_2.json").read_text(), read_rank_table),
    "json": ("a.json", '{"张三": 1}\n', read_json),
    "scores": ("scores.tsv", SCORES, scores),
    "utt2spk for embeddings": ("utt2spk", "u1 张三\n", lambda path: read_utt2spk(path, ["u1"])),
    "utt2spk of a corpus": ("utt2spk", "u1 张三\n", kaldi),
    "speaker and path": ("list.txt", "张三 a/1.wav\nb b/1.wav\n", lambda path: lists.read_speaker_path(".", path)),
    "path and label": ("list.txt", "a/1.wav\t0\nb/1.wav\t1\n", lambda path: lists.read_path_speaker(".", path)),
    "table of a user": ("list.csv", "path,speaker\na/1.wav,张三\n", lambda path: lists.read_table_list(".", path)),
    "lhotse": ("cuts.jsonl", json.dumps(CUT, ensure_ascii=False) + "\n", lhotse),
    "checksums": ("md5", f"{'0' * 32}  a.zip\n{'1' * 32}  b.zip\n", read_checksums),
    "SpeechBrain's speakers": ("label_encoder.txt", "'张三' => 0\n'b' => 1\n=====\n", read_label_encoder),
    "rooms": ("rir_list", "--rir-id 1 --room-id 2 R/a.wav\n--rir-id 2 --room-id 2 R/b.wav\n", noises._names_in),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("change", ["mark", "crlf", "blank lines at the end", "all"])
def test_text_means_the_same_however_an_editor_saves_it(tmp_path, name, change):
    file, text, read = READERS[name]
    expected = _read(tmp_path / "plain" / file, text.encode(), read)
    if change in ("blank lines at the end", "all"):
        text += "\n \n"
    if change in ("crlf", "all"):
        text = text.replace("\n", "\r\n")
    mark = b"\xef\xbb\xbf" if change in ("mark", "all") else b""
    assert _read(tmp_path / "saved" / file, mark + text.encode(), read) == expected


def _read(path: Path, content: bytes, read: Callable[[Path], object]) -> str:
    path.parent.mkdir()
    path.write_bytes(content)
    return str(read(path)).replace(str(path.parent), "")


@pytest.mark.parametrize("name", [name for name in READERS if name != "rank table"])
@pytest.mark.parametrize("encoding", ["gbk", "utf-16"])
def test_text_in_another_encoding_is_refused_with_its_name(tmp_path, name, encoding):
    file, text, read = READERS[name]
    path = tmp_path / file
    path.write_bytes(("张" + text).encode(encoding))
    with pytest.raises(InputError, match=rf"{file}:1: expected UTF-8 text, got .*Save the .* as UTF-8"):
        read(path)
