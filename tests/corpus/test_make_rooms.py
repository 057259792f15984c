"""Generated rooms: the same for a seed, usable as rir_folder, and one line when pyroomacoustics is missing."""

import re
import sys

import numpy as np
import pytest

from mindvox.corpus.make_rooms import Room, draw_room, main, room_response
from mindvox.corpus.noises import RoomFolder
from mindvox.errors import InputError, UsageError


def test_rooms_are_drawn_within_their_walls():
    for seed in range(200):
        room = draw_room(np.random.default_rng(seed))
        for place in (room.speaker, room.microphone):
            assert all(0.5 <= x <= length - 0.5 for x, length in zip(place, room.size, strict=True))
        assert np.linalg.norm(np.subtract(room.speaker, room.microphone)) >= 0.5
        length, width, height = room.size
        surface = 2 * (length * width + length * height + width * height)
        assert 0.1611 * length * width * height / surface < room.rt60_s <= 0.8  # Sabine: walls absorb less than all


def test_missing_pyroomacoustics_is_one_line_that_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyroomacoustics", None)
    with pytest.raises(InputError, match=re.escape("pip install -e '.[rooms]'")):
        main([str(tmp_path), "--count=1"])


def test_impossible_counts_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--count >= 1"):
        main([str(tmp_path), "--count=0"])


def test_longer_reverberation_lasts_longer():
    pytest.importorskip("pyroomacoustics", reason="pip install -e '.[rooms]'")
    shape = {"size": (5.0, 4.0, 3.0), "speaker": (1.0, 1.1, 1.3), "microphone": (2.1, 1.7, 1.6)}
    dry, wet = (room_response(Room(**shape, rt60_s=rt60)) for rt60 in (0.25, 0.7))
    direct = np.linalg.norm(np.subtract(shape["speaker"], shape["microphone"])) / 343 * 16000
    for response in (dry, wet):
        assert response.dtype == np.float32 and np.abs(response).max() == pytest.approx(0.9)
        assert np.argmax(np.abs(response)) == pytest.approx(direct + 40, abs=3)  # its filters delay by 40 samples
    energy = [np.sum(response[4000:] ** 2) / np.sum(response**2) for response in (dry, wet)]
    assert energy[1] > 3 * energy[0]


def test_seed_gives_the_same_rooms_and_more_can_be_added(tmp_path, capsys):
    pytest.importorskip("pyroomacoustics", reason="pip install -e '.[rooms]'")
    assert main([str(tmp_path / "a"), "--count=2", "--seed=3"]) == 0
    assert "set rir_folder: " in capsys.readouterr().out
    assert main([str(tmp_path / "b"), "--count=1", "--seed=3"]) == 0
    names = ["room-00000.wav", "room-00001.wav"]
    assert (tmp_path / "a" / names[0]).read_bytes() == (tmp_path / "b" / names[0]).read_bytes()
    assert (tmp_path / "a" / names[0]).read_bytes() != (tmp_path / "a" / names[1]).read_bytes()
    assert main([str(tmp_path / "b"), "--count=2", "--seed=3"]) == 0
    rooms = RoomFolder.open(tmp_path / "b")
    assert list(rooms.paths) == names and rooms.response(1).any()
    with pytest.raises(InputError, match=r"rooms.json: {'seed': 3}: its rooms were drawn with these"):
        main([str(tmp_path / "b"), "--count=3", "--seed=4"])
    assert list(RoomFolder.open(tmp_path / "b").paths) == names
