"""Recording from a microphone, with a stand-in for sounddevice: the test machines have no microphone."""

import io
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from mindvox.errors import InputError
from mindvox.speech import microphone
from mindvox.speech.microphone import Microphone, level_line


class PortAudioError(Exception):
    """Stands in for sounddevice's error."""


class Stream:
    """Deliver blocks from another thread, as PortAudio does; the n-th sample is n / 1e6."""

    delivers = True
    gaps: tuple[int, ...] = ()  # first samples of the blocks before which some are lost

    def __init__(self, samplerate, channels, dtype, blocksize, callback):
        assert (samplerate, channels, dtype) == (16000, 1, "float32")
        self.blocksize, self.callback = blocksize, callback
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.deliver)

    def deliver(self):
        first = 0
        buffer = np.empty((self.blocksize, 1), np.float32)
        while self.delivers and not self.stop.is_set():
            buffer[:, 0] = (first + np.arange(self.blocksize)) / 1e6  # the same memory again, as PortAudio's
            self.callback(buffer, self.blocksize, None, SimpleNamespace(input_overflow=first in self.gaps))
            first += self.blocksize

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.stop.set()
        self.thread.join()


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def sounddevice(monkeypatch):
    module = SimpleNamespace(InputStream=Stream, PortAudioError=PortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


def test_blocks_are_joined_and_cut_to_the_length(sounddevice):
    quiet = io.StringIO()
    samples = Microphone(0.25).record(meter=quiet)
    np.testing.assert_array_equal(samples, np.arange(4000, dtype=np.float32) / np.float32(1e6))
    assert quiet.getvalue() == ""  # a file gets no meter


def test_a_terminal_gets_a_meter(sounddevice):
    terminal = Terminal()
    Microphone(0.3).record(meter=terminal)
    lines = terminal.getvalue().split("\r")
    assert len(lines) == 4 and "0.2 s left" in lines[1] and lines[-1].endswith("\n")


def test_lost_samples_are_said_unless_they_came_before_the_first(sounddevice, monkeypatch, capsys):
    monkeypatch.setattr(Stream, "gaps", (0,))
    Microphone(0.5).record(begin=int)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(Stream, "gaps", (1600, 4800))
    Microphone(0.5).record(begin=int)
    assert capsys.readouterr().err == "warning: the machine was too busy: samples are lost in 2 places\n"


def test_the_person_is_asked_to_speak_once_the_microphone_delivers(sounddevice, monkeypatch, capsys):
    begun = []
    Microphone(0.3).record(begin=lambda: begun.append(1))
    assert begun == [1] and capsys.readouterr().err == ""
    Microphone(0.3).record()
    assert capsys.readouterr().err == "speak now, for 0.3 s\n"
    monkeypatch.setattr(Stream, "delivers", False)
    monkeypatch.setattr(microphone, "PATIENCE_S", 0.1)
    with pytest.raises(InputError):
        Microphone(0.3).record()
    assert capsys.readouterr().err == ""


def test_a_machine_without_a_microphone_gives_one_clear_error(sounddevice):
    def refuse(**settings):
        raise PortAudioError("Error querying device -1")

    sounddevice.InputStream = refuse
    with pytest.raises(InputError, match=r"^no microphone can be opened \(Error querying device -1\)\. Connect one"):
        Microphone(1).record()


def test_a_microphone_that_delivers_nothing_is_an_error(sounddevice, monkeypatch):
    monkeypatch.setattr(Stream, "delivers", False)
    monkeypatch.setattr(microphone, "PATIENCE_S", 0.1)
    with pytest.raises(InputError, match="delivered nothing"):
        Microphone(1).record()


def test_without_portaudio_the_error_says_what_to_install(monkeypatch):
    def fail(name):
        raise OSError("PortAudio library not found")

    monkeypatch.setattr(microphone.importlib, "import_module", fail)
    with pytest.raises(InputError, match=r"needs PortAudio \(PortAudio library not found\).*libportaudio2"):
        Microphone(1).record()


@pytest.mark.parametrize("seconds", [0, -1, 601, float("nan")])
def test_impossible_lengths(seconds):
    with pytest.raises(ValueError, match="expected more than 0 and at most 600 s"):
        Microphone(seconds)


def test_level_line():
    assert level_line(np.zeros(10), 3).startswith(f"[{' ' * 30}]  -60 dB    3.0 s left")
    assert level_line(np.full(10, 10**-1.5), 3).startswith(f"[{'#' * 15}{' ' * 15}]  -30 dB")
    assert level_line(np.ones(10), -1) == f"[{'#' * 30}]    0 dB    0.0 s left  too loud"
