"""The site of the pages: built without a warning, by the versions that the extra `docs` names."""

import re
import subprocess
import sys

import pytest

from mindvox.config import ROOT

pytest.importorskip("mkdocs")
pytest.importorskip("mkdocstrings")


def build(config, folder):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_site_is_built_without_a_warning_and_asks_no_other_server(tmp_path):
    done = build(ROOT / "mkdocs.yml", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    home = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="https?://[^"]*\.(?:js|css|woff2?)', home)
    assert 'href="project/readme/"' in home
    readme = (tmp_path / "project" / "readme" / "index.html").read_text(encoding="utf-8")
    assert 'href="../../verify/"' in readme and 'src="../../images/verify.svg"' in readme
    assert "<code>CITATION.cff</code>" in readme, "a file that the site does not have is named, not linked"
    api = (tmp_path / "api" / "index.html").read_text(encoding="utf-8")
    assert 'id="mindvox.embedder.Embedder.embed"' in api and "UnusableRecording" in api


def test_a_link_to_a_heading_that_is_not_there_is_a_warning(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Here\n\n[x](#there)\n")
    (tmp_path / "mkdocs.yml").write_text("site_name: x\nvalidation: {links: {anchors: warn}}\n")
    assert build(tmp_path / "mkdocs.yml", tmp_path / "site").returncode != 0
