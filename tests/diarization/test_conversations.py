"""Mixed conversations: speakers, overlap, pauses and seeds; and recordings with their reference."""

import numpy as np
import pytest
import soundfile

from mindvox.cli import main
from mindvox.cli import make_conversations as command
from mindvox.corpus.audio import read_audio
from mindvox.corpus.noises import NoiseFolder, RoomFolder
from mindvox.diarization.conversations import Conversation, mix, overlap_share, speech_pieces
from mindvox.diarization.corpora import read_referenced
from mindvox.diarization.rttm import read_rttm
from mindvox.diarization.turns import Turn, speakers_of, speech_of
from mindvox.errors import InputError, UsageError
from mindvox.speech import detector as speech_detector
from tests.diarization.talk import RATE, voice


class Loud:
    """A toy detector: samples above 0.01 of full scale are speech."""

    def segments(self, waveform):
        blocks = np.abs(waveform[: len(waveform) // 160 * 160]).reshape(-1, 160).max(axis=1) > 0.01
        edges = np.flatnonzero(np.diff(blocks.astype(int), prepend=0, append=0)) / 100
        return [(float(start), float(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def pieces(num_speakers: int = 3, number: int = 12) -> dict:
    rng = np.random.default_rng(0)
    return {f"s{n}": [voice("low", rng.uniform(0.5, 2.0)) for _ in range(number)] for n in range(num_speakers)}


def test_pauses_cut_speech_and_short_ones_do_not():
    parts = [voice("low", 1), np.zeros(RATE // 5), voice("low", 1), np.zeros(RATE), voice("low", 0.5)]
    assert [len(piece) / RATE for piece in speech_pieces(np.concatenate(parts), Loud())] == [2.2, 0.5]


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.2])
def test_overlap_is_as_wanted_and_never_three_talk(overlap):
    mixture = mix(pieces(), Conversation(overlap=overlap), 1)
    assert overlap_share(mixture.turns) == pytest.approx(overlap, abs=1e-3)
    times = np.arange(0, len(mixture.waveform) / RATE, 0.01)
    numbers = sum((times >= turn.start_s).astype(int) * (times < turn.end_s) for turn in mixture.turns)
    assert numbers.max() == (2 if overlap else 1)


def test_sound_is_where_the_reference_says():
    mixture = mix(pieces(), Conversation(), 2)
    loud = np.zeros(len(mixture.waveform), bool)
    for turn in mixture.turns:
        loud[round(turn.start_s * RATE) : round(turn.end_s * RATE)] = True
    assert not mixture.waveform[~loud].any() and np.abs(mixture.waveform).max() <= 1
    assert np.mean(mixture.waveform[loud] != 0) > 0.99 and mixture.waveform.dtype == np.float32


def test_speakers_have_their_speech_and_levels():
    own = pieces()
    mixture = mix(own, Conversation(speech_s=5.0), 3)
    assert set(speakers_of(mixture.turns)) == set(own)
    assert [speech_of(mixture.turns, name) for name in own] == pytest.approx([5.0] * 3)


def test_same_seed_same_conversation():
    first, second, other = (mix(pieces(), Conversation(overlap=0.1), seed) for seed in (5, 5, 6))
    assert first.turns == second.turns != other.turns and np.array_equal(first.waveform, second.waveform)


def test_rooms_and_noise_change_the_sound_alone(tmp_path):
    for folder, samples in (("rooms", np.eye(1, 800)[0]), ("noises", np.random.default_rng(0).normal(size=RATE))):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "a.wav", 0.5 * np.clip(samples, -1, 1), RATE)
    rooms, noises = RoomFolder.open(tmp_path / "rooms"), NoiseFolder.open(tmp_path / "noises")
    plain, placed = mix(pieces(), Conversation(), 4), mix(pieces(), Conversation(), 4, rooms)
    noisy = mix(pieces(), Conversation(snr_db=(10, 10)), 4, noises=noises)
    assert plain.turns == noisy.turns and speakers_of(placed.turns) == speakers_of(plain.turns)
    assert np.mean(noisy.waveform == 0) < 0.01 < np.mean(plain.waveform == 0)


def test_impossible_conversations_are_refused():
    with pytest.raises(InputError, match="s1: no speech to mix"):
        mix({"s0": [voice("low", 1)], "s1": []}, Conversation(), 1)
    with pytest.raises(InputError, match="leave room for 0% of overlap, not for 10%"):
        mix(pieces(1), Conversation(overlap=0.1), 1)
    for wrong in ({"overlap": 0.5}, {"turn_s": 0}, {"snr_db": (20, 10)}):
        with pytest.raises(UsageError):
            Conversation(**wrong)


def test_command_mixes_a_corpus(tmp_path, monkeypatch, capsys):
    for number, name in enumerate(("id1", "id2", "id3")):
        for file in range(3):
            path = tmp_path / f"corpus/wav/{name}/a/{file}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, voice("low" if number % 2 else "high", 2.0 + file), RATE)
    monkeypatch.setattr(speech_detector.SpeechDetector, "open", Loud)
    given = [
        "make-conversations",
        str(tmp_path / "corpus"),
        str(tmp_path / "out"),
        "--num",
        "2",
        "--speakers",
        "2",
        "3",
    ]
    assert main([*given, "--speech", "6"]) == 0
    assert "2 conversations, 0.0% of the speech is overlap" in capsys.readouterr().out
    found = read_referenced(tmp_path / "out", tmp_path / "out/reference.rttm")
    assert list(found) == ["conversation_0000", "conversation_0001"]
    for path, turns in found.values():
        assert set(speakers_of(turns)) <= {"id1", "id2", "id3"} and len(speakers_of(turns)) >= 2
        assert len(read_audio(path).waveform) / RATE >= turns[-1].end_s - 1e-3
    with pytest.raises(InputError, match="expected at least 6 speakers, got 3"):
        main([*given[:3]])
    with pytest.raises(UsageError, match="--speakers: expected 1 <= least <= most"):
        main([*given[:3], "--speakers", "3", "2"])
    assert command.REFERENCE == "reference.rttm" and len(read_rttm(tmp_path / "out/reference.rttm")) == 2


# Recordings with a reference


def test_layouts_of_ami_and_voxconverse_are_read(tmp_path):
    for name in ("amicorpus/ES2004a/audio/ES2004a.Mix-Headset.wav", "audio/abjxc.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, np.zeros(160), RATE)
    (tmp_path / "rttm").mkdir()
    for name in ("ES2004a", "abjxc"):
        (tmp_path / f"rttm/{name}.rttm").write_text(f"SPEAKER {name} 1 0 1 <NA> <NA> A <NA> <NA>\n")
    found = read_referenced(tmp_path, tmp_path / "rttm")
    assert found["ES2004a"].path.name == "ES2004a.Mix-Headset.wav" and found["abjxc"].turns == [Turn(0, 1, "A")]
    soundfile.write(tmp_path / "abjxc.wav", np.zeros(160), RATE)
    with pytest.raises(InputError, match="could be abjxc: keep one of them"):
        read_referenced(tmp_path, tmp_path / "rttm")
    with pytest.raises(InputError, match="no recording ES2004a, but the reference names it"):
        read_referenced(tmp_path / "audio", tmp_path / "rttm")
