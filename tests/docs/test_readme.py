"""README.md and README_CN.md: short, with the model zoo's sections in their order, and saying the same."""

import re
import subprocess
import sys

import pytest

from mindvox.config import ROOT
from mindvox.docs.terminal import PICTURE, lines_of, picture
from tests.docs.shell_blocks import FENCED

ENGLISH, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README_CN.md"))
MOST_LINES = 300
SECTIONS = (
    *("Description", "Model Architecture", "Dataset", "Features", "Environment Requirements", "Quick Start"),
    *("Script Description", "Script and Sample Code", "Script Parameters", "Training Process", "Evaluation Process"),
    *("Export Process", "Inference Process", "Model Description", "Performance", "Description of Random Situation"),
    "ModelZoo Homepage",
)
"""As a README of MindSpore's model zoo has them."""
CODE = re.compile(r"(?ms)^```.*?^```$")


def headings(text: str) -> list[str]:
    return re.findall(r"(?m)^(#+) (.+)$", CODE.sub("", text))[1:]


def test_readme_is_short_and_has_the_sections_of_the_model_zoo_in_their_order():
    for text in (ENGLISH, CHINESE):
        assert len(text.splitlines()) <= MOST_LINES
    assert tuple(title for _, title in headings(ENGLISH)) == SECTIONS
    assert [level for level, _ in headings(CHINESE)] == [level for level, _ in headings(ENGLISH)]


def test_the_first_screen_answers_the_question_in_three_lines_of_shell_and_three_of_python():
    screen = "\n".join(ENGLISH.splitlines()[:45])
    blocks = [match["body"] for match in FENCED.finditer(screen)]
    assert [len(body.splitlines()) for body in blocks] == [1, 3, 2]
    assert "mindvox verify" in blocks[1] and "run_demo.sh" in blocks[2] and "run_tests.sh" in blocks[2]
    (code,) = re.findall(r"(?ms)^```python\n(.*?)^```$", screen)
    assert len([line for line in code.splitlines() if line]) == 3


def test_both_languages_have_the_same_numbers_links_and_code():
    for pattern in (r"(?<![A-Za-z0-9_/#.,:-])\d+(?:[.,]\d+)+", r"https?://[^\s)（）]+", r"(?<=`)--?[\w.]+"):
        english, chinese = (set(re.findall(pattern, CODE.sub("", text))) for text in (ENGLISH, CHINESE))
        own = {url for url in english ^ chinese if "mindspore.cn" in url}  # the site has both languages
        assert english ^ chinese == own, pattern
    python = [re.findall(r"(?ms)^```python\n(.*?)^```$", text) for text in (ENGLISH, CHINESE)]
    assert [re.sub(r" *#.*", "", code) for code in python[0]] == [re.sub(r" *#.*", "", code) for code in python[1]]


def test_picture_is_a_terminal_that_shows_its_lines():
    text = picture(["$ mindvox verify a b", "same person & more", "<x>"])
    assert '<tspan class="command">mindvox verify a b</tspan>' in text
    assert '<tspan class="same">same person &amp; more</tspan>' in text and ">&lt;x&gt;</text>" in text


@pytest.fixture(scope="module")
def people():
    """Two recordings of one reader and one of another, and the model that the page fetches."""
    corpus = ROOT.parent / "shared" / "data" / "mini_librispeech" / "voxceleb1" / "wav"
    if not corpus.exists():
        pytest.skip("needs mini_librispeech, which is not part of the project")
    fetched = subprocess.run(
        [sys.executable, "-m", "mindvox", "fetch", "campplus_zh_en"], capture_output=True, text=True, check=False
    )
    if "cannot download" in fetched.stderr:
        pytest.skip(fetched.stderr)
    first = corpus / "id00367" / "130732"
    return first / "0004.flac", first / "0006.flac", min((corpus / "id02414").rglob("*.flac"))


@pytest.mark.slow
def test_picture_shows_what_verify_prints(people):
    assert picture(lines_of(people)) == PICTURE.read_text(encoding="utf-8"), "python -m mindvox.docs.terminal A B C"


@pytest.mark.slow
def test_python_of_the_readme_answers(people, tmp_path):
    for name, source in zip(("a.flac", "b.flac"), people, strict=False):
        (tmp_path / name).symlink_to(source)
    (code,) = re.findall(r"(?ms)^```python\n(.*?)^```$", ENGLISH)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("accept 0."), done.stderr
