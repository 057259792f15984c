"""Readers of corpora as people have them. Second variants: what each reader refuses, and why."""

import gzip
import json

import pytest

from mindvox.config import sections
from mindvox.corpus.audio import Skipped
from mindvox.corpus.layouts import LAYOUTS, open_corpus
from mindvox.corpus.tree import TOO_DEEP, Recording, read_headers
from mindvox.errors import InputError, UsageError


@pytest.fixture
def touch(tmp_path):
    """Make empty files below tmp_path and return it: listing opens none of them."""

    def touch(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return touch


def speakers(corpus):
    return {recording.utt_id: recording.spk_id for recording in corpus.recordings}


def test_the_configuration_names_every_layout():
    assert set(sections.LAYOUTS) == {"auto", *LAYOUTS}


class TestTrees:
    def test_a_folder_wav_is_read_as_ever(self, touch):
        folder = touch("wav/a/s/1.wav", "wav/b/2.flac", "other/c/3.wav", "wav.scp", "cuts.jsonl", "eval/enroll/x")
        corpus = open_corpus(folder)
        assert corpus.layout == "wav"
        assert corpus.recordings == [
            Recording("a/s/1.wav", "wav/a/s/1.wav", "a"),
            Recording("b/2.flac", "wav/b/2.flac", "b"),
        ]

    @pytest.mark.parametrize("prefix", ["", "wav/"])
    def test_folders_at_any_depth(self, touch, prefix, capsys):
        folder = touch(f"{prefix}an na/1.wav", f"{prefix}an na/x/y/z/2.MP3", f"{prefix}bo/s/3.m4a")
        corpus = open_corpus(folder, "folders")
        assert speakers(corpus) == {"an na/1.wav": "an na", "an na/x/y/z/2.MP3": "an na", "bo/s/3.m4a": "bo"}
        if not prefix:
            assert open_corpus(folder).layout == "folders"  # detected, and said
            assert "layout folders: 3 recordings of 2 speakers" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("pattern", "name", "speaker"),
        [
            ("{speaker}_*", "anna_01.wav", "anna"),
            ("{speaker}_*", "x/anna_01_b.wav", "anna"),
            ("*-{speaker}.wav", "2024-05-an na.wav", "an na"),
            ("*/{speaker}/*", "x/anna/01.wav", "anna"),
            (r"\d+(?P<speaker>[a-z]+)\.flac", "12anna.flac", "anna"),
        ],
    )
    def test_flat_files_by_a_pattern(self, touch, pattern, name, speaker):
        assert speakers(open_corpus(touch(name), speaker_pattern=pattern)) == {name: speaker}

    def test_flat_files_that_do_not_match_are_listed(self, touch):
        corpus = open_corpus(touch("anna_01.wav", "readme.wav"), "flat", "{speaker}_*")
        assert corpus.skipped == [Skipped("readme.wav", "its name does not match speaker_pattern {speaker}_*")]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("flat", ""), "layout flat: set speaker_pattern, such as '{speaker}_"),
            (("flat", "*_*"), "speaker_pattern: expected '{speaker}' once"),
            (("flat", "(?P<speaker>["), "is no regular expression"),
            (("folders", "{speaker}_*"), "only the layout flat reads it, not folders"),
            (("table", ""), "layout table: set data_list"),
        ],
    )
    def test_keys_that_a_layout_lacks_or_does_not_read(self, touch, arguments, message):
        with pytest.raises(UsageError, match=message.replace("(", r"\(").replace("*", r"\*")):
            open_corpus(touch("a_1.wav"), *arguments)

    def test_cnceleb(self, touch):
        folder = touch("data/id00001/singing-01.flac", "eval/enroll/id00800-enroll.flac")
        corpus = open_corpus(touch("eval/test/id00801-play-01-002.flac", "extra/1.wav"))
        assert corpus.layout == "cnceleb"
        assert corpus.by_id["enroll/id00800-enroll.wav"].wav == "eval/enroll/id00800-enroll.flac"
        assert speakers(corpus) == {
            "id00001/singing-01.flac": "id00001",
            "enroll/id00800-enroll.wav": "id00800",
            "test/id00801-play-01-002.wav": "id00801",
        }
        assert [entry.utt_id for entry in corpus.skipped] == ["extra/1.wav"]
        assert folder

    def test_rawnet(self, touch):
        corpus = open_corpus(touch("dev_wav/id1/s/1.wav", "eval_wav/id2/s/1.wav"))
        assert (corpus.layout, speakers(corpus)) == ("rawnet", {"id1/s/1.wav": "id1", "id2/s/1.wav": "id2"})


class TestLinks:
    """No recording twice, no raw errno. Second variants: file links, two links into each other's folders."""

    def test_links_in_the_corpus_give_no_recording_a_second_name(self, touch, capsys):
        folder = touch("wav/a/s/1.wav", "wav/b/s/2.wav")
        (folder / "wav" / "latest").symlink_to(".")
        (folder / "wav" / "all").symlink_to(".")
        (folder / "wav" / "self").symlink_to("self")
        (folder / "wav" / "c").symlink_to("a")
        (folder / "wav" / "b" / "back").symlink_to("../../wav")
        (folder / "wav" / "b" / "s" / "copy.wav").symlink_to("../../a/s/1.wav")
        (folder / "wav" / "b" / "s" / "gone.wav").symlink_to("nowhere")
        corpus = open_corpus(folder)
        assert speakers(corpus) == {"a/s/1.wav": "a", "b/s/2.wav": "b"}
        assert sorted(entry.utt_id for entry in corpus.ignored) == ["all", "b/back", "b/s/copy.wav", "c", "latest"]
        assert dict(corpus.skipped).keys() == {"self", "b/s/gone.wav"}
        assert not any("Errno" in reason for _, reason in corpus.skipped)

    def test_a_corpus_of_links_to_files_elsewhere_is_one(self, touch):
        folder = touch("real/1.wav", "real/2.wav", "corpus/wav/a/s/0.wav")
        for name, target in (("1.wav", "1.wav"), ("2.wav", "2.wav"), ("again.wav", "1.wav")):
            (folder / "corpus" / "wav" / "a" / "s" / name).symlink_to(folder / "real" / target)
        corpus = open_corpus(folder / "corpus")
        assert list(speakers(corpus)) == ["a/s/0.wav", "a/s/1.wav", "a/s/2.wav"]
        assert [entry.utt_id for entry in corpus.ignored] == ["a/s/again.wav"]

    def test_every_recording_that_is_too_deep_counts(self, touch):
        corpus = open_corpus(touch("wav/a/s/0.wav", *(f"wav/a/s/deep/{number}.wav" for number in range(80))))
        assert [entry.reason for entry in corpus.skipped] == [TOO_DEEP] * 80

    def test_a_backslash_in_a_name(self, touch):
        corpus = open_corpus(touch("wav/a/1.wav", "wav/a/b\\2.wav"))
        assert [entry.utt_id for entry in corpus.skipped] == ["a/b\\2.wav"]

    def test_a_decomposed_name_is_found_by_its_composed_one(self, touch, write_noise):
        folder = touch()
        write_noise(folder / "wav" / "zoe\u0308" / "1.wav")
        corpus = open_corpus(folder)
        assert speakers(corpus) == {"zo\u00eb/1.wav": "zo\u00eb"}  # or a model's speaker would not be known again
        assert read_headers(corpus.folder, corpus.recordings)[1] == []


class TestLists:
    @pytest.fixture
    def write(self, touch):
        def write(name, *lines, encoding="utf-8"):
            path = touch("a/1.wav", "b/2.wav") / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(f"{line}\n" for line in lines), encoding=encoding)
            return path

        return write

    def test_csv_with_times_in_seconds(self, write, tmp_path, write_noise):
        write_noise(tmp_path / "long talk.wav", 44100, 44100)
        path = write(
            "l.csv",
            "Path,speaker_id,start,stop",
            "long talk.wav,an na,0.25,0.5",
            "long talk.wav,bo,0.5,",
            encoding="utf-8-sig",
        )
        corpus = open_corpus(tmp_path, data_list=path)
        assert corpus.layout == "table"
        assert speakers(corpus) == {"long talk.wav-250-500": "an na", "long talk.wav-500-end": "bo"}
        first, last = read_headers(corpus.folder, corpus.recordings)[0]
        assert (first.start, first.stop, first.duration_s) == (4000, 8000, 0.25)
        assert (last.start, last.stop) == (8000, 16000)

    def test_tsv_with_ids_and_spelled_paths(self, write, tmp_path):
        path = write("l.tsv", "id\tpath\tspk", f"u1\t{tmp_path}/a/1.wav\tx", "u2\t./b//2.wav\ty")
        corpus = open_corpus(tmp_path, data_list=path)
        assert corpus.recordings == [Recording("u1", "a/1.wav", "x"), Recording("u2", "b/2.wav", "y")]

    def test_paths_of_windows_and_of_macos(self, write, tmp_path, touch):
        touch("zoe\u0308/1.wav")
        corpus = open_corpus(tmp_path, data_list=write("l.txt", "x\ta\\1.wav", "y\tzo\u00eb/1.wav"))
        assert corpus.recordings == [
            Recording("a/1.wav", "a/1.wav", "x"),
            Recording("zo\u00eb/1.wav", "zoe\u0308/1.wav", "y"),
        ]

    def test_a_list_is_looked_for_in_the_corpus_too(self, write, tmp_path):
        write("l.tsv", "path\tspk", "a/1.wav\tx")
        assert len(open_corpus(tmp_path, data_list="l.tsv").recordings) == 1
        with pytest.raises(InputError, match="m.tsv: no such file or folder"):
            open_corpus(tmp_path, data_list="m.tsv")

    def test_our_own_tables_count_samples(self, write, tmp_path):
        path = write("t.csv", "ID,duration,wav,start,stop,spk_id", "u,1.0,a/1.wav,16000,32000,x")
        assert open_corpus(tmp_path, data_list=path).recordings == [Recording("u", "a/1.wav", "x", 1.0, 2.0)]

    def test_paths_beside_the_list_and_elsewhere(self, write, tmp_path):
        path = write("a/l.csv", "path,speaker", "1.wav,x", f"{tmp_path}/b/2.wav,y")
        (tmp_path / "corpus").mkdir()
        corpus = open_corpus(tmp_path / "corpus", data_list=path)
        assert {recording.wav for recording in corpus.recordings} == {
            str(tmp_path / "a" / "1.wav"),
            str(tmp_path / "b" / "2.wav"),
        }

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            (["path,speaker", "a/1.wav"], ":2: expected 2 columns"),
            (["path,speaker", "a/1.wav,"], ":2: expected a path and a speaker"),
            (["path,speaker,start", "a/1.wav,x,soon"], ":2: expected a time in seconds, got 'soon'"),
            (["path,speaker,start,end", "a/1.wav,x,2,1"], ":2: expected start < stop, got 2 and 1 s"),
            (["path,speaker,start", "a/1.wav,x,-1"], ":2: expected a time in seconds, got '-1'"),
            (["path,speaker", "a/1.wav,x", "./a/1.wav,y"], "a/1.wav is there twice"),
            (
                ["id,path,speaker", "u,a/1.wav,x", "v,./a/1.wav,y"],
                "a/1.wav is there twice, as u and v .speaker x and",
            ),
            (["path,name", "a/1.wav,x"], ":1: expected a header with columns for path"),
        ],
    )
    def test_wrong_tables(self, write, tmp_path, lines, message):
        with pytest.raises(InputError, match=message):
            open_corpus(tmp_path, "table", data_list=write("l.csv", *lines))

    def test_a_stop_behind_the_end_is_told(self, write, tmp_path, write_noise):
        write_noise(tmp_path / "c.wav", 16000)
        path = write("l.csv", "path,speaker,start,end", "c.wav,x,0,1.05", "c.wav,x,0,16000", "c.wav,y,2,3")
        corpus = open_corpus(tmp_path, data_list=path)
        utterances, skipped = read_headers(corpus.folder, corpus.recordings)
        assert [utterance.stop for utterance in utterances] == [16000]
        assert {reason for _, reason in skipped} == {
            "stops at 16000 s, but the file ends at 1 s",
            "stops at 3 s, but the file ends at 1 s",
        }

    @pytest.mark.parametrize(
        ("lines", "layout"),
        [
            (["x a/1.wav", "y b/2.wav"], "speaker_path"),
            (["x\ta/1.wav", "y\tb/2.wav"], "speaker_path"),
            (["a/1.wav\tx", "b/2.wav\ty"], "path_speaker"),
            (["a/1.wav x", "./b/2.wav y"], "path_speaker"),
        ],
    )
    def test_two_columns(self, write, tmp_path, lines, layout):
        corpus = open_corpus(tmp_path, data_list=write("l.txt", *lines))
        assert (corpus.layout, speakers(corpus)) == (layout, {"a/1.wav": "x", "b/2.wav": "y"})

    def test_two_columns_of_another_form(self, write, tmp_path):
        with pytest.raises(InputError, match="l.txt:2: expected '<path> <speaker>'"):
            open_corpus(tmp_path, data_list=write("l.txt", "a/1.wav\tx", "y\tb/2.wav"))
        with pytest.raises(InputError, match="l.txt:1: expected a csv or tsv with a header"):
            open_corpus(tmp_path, data_list=write("l.txt", "1 2 3"))

    def test_kaldi(self, write, tmp_path):
        write("wav.scp", "r1 a/1.wav", f"r2 {tmp_path}/b/2.wav")
        write("utt2spk", "r1 x", "r2 y", "r3 y")
        corpus = open_corpus(tmp_path)
        assert corpus.recordings == [Recording("r1", "a/1.wav", "x"), Recording("r2", "b/2.wav", "y")]
        assert corpus.skipped == [Skipped("r3", "in utt2spk alone")]

    def test_kaldi_segments(self, write, tmp_path):
        write("k/wav.scp", "r1 a/1.wav")
        write("k/segments", "u1 r1 0.5 1.25", "u2 r1 2 -1", "u3 r7 0 1")
        write("k/utt2spk", "u1 x", "u2 x", "u3 x")
        corpus = open_corpus(tmp_path, data_list=tmp_path / "k")
        assert corpus.recordings == [Recording("u1", "a/1.wav", "x", 0.5, 1.25), Recording("u2", "a/1.wav", "x", 2.0)]
        assert corpus.skipped == [Skipped("u3", "not in wav.scp")]

    @pytest.mark.parametrize(
        ("place", "message"),
        [
            ("sph2pipe -f wav a.sph |", ":1: 'sph2pipe -f wav a.sph |' is a command. Commands are not run"),
            ("| cat", "is a command"),
            ("-", "is a command"),
            ("raw.ark:17", "is a position in an archive"),
        ],
    )
    def test_kaldi_commands_are_refused(self, write, tmp_path, place, message):
        write("wav.scp", f"r1 {place}")
        write("utt2spk", "r1 x")
        with pytest.raises(InputError, match=message.replace("|", r"\|")):
            open_corpus(tmp_path)

    def test_lhotse_recordings_and_supervisions(self, write, tmp_path):
        source = {"type": "file", "channels": [0], "source": "a/1.wav"}
        recordings = [
            {"id": "r1", "sources": [source]},
            {"id": "r2", "sources": [{**source, "type": "command"}]},
            {"id": "r3", "sources": [{**source, "channels": [0, 1]}]},
        ]
        supervisions = [
            {"id": "u1", "recording_id": "r1", "start": 0.5, "duration": 1.0, "channel": 0, "speaker": "x"},
            {"id": "u2", "recording_id": "r2", "start": 0, "duration": 1.0, "channel": 0, "speaker": "x"},
            {"id": "u3", "recording_id": "r3", "start": 0, "duration": 1.0, "channel": 1, "speaker": "x"},
            {"id": "u4", "recording_id": "r1", "start": 0, "duration": 1.0, "channel": 0},
            {"id": "u5", "recording_id": "r9", "start": 0, "duration": 1.0, "channel": 0, "speaker": "x"},
        ]
        write("x_recordings.jsonl", *map(json.dumps, recordings))
        with gzip.open(tmp_path / "x_supervisions.jsonl.gz", "wt") as stream:
            stream.writelines(json.dumps(line) + "\n" for line in supervisions)
        corpus = open_corpus(tmp_path)
        assert corpus.recordings == [Recording("u1", "a/1.wav", "x", 0.5, 1.5)]
        reasons = {utt_id: reason.split(":")[0] for utt_id, reason in corpus.skipped}
        assert reasons == {
            "u2": "its recording is not one file but command, which is not run or fetched",
            "u3": "one channel of several",
            "u4": "no speaker",
            "u5": "its recording is not in x_recordings.jsonl",
        }

    def test_lhotse_cuts(self, write, tmp_path):
        recording = {"id": "r1", "sources": [{"type": "file", "channels": [0], "source": "a/1.wav"}]}
        supervisions = [
            {"id": "u1", "start": 0.5, "duration": 1.0, "speaker": "x"},
            {"id": "u2", "start": 3.5, "duration": 9.0, "speaker": "y"},
        ]
        cut = {"id": "c", "start": 10.0, "duration": 4.0, "supervisions": supervisions, "recording": recording}
        corpus = open_corpus(tmp_path, data_list=write("cuts.jsonl", json.dumps(cut)))
        assert corpus.recordings == [
            Recording("u1", "a/1.wav", "x", 10.5, 11.5),
            Recording("u2", "a/1.wav", "y", 13.5, 14.0),
        ]

    @pytest.mark.parametrize("line", ["{", "[1]", '{"supervisions": 1}', '{"supervisions": [{"id": "u"}]}'])
    def test_broken_lhotse(self, write, tmp_path, line):
        with pytest.raises(InputError, match=r"cuts.jsonl"):
            open_corpus(tmp_path, data_list=write("cuts.jsonl", line))


class TestAdvice:
    """A layout that does not fit: what was found, with counts, and what imports it."""

    def test_files_one_folder_too_deep(self, touch):
        folder = touch(*(f"wav/a{n}/b/c/{n}.wav" for n in range(3)), "wav/a1/b/c/2.mp3")
        with pytest.raises(InputError) as caught:
            open_corpus(folder)
        assert "3 .wav, 1 .mp3, 4 at depth 4, such as wav/a0/b/c/0.wav" in str(caught.value)
        assert "layout: folders takes the first folder as the speaker (3 speakers)" in str(caught.value)
        assert "layout: flat with speaker_pattern: '*/*/*/{speaker}/*' takes the last folder" in str(caught.value)
        corpus = open_corpus(folder, speaker_pattern="*/{speaker}/*/*/*")
        assert corpus.spk_ids == {"a0", "a1", "a2"}

    def test_flat_files_and_a_list(self, touch):
        with pytest.raises(InputError) as caught:
            open_corpus(touch("anna_1.wav", "bo_1.wav", "meta.csv"))
        assert "2 .wav, 2 at depth 0" in str(caught.value)
        assert "layout: flat with speaker_pattern" in str(caught.value)
        assert "data_list reads a list of the recordings, perhaps meta.csv" in str(caught.value)

    def test_lists_beside_a_folder_wav_that_has_no_speakers(self, touch):
        with pytest.raises(InputError, match=r"no recordings; .* layout: kaldi reads the lists in"):
            open_corpus(touch("wav/1.wav", "wav.scp", "utt2spk"))

    def test_a_recording_that_is_there_twice_is_no_matter_of_the_layout(self, touch):
        with pytest.raises(InputError, match=r"Keep one of each\.$"):
            open_corpus(touch("wav/a/1.wav", "wav/a/1.flac"))

    def test_a_folder_of_corpora(self, touch):
        with pytest.raises(InputError, match=r"data_folder: .*vox1 has a folder wav"):
            open_corpus(touch("vox1/wav/a/s/1.wav", "vox2/wav/b/s/1.wav"))

    def test_a_folder_without_audio(self, touch):
        with pytest.raises(InputError, match="No audio file was found below"):
            open_corpus(touch("notes.doc"))
