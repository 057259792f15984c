"""What is stored of an utterance: copies, distortions, waveforms; the same wherever and with whomever it is made."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.corpus.audio import read_audio
from mindvox.corpus.tables import make_train_tables
from mindvox.data.prepare import prepare_train
from mindvox.data.recipe import Recipe, Voices
from mindvox.data.shards import plan_shards
from mindvox.data.train_store import read_manifest
from mindvox.errors import InputError, UsageError
from mindvox.frontend.distortions import change_speed, speed_source_length
from mindvox.frontend.fbank import Fbank
from tests.stores import read_records

SEED_STAGES = "clean,augment_wavedrop,augment_speed,add_rev,add_noise,add_rev_noise"


@pytest.fixture
def noise_options(tmp_path) -> list[str]:
    """Folders with a noise and a room response."""
    rng = np.random.default_rng(0)
    for name, samples in (
        ("noise", 0.1 * rng.standard_normal(40000)),
        ("rir", np.exp(-np.arange(2000) / 300) * rng.standard_normal(2000) / 5),
    ):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "1.wav", samples, 16000)
    return [f"--noise_folder={tmp_path / 'noise'}", f"--rir_folder={tmp_path / 'rir'}"]


def records_of(config) -> dict[str, np.ndarray]:
    return {record[0]: record[2] for record in read_records(config.feat_folder)}


def utterances_of(corpus: Path, config):
    return make_train_tables(config).train


def test_every_utterance_has_a_record_of_each_stage(train_config, noise_options):
    config = train_config(f"--augmentations={SEED_STAGES}", *noise_options)
    prepare_train(config)
    records = records_of(config)
    assert len(records) == 6 * 20
    assert {feats.shape for feats in records.values()} == {(101, 80)}
    of_one = {name: feats for name, feats in records.items() if name.startswith("id00001/session/00002.wav#")}
    assert {name.partition("@")[2] for name in of_one} == {"", *SEED_STAGES.split(",")[1:]}
    contents = [feats.tobytes() for feats in of_one.values()]
    assert len(set(contents)) >= 5  # of three speeds one changes nothing but what is dropped
    (clean,) = (feats for name, feats in of_one.items() if "@" not in name)
    assert all(np.abs(feats - clean).mean() < 30 for feats in of_one.values())


def test_records_do_not_depend_on_shards(train_config, noise_options, tmp_path):
    options = [f"--augmentations={SEED_STAGES}", "--number_of_epochs=2", *noise_options]
    one = train_config(*options)
    many = train_config(*options, "--shard_utterances=7", f"--feat_folder={tmp_path / 'many'}")
    prepare_train(one)
    prepare_train(many)
    assert len(read_manifest(many.feat_folder).shards) == 240 // 7 + 1
    first, second = (
        [(*record[:2], record[2].tobytes()) for record in read_records(c.feat_folder)] for c in (one, many)
    )
    assert first == second


def test_copies_and_seeds_differ(train_config, corpus):
    config = train_config("--augmentations=augment_wavedrop")
    (utterance,) = [u for u in utterances_of(corpus, config) if u.utt_id == "id00001/session/00001.wav"]
    waveform = read_audio(corpus / utterance.wav).waveform

    def contents(*options) -> list[bytes]:
        recipe = Recipe.from_config(train_config("--augmentations=augment_wavedrop", *options))
        return [
            content.tobytes()
            for _, content in recipe.records(utterance, waveform, range(recipe.num_records(utterance)))
        ]

    assert contents("--number_of_epochs=3")[:1] == contents()
    assert len(set(contents("--number_of_epochs=3"))) == 3
    assert contents("--seed=1") != contents("--seed=2")
    assert len(set(contents("--random_chunk=false", "--number_of_epochs=2"))) == 2  # both at the same place


def test_faster_speech_takes_more_of_the_recording_instead_of_repeating(train_config, corpus):
    config = train_config("--augmentations=speed", "--speeds=2.0")
    recipe = Recipe.from_config(config)
    rng = np.random.default_rng(0)
    (utterance,) = [u for u in utterances_of(corpus, config) if u.utt_id == "id00001/session/00003.wav"]
    waveform = rng.standard_normal(64000).astype(np.float32) / 10
    (piece,) = recipe.cutting.pieces(utterance, waveform)
    length = speed_source_length(16000, 200)
    start = min(piece.start, 64000 - length)
    ((_, content),) = recipe.records(utterance, waveform, range(1))
    expected = Fbank()(change_speed(waveform[start : start + length], 200))
    np.testing.assert_array_equal(content, expected)


def test_waveforms_are_stored_as_the_recordings_samples(corpus, train_config):
    config = train_config("--store_kind=waveform", "--whole_utterance=true")
    prepare_train(config)
    manifest = read_manifest(config.feat_folder)
    assert (manifest.kind, manifest.front_end, manifest.num_utterances) == ("waveform", None, 20)
    total = 0
    for name, wave in records_of(config).items():
        samples, _ = soundfile.read(corpus / "wav" / name, dtype="int16")
        np.testing.assert_array_equal(wave, samples)
        total += len(samples)
    assert manifest.num_frames == total


def test_part_of_a_recording_is_stored_as_its_samples(corpus, train_config, table_of_a_part):
    config = train_config("--store_kind=waveform", "--whole_utterance=true", "--skip_prep=true")
    prepare_train(config)
    samples, _ = soundfile.read(corpus / "wav/id00001/session/00003.wav", dtype="int16", start=4000, stop=12000)
    np.testing.assert_array_equal(records_of(config)["mine"], samples)


def test_babble_is_of_other_speakers(corpus, train_config):
    utterances = utterances_of(corpus, train_config())
    read = []

    class Recording(Voices):
        def _draw(self, others, rng, num_samples):
            read.extend(others)
            return super()._draw(others, rng, num_samples)

    source = Recording(utterances, corpus).besides("id00002")
    voices = source(np.random.default_rng(0), 4, 30000)
    assert [len(voice) for voice in voices] == [30000] * 4
    assert {utterance.spk_id for utterance in read} == {f"id0000{number}" for number in (0, 1, 3, 4)}


def test_babble_without_readable_voices_is_an_error(corpus, train_config):
    utterances = utterances_of(corpus, train_config())
    for path in corpus.rglob("*.wav"):
        path.write_text("")
    with pytest.raises(InputError, match="drawn for babble can be read"):
        Voices(utterances, corpus).besides("id00002")(np.random.default_rng(0), 1, 100)


def test_babble_goes_into_the_store(train_config):
    config = train_config("--augmentations=clean,babble")
    prepare_train(config)
    assert sum(name.endswith("@babble") for name in records_of(config)) == 20


@pytest.mark.parametrize("change", ["--noise_snr=1,2", "--speeds=0.9,1.0", "--augmentations=add_noise", "--seed=5"])
def test_other_augmentation_is_another_store(train_config, noise_options, change):
    options = ["--augmentations=clean,add_noise", "--skip_prep=true", *noise_options]
    utterances_of(Path(), train_config())
    prepare_train(train_config(*options))
    with pytest.raises(InputError, match="choose another feat_folder"):
        prepare_train(train_config(*options, change))


def test_other_noises_are_another_store(train_config, noise_options, tmp_path):
    config = train_config("--augmentations=add_noise", *noise_options)
    prepare_train(config)
    soundfile.write(tmp_path / "noise" / "2.wav", np.random.default_rng(1).uniform(-0.1, 0.1, 999), 16000)
    with pytest.raises(InputError, match="noise_folder_sha256"):
        prepare_train(config)


def test_missing_noise_folder_is_said_before_any_work(train_config):
    config = train_config("--augmentations=clean,add_noise")
    with pytest.raises(UsageError, match="noise_folder"):
        prepare_train(config)
    assert not Path(config.save_folder).exists()


def test_shards_hold_equal_numbers_of_records_in_the_order_of_the_table(train_config, corpus):
    config = train_config("--random_chunk=false", "--augmentations=clean,augment_wavedrop")
    recipe, utterances = Recipe.from_config(config), utterances_of(corpus, config)
    ranges = plan_shards(utterances, recipe, 7)
    numbers = [(row, record) for row, u in enumerate(utterances) for record in range(recipe.num_records(u))]
    assert [shard.num_records for shard in ranges[:-1]] == [7] * (len(ranges) - 1)
    for shard, start in zip(ranges, range(0, len(numbers), 7), strict=True):
        chosen = numbers[start : start + 7]
        assert (shard.first, shard.skip) == chosen[0]
        assert shard.stop == chosen[-1][0] + 1


def test_shards_end_before_a_file_is_full(train_config, corpus, monkeypatch):
    config = train_config("--whole_utterance=true")
    recipe, utterances = Recipe.from_config(config), utterances_of(corpus, config)
    monkeypatch.setattr("mindvox.data.train_store.MAX_SHARD_BYTES", 200_000)
    ranges = plan_shards(utterances, recipe, 1000)
    assert sum(shard.num_records for shard in ranges) == 20
    assert all(shard.num_bytes <= 200_000 or shard.num_records == 1 for shard in ranges)
    assert len(ranges) > 5


def test_recording_too_long_for_a_page_is_named_before_work(train_config, monkeypatch):
    monkeypatch.setattr("mindvox.data.train_store.MAX_PAGE_BYTES", 1 << 17)
    monkeypatch.setattr("mindvox.data.train_store.PAGE_BYTES", 1 << 17)
    config = train_config("--whole_utterance=true")
    with pytest.raises(InputError, match=r"00003\.wav: a record of 0 MB is more than a MindRecord page can hold"):
        prepare_train(config)
    assert not Path(config.feat_folder).exists()
