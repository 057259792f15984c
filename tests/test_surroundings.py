"""Entry points in the surroundings of a user: another locale, an ASCII terminal, a pipe that is closed.

Second variants of issue 12: a GBK and a Latin-1 locale, ASCII output, a child process, arguments in UTF-8 (B12);
standard error closed too, `--help`, a full disk behind standard output, no standard output at all (B17).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.data.train_store import read_manifest
from tests.processes import call, must
from tests.stores import read_records

ROOT = Path(__file__).resolve().parents[1]
SPEAKERS = ("张三", "Łukasz")
SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))
MODULES = sorted(
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
    for path in (ROOT / "src").rglob("*.py")
    if "sys.exit(run(main))" in path.read_text(encoding="utf-8")
)
FIRST = ("corpus.demo", "scoring.summary")  # with argparse and without; the others begin and end in the same way
ENTRY_POINTS = [[str(ROOT / name)] for name in SCRIPTS]
ENTRY_POINTS += [pytest.param(["-m", name], marks=() if name.endswith(FIRST) else pytest.mark.slow) for name in MODULES]


@pytest.fixture(scope="module")
def locales(tmp_path_factory) -> dict[str, dict[str, str]]:
    """Environments whose encoding is not UTF-8, by name; those that cannot be made here are left out."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    found = {"C": {**plain, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}}
    folder = tmp_path_factory.mktemp("locales")
    for name, source, charmap in (("zh_CN.GBK", "zh_CN", "GBK"), ("de_DE.ISO-8859-1", "de_DE", "ISO-8859-1")):
        command = ["localedef", "-c", "-i", source, "-f", charmap, str(folder / name)]
        if shutil.which("localedef") and subprocess.run(command, capture_output=True, check=False).returncode <= 1:
            found[name] = {**plain, "LOCPATH": str(folder), "LC_ALL": name}
    return found


def environment(locales, name: str) -> dict[str, str]:
    if name not in locales:
        pytest.skip(f"no locale {name}: localedef or its sources are missing")
    return locales[name]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("语音") / "corpus"
    for speaker in SPEAKERS:
        session = folder / "wav" / speaker / "sécance"
        session.mkdir(parents=True)
        for number in range(2):
            samples = 0.1 * np.random.default_rng(number).standard_normal(16000)
            soundfile.write(session / f"{number}.wav", samples, 16000)
    return folder


def prepare(corpus: Path, folder: Path, environment: dict[str, str], *options: str) -> subprocess.CompletedProcess:
    command = [
        *(sys.executable, str(ROOT / "train_data_prepare.py"), os.devnull, f"--data_folder={corpus}"),
        *(f"--output_folder={folder / 'tables'}", f"--feat_folder={folder / '特征'}", "--split_ratio=100"),
        *("--sentence_len=0.5", "--shard_utterances=2", "--num_processes=1", *options),
    ]
    return subprocess.run(command, env=environment, capture_output=True, check=False, cwd=ROOT)


@pytest.mark.parametrize(
    ("name", "num_processes", "shown"),
    [
        ("C", 2, rb"\u7279\u5f81"),
        ("zh_CN.GBK", 1, "特征".encode("gbk")),
        ("de_DE.ISO-8859-1", 1, rb"\u7279\u5f81"),
    ],
)
def test_corpus_with_utf8_names_is_prepared_in_any_locale(locales, corpus, tmp_path, name, num_processes, shown):
    done = prepare(corpus, tmp_path, environment(locales, name), f"--num_processes={num_processes}")
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr and b"recordings skipped" in done.stdout and shown in done.stdout
    manifest = read_manifest(tmp_path / "特征")
    assert (manifest.num_utterances, manifest.num_speakers, manifest.skipped) == (4, 2, [])
    assert {record.utt_id.split("/")[0] for record in read_records(tmp_path / "特征")} == set(SPEAKERS)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_output_in_another_encoding_is_escaped(tmp_path, encoding):
    done = prepare(tmp_path / "没有", tmp_path, {**os.environ, "PYTHONIOENCODING": encoding})
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: ") and rb"\u6ca1\u6709: no such folder" in done.stderr


def test_message_about_an_error_is_escaped(locales, tmp_path):
    done = prepare(tmp_path / "没有", tmp_path, environment(locales, "C"))
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: ") and rb"\u6ca1\u6709: no such folder" in done.stderr


def test_the_locales_encoding_can_still_be_asked_for(locales, tmp_path):
    command = [sys.executable, "-X", "utf8=0", "-m", "mindvox.config", "Config", "--keys"]
    done = subprocess.run(command, env=environment(locales, "C"), capture_output=True, check=False, cwd=ROOT)
    assert done.returncode == 0 and not done.stderr


def run_closed(*arguments: str, error_too: bool = False) -> tuple[int, bytes]:
    """Run a program whose output nobody reads; return its exit code and what it says on standard error."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    error = write_end if error_too else subprocess.PIPE
    try:
        done = subprocess.run(
            [sys.executable, *arguments], stdout=write_end, stderr=error, cwd=ROOT, check=False, timeout=300
        )
    finally:
        os.close(write_end)
    return done.returncode, done.stderr or b""


@pytest.mark.parametrize("entry_point", ENTRY_POINTS, ids=lambda words: Path(words[-1]).name)
def test_help_into_a_closed_pipe_says_nothing(entry_point):
    words = ["Config"] if entry_point[-1] == "mindvox.config" else []
    code, said = run_closed(*entry_point, *words, "--help")
    # argparse itself ignores a pipe that is closed while it writes; one program has no --help.
    assert (code in (0, 141) and not said) or (code == 2 and said.startswith(b"error: usage:")), said


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_work_whose_output_is_closed_ends_without_a_word(corpus, tmp_path, monkeypatch, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    options = [f"--data_folder={corpus}", f"--output_folder={tmp_path}", f"--feat_folder={tmp_path / 'f'}"]
    script = str(ROOT / "train_data_prepare.py")
    assert run_closed(script, os.devnull, *options) == (141, b"")
    assert run_closed(script, os.devnull, *options, error_too=True) == (141, b"")
    assert run_closed(script, os.devnull, "--data_folder=nowhere", error_too=True)[0] == 141


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_each_line_is_written_at_once_and_whole(monkeypatch, unbuffered):
    """Else lines of standard output and error run into each other in a log that both go to by pipes of their own."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    code = (
        "import sys\nfrom mindvox.errors import run\n"
        "def main(_):\n  print('one', 1)\n  print('two', file=sys.stderr)\n  print('three')\n  return 0\nrun(main)"
    )
    read_end, write_end = os.pipe2(os.O_DIRECT)  # a read returns what one write wrote
    with open(read_end, "rb", buffering=0) as lines:
        try:
            done = subprocess.run(
                [sys.executable, "-c", code], stdout=write_end, stderr=write_end, cwd=ROOT, check=False, timeout=300
            )
        finally:
            os.close(write_end)
        assert [lines.read(4096) for _ in range(4)] == [b"one 1\n", b"two\n", b"three\n", b""]
    assert done.returncode == 0


def test_another_broken_pipe_is_an_error():
    code = "import sys; from mindvox.errors import run\ndef main(_): raise BrokenPipeError(32, 'Broken pipe')\n"
    done = subprocess.run(
        [sys.executable, "-c", code + "sys.exit(run(main))"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stderr) == (1, "error: [Errno 32] Broken pipe\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_to_a_full_disk_is_one_error(monkeypatch, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    command = [sys.executable, "-m", "mindvox.config", "Config", "--keys"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: no space left while writing a file: free some space and run again.\n"


def test_missing_output_is_no_error():
    command = f'exec "{sys.executable}" -m mindvox.config Config --keys >&- 2>&-'
    assert subprocess.run(["bash", "-c", command], cwd=ROOT, check=False).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the linker's options and the message are those of Linux")
def test_a_missing_library_of_the_system_is_one_line(tmp_path):
    build_module_without_library(tmp_path, "libabsent.so.1")
    main = "import sys; from mindvox.errors import run\ndef main(argv):\n    import needs_library\nsys.exit(run(main))"
    found = call(tmp_path, sys.executable, "-c", main, PYTHONPATH=f"{ROOT / 'src'}{os.pathsep}{tmp_path}")
    assert found.returncode == 1 and len(found.stderr.splitlines()) == 1, found.stderr
    assert found.stderr.startswith("error: libabsent.so.1: cannot open") and "LD_LIBRARY_PATH" in found.stderr


def build_module_without_library(folder: Path, library: str) -> None:
    """Build the Python module `needs_library`, which is linked with a library that is then removed."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler")
    (folder / "library.c").write_text("int answer(void) { return 42; }\n")
    (folder / "module.c").write_text("int answer(void);\nvoid *PyInit_needs_library(void) { answer(); return 0; }\n")
    build = (compiler, "-shared", "-fPIC", "-o")
    must(folder, *build, library, "library.c", f"-Wl,-soname,{library}")
    must(folder, *build, "needs_library.so", "module.c", folder / library)
    (folder / library).unlink()


def test_an_import_error_of_another_kind_keeps_its_traceback(tmp_path):
    main = "from mindvox.errors import run\ndef main(argv):\n    from mindvox import nothing_of_this_name\nrun(main)"
    found = call(tmp_path, sys.executable, "-c", main, PYTHONPATH=str(ROOT / "src"))
    assert found.returncode == 1 and "Traceback" in found.stderr and "nothing_of_this_name" in found.stderr
