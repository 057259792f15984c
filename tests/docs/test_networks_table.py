"""The table of networks in docs/models.md: complete, as the code counts, and as the vectors say."""

import pytest

from mindvox.docs import __main__ as docs
from mindvox.docs import networks
from mindvox.docs.networks import NETWORKS, lines_of_page, rows
from mindvox.errors import InputError
from mindvox.registry import FRONT_ENDS, MODELS, TOOLKITS
from tests.vectors import load_vector

VECTORS = {  # a network of the reference vectors with the same size
    ("campplus", "512 values, VoxCeleb"): "3d_campplus",
    ("campplus", "192 values"): "mv_campplus",
    ("ecapa_tdnn", "1024 channels"): "3d_ecapa_c1024",
    ("ecapa_tdnn", "512 channels"): "mv_ecapa",
    ("eres2net", "base"): "3d_eres2net_base",
    ("eres2net", "large, 512 values"): "3d_eres2net_large",
    ("eres2net", "huge"): "3d_eres2net_huge",
    ("eres2netv2", "64 channels"): "3d_eres2netv2",
    ("eres2netv2", "32 channels"): "mv_eres2netv2",
    ("eres2netv2", "64 channels, w24s4ep4"): "3d_eres2netv2_w24s4ep4",
    ("rawnet2", "59,049 samples"): "rn_rawnet2",
    ("res2net", "16 blocks, scale 2"): "mv_res2net",
    ("res2net_3dspeaker", "defaults"): "3d_res2net",
    ("resnet", "ResNet34"): "ws_resnet34",
    ("resnet", "ResNet34 with a second embedding layer"): "3d_resnet34",
    ("resnet_se", "16 blocks"): "mv_resnetse",
    ("resnetse34l", "SAP"): "vt_resnetse34l_sap",
    ("resnetse34v2", "ASP"): "vt_resnetse34v2_asp",
    ("tdnn", "512 channels"): "mv_tdnn",
    ("vggvox40", "SAP"): "vt_vggvox40_sap",
    ("xvector", "512 values"): "3d_xvector",
    ("wespeaker_ecapa", "1024 channels, GLOB"): "ws_ecapa_c1024_glob",
    ("wespeaker_ecapa", "512 channels, GLOB"): "ws_ecapa_c512_glob",
}


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_model_and_no_other_has_facts():
    assert NETWORKS.keys() == set(MODELS)


def test_facts_name_toolkits_and_front_ends_that_exist_and_every_toolkit_is_named():
    named = {name for row in rows() for name in row.network.toolkits}
    assert named == set(TOOLKITS)
    for row in rows():
        assert any(f"`{name}`" in row.network.input for name in FRONT_ENDS), row.network


def test_page_has_a_line_for_every_size():
    head, _, *lines = lines_of_page()
    assert cells(head) == list(networks.COLUMNS)
    assert [tuple(cells(line)[:2]) for line in lines] == [(f"`{row.name}`", row.network.size) for row in rows()]


def test_settings_are_keys_of_their_models():
    for row in rows():
        keys = {key for key in row.settings if key != "name"}
        assert keys <= set(vars(MODELS.get(row.name).Options())), row.name
        assert isinstance(row.settings["in_channels"], int)


@pytest.mark.parametrize(("key", "name"), VECTORS.items())
def test_sizes_of_the_page_are_those_of_the_published_code(key, name):
    _, meta = load_vector(f"net_{name}")
    if "macs_3s" not in meta:
        pytest.skip("needs ../shared/reference/vectors")
    (line,) = (cells(line) for line in lines_of_page() if tuple(cells(line)[:2]) == (f"`{key[0]}`", key[1]))
    parameters = meta["params"] - (
        20 * 1025 if name == "rn_rawnet2" else 0
    )  # a classifier of 20 speakers is among them
    assert float(line[2]) == pytest.approx(parameters / 1e6, abs=0.006)
    assert float(line[3]) == pytest.approx(meta["macs_3s"] / 1e9, rel=0.01, abs=0.006)
    assert int(line[4]) == meta["embedding_size"]


def test_line_of_a_network_is_what_the_code_counts():
    (row,) = (row for row in rows(["wespeaker_ecapa"]) if row.settings.get("channels") == 512)
    assert row.line() in lines_of_page()


def test_lines_of_models_that_are_not_named_stay(monkeypatch):
    before = lines_of_page()
    monkeypatch.setattr(networks.Row, "line", lambda row: f"| counted {row.name} |")
    after = networks.table(["campplus"])
    assert after.count("| counted campplus |") == len(NETWORKS["campplus"])
    assert [line for line in after if line not in before] == ["| counted campplus |"] * len(NETWORKS["campplus"])
    with pytest.raises(InputError, match="expected one of"):
        networks.table(["camplus"])
    monkeypatch.setattr(networks, "lines_of_page", lambda: [])
    with pytest.raises(InputError, match="no line of .*: run python -m mindvox.docs --write --networks "):
        networks.table(["campplus"])


@pytest.mark.slow
def test_page_is_what_the_generator_writes(capsys):
    assert docs.main(["--check", "--networks"]) == 0, capsys.readouterr().out


def test_a_model_without_facts_is_an_error_that_names_it(monkeypatch):
    monkeypatch.setattr(MODELS, "_entries", {**MODELS._entries, "new": "mindvox.models.campplus:CamPlusPlus"})
    with pytest.raises(InputError, match="model new: no facts"):
        list(rows(["new"]))


def test_a_table_that_differs_is_written_only_when_it_is_asked_for(monkeypatch, tmp_path, capsys):
    page = tmp_path / "models.md"
    page.write_text(f"# Before\n\n{networks.BEGIN}\n\n| old |\n\n{networks.END}\n\nBehind\n")
    monkeypatch.setattr(networks, "PAGE", page)
    monkeypatch.setattr(docs, "pages", lambda: [page])
    monkeypatch.setattr(docs, "comments", lambda: ())
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs, "table", lambda names: ["| new |"])
    assert docs.main(["--check"]) == 0
    assert docs.main(["--check", "--networks"]) == 1
    assert "| new |" in capsys.readouterr().out and "old" in page.read_text()
    assert docs.main(["--write", "--networks"]) == 0 and docs.main(["--check", "--networks"]) == 0
    assert page.read_text() == f"# Before\n\n{networks.BEGIN}\n\n| new |\n\n{networks.END}\n\nBehind\n"
    page.write_text("no marks")
    with pytest.raises(InputError, match="expected the lines"):
        lines_of_page()
