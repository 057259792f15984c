"""An HTML report about scored trials: error rates, thresholds, DET curve, score distributions, worst errors.

`mindvox report [NAME=]RESULT ... --to REPORT.html`, where RESULT is a folder of eval.py or a score file.
The page includes its pictures and needs neither scripts nor other files.
"""

import base64
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Optional

import numpy as np

from mindvox.arguments import Parser
from mindvox.errors import InputError, UsageError, run
from mindvox.figures import png
from mindvox.files import PathLike, atomic_path, lock_output, named_path, read_json, user_path
from mindvox.scoring.bootstrap import LEVEL
from mindvox.scoring.measures import P_TARGETS, Measures, measure_llr
from mindvox.scoring.metrics import threshold_at_false_alarm_rate
from mindvox.scoring.plots import det_figure, distribution_figure
from mindvox.scoring.score_files import ScoreTable, align, read_scores

FALSE_ALARM_RATES = (0.05, 0.01, 0.001)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.2em; border-bottom: 1px solid #ddd; padding-bottom: .2em; }
.wide { overflow-x: auto; } img { max-width: 100%; height: auto; }
table { border-collapse: collapse; margin: .8em 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .8em; text-align: right; border-bottom: 1px solid #e5e5e5; white-space: nowrap; }
th:first-child, td:first-child, .names td { text-align: left; } thead th { border-bottom: 2px solid #999; }
.note { color: #666; }
"""


@dataclass(frozen=True)
class Scored:
    """Trials and all their scores.

    Attributes:
        table: the first system's file, which gives the order of trials.
        columns: scores by their names in the report.
        intervals: confidence intervals of "eer" and "min_dcf(<prior>)" by the same names, or none.
    """

    table: ScoreTable
    columns: dict[str, np.ndarray]
    intervals: dict[str, dict[str, tuple[float, float]]]

    @classmethod
    def read(cls, results: Mapping[str, Path]) -> "Scored":
        """Read score files, or those in folders, and match their trials by name.

        Args:
            results: paths by the systems' names; with several, columns are called "<name> <column>".

        Raises:
            InputError: a file is missing or wrong, or they have different trials.
        """
        paths = {name: path / "scores.tsv" if path.is_dir() else path for name, path in results.items()}
        tables = {name: read_scores(path) for name, path in paths.items()}
        rows = align(tables)
        columns, intervals = {}, {}
        for name, table in tables.items():
            found = _intervals(paths[name].parent / "results.json") if results[name].is_dir() else {}
            for column, scores in table.columns.items():
                title = f"{name} {column}" if len(tables) > 1 else column
                columns[title], intervals[title] = scores[rows[name]], found.get(column, {})
        return cls(next(iter(tables.values())), columns, intervals)


def _intervals(path: Path) -> dict[str, dict[str, tuple[float, float]]]:
    """Return the confidence intervals that a results.json has: by kind of score, of "eer" and "min_dcf(<prior>)"."""
    results = read_json(path)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    try:
        for kind, result in results["results"].items():
            ends = result.get("intervals")
            if ends:
                rates = {"eer": ends["eer"]} | {f"min_dcf({prior})": pair for prior, pair in ends["min_dcf"].items()}
                found[kind] = {name: (float(low), float(high)) for name, (low, high) in rates.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: expected results of eval.py ({error}).") from None
    return found


def make_report(scored: Scored, title: str, num_worst: int) -> str:
    """Return the page.

    Raises:
        InputError: all trials are of one kind, or matplotlib is missing.
    """
    is_target = scored.table.truth()
    measures = {name: measure_llr(scores, is_target) for name, scores in scored.columns.items()}
    num_targets = int(np.count_nonzero(is_target))
    any_intervals = any(scored.intervals.values())
    num_utterances = len({*scored.table.enrol, *scored.table.test})
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{len(is_target)} trials of {num_utterances} utterances: {num_targets} target, "
        f"{len(is_target) - num_targets} non-target.</p>",
        "<h2>Error rates</h2>",
        _measures_table(measures, scored.intervals),
        "<p class=note>EER and minDCF depend only on the order of the scores. actDCF and Cllr treat scores as "
        "log-likelihood ratios (natural logarithm), which they are only after calibration. DCF: costs 1, prior in "
        "brackets, divided by the cost of the better blind answer. Cllr: bits.</p>",
        *(
            [f"<p class=note>In square brackets: {LEVEL:.0%} confidence, speakers bootstrapped.</p>"]
            if any_intervals
            else []
        ),
        _image(png(det_figure(scored.columns, is_target)), "DET curves"),
        "<h2>Thresholds</h2>",
        _thresholds_table(scored.columns, is_target, measures),
        "<p class=note>A trial is accepted if its score is at least the threshold. A threshold chosen on these trials "
        "does better on them than on others.</p>",
    ]
    for name, scores in scored.columns.items():
        body += [
            f"<h2>{escape(name)}</h2>",
            _image(png(distribution_figure(name, scores, is_target)), f"distribution of {name}"),
            *_worst_tables(scored.table, scores, measures[name].threshold, num_worst),
        ]
    return _page(title, body)


def _page(title: str, body: Iterable[str]) -> str:
    # The policy forbids the browser to load or run anything, whatever a name might contain.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style></head><body>",
            *body,
            "</body></html>\n",
        ]
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    head = "".join(f"<th>{escape(word)}</th>" for word in header)
    lines = ["<tr>" + "".join(f"<td>{escape(word)}</td>" for word in row) + "</tr>" for row in rows]
    return (
        f'<div class=wide><table class="{kind}"><thead><tr>{head}</tr></thead>\n' + "\n".join(lines) + "</table></div>"
    )


def _measures_table(
    measures: Mapping[str, Measures], intervals: Mapping[str, Mapping[str, tuple[float, float]]]
) -> str:
    costs = [f"{kind}({p_target:g})" for p_target in P_TARGETS for kind in ("minDCF", "actDCF")]
    rows = []
    for name, result in measures.items():
        ends = intervals[name]
        row = [name, f"{100 * result.eer:.2f}" + _interval(ends.get("eer"), 100, 2)]
        for p_target in P_TARGETS:
            interval = _interval(ends.get(f"min_dcf({p_target:g})"), 1, 3)
            row += [f"{result.min_dcf[p_target]:.4f}{interval}", f"{result.act_dcf[p_target]:.4f}"]
        rows.append([*row, f"{result.min_cllr:.4f}", f"{result.cllr:.4f}", f"{100 * result.roc_auc:.2f}"])
    return _table(["score", "EER, %", *costs, "minCllr", "Cllr", "AUC, %"], rows)


def _interval(ends: Optional[tuple[float, float]], factor: float, digits: int) -> str:
    return f" [{factor * ends[0]:.{digits}f}, {factor * ends[1]:.{digits}f}]" if ends else ""


def _thresholds_table(
    columns: Mapping[str, np.ndarray], is_target: np.ndarray, measures: Mapping[str, Measures]
) -> str:
    header = ["score", "equal error rates"]
    for rate in FALSE_ALARM_RATES:
        header += [f"false alarms ≤ {100 * rate:g} %", "misses, %"]
    rows = []
    for name, scores in columns.items():
        row = [name, f"{measures[name].threshold:.4g}"]
        for rate in FALSE_ALARM_RATES:
            found = threshold_at_false_alarm_rate(scores, is_target, rate)
            row += [f"{found.threshold:.4g}", f"{100 * found.miss_rate:.2f}"]
        rows.append(row)
    return _table(header, rows)


def _worst_tables(table: ScoreTable, scores: np.ndarray, threshold: float, num_worst: int) -> list[str]:
    """List the errors at a threshold, farthest from it first."""
    parts = []
    is_target = table.truth()
    for title, wrong, order in (
        ("Worst false alarms", ~is_target & (scores >= threshold), -scores),
        ("Worst misses", is_target & (scores < threshold), scores),
    ):
        rows = np.flatnonzero(wrong)
        worst = rows[np.argsort(order[rows], kind="stable")][:num_worst]
        parts.append(f"<h3>{title}: {len(worst)} of {len(rows)} at the EER threshold</h3>")
        if len(worst):
            lines = [[f"{scores[row]:.4g}", table.enrol[row], table.test[row]] for row in worst]
            parts.append(_table(["score", "enrol", "test"], lines, "names"))
    return parts


def _image(data: bytes, description: str) -> str:
    text = base64.b64encode(data).decode("ascii")
    return f'<p><img alt="{escape(description)}" src="data:image/png;base64,{text}"></p>'


def write_plots(scored: Scored, folder: PathLike) -> None:
    """Write det.png, and scores-1.png, scores-2.png, ... of the columns in their order."""
    is_target = scored.table.truth()
    figures = {"det": det_figure(scored.columns, is_target)}
    for number, (name, scores) in enumerate(scored.columns.items(), 1):
        figures[f"scores-{number}"] = distribution_figure(name, scores, is_target)
    for name, figure in figures.items():
        with atomic_path(Path(folder) / f"{name}.png") as temporary:
            temporary.write_bytes(png(figure))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write a report about scored trials."""
    parser = Parser(prog="mindvox report", description=main.__doc__)
    parser.add_argument(
        "results",
        nargs="+",
        type=named_path,
        metavar="[NAME=]RESULT",
        help="folder with scores.tsv and results.json, or score file",
    )
    parser.add_argument("--to", type=user_path, required=True, metavar="REPORT.html", help="file to write")
    parser.add_argument("--plots", type=user_path, metavar="FOLDER", help="folder for the pictures as PNG")
    parser.add_argument("--title", default="Speaker verification", help="title of the page (%(default)s)")
    parser.add_argument("--num_worst", type=int, default=10, metavar="N", help="number of worst errors (%(default)s)")
    arguments = parser.parse_args(argv)
    scored = Scored.read(_named_paths(arguments.results))
    page = make_report(scored, arguments.title, max(0, arguments.num_worst))
    with lock_output(arguments.to):
        with atomic_path(arguments.to) as temporary:
            temporary.write_text(page, encoding="utf-8")
        print(f"{scored.table.describe()}, {len(scored.columns)} kinds of score")
        print(f"written: {arguments.to}")
        if arguments.plots:
            write_plots(scored, arguments.plots)
            print(f"written: {arguments.plots}")
    return 0


def _named_paths(results: Sequence[tuple[str, str]]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for name, path in results:
        if name in named or (not name and len(results) > 1):
            got = f"{name}={path}" if name else path
            raise UsageError(f"several results need different names: expected NAME=RESULT, got {got!r}.")
        named[name] = Path(path)
    return named


if __name__ == "__main__":
    sys.exit(run(main))
