"""Training batches from a store of samples: distorted, transformed, and the same for any number of workers."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.config import Config, load_config
from mindvox.data.online import CROP as FOR_CROPS
from mindvox.data.online import DISTORT, Crops, OnlineFeatures, crop_samples, generator
from mindvox.data.pipeline import open_batches
from mindvox.data.train_store import TrainStoreWriter
from mindvox.errors import InputError, UsageError
from mindvox.frontend.fbank import Fbank
from mindvox.frontend.frames import subtract_mean
from mindvox.frontend.kaldi_fbank import KaldiFbank
from mindvox.models.checkpoint import read_checkpoint
from mindvox.training.loop import train

NUM_MELS, NUM_SPEAKERS, UTTERANCES, FRAMES = 8, 4, 3, 31
CROP = (FRAMES - 1) * 160
FRONT_END = Fbank(n_mels=NUM_MELS)
ALL = "clean,speed+noise,reverb,babble,drop_freq+drop_chunk"


def wave_of(label: int, index: int) -> np.ndarray:
    """Return 16-bit samples, the first utterance of a speaker shorter than a crop."""
    rng = np.random.default_rng((label, index))
    return (3000 * rng.standard_normal((3000, 6000, 16000)[index])).astype(np.int16)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A store of samples, one of features, noises and rooms."""
    root = tmp_path_factory.mktemp("online")
    speakers = {f"id{label}": label for label in range(NUM_SPEAKERS)}
    for name, front_end in (("waves", None), ("feats", FRONT_END.to_dict())):
        with TrainStoreWriter(root / name, front_end, speakers) as writer:
            for spk_id, label in speakers.items():
                for index in range(UTTERANCES):
                    wave = wave_of(label, index)
                    content = wave if front_end is None else FRONT_END(wave.astype(np.float32) / 32768)
                    writer.add(f"{spk_id}/{index}.wav", label, content)
    for name, length in (("noise", 9000), ("rooms", 2000)):
        (root / name).mkdir()
        for index in range(2):
            samples = 0.1 * np.random.default_rng(index).standard_normal(length)
            soundfile.write(root / name / f"{index}.wav", samples * np.exp(-np.arange(length) / 700), 16000)
    return {path.name: path for path in root.iterdir()}


def settings(folders: dict[str, Path], *options: str, store: str = "waves") -> Config:
    paths = (f"--train_data_path={folders[store]}", f"--noise_folder={folders['noise']}")
    sizes = (f"--inChannels={NUM_MELS}", "--minibatch_size=5", f"--train_frames={FRAMES}", "--seed=3")
    return load_config(Config, [*paths, f"--rir_folder={folders['rooms']}", *sizes, *options])


def batches_of(config: Config, num_epochs: int = 2) -> list[list]:
    epochs = open_batches(config).epochs()
    found = [list(next(epochs)) for _ in range(num_epochs)]
    epochs.close()
    return found


def crops(made: OnlineFeatures, labels=(0, 1, 2, 3), epoch: int = 0) -> Crops:
    """Return crops of the longest utterance of each of these speakers."""
    names = [f"id{label}/2.wav" for label in labels]
    waves = [wave_of(label, 2) for label in labels]
    cut = [
        crop_samples(wave, made.crop_length, generator(3, epoch, name)) for wave, name in zip(waves, names, strict=True)
    ]
    return Crops(names, np.array(labels, np.int32), np.stack(cut), epoch, np.zeros(len(names), int))


def features(folders, *options) -> OnlineFeatures:
    return OnlineFeatures.from_config(settings(folders, *options), NUM_SPEAKERS)


def test_batches_are_the_same_for_any_number_of_workers_and_new_in_every_epoch(folders):
    one = batches_of(settings(folders, f"--augmentations={ALL}", "--spec_augment=0.5"))
    two = batches_of(settings(folders, f"--augmentations={ALL}", "--spec_augment=0.5", "--num_workers=2"))
    assert [len(epoch) for epoch in one] == [2, 2]
    for first, second in zip(sum(one, []), sum(two, []), strict=True):
        assert first.utt_ids == second.utt_ids
        np.testing.assert_array_equal(first.label, second.label)
        np.testing.assert_array_equal(first.feats, second.feats)
        assert first.feats.shape == (5, FRAMES, NUM_MELS) and first.feats.dtype == np.float32
        assert [int(name[2]) for name in first.utt_ids] == first.label.tolist()
    first, second = (
        {name: feats for batch in epoch for name, feats in zip(batch.utt_ids, batch.feats, strict=True)}
        for epoch in one
    )
    common = first.keys() & second.keys()
    assert common and not any(np.array_equal(first[name], second[name]) for name in common)


def test_batches_from_anywhere_are_the_tail_of_all(folders):
    config = settings(folders, f"--augmentations={ALL}")
    whole = sum(batches_of(config, num_epochs=3), [])
    epochs = open_batches(config).epochs(epoch=1, first_record=5)
    part = sum((list(next(epochs)) for _ in range(2)), [])
    epochs.close()
    assert len(part) == 3
    for expected, batch in zip(whole[3:], part, strict=True):
        assert batch.utt_ids == expected.utt_ids
        np.testing.assert_array_equal(batch.feats, expected.feats)


def test_held_out_samples_become_clean_features(folders):
    batches = open_batches(settings(folders, f"--augmentations={ALL}", "--valid_utterances=4"))
    held_out = list(batches.held_out_feats())
    assert len(held_out) == 4 and len(batches.records) == NUM_SPEAKERS * UTTERANCES - 4
    for name, label, feats in held_out:
        wave = wave_of(label, int(name[4])).astype(np.float32) / 32768
        np.testing.assert_allclose(feats, FRONT_END(wave), rtol=0, atol=1e-3)


def test_clean_features_are_those_of_the_crop(folders):
    batch = batches_of(settings(folders), num_epochs=1)[0][0]
    for name, feats in zip(batch.utt_ids, batch.feats, strict=True):
        wave = wave_of(int(name[2]), int(name[4]))
        crop = crop_samples(wave, CROP, generator(3, 0, name)).astype(np.float32) / 32768
        np.testing.assert_allclose(feats, subtract_mean(FRONT_END(crop)), rtol=0, atol=1e-3)


def test_clean_features_are_those_of_the_configured_front_end(folders):
    kaldi = KaldiFbank(n_mels=NUM_MELS, window="hamming")
    batch = batches_of(settings(folders, "--front_end=kaldi_fbank", "--front_end.window=hamming"), num_epochs=1)[0][0]
    for name, feats in zip(batch.utt_ids, batch.feats, strict=True):
        wave = wave_of(int(name[2]), int(name[4]))
        crop = crop_samples(wave, kaldi.num_samples(FRAMES), generator(3, 0, name)).astype(np.float32) / 32768
        np.testing.assert_allclose(feats, subtract_mean(kaldi(crop)), rtol=0, atol=1e-3)


def test_dither_is_new_in_every_epoch_and_follows_from_the_seed(folders):
    options = ("--front_end=kaldi_fbank", "--front_end.dither=0.01")
    dithered, plain = features(folders, *options), features(folders, options[0])
    first = dithered(crops(dithered)).feats
    np.testing.assert_array_equal(first, features(folders, *options)(crops(dithered)).feats)
    assert np.abs(first - plain(crops(plain)).feats).max() > 1e-2
    assert not np.array_equal(first, dithered(crops(dithered)._replace(epoch=1)).feats)


def test_features_follow_from_name_seed_and_epoch_alone(folders):
    made = features(folders, f"--augmentations={ALL.replace(',babble', '')}")
    together = made(crops(made)).feats
    alone = made(crops(made, labels=(2,))).feats
    np.testing.assert_array_equal(alone[0], together[2])
    assert not np.array_equal(made(crops(made)._replace(epoch=1)).feats, together)
    other = features(folders, f"--augmentations={ALL.replace(',babble', '')}", "--seed=4")
    assert not np.array_equal(other(crops(other)).feats, together)


def test_speed_classes_shift_the_label_by_the_speakers(folders):
    made = features(folders, "--augmentations=speed", "--speeds=0.9,1.0,1.1", "--speed_classes")
    assert made.num_speeds == 3
    found = {0: set(), 1: set(), 2: set()}
    for epoch in range(30):
        batch = crops(made, epoch=epoch)
        for label, name in zip(made(batch).label, batch.utt_ids, strict=True):
            rng = generator(3, epoch, name, DISTORT)
            speed = made.augmenter.draw(made.augmenter.choose(rng), CROP, rng).speed_index
            found[speed].add(int(label) - int(name[2]))
    assert found == {0: {NUM_SPEAKERS}, 1: {0}, 2: {2 * NUM_SPEAKERS}}


def test_without_speed_classes_labels_stay(folders):
    made = features(folders, "--augmentations=speed")
    assert made.num_speeds == 1
    batch = made(crops(made))
    assert batch.label.tolist() == [0, 1, 2, 3]


def test_babble_is_made_of_other_speakers_when_there_are_any(folders):
    made = features(folders, "--augmentations=babble", "--babble_voices=5")
    batch = crops(made, labels=(0, 0, 1, 1))
    waves = batch.samples.astype(np.float32)
    rng = np.random.default_rng(0)
    voices = np.stack(made._others(waves, batch.label, 0)(rng, 5, 100))
    np.testing.assert_array_equal(np.sort(voices[:, 0]), np.sort(waves[2:, 0]))
    same = np.stack(made._others(waves, np.zeros(4, np.int32), 0)(rng, 5, 100))
    np.testing.assert_array_equal(np.sort(same[:, 0]), np.sort(waves[1:, 0]))


def test_every_place_of_a_recording_can_be_cut():
    wave = np.arange(100, dtype=np.int16)
    starts = {int(crop_samples(wave, 90, generator(0, epoch, "a"))[0]) for epoch in range(200)}
    assert starts == set(range(11))
    np.testing.assert_array_equal(crop_samples(wave[:3], 7, generator(0, 0, "a")), [0, 1, 2, 0, 1, 2, 0])


def test_place_of_a_crop_says_nothing_about_its_distortion():
    assert generator(0, 1, "a", FOR_CROPS).random() != generator(0, 1, "a", DISTORT).random()


def test_failure_in_a_worker_is_one_clear_error(folders, tmp_path):
    for index in range(2):
        soundfile.write(tmp_path / f"{index}.wav", np.sin(np.arange(9000)), 16000)
    epochs = open_batches(settings(folders, "--augmentations=noise", f"--noise_folder={tmp_path}")).epochs()
    for index in range(2):
        soundfile.write(tmp_path / f"{index}.wav", np.ones(10), 16000)
    with pytest.raises(InputError, match=r"[01].wav: damaged or changed while it was used"):
        list(next(epochs))


def test_killed_worker_is_one_clear_error(folders):
    before = set(multiprocessing.active_children())
    epochs = open_batches(settings(folders, "--num_workers=2")).epochs()
    first = next(epochs)
    next(first)
    workers = set(multiprocessing.active_children()) - before
    assert len(workers) == 2
    for worker in workers:
        assert b"OPENBLAS_NUM_THREADS=1" in Path(f"/proc/{worker.pid}/environ").read_bytes()
    os.kill(workers.pop().pid, signal.SIGKILL)
    with pytest.raises(InputError, match="num_workers: a process that makes training features was killed"):
        for _ in range(10):
            list(first)
            first = next(epochs)


def test_store_of_features_cannot_be_distorted_but_masked(folders):
    for option in ("--augmentations=noise", "--speed_classes"):
        with pytest.raises(InputError, match="holds features, which cannot be distorted any more"):
            open_batches(settings(folders, option, store="feats"))
    plain = batches_of(settings(folders, store="feats"), 1)[0][0]
    masked = batches_of(settings(folders, "--spec_augment=1", store="feats"), 1)[0][0]
    assert plain.utt_ids == masked.utt_ids
    changed = plain.feats != masked.feats
    assert changed.any() and not masked.feats[changed].any()


def test_store_of_features_of_another_front_end_is_refused(folders):
    with pytest.raises(InputError, match="feats: holds features of the front end fbank, the model takes kaldi_fbank"):
        open_batches(settings(folders, "--front_end=kaldi_fbank", store="feats"))


def test_stage_without_its_folder_stops_before_any_work(folders):
    with pytest.raises(UsageError, match="'reverb' needs rir_folder"):
        open_batches(settings(folders, "--augmentations=add_rev", "--rir_folder="))


def test_workers_do_not_import_mindspore():
    code = "import sys, mindvox.data.online; sys.exit('mindspore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_training_takes_a_store_of_samples(small_model, folders, tmp_path):
    options = ("--channels=8", "--emb_size=6", "--num_epochs=1", "--device_target=CPU", "--speed_classes")
    options = (*options, "--front_end=kaldi_fbank", "--front_end.dither=0.001")
    config = settings(folders, "--augmentations=speed,add_rev_noise", f"--ckpt_save_dir={tmp_path / 'ckpt'}", *options)
    arrays, meta = read_checkpoint(train(config))
    assert meta["front_end"] == KaldiFbank(n_mels=NUM_MELS, dither=0.001).to_dict()
    assert arrays["loss.weight"].shape == (3 * NUM_SPEAKERS, 6)
