"""The files of the web page: texts in two languages, and nothing from outside."""

import json
import re
from pathlib import Path

import pytest

WEB = Path(__file__).resolve().parents[2] / "src" / "mindvox" / "service" / "web"
SCRIPTS = sorted(WEB.glob("js/*.js"))
LANGUAGES = ("en", "zh")
TEXTS = {name: json.loads((WEB / "texts" / f"{name}.json").read_text(encoding="utf-8")) for name in LANGUAGES}
PLACEHOLDER = re.compile(r"\{(\w+)")
OUTSIDE = re.compile(r"(?:https?:)?//[\w-]+\.[\w.-]+")
SVG = "http://www.w3.org"  # the name of a namespace, which nobody opens
# Codes whose own sentence is shown: a mistake of the page or of an administrator, which needs its details.
IN_THE_SERVICES_WORDS = {"bad_host", "invalid_request", "method_not_allowed", "not_enabled", "not_found"}
OF_THE_PAGE = {"unreachable", "other"}


def used_keys() -> tuple[set[str], list[re.Pattern[str]]]:
    """Return the keys that the page uses literally, and patterns for those that it composes."""
    keys = set(re.findall(r'data-(?:text|label)="([^"]+)"', (WEB / "index.html").read_text(encoding="utf-8")))
    patterns = []
    for script in SCRIPTS:
        code = script.read_text(encoding="utf-8")
        keys |= set(re.findall(r'"([a-z]+\.[a-z_]+)"', code))
        for template in re.findall(r"`([^`\n]*)`", code):
            parts = re.split(r"\$\{[^}]*\}", template)
            if re.fullmatch(r"[a-z]+\.[a-z_]*", parts[0]) or parts[0] == "" and parts[-1].startswith((".", "_")):
                patterns.append(re.compile(r"[\w.]+".join(map(re.escape, parts))))
    return keys, patterns


def test_languages_have_the_same_keys_in_the_same_order():
    assert list(TEXTS["en"]) == list(TEXTS["zh"])


def test_languages_have_the_same_values_in_each_text():
    for key, text in TEXTS["en"].items():
        assert set(PLACEHOLDER.findall(text)) == set(PLACEHOLDER.findall(TEXTS["zh"][key])), key


def test_every_text_is_used():
    keys, patterns = used_keys()
    unused = [key for key in TEXTS["en"] if key not in keys and not any(one.fullmatch(key) for one in patterns)]
    assert not unused


def test_every_text_that_is_used_is_there():
    sections = {key.partition(".")[0] for key in TEXTS["en"]}
    keys, patterns = used_keys()
    missing = {key for key in keys if key.partition(".")[0] in sections} - set(TEXTS["en"])
    assert not missing
    assert all(any(one.fullmatch(key) for key in TEXTS["en"]) for one in patterns)


def test_every_code_of_the_service_has_words():
    problems = pytest.importorskip("mindvox.service.problems", reason="needs the extra serve")
    known = {key.removeprefix("error.") for key in TEXTS["en"] if key.startswith("error.")}
    assert known - OF_THE_PAGE == set(problems.TITLES) - IN_THE_SERVICES_WORDS


def test_nothing_comes_from_outside():
    files = [path for path in WEB.rglob("*") if path.is_file()]
    assert len(files) > 15
    for path in files:
        outside = [url for url in OUTSIDE.findall(path.read_text(encoding="utf-8")) if not url.startswith(SVG)]
        assert not outside, path


def test_nothing_needs_an_exception_in_the_security_policy():
    page = (WEB / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"\sstyle=|\son\w+=|<script(?![^>]*\bsrc=)|<style", page)
    for script in SCRIPTS:
        code = script.read_text(encoding="utf-8")
        assert not re.search(r"\beval\(|new Function|innerHTML|insertAdjacentHTML|document\.write", code), script
