import json
import re
from collections import Counter

import pytest
import soundfile

from mindvox.config import ROOT, EvalPrepConfig, TrainPrepConfig, load_config
from mindvox.corpus.table_io import (
    read_skipped,
    read_speakers,
    read_table,
    write_skipped,
    write_speakers,
    write_table,
)
from mindvox.corpus.tables import make_eval_tables, make_train_tables, split_train_dev
from mindvox.corpus.tree import Skipped, Utterance
from mindvox.errors import InputError, UsageError


def utterances_of(speakers: dict[str, int]) -> list[Utterance]:
    return [
        Utterance(f"{spk_id}/{number:03d}.wav", 1.0, f"wav/{spk_id}/{number:03d}.wav", 0, 16000, spk_id)
        for spk_id, count in speakers.items()
        for number in range(count)
    ]


def counts(utterances) -> Counter:
    return Counter(utterance.spk_id for utterance in utterances)


class TestFiles:
    def test_a_table_is_read_as_written(self, tmp_path):
        rows = [
            Utterance("a, b/1.wav", 12345 / 16000, "wav/a, b/1.wav", 0, 12345, "a, b"),
            Utterance("c/2.flac", 0.5, "wav/c/2.flac", 100, 8100, "c"),
        ]
        write_table(tmp_path / "t.csv", rows)
        assert read_table(tmp_path / "t.csv") == rows
        assert (tmp_path / "t.csv").read_text().splitlines()[0] == "ID,duration,wav,start,stop,spk_id"

    @pytest.mark.parametrize(
        ("row", "expected"),
        [
            ("x,1.0,wav/x,0,many,a", ":3: expected duration in seconds, start and stop in samples"),
            ("x,1.0,wav/x,5,5,a", ":3: expected ID, wav and spk_id, and 0 <= start < stop"),
            ("x,1.0,wav/x,0,5,", ":3: expected ID, wav and spk_id"),
            ("u,1.0,wav/u,0,5,a", ":3: the ID 'u' is there twice"),
            ("x,1.0,wav/x,0", ":3: expected 6 columns, got 4"),
        ],
    )
    def test_a_wrong_row_is_named(self, tmp_path, row, expected):
        path = tmp_path / "t.csv"
        path.write_text(f"ID,duration,wav,start,stop,spk_id\nu,1.0,wav/u,0,5,a\n{row}\n")
        with pytest.raises(InputError) as caught:
            read_table(path)
        assert f"{path}{expected}" in str(caught.value)

    def test_labels_follow_the_order_of_the_ids(self, tmp_path):
        write_speakers(tmp_path / "s.csv", ["b", "a", "b", "c"])
        assert (tmp_path / "s.csv").read_text() == "label,spk_id\n0,a\n1,b\n2,c\n"
        assert read_speakers(tmp_path / "s.csv") == {"a": 0, "b": 1, "c": 2}

    @pytest.mark.parametrize("rows", ["1,a", "0,b\n1,a", "0,a\n1,a", "0,a\n2,b"])
    def test_labels_in_another_order_are_refused(self, tmp_path, rows):
        (tmp_path / "s.csv").write_text(f"label,spk_id\n{rows}\n")
        with pytest.raises(InputError, match="expected labels 0, 1, ..."):
            read_speakers(tmp_path / "s.csv")

    def test_skipped_files_are_read_as_written(self, tmp_path):
        skipped = [Skipped("a/1.wav", "empty file"), Skipped("b, c/2.wav", 'a "reason"')]
        write_skipped(tmp_path / "skipped.csv", skipped)
        assert read_skipped(tmp_path / "skipped.csv") == skipped


class TestSplit:
    def test_every_utterance_goes_to_one_side(self):
        utterances = utterances_of({"a": 20, "b": 7, "c": 3})
        train, dev = split_train_dev(utterances, 90, 5, seed=1)
        assert sorted(train + dev) == sorted(utterances)
        assert train == sorted(train)
        assert dev == sorted(dev)

    @pytest.mark.parametrize(
        ("count", "ratio", "num_dev"), [(4, 90, 0), (5, 90, 1), (14, 90, 1), (15, 90, 2), (20, 75, 5), (20, 100, 0)]
    )
    def test_the_ratio_counts_within_a_speaker(self, count, ratio, num_dev):
        _, dev = split_train_dev(utterances_of({"a": count, "b": count}), ratio, 5, seed=1)
        assert counts(dev) == Counter({"a": num_dev, "b": num_dev})

    def test_every_speaker_keeps_an_utterance_in_train(self):
        train, dev = split_train_dev(utterances_of({"a": 6}), 1, 5, seed=1)
        assert (len(train), len(dev)) == (1, 5)

    def test_a_speakers_split_does_not_depend_on_the_others_or_on_the_order(self):
        _, alone = split_train_dev(utterances_of({"b": 30}), 80, 5, seed=3)
        _, among = split_train_dev(utterances_of({"c": 10, "b": 30, "a": 10})[::-1], 80, 5, seed=3)
        assert [utterance for utterance in among if utterance.spk_id == "b"] == alone

    def test_the_seed_changes_the_split_and_speakers_differ(self):
        utterances = utterances_of({"a": 40, "b": 40})
        _, dev = split_train_dev(utterances, 80, 5, seed=1)
        _, other = split_train_dev(utterances, 80, 5, seed=2)
        assert dev != other
        numbers = [{u.utt_id.split("/")[1] for u in dev if u.spk_id == spk_id} for spk_id in "ab"]
        assert numbers[0] != numbers[1]

    def test_the_split_of_a_seed_is_the_same_in_every_process(self):
        _, dev = split_train_dev(utterances_of({"id10001": 10}), 80, 5, seed=1234)
        assert [utterance.utt_id for utterance in dev] == ["id10001/005.wav", "id10001/008.wav"]


@pytest.fixture
def train_config(tmp_path):
    def make(**changes) -> TrainPrepConfig:
        save_folder = tmp_path / "save"
        values = {
            "data_folder": str(tmp_path / "train"),
            "save_folder": str(save_folder),
            "train_annotation": str(save_folder / "train.csv"),
            "valid_annotation": str(save_folder / "dev.csv"),
            "split_ratio": 90.0,
        }
        return TrainPrepConfig(**(values | changes))

    return make


class TestTrainTables:
    def test_tables_of_a_tree(self, tmp_path, make_corpus, train_config, capsys):
        make_corpus(tmp_path / "train", {"b": 10, "a": 3})
        tables = make_train_tables(train_config())
        assert counts(tables.train) == Counter({"b": 9, "a": 3})
        assert counts(tables.dev) == Counter({"b": 1})
        assert tables.speakers == {"a": 0, "b": 1}
        save_folder = tmp_path / "save"
        assert read_table(save_folder / "train.csv") == tables.train
        assert read_table(save_folder / "dev.csv") == tables.dev
        assert read_speakers(save_folder / "speakers.csv") == tables.speakers
        assert read_skipped(save_folder / "skipped.csv") == []
        assert tables.train[0] == Utterance("a/s1/00.wav", 0.1, "wav/a/s1/00.wav", 0, 1600, "a")
        assert f"{save_folder / 'train.csv'}: 12 utterances, 2 speakers, 0.00 h" in capsys.readouterr().out

    def test_no_written_file_holds_an_absolute_path(self, tmp_path, make_corpus, train_config):
        make_corpus(tmp_path / "train", {"a": 6, "b": 2})
        (tmp_path / "train" / "wav" / "a" / "loose.wav").touch()
        make_train_tables(train_config(max_bad_fraction=0.5))
        written = list((tmp_path / "save").iterdir())
        assert len(written) == 5
        assert not [path for path in written if str(tmp_path) in path.read_text()]

    def test_an_empty_dev_table_is_said(self, tmp_path, make_corpus, train_config, capsys):
        make_corpus(tmp_path / "train", {"a": 4, "b": 1})
        tables = make_train_tables(train_config())
        assert tables.dev == read_table(tmp_path / "save" / "dev.csv") == []
        assert "no speaker has 5 utterances" in capsys.readouterr().out

    def test_speakers_of_the_verification_list_are_left_out(self, tmp_path, make_corpus, train_config, capsys):
        corpus = make_corpus(tmp_path / "train", {"a": 2, "b": 3, "c": 1})
        (corpus / "trials.txt").write_text("1 b/s1/00.wav b/s1/01.wav\n0 elsewhere/1.wav c/s1/00.wav\n")
        tables = make_train_tables(train_config(verification_file="trials.txt"))
        assert tables.speakers == {"a": 0}
        assert "left out: 2 speakers of trials.txt (4 files)" in capsys.readouterr().out

    def test_a_corpus_of_test_speakers_only_is_an_error(self, tmp_path, make_corpus, train_config):
        corpus = make_corpus(tmp_path / "train", {"a": 2})
        (corpus / "trials.txt").write_text("1 a/s1/00.wav a/s1/01.wav\n")
        with pytest.raises(InputError, match="no utterances to train on"):
            make_train_tables(train_config(verification_file="trials.txt"))

    def test_bad_files_are_skipped_counted_and_listed(self, tmp_path, make_corpus, train_config, capsys):
        make_corpus(tmp_path / "train", {"a": 30})
        (tmp_path / "train" / "wav" / "a" / "s1" / "99.wav").touch()
        tables = make_train_tables(train_config())
        assert len(tables.train + tables.dev) == 30
        assert read_skipped(tmp_path / "save" / "skipped.csv") == [Skipped("a/s1/99.wav", "empty file")]
        assert "skipped: 1 of 31 files cannot be used" in capsys.readouterr().out

    def test_too_many_bad_files_are_an_error(self, tmp_path, make_corpus, train_config):
        make_corpus(tmp_path / "train", {"a": 3})
        (tmp_path / "train" / "wav" / "a" / "s1" / "99.wav").write_text("text" * 100)
        with pytest.raises(InputError, match=r"1 of 4 files .* more than max_bad_fraction 0.05"):
            make_train_tables(train_config())
        assert not (tmp_path / "save" / "train.csv").exists()
        assert len(make_train_tables(train_config(max_bad_fraction=0.25)).train) == 3

    def test_a_folder_that_is_not_given(self, train_config):
        with pytest.raises(UsageError, match="not set: data_folder"):
            make_train_tables(train_config(data_folder=""))


class TestExistingTrainTables:
    @pytest.fixture(autouse=True)
    def made(self, tmp_path, make_corpus, train_config, capsys):
        make_corpus(tmp_path / "train", {"a": 10, "b": 3})
        self.tables = make_train_tables(train_config())
        capsys.readouterr()

    def test_they_are_used_as_they_are(self, tmp_path, make_corpus, train_config, capsys):
        make_corpus(tmp_path / "train", {"new": 3})
        assert make_train_tables(train_config()) == self.tables
        assert make_train_tables(train_config(skip_prep=True)) == self.tables
        assert "delete them to have them made again" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"split_ratio": 80.0}, "made with split_ratio 90.0, now 80.0"),
            ({"min_utts_for_dev": 3}, "made with min_utts_for_dev 5, now 3"),
            ({"seed": 1}, "made with seed 1234, now 1"),
        ],
    )
    def test_other_settings_are_refused(self, train_config, change, message):
        with pytest.raises(InputError, match=f"{message}. .* Delete .*dev.csv and .*train.csv"):
            make_train_tables(train_config(**change))
        assert make_train_tables(train_config(skip_prep=True, **change)) == self.tables

    def test_tables_of_another_corpus_are_refused(self, tmp_path, make_corpus, train_config):
        other = make_corpus(tmp_path / "other", {"a": 10, "c": 3})
        with pytest.raises(
            InputError, match=r"3 of 12 recordings are not below .*other: wav/b/.* Delete .*dev.csv and"
        ):
            make_train_tables(train_config(data_folder=str(other)))

    def test_tables_with_speakers_of_the_trials_are_refused(self, tmp_path, train_config):
        (tmp_path / "trials.txt").write_text("1 b/s1/00.wav b/s1/01.wav\n")
        with pytest.raises(InputError, match=r"train.csv: 1 speakers are in the trials of .*trials.txt: b. Delete"):
            make_train_tables(train_config(verification_file=str(tmp_path / "trials.txt")))

    def test_one_table_without_the_other_is_not_overwritten(self, tmp_path, train_config):
        (tmp_path / "save" / "dev.csv").unlink()
        with pytest.raises(InputError, match="train.csv exists, but .*dev.csv, .* does not. Delete .*train.csv to"):
            make_train_tables(train_config())
        assert read_table(tmp_path / "save" / "train.csv") == self.tables.train

    def test_the_users_own_tables_need_no_settings_and_no_speakers(self, tmp_path, train_config):
        own = self.tables.train[2:5]
        write_table(tmp_path / "own.csv", own)
        write_table(tmp_path / "own_dev.csv", [])
        config = train_config(
            save_folder=str(tmp_path / "new"),
            train_annotation=str(tmp_path / "own.csv"),
            valid_annotation=str(tmp_path / "own_dev.csv"),
            seed=99,
        )
        tables = make_train_tables(config)
        assert tables.train == own
        assert read_speakers(tmp_path / "new" / "speakers.csv") == tables.speakers

    def test_a_part_of_the_table_keeps_the_labels_of_the_whole(self, tmp_path, train_config):
        write_table(tmp_path / "save" / "train.csv", [u for u in self.tables.train if u.spk_id == "b"])
        write_table(tmp_path / "save" / "dev.csv", [])
        assert make_train_tables(train_config()).speakers == {"a": 0, "b": 1}

    def test_speakers_that_have_no_label_are_an_error(self, tmp_path, train_config):
        write_speakers(tmp_path / "save" / "speakers.csv", ["a"])
        with pytest.raises(InputError, match="lacks 1 speakers of .*train.csv: b. .* set save_folder"):
            make_train_tables(train_config())


def test_skip_prep_without_tables_is_an_error(train_config):
    with pytest.raises(InputError, match=r"skip_prep: no such table: .*train.csv, .*dev.csv"):
        make_train_tables(train_config(skip_prep=True))


@pytest.fixture
def eval_config(tmp_path):
    def make(**changes) -> EvalPrepConfig:
        values = {
            "data_folder": str(tmp_path / "test"),
            "save_folder": str(tmp_path / "save_eval"),
            "verification_file": "trials.txt",
            "train_annotation": str(tmp_path / "save" / "train.csv"),
            "train_data_folder": str(tmp_path / "train"),
        }
        return EvalPrepConfig(**(values | changes))

    return make


def write_trials_of(corpus, *pairs):
    lines = [f"{one[0] == other[0]:d} {one[0]}/s1/{one[1:]}.wav {other[0]}/s1/{other[1:]}.wav" for one, other in pairs]
    (corpus / "trials.txt").write_text("\n".join(lines) + "\n")


class TestEvalTables:
    @pytest.fixture(autouse=True)
    def corpora(self, tmp_path, make_corpus, train_config, capsys):
        make_corpus(tmp_path / "train", {"a": 6, "b": 3, "x": 2})
        make_train_tables(train_config())
        test = make_corpus(tmp_path / "test", {"x": 3, "y": 2, "z": 2})
        write_trials_of(test, ("x00", "x01"), ("x00", "y01"), ("x02", "y01"))
        capsys.readouterr()

    def test_enrol_and_test_hold_the_utterances_of_the_list_once(self, tmp_path, eval_config, capsys):
        tables = make_eval_tables(eval_config())
        assert [u.utt_id for u in tables.enrol] == ["x/s1/00.wav", "x/s1/02.wav"]
        assert [u.utt_id for u in tables.test] == ["x/s1/01.wav", "y/s1/01.wav"]
        for name in ("enrol", "test", "norm"):
            assert read_table(tmp_path / "save_eval" / f"{name}.csv") == getattr(tables, name)
        assert "3 trials (1 target), 2 speakers" in capsys.readouterr().out

    def test_the_cohort_comes_from_the_train_table_without_speakers_of_the_trials(self, tmp_path, eval_config, capsys):
        tables = make_eval_tables(eval_config())
        assert "without 1 speakers that are in the trials" in capsys.readouterr().out
        train = read_table(tmp_path / "save" / "train.csv")
        assert {u.spk_id for u in train} == {"a", "b", "x"}
        assert tables.norm == [u for u in train if u.spk_id != "x"]
        assert tables.norm_folder == str(tmp_path / "train")

    def test_the_cohort_is_drawn_by_seed_and_sorted(self, eval_config):
        drawn = [make_eval_tables(eval_config(n_train_snts=3, seed=seed)).norm for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]
        assert len(drawn[0]) == 3
        assert drawn[0] == sorted(drawn[0])

    def test_without_a_train_table_the_cohort_is_the_speakers_in_no_trial(self, tmp_path, eval_config, capsys):
        tables = make_eval_tables(eval_config(train_annotation=str(tmp_path / "none.csv")))
        assert [u.utt_id for u in tables.norm] == ["z/s1/00.wav", "z/s1/01.wav"]
        assert tables.norm_folder == str(tmp_path / "test")
        assert "none.csv does not exist" in capsys.readouterr().out

    def test_no_cohort_is_said(self, tmp_path, eval_config, capsys):
        write_trials_of(tmp_path / "test", ("x00", "y00"), ("x00", "z00"))
        assert make_eval_tables(eval_config(train_annotation="")).norm == []
        assert "no cohort" in capsys.readouterr().out

    def test_a_bad_file_of_the_cohort_is_skipped(self, tmp_path, eval_config, capsys):
        (tmp_path / "test" / "wav" / "z" / "s1" / "bad.wav").touch()
        config = eval_config(train_annotation="", max_bad_fraction=0.5)
        assert len(make_eval_tables(config).norm) == 2
        assert read_skipped(tmp_path / "save_eval" / "skipped.csv") == [Skipped("z/s1/bad.wav", "empty file")]
        assert "skipped: 1 of 3 files" in capsys.readouterr().out

    def test_a_train_table_without_its_corpus_is_an_error(self, tmp_path, eval_config):
        with pytest.raises(UsageError, match="not set: train_data_folder"):
            make_eval_tables(eval_config(train_data_folder=""))
        with pytest.raises(InputError, match="recordings are not below .*test: .* Set train_data_folder"):
            make_eval_tables(eval_config(train_data_folder=str(tmp_path / "test")))

    def test_an_utterance_that_is_not_on_disk_is_named(self, tmp_path, eval_config):
        write_trials_of(tmp_path / "test", ("x00", "x77"), ("y00", "w00"), ("x00", "y00"))
        with pytest.raises(InputError) as caught:
            make_eval_tables(eval_config())
        wav_folder = tmp_path / "test" / "wav"
        assert f"2 of 4 utterances are not below {wav_folder}: w/s1/00.wav, x/s1/77.wav." in str(caught.value)

    def test_a_file_with_another_suffix_is_not_taken_but_named(self, tmp_path, eval_config):
        waveform, rate = soundfile.read(tmp_path / "test" / "wav" / "x" / "s1" / "00.wav")
        soundfile.write(tmp_path / "test" / "wav" / "x" / "s1" / "00.flac", waveform, rate)
        (tmp_path / "test" / "wav" / "x" / "s1" / "00.wav").unlink()
        with pytest.raises(InputError, match=r"For 1 of them .* another suffix, such as x/s1/00.flac"):
            make_eval_tables(eval_config())

    def test_an_unreadable_utterance_of_the_list_is_an_error(self, tmp_path, eval_config):
        (tmp_path / "test" / "wav" / "y" / "s1" / "01.wav").write_bytes(b"")
        with pytest.raises(InputError, match=r"1 of 4 utterances .* cannot be read: y/s1/01.wav \(empty file\)"):
            make_eval_tables(eval_config())

    def test_a_missing_corpus_shows_the_layout(self, tmp_path, eval_config):
        with pytest.raises(InputError, match="no such folder; expected .*/wav/<speaker>/<session>/<file>"):
            make_eval_tables(eval_config(data_folder=str(tmp_path / "none")))

    def test_skip_prep_takes_the_tables_that_are_there(self, tmp_path, eval_config):
        made = make_eval_tables(eval_config())
        write_table(tmp_path / "save_eval" / "norm.csv", made.norm[:2])
        assert make_eval_tables(eval_config(skip_prep=True)) == made._replace(norm=made.norm[:2])

    def test_skip_prep_needs_tables_of_this_trial_list(self, tmp_path, eval_config):
        with pytest.raises(InputError, match="enrol.csv: no such csv file"):
            make_eval_tables(eval_config(skip_prep=True))
        make_eval_tables(eval_config())
        write_trials_of(tmp_path / "test", ("z00", "z01"))
        with pytest.raises(InputError, match=r"enrol.csv: lacks 1 utterances of the trial list: z/s1/00.wav"):
            make_eval_tables(eval_config(skip_prep=True))


def test_settings_are_kept_beside_the_table_that_they_made(tmp_path, make_corpus, train_config):
    make_corpus(tmp_path / "train", {"a": 2})
    make_train_tables(train_config())
    settings = json.loads((tmp_path / "save" / "train.settings.json").read_text())
    assert settings["tables"].keys() == {"train.csv", "dev.csv"}
    assert settings.items() >= {"format_version": 1, "split_ratio": 90.0, "min_utts_for_dev": 5, "seed": 1234}.items()


def test_by_default_no_utterance_is_lost_to_training(tmp_path, make_corpus, train_config):
    make_corpus(tmp_path / "train", {"a": 10})
    tables = make_train_tables(train_config(split_ratio=TrainPrepConfig().split_ratio))
    assert (len(tables.train), tables.dev) == (10, [])
    assert read_table(tmp_path / "save" / "dev.csv") == []
    shipped = load_config(TrainPrepConfig, [str(ROOT / "hparams" / "prepare_train.yaml")])
    assert shipped.split_ratio == 100


# One utterance has many spellings (B1). Second variants: absolute paths, Windows paths, a list that no speaker is in.
SPELLINGS = ["./{}", "wav/{}", "/data/corpus/wav/{}", "x/..//{}", "{}"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_speakers_of_a_list_are_left_out_however_it_spells_them(tmp_path, make_corpus, train_config, capsys, spelling):
    make_corpus(tmp_path / "train", {"a": 2, "b": 3, "c": 1})
    pair = spelling.format("b/s1/00.wav"), spelling.format("c/s1/00.wav")
    (tmp_path / "trials.txt").write_text(f"0 {pair[0]} {pair[1]}\n")
    tables = make_train_tables(train_config(verification_file=str(tmp_path / "trials.txt")))
    assert tables.speakers == {"a": 0}
    printed = capsys.readouterr()
    assert "left out: 2 speakers" in printed.out
    assert printed.err == ""
    with pytest.raises(InputError, match="1 speakers are in the trials"):
        (tmp_path / "trials.txt").write_text(f"1 {spelling.format('a/s1/00.wav')} {spelling.format('a/s1/01.wav')}\n")
        make_train_tables(train_config(verification_file=str(tmp_path / "trials.txt")))


@pytest.mark.parametrize(
    ("listed", "speaker"), [("A", "a"), ("id10270", "A.J._Buckley"), ("id10270", "id270"), ("s 1", "s_1")]
)
def test_a_list_that_spells_speakers_unlike_the_corpus_is_warned_of(
    tmp_path, make_corpus, train_config, capsys, listed, speaker
):
    make_corpus(tmp_path / "train", {speaker: 2})
    (tmp_path / "trials.txt").write_text(f"1\t{listed}/s1/00.wav\t{listed}/s1/01.wav\n")
    make_train_tables(train_config(verification_file=str(tmp_path / "trials.txt")))
    assert "none of the 1 speakers of" in (warning := capsys.readouterr().err)
    assert f"the list has {listed}; the corpus {speaker}" in warning


@pytest.mark.parametrize(
    ("listed", "speaker"), [("id10270", "id00012"), ("1988", "3000"), ("Zed_Ab", "A.J._Buckley Bo_Li")]
)
def test_a_list_of_other_speakers_than_the_corpus_needs_no_warning(
    tmp_path, make_corpus, train_config, capsys, listed, speaker
):
    make_corpus(tmp_path / "train", dict.fromkeys(speaker.split(), 2))
    (tmp_path / "trials.txt").write_text(f"1 {listed}/s1/00.wav {listed}/s1/01.wav\n")
    make_train_tables(train_config(verification_file=str(tmp_path / "trials.txt")))
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "none of the 1 speakers of" in printed.out and "nobody needs to be left out" in printed.out


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_cohort_has_no_test_speaker_however_the_list_spells_them(tmp_path, make_corpus, eval_config, spelling):
    corpus = make_corpus(tmp_path / "test", {"x": 3, "y": 2, "z": 2})
    lines = [("1", "x/s1/00.wav", "x/s1/01.wav"), ("0", "x/s1/00.wav", "y/s1/00.wav")]
    text = "".join(f"{label} {spelling.format(a)} {spelling.format(b)}\n" for label, a, b in lines)
    (corpus / "trials.txt").write_text(text)
    tables = make_eval_tables(eval_config(train_annotation=""))
    assert [u.utt_id for u in tables.enrol] == ["x/s1/00.wav"]
    assert {u.spk_id for u in tables.norm} == {"z"}


class TestTooDeep:
    """max_bad_fraction counts recordings (B3). Second variants: recordings beside the speakers, links that repeat."""

    def test_recordings_one_folder_too_deep_count_each(self, tmp_path, make_corpus, train_config, write_noise):
        make_corpus(tmp_path / "train", {"a": 12})
        for number in range(8):
            write_noise(tmp_path / "train" / "wav" / "b" / "s" / "deep" / f"{number}.wav")
        with pytest.raises(InputError, match=r"8 of 20 files cannot be used.* layout: folders takes the first folder"):
            make_train_tables(train_config())
        assert len(read_skipped(tmp_path / "save" / "skipped.csv")) == 8
        tables = make_train_tables(train_config(layout="folders", save_folder=str(tmp_path / "save")))
        assert counts(tables.train + tables.dev) == Counter({"a": 12, "b": 8})

    def test_links_that_repeat_are_listed_but_no_lost_recordings(self, tmp_path, make_corpus, train_config, capsys):
        make_corpus(tmp_path / "train", {"a": 3})
        for name in ("latest", "copy"):
            (tmp_path / "train" / "wav" / name).symlink_to(".")
        tables = make_train_tables(train_config(max_bad_fraction=0))
        assert (tables.speakers, tables.skipped) == ({"a": 0}, [])
        assert {entry.utt_id for entry in read_skipped(tmp_path / "save" / "skipped.csv")} == {"latest", "copy"}
        assert "links to what is listed anyway: 2" in capsys.readouterr().out
        assert make_train_tables(train_config(max_bad_fraction=0)) == tables


class TestTablesOfTheUser:
    """No advice to delete them (B15). Second variants: a table of ours that was changed; dev.csv of another corpus."""

    @pytest.fixture
    def own(self, tmp_path, make_corpus):
        make_corpus(tmp_path / "train", {"a": 6, "b": 3})
        write_table(tmp_path / "own.csv", [Utterance("a/s1/00.wav", 0.1, "wav/a/s1/00.wav", 0, 1600, "a")])
        return str(tmp_path / "own.csv")

    @staticmethod
    def refusal(config, own):
        with pytest.raises(InputError) as caught:
            make_train_tables(config)
        message = str(caught.value)
        assert not re.search(rf"[Dd]elete [^.]*{re.escape(own)}", message), message
        return message

    def test_a_table_alone_is_enough(self, own, train_config):
        tables = make_train_tables(train_config(train_annotation=own))
        assert (len(tables.train), tables.dev) == (1, [])

    def test_tables_of_another_corpus_in_the_save_folder(self, tmp_path, own, make_corpus, train_config):
        other = make_corpus(tmp_path / "other", {"x": 10, "y": 3})
        make_train_tables(train_config(data_folder=str(other)))
        message = self.refusal(train_config(train_annotation=own), own)
        assert "dev.csv" in message
        assert "save_folder" in message or "dev.csv and" in message
        (tmp_path / "save" / "dev.csv").unlink()
        message = self.refusal(train_config(train_annotation=own), own)
        assert "speakers.csv: lacks 1 speakers" in message
        assert "set save_folder" in message

    def test_every_other_refusal(self, tmp_path, own, train_config):
        (tmp_path / "trials.txt").write_text("1 a/s1/00.wav a/s1/01.wav\n")
        listed = {"verification_file": str(tmp_path / "trials.txt")}
        assert "set save_folder" in self.refusal(train_config(train_annotation=own, **listed), own)
        assert "set save_folder" in self.refusal(train_config(train_annotation=own, data_folder=str(tmp_path)), own)
        write_table(own, [])
        assert "set save_folder" in self.refusal(train_config(train_annotation=own), own)

    def test_a_table_that_was_changed_is_the_users(self, tmp_path, own, train_config):
        tables = make_train_tables(train_config())
        path = tmp_path / "save" / "train.csv"
        write_table(path, tables.train[:-1])
        message = self.refusal(train_config(seed=5), str(path))
        assert "skip_prep: true" in message
        assert "was changed since" in message
        path.unlink()
        write_table(tmp_path / "save" / "dev.csv", tables.train[:1])
        message = self.refusal(train_config(), str(tmp_path / "save" / "dev.csv"))
        assert "dev.csv exists, but" in message
        assert read_table(tmp_path / "save" / "dev.csv") == tables.train[:1]


def test_layouts_give_speaker_and_id(tmp_path, train_config, eval_config, write_noise):
    for speaker in ("an na", "bo", "cy"):
        for number in range(3):
            write_noise(tmp_path / "train" / f"{speaker}_{number} x.wav", 1600 + number, 16000)
    flat = {"speaker_pattern": "{speaker}_*", "data_folder": str(tmp_path / "train")}
    trials = tmp_path / "trials.txt"
    trials.write_text("1\tan na_0 x.wav\tan na_1 x.wav\n0\tan na_0 x.wav\tbo_1 x.wav\n")
    train = make_train_tables(train_config(verification_file=str(trials), **flat))
    assert train.speakers == {"cy": 0}
    trials.write_text(re.sub(r"(?=an na|bo)", f"{tmp_path}/train/", trials.read_text()))  # absolute, and no folder wav
    assert make_train_tables(train_config(verification_file=str(trials), **flat)) == train
    tables = make_eval_tables(eval_config(verification_file=str(trials), train_annotation="", **flat))
    assert [u.spk_id for u in tables.enrol + tables.test] == ["an na", "an na", "bo"]
    assert {u.spk_id for u in tables.norm} == {"cy"}


def test_models_of_an_enrolment_map_are_prepared(tmp_path, eval_config, train_config, write_noise):
    for name in ("data/id1/a.wav", "data/id800/b.wav", "eval/enroll/id800-enroll.wav", "eval/test/id801-play-1.wav"):
        write_noise(tmp_path / "test" / name)
    (tmp_path / "trials.lst").write_text("id800-enroll test/id801-play-1.wav 0\n")
    (tmp_path / "enroll.lst").write_text("id800-enroll enroll/id800-enroll.wav\n")
    listed = {
        "verification_file": str(tmp_path / "trials.lst"),
        "trial_format": "cnceleb",
        "enrol_map_path": str(tmp_path / "enroll.lst"),
        "data_folder": str(tmp_path / "test"),
    }
    tables = make_eval_tables(eval_config(train_annotation="", **listed))
    assert [(u.utt_id, u.spk_id) for u in tables.enrol] == [("enroll/id800-enroll.wav", "id800")]
    assert [(u.utt_id, u.spk_id) for u in tables.test] == [("test/id801-play-1.wav", "id801")]
    assert {u.spk_id for u in tables.norm} == {"id1"}
    assert make_train_tables(train_config(**listed)).speakers == {"id1": 0}


def test_ids_are_the_same_when_the_tables_are_used_again(tmp_path, train_config, write_noise):
    for name in ("wav/x/anna_1.wav", "wav/x/zoe\u0308_2.wav", "other/bo_3.wav"):
        write_noise(tmp_path / "train" / name)
    flat = train_config(speaker_pattern="{speaker}_*")
    assert make_train_tables(flat) == make_train_tables(flat)
    (tmp_path / "train" / "l.csv").write_text("id,path,speaker\n./u//1,wav/x/anna_1.wav,a\nwav/s/v,other/bo_3.wav,b\n")
    listed = train_config(data_list="l.csv", save_folder=str(tmp_path / "new"))
    listed.train_annotation, listed.valid_annotation = (str(tmp_path / "new" / name) for name in ("t.csv", "d.csv"))
    tables = make_train_tables(listed)
    assert [utterance.utt_id for utterance in tables.train] == ["u/1", "wav/s/v"]
    assert make_train_tables(listed) == tables
