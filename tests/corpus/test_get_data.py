"""From the publishers' archives to the folders that preparation reads; and conversion of m4a."""

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.corpus import convert
from mindvox.corpus.audio import read_audio
from mindvox.corpus.convert import convert_tree
from mindvox.corpus.convert import main as convert_main
from mindvox.corpus.get_data import PARTS, get_part, main, read_checksums
from mindvox.corpus.layouts import scan_tree
from mindvox.errors import InputError, UsageError
from tests.corpus.archives import speech, wav, zipped
from tests.corpus.file_server import serve
from tests.verdicts import media

needs_pyav = pytest.mark.skipif(find_spec("av") is None, reason="needs PyAV (extra media)")
ROOT = Path(__file__).resolve().parents[2]


def split(content: bytes, names) -> dict[str, bytes]:
    step = -(-len(content) // len(names))
    return {name: content[number * step : (number + 1) * step] for number, name in enumerate(names)}


def md5s(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.md5(content).hexdigest() for name, content in files.items()}


@pytest.fixture
def voxceleb(monkeypatch):
    """Serve files by name behind a key, as VoxCeleb's do."""
    with serve({}) as server:
        monkeypatch.setenv("VOXCELEB_URL", f"{server.url}/get?key=s3cr3t&file={{file}}")

        def offer(files: dict[str, bytes]) -> dict[str, str]:
            server.files = {f"/get?key=s3cr3t&file={name}": content for name, content in files.items()}
            return md5s(files)

        yield offer, server


def test_voxceleb1_in_four_parts_becomes_a_tree_of_recordings(voxceleb, tmp_path, capsys):
    offer, server = voxceleb
    content = zipped({f"wav/id{number}/video/00001.wav": wav(number) for number in range(3)})
    checksums = offer(split(content, PARTS["vox1_dev"].files))
    server.drop_after = [100]
    assert get_part("vox1_dev", tmp_path, checksums)
    utterances, skipped = scan_tree(tmp_path / "voxceleb12")
    assert [utterance.utt_id for utterance in utterances] == [f"id{number}/video/00001.wav" for number in range(3)]
    assert skipped == []
    assert not list((tmp_path / "archives").glob("vox1_dev_wav*"))
    assert "s3cr3t" not in "".join(capsys.readouterr())
    server.requests.clear()
    assert get_part("vox1_dev", tmp_path, checksums)
    assert server.requests == []


def test_archives_are_kept_when_asked_for(voxceleb, tmp_path):
    offer, _ = voxceleb
    content = zipped({"wav/id1/a/1.wav": wav()})
    get_part("vox1_test", tmp_path, offer({"vox1_test_wav.zip": content}), keep_archives=True)
    assert (tmp_path / "archives" / "vox1_test_wav.zip").read_bytes() == content
    assert (tmp_path / "voxceleb1" / "wav" / "id1" / "a" / "1.wav").read_bytes() == wav()


def test_archive_without_recordings_is_an_error(voxceleb, tmp_path):
    offer, _ = voxceleb
    with pytest.raises(InputError, match=r"vox1_test: no recordings in vox1_test_wav\.zip"):
        get_part("vox1_test", tmp_path, offer({"vox1_test_wav.zip": zipped({"readme.txt": b"x"})}))


def test_musan_and_rirs_come_from_openslr(tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        info = tarfile.TarInfo("musan/noise/free-sound/noise-free-sound-0000.wav")
        info.size = len(wav())
        archive.addfile(info, io.BytesIO(wav()))
    files = {
        "/17/musan.tar.gz": stream.getvalue(),
        "/28/rirs_noises.zip": zipped({"RIRS_NOISES/simulated_rirs/smallroom/Room001/Room001-00001.wav": wav()}),
    }
    with serve(files) as server:
        checksums = {path.rpartition("/")[2]: hashlib.md5(content).hexdigest() for path, content in files.items()}
        for name in ("musan", "rirs"):
            assert get_part(name, tmp_path, checksums, server.url)
    assert (tmp_path / "musan" / "noise" / "free-sound" / "noise-free-sound-0000.wav").exists()
    assert (tmp_path / "RIRS_NOISES" / "simulated_rirs" / "smallroom" / "Room001" / "Room001-00001.wav").exists()


LISTS = {
    "trials": ["veri_test2.txt"],
    "trials_original": ["veri_test.txt"],
    "trials_e": ["list_test_all2.txt", "list_test_all.txt"],
    "trials_h": ["list_test_hard2.txt", "list_test_hard.txt"],
}
TRAIN_LIST = b"id00012 id00012/21Uxsk56VDQ/00001.wav\nid00015 id00015/0fijmz4vTVU/00002.wav\n"
PAGE = b"<!DOCTYPE html>\n<title>Moved</title>\n"


@pytest.mark.parametrize("name", LISTS)
def test_trial_lists_go_to_the_test_corpus(tmp_path, name):
    contents = {file: f"1 a {file}\n".encode() for file in LISTS[name]}
    with serve({f"/meta/{file}": content for file, content in contents.items()}) as server:
        server.drop_after = [4]  # the connection breaks once
        assert get_part(name, tmp_path, md5s(contents), lists_urls=[f"{server.url}/meta/"])
    assert {path.name: path.read_bytes() for path in (tmp_path / "voxceleb1").iterdir()} == contents


def test_every_part_but_the_training_list_has_a_published_md5():
    unknown = [file for part in PARTS.values() for file, md5 in part.files.items() if md5 is None]
    assert unknown == ["train_list.txt"]
    assert [name for name, part in PARTS.items() if part.is_list] == [*LISTS, "train_list"]


def test_list_comes_from_the_second_address_when_the_first_fails(tmp_path, capsys):
    """It has no such file; second variants: it sends a page instead, which an md5 or the form of the lines shows."""
    trials = b"1 id1/a/1.wav id1/a/2.wav\n"
    with (
        serve({"/train_list.txt": PAGE, "/veri_test2.txt": PAGE}) as first,
        serve({"/train_list.txt": TRAIN_LIST, "/veri_test2.txt": trials, "/veri_test.txt": trials}) as second,
    ):
        for name, md5 in (("train_list", {}), ("trials", md5s({"veri_test2.txt": trials})),
                          ("trials_original", md5s({"veri_test.txt": trials}))):  # fmt: skip
            assert get_part(name, tmp_path, md5, lists_urls=[first.url, second.url])
    assert (tmp_path / "voxceleb12" / "train_list.txt").read_bytes() == TRAIN_LIST
    assert (tmp_path / "voxceleb1" / "veri_test2.txt").read_bytes() == trials
    err = capsys.readouterr().err
    assert "got '<!DOCTYPE html>'. The file was removed. Trying another address." in err
    assert "veri_test2.txt: expected the md5" in err and "veri_test.txt: 127.0.0.1 answers 404" in err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PAGE, "train_list.txt:1: expected '<speaker> <speaker>/<video>/<number>.wav', got '<!DOCTYPE html>'"),
        (b"", "train_list.txt: the file that came is empty"),
        (TRAIN_LIST + b"id00016 id00017/x/00001.wav\n", "train_list.txt:3: expected .* got 'id00016 id00017/x"),
        (TRAIN_LIST[:-9], "train_list.txt:2: expected"),
    ],
)
def test_what_is_no_training_list_is_removed(tmp_path, content, said):
    with serve({"/train_list.txt": content}) as server, pytest.raises(InputError, match=said):
        get_part("train_list", tmp_path, {}, lists_urls=[server.url])
    assert not list((tmp_path / "voxceleb12").iterdir())


def test_own_list_is_kept(tmp_path):
    own = tmp_path / "voxceleb12" / "train_list.txt"
    own.parent.mkdir()
    own.write_text("anna anna/1.wav\n")
    assert get_part("train_list", tmp_path, {}, lists_urls=[])
    assert own.read_text() == "anna anna/1.wav\n"


def test_command_takes_lists_from_another_address(tmp_path, capsys):
    with serve({"/train_list.txt": TRAIN_LIST}) as server:
        assert main([str(tmp_path), "train_list", f"--lists_url={server.url}"]) == 0
    assert capsys.readouterr().out.endswith(f"train_list: {tmp_path / 'voxceleb12' / 'train_list.txt'}\n")


@needs_pyav
def test_voxceleb2_is_converted(voxceleb, tmp_path, write_m4a):
    offer, server = voxceleb
    names = ["dev/aac/id00012/video/00001.m4a", "dev/aac/id00015/video/00002.m4a"]
    content = zipped({name: write_m4a(tmp_path / "one.m4a").read_bytes() for name in names})
    checksums = offer(split(content, PARTS["vox2_dev"].files))
    assert get_part("vox2_dev", tmp_path, checksums, audio_format="flac", num_processes=2)
    utterances, _ = scan_tree(tmp_path / "voxceleb12")
    assert [utterance.utt_id for utterance in utterances] == ["id00012/video/00001.flac", "id00015/video/00002.flac"]
    assert not list(tmp_path.glob("voxceleb12/aac/**/*.m4a"))


@needs_pyav
def test_failed_conversions_are_listed_and_tried_again(voxceleb, tmp_path, write_m4a, capsys):
    offer, server = voxceleb
    good = write_m4a(tmp_path / "one.m4a").read_bytes()
    checksums = offer({"vox2_test_aac.zip": zipped({"aac/id1/a/1.m4a": good, "aac/id1/a/2.m4a": b"broken"})})
    assert not get_part("vox2_test", tmp_path, checksums)
    listed = (tmp_path / "voxceleb2_test" / "wav" / "failed_conversions.csv").read_text().splitlines()
    assert listed[0] == "utt_id,reason"
    assert listed[1].startswith("id1/a/2.m4a,")
    shutil.copy(tmp_path / "one.m4a", tmp_path / "voxceleb2_test" / "aac" / "id1" / "a" / "2.m4a")
    server.requests.clear()
    assert get_part("vox2_test", tmp_path, checksums)
    assert server.requests == []
    assert len(scan_tree(tmp_path / "voxceleb2_test")[0]) == 2


@pytest.fixture
def write_m4a():
    """Encode noise at 44.1 kHz in two channels, as m4a."""

    def write(path: Path, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        media("ipod", "aac", 2, 44100, speech(seed, 44100).astype(np.float32))(path)
        return path

    return write


@needs_pyav
@pytest.mark.parametrize("audio_format", ["wav", "flac"])
def test_m4a_becomes_16_khz_mono(tmp_path, write_m4a, audio_format):
    write_m4a(tmp_path / "aac" / "id1" / "it's a 'name' with %d" / "1.m4a")
    assert convert_tree(tmp_path / "aac", tmp_path / "wav", audio_format) == []
    (path,) = (path for path in (tmp_path / "wav").rglob("*") if path.is_file())
    info = soundfile.info(str(path))
    assert (path.suffix, info.samplerate, info.channels, info.subtype) == (f".{audio_format}", 16000, 1, "PCM_16")
    assert abs(info.frames - 16000) < 1100  # AAC adds a frame of its own


@needs_pyav
def test_conversion_continues_and_keeps_what_is_there(tmp_path, write_m4a, capsys):
    for number in range(3):
        write_m4a(tmp_path / "aac" / "id1" / "a" / f"{number}.m4a", number)
    (tmp_path / "wav" / "id1" / "a").mkdir(parents=True)
    (tmp_path / "wav" / "id1" / "a" / "1.wav").write_bytes(wav())
    assert convert_main([str(tmp_path / "aac"), str(tmp_path / "wav"), "--keep_m4a"]) == 0
    assert (tmp_path / "wav" / "id1" / "a" / "1.wav").read_bytes() == wav()
    assert len(list((tmp_path / "aac").rglob("*.m4a"))) == 3
    assert "3 recordings converted, 0 failed" in capsys.readouterr().out


def test_missing_pyav_says_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").touch()
    monkeypatch.setattr(convert, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=re.escape("pip install -e '.[media]'")):
        convert_tree(tmp_path, tmp_path / "wav")


def test_all_that_is_audio_by_name_is_converted(tmp_path, capsys):
    """Second variants: capitals, names that become one, a file of the target's format, a source that is the target."""
    source = tmp_path / "source"
    source.mkdir()
    stereo = np.stack([0.5 * speech(), speech()], axis=1)
    for name in ("a.WAV", "b.mp3", "c.ogg", "c.mp3"):
        soundfile.write(source / name, stereo, 44100, format=name.rsplit(".")[1].upper())
    (source / "d.wma").write_bytes(b"broken")
    failed = convert_tree(source, tmp_path / "wav", num_processes=1)
    assert [name for name, _ in failed] == ["c.ogg", "d.wma"]
    assert failed[0].reason == "would become the same file as c.mp3"
    assert "3 recordings converted, 2 failed" in capsys.readouterr().out
    assert len(list(source.iterdir())) == 5
    for name in ("a.WAV", "b.mp3", "c.mp3"):
        converted = read_audio(tmp_path / "wav" / f"{name[0]}.wav").waveform
        np.testing.assert_allclose(converted, read_audio(source / name).waveform, atol=1 / 32768)
    assert convert_tree(tmp_path / "wav", tmp_path / "wav", num_processes=1) == []
    assert sorted(path.name for path in (tmp_path / "wav").iterdir()) == ["a.wav", "b.wav", "c.wav"]


def test_checksums_are_read_as_md5sum_writes_them(tmp_path):
    path = tmp_path / "sums"
    path.write_text(f"{'A' * 32}  vox1_test_wav.zip\n\n{'1' * 32} *dir/musan.tar.gz\n")
    assert read_checksums(path) == {"vox1_test_wav.zip": "a" * 32, "musan.tar.gz": "1" * 32}
    path.write_text("nonsense\n")
    with pytest.raises(InputError, match="sums:1: expected '<md5>  <name>'"):
        read_checksums(path)


def test_unknown_part_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match="unknown part vox3: expected some of vox1_dev"):
        main([str(tmp_path), "vox3"])


def test_command_reports_a_refusal_in_one_line_without_the_key(tmp_path):
    with serve({}) as server:
        environment = {**os.environ, "VOXCELEB_URL": f"{server.url}/get?key=s3cr3t&file={{file}}"}
        words = [sys.executable, "-m", "mindvox.corpus.get_data", str(tmp_path), "vox1_test"]
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: vox1_test_wav.zip: 127.0.0.1 answers 404")
    assert "s3cr3t" not in done.stdout + done.stderr
