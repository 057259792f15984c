"""Plots of scored trials, made with matplotlib: the DET curve and the distribution of scores."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from mindvox.figures import literal, new_figure
from mindvox.scoring.metrics import eer, eer_of, operating_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = (0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # distinct with colour blindness
LINES = ("-", "--", "-.", ":")
TARGET_COLOUR, NONTARGET_COLOUR = COLOURS[0], COLOURS[1]
NUM_BINS = 60


def det_figure(columns: Mapping[str, np.ndarray], is_target: np.ndarray) -> "Figure":
    """Draw miss rate over false-alarm rate on axes that make Gaussian scores straight lines (Martin et al. 1997).

    Rates below half a trial are not shown. The point of equal error rates is marked.

    Args:
        columns: scores by name.
        is_target: truth of each trial.
    """
    figure, axes = new_figure(6.2, 6)
    points = {name: operating_points(scores, is_target) for name, scores in columns.items()}
    rates = {name: eer_of(found).eer for name, found in points.items()}
    num_targets = np.count_nonzero(is_target)
    least_miss, least_false_alarm = 0.5 / num_targets, 0.5 / (len(is_target) - num_targets)
    highest = min(max(0.4, 2 * max(rates.values()), 1.5 * least_miss, 1.5 * least_false_alarm), 0.95)
    for index, (name, found) in enumerate(points.items()):
        colour, line = COLOURS[index % len(COLOURS)], LINES[index // len(COLOURS) % len(LINES)]
        miss, false_alarm = found.num_misses / found.num_misses[0], found.num_false_alarms / found.num_false_alarms[-1]
        curve = _deviate(false_alarm, least_false_alarm), _deviate(miss, least_miss)
        axes.plot(*curve, color=colour, linestyle=line, linewidth=1.8, label=f"EER {rates[name]:.2%}: {literal(name)}")
        if max(least_miss, least_false_alarm) < rates[name] < highest:
            dot = ndtri(rates[name])
            axes.plot(dot, dot, "o", color=colour, markersize=7, markeredgecolor="white", zorder=3)
    axes.plot(*[ndtri([1e-9, 1 - 1e-9])] * 2, color="0.75", linewidth=1, zorder=0)
    axes.set(
        xlabel="false-alarm rate, %",
        ylabel="miss rate, %",
        title="Detection error trade-off (dot: equal error rate)",
        aspect="equal",
    )
    for axis, set_limits, least in (
        (axes.xaxis, axes.set_xlim, least_false_alarm),
        (axes.yaxis, axes.set_ylim, least_miss),
    ):
        ticks = [rate for rate in RATES if least <= rate <= highest]
        axis.set_ticks(ndtri(ticks), [f"{100 * rate:g}" for rate in ticks])
        set_limits(ndtri([least, highest]))
    axes.grid(color="0.9")
    axes.legend(loc="upper right")
    return figure


def _deviate(rates: np.ndarray, least: float) -> np.ndarray:
    """Return the standard normal deviates of rates; 0 and 1 are moved just outside the plot."""
    return ndtri(np.clip(rates, least / 2, 1 - least / 2))


def distribution_figure(name: str, scores: np.ndarray, is_target: np.ndarray) -> "Figure":
    """Draw the distributions of target and non-target scores, and the threshold of equal error rates."""
    figure, axes = new_figure(6.2, 3.6)
    low, high = float(scores.min()), float(scores.max())
    edges = np.linspace(low, high, NUM_BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    for label, chosen, colour in (
        ("non-target", ~is_target, NONTARGET_COLOUR),
        ("target", is_target, TARGET_COLOUR),
    ):
        axes.hist(
            scores[chosen],
            edges.tolist(),
            weights=np.full(np.count_nonzero(chosen), 100 / np.count_nonzero(chosen)),
            histtype="stepfilled",
            facecolor=(colour, 0.35),
            edgecolor=colour,
            linewidth=1.4,
            label=f"{label} ({np.count_nonzero(chosen)})",
        )
    rate, threshold = eer(scores, is_target)
    axes.axvline(threshold, color="0.2", linestyle="--", linewidth=1.2, label=f"EER {rate:.2%} at {threshold:.4g}")
    axes.set(
        xlabel=literal(name),
        ylabel="share of trials in a bin, %",
        title=f"Scores: {literal(name)}",
        xlim=(edges[0], edges[-1]),
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend()
    return figure
