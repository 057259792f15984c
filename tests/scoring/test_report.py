import base64
import builtins
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy.special import ndtri

from mindvox.errors import InputError, UsageError
from mindvox.scoring.measures import format_measures, measure_llr
from mindvox.scoring.metrics import act_dcf, cllr, eer, min_cllr, min_dcf, roc_auc
from mindvox.scoring.report import main
from mindvox.scoring.score_files import write_scores

pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install -e '.[plots]'")

from mindvox.figures import png
from mindvox.scoring.plots import det_figure, distribution_figure


@pytest.fixture
def scored():
    rng = np.random.default_rng(0)
    is_target = rng.random(400) < 0.3
    return {"baseline": rng.normal(is_target * 1.5, 1), "llr": rng.normal(is_target * 4 - 2, 1.5)}, is_target


@pytest.fixture
def result_folder(scored, tmp_path):
    columns, is_target = scored
    names = [f"s{number % 20}/{number}.wav" for number in range(400)]
    write_scores(tmp_path / "scores.tsv", is_target, names, names[::-1], columns)
    intervals = {"level": 0.95, "eer": [0.1234, 0.2345], "min_dcf": {"0.01": [0.5, 0.75]}, "num_draws": 10}
    results = {"results": {"baseline": {"eer": 0.2, "intervals": intervals}, "llr": {"eer": 0.1}}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    return tmp_path


class Page(HTMLParser):
    """Collects tags, their attributes, and the text of table cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.cells, self.pictures = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]
        if tag == "img":
            self.pictures.append(dict(attributes)["src"])

    def handle_data(self, data):
        if self.tags and self.tags[-1] in ("td", "th"):
            self.cells.append(data)


def make_page(*words, to):
    assert main([*map(str, words), "--to", str(to)]) == 0
    return Page(to.read_text(encoding="utf-8"))


def test_measures_are_those_of_the_metrics(scored):
    columns, is_target = scored
    for scores in columns.values():
        found = measure_llr(scores, is_target)
        assert (found.eer, found.threshold) == eer(scores, is_target)
        assert found.min_dcf == {p: min_dcf(scores, is_target, p) for p in (0.01, 0.05)}
        assert found.act_dcf == {p: act_dcf(scores, is_target, p) for p in (0.01, 0.05)}
        assert (found.min_cllr, found.cllr) == (min_cllr(scores, is_target), cllr(scores, is_target))
        assert found.roc_auc == roc_auc(scores, is_target)


def test_table_has_a_line_for_each_score(scored):
    columns, is_target = scored
    header, *lines = format_measures(columns, is_target).splitlines()
    costs = ["minDCF(0.01)", "actDCF(0.01)", "minDCF(0.05)", "actDCF(0.05)"]
    assert header.split() == ["EER", *costs, "minCllr", "Cllr"]
    assert [line.split()[0] for line in lines] == ["baseline", "llr"]
    assert lines[0].split()[1] == f"{eer(columns['baseline'], is_target).eer:.4f}"


def test_report_holds_numbers_intervals_and_pictures(result_folder, scored, tmp_path):
    columns, is_target = scored
    page = make_page(result_folder, to=tmp_path / "report.html")
    rate = f"{100 * eer(columns['baseline'], is_target).eer:.2f} [12.34, 23.45]"
    assert rate in page.cells
    assert f"{100 * eer(columns['llr'], is_target).eer:.2f}" in page.cells
    assert f"{min_dcf(columns['baseline'], is_target, 0.01):.4f} [0.500, 0.750]" in page.cells
    assert len(page.pictures) == 3
    for picture in page.pictures:
        kind, _, data = picture.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")


def test_report_lists_the_worst_errors_first(result_folder, scored, tmp_path):
    columns, is_target = scored
    page = make_page(result_folder, "--num_worst", "3", to=tmp_path / "report.html")
    llr = columns["llr"]
    worst = np.flatnonzero(~is_target)[np.argsort(-llr[~is_target])[:3]]
    names = [cell for cell in page.cells if cell.endswith(".wav")]
    # Two tables of 3 lines with 2 names for each score; the last score's false alarms are the second to last table.
    assert names[12:18] == [
        name for row in worst for name in (f"s{row % 20}/{row}.wav", f"s{(399 - row) % 20}/{399 - row}.wav")
    ]


def test_hostile_names_stay_text(scored, tmp_path):
    columns, is_target = scored
    names = [f"<script>alert({number})</script>/\"'&.wav" for number in range(400)]
    evil = "<img/src=x/onerror=alert(1)>"
    write_scores(
        tmp_path / "s.tsv", is_target, names, names[::-1], {evil: columns["llr"], "$\\frac{$": columns["baseline"]}
    )
    title = "</title><script>"
    page = make_page(tmp_path / "s.tsv", "--title", title, to=tmp_path / "report.html")
    assert "script" not in page.tags
    assert all(picture.startswith("data:image/png;base64,") for picture in page.pictures)
    assert not [name for name in page.attributes if name.startswith("on")]
    assert evil in page.cells
    assert any(name in page.cells for name in names)


def test_page_loads_nothing_from_elsewhere(result_folder, tmp_path):
    make_page(result_folder, to=tmp_path / "report.html")
    text = re.sub(r"base64,[^\"]*", "", (tmp_path / "report.html").read_text())
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|<link|<script|@import|url\(", text)


def test_several_systems_are_named_and_matched(result_folder, scored, tmp_path):
    columns, is_target = scored
    names = [f"s{number % 20}/{number}.wav" for number in range(400)][::-1]
    write_scores(tmp_path / "other.tsv", is_target[::-1], names, names[::-1], {"plda": columns["llr"][::-1]})
    page = make_page(f"a={result_folder}", f"b={tmp_path / 'other.tsv'}", to=tmp_path / "report.html")
    assert {"a baseline", "a llr", "b plda"} <= set(page.cells)
    rates = [page.cells[page.cells.index(name) + 1] for name in ("a llr", "b plda")]
    assert rates[0] == rates[1]
    with pytest.raises(UsageError, match="need different names"):
        main([str(result_folder), str(tmp_path / "other.tsv"), "--to", str(tmp_path / "report.html")])


def test_paths_of_results_expand_with_and_without_a_name(result_folder, scored, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(result_folder.parent))
    page = make_page(f"a=~/{result_folder.name}", f"b=~/{result_folder.name}/scores.tsv", to=tmp_path / "report.html")
    assert {"a baseline", "b baseline"} <= set(page.cells)
    assert main([f"~/{result_folder.name}", "--to", str(tmp_path / "one.html")]) == 0


def test_same_scores_make_the_same_file(result_folder, tmp_path):
    make_page(result_folder, to=tmp_path / "first.html")
    make_page(result_folder, to=tmp_path / "second.html")
    assert (tmp_path / "first.html").read_bytes() == (tmp_path / "second.html").read_bytes()


def test_plots_are_written_as_files(result_folder, tmp_path):
    make_page(result_folder, "--plots", tmp_path / "plots", to=tmp_path / "report.html")
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["det.png", "scores-1.png", "scores-2.png"]


def test_det_curve_of_gaussian_scores_is_straight_and_marked_at_the_eer():
    rng = np.random.default_rng(0)
    is_target = np.arange(60_000) < 30_000
    scores = rng.normal(is_target * 3, 1)
    axes = det_figure({"s": scores}, is_target).axes[0]
    curve, dot = axes.lines[0].get_xydata(), axes.lines[1].get_xydata()
    middle = curve[(np.abs(curve - ndtri(0.067)) < 1).all(axis=1)]
    np.testing.assert_allclose(middle.sum(axis=1), -3, atol=0.05)  # probit(miss) + probit(false alarm) = -d'
    np.testing.assert_allclose(dot, [[ndtri(eer(scores, is_target).eer)] * 2])
    assert axes.get_xlabel() == "false-alarm rate, %"
    assert axes.get_ylabel() == "miss rate, %"


def test_distribution_shows_both_kinds_in_percent(scored):
    columns, is_target = scored
    axes = distribution_figure("llr", columns["llr"], is_target).axes[0]
    heights = [patch.get_xy()[:, 1].max() for patch in axes.patches]
    counts = [
        np.histogram(columns["llr"][chosen], 60, (columns["llr"].min(), columns["llr"].max()))[0]
        for chosen in (~is_target, is_target)
    ]
    np.testing.assert_allclose(heights, [100 * count.max() / count.sum() for count in counts])


@pytest.mark.parametrize(
    ("scores", "is_target"),
    [
        ([0, 1], [0, 1]),
        ([1, 0], [0, 1]),
        ([1, 1, 1], [0, 1, 1]),
        ([1e300, -1e300, 0], [1, 0, 0]),
        ([5] * 9, [0, 1] * 4 + [1]),
    ],
)
def test_few_tied_and_extreme_scores_can_be_drawn(scores, is_target):
    scores, is_target = np.array(scores, dtype=float), np.array(is_target, dtype=bool)
    figure = det_figure({"s": scores}, is_target)
    low, high = figure.axes[0].get_xlim()
    assert low < high
    assert png(figure).startswith(b"\x89PNG")
    assert png(distribution_figure("s", scores, is_target)).startswith(b"\x89PNG")


def test_missing_matplotlib_says_how_to_install(scored, monkeypatch):
    real_import = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(InputError, match=re.escape("pip install -e '.[plots]'")):
        det_figure(*scored)


def test_results_of_something_else_are_refused(result_folder, tmp_path):
    (result_folder / "results.json").write_text('{"results": [1]}')
    with pytest.raises(InputError, match="expected results of eval.py"):
        main([str(result_folder), "--to", str(tmp_path / "report.html")])
