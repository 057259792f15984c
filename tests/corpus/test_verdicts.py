"""Every broken and odd recording gets its verdict, and a usable one has the same samples however it is read."""

import sys

import numpy as np
import pytest

from mindvox.corpus.audio import BadAudio, audio_info, is_audio_name, read_audio
from mindvox.corpus.quality import read_usable
from tests.verdicts import CASES, MEDIA_CASES, Case


def check(path, case: Case) -> None:
    case.make(path)
    assert is_audio_name(path.name)
    if case.verdict:
        with pytest.raises(BadAudio) as caught:
            read_usable(path)
        assert caught.value.reason.startswith(case.verdict)
        return
    info, clip = audio_info(path), read_usable(path)
    assert info.num_samples == len(clip.waveform)
    assert case.num_samples in (0, info.num_samples)
    assert clip.was_converted is case.is_converted
    assert info.wrong_length is case.wrong_length
    np.testing.assert_array_equal(read_usable(path).waveform, clip.waveform)
    np.testing.assert_array_equal(read_audio(path, 700, 1500).waveform, clip.waveform[700:1500])


@pytest.mark.parametrize("name", CASES)
def test_each_recording_gets_its_verdict(tmp_path, name):
    check(tmp_path / name, CASES[name])


@pytest.mark.parametrize("name", ["chain.ogg", "chain_opus.opus", "joined.mp3"])
def test_parts_of_a_file_of_several_streams_are_those_of_the_streams(tmp_path, name):
    """Across the seam, up to it, from it, and in a later stream alone; beyond the end is an error."""
    CASES[name].make(tmp_path / name)
    whole = read_audio(tmp_path / name).waveform
    np.testing.assert_array_equal(whole[:160000], whole[160000:320000])
    for start, stop in ((159000, 161000), (100, 160000), (160000, 160001), (250000, len(whole))):
        np.testing.assert_array_equal(read_audio(tmp_path / name, start, stop).waveform, whole[start:stop])
    with pytest.raises(BadAudio, match="truncated: header says"):
        read_audio(tmp_path / name, 100, len(whole) + 1)


@pytest.mark.parametrize("name", MEDIA_CASES)
def test_pyav_reads_what_libsndfile_does_not(tmp_path, name):
    pytest.importorskip("av", reason="needs PyAV (extra media)")
    check(tmp_path / name, MEDIA_CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_verdicts_do_not_depend_on_pyav(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "av", None)
    check(tmp_path / name, CASES[name])


def test_without_pyav_the_reason_names_the_cure(tmp_path, monkeypatch):
    (tmp_path / "a.M4A").write_bytes(b"any content")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BadAudio, match=r"^m4a: install the extra media \(PyAV\), or convert$"):
        audio_info(tmp_path / "a.M4A")


def test_equal_channels_of_media_keep_their_level(tmp_path):
    """PyAV's own mono of two equal channels is 3 dB louder."""
    pytest.importorskip("av", reason="needs PyAV (extra media)")
    for name in ("good_m4a.m4a", "stereo_m4a.m4a"):
        MEDIA_CASES[name].make(tmp_path / name)
    mono, stereo = (read_audio(tmp_path / name).waveform for name in ("good_m4a.m4a", "stereo_m4a.m4a"))
    assert np.std(stereo) == pytest.approx(np.std(mono), rel=0.02)


def test_a_cut_video_container_is_refused(tmp_path):
    """Second variant of truncation: a container that names its length at its start."""
    pytest.importorskip("av", reason="needs PyAV (extra media)")
    path = tmp_path / "a.mka"
    MEDIA_CASES["good_mka.mka"].make(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadAudio, match="truncated"):
        read_audio(path)
