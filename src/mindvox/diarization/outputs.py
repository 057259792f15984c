"""Write a diarization as RTTM, JSON, CSV, labels for Audacity, WebVTT, or a timeline in HTML and PNG."""

import html
from collections.abc import Callable, Iterable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from mindvox.diarization.pipeline import Diarization
from mindvox.diarization.rttm import write_rttm
from mindvox.diarization.turns import Turn, speech_of
from mindvox.figures import literal, new_figure, png
from mindvox.files import PathLike, atomic_path, write_csv, write_json
from mindvox.progress import duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT_VERSION = 1
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b5b95", "#7a7a00")
WIDTH, ROW, LEFT, TICKS = 1000, 26, 150, 10  # the timeline's sizes in pixels, and its number of time intervals
STYLE = "body{font:14px sans-serif;margin:2em}rect:hover{opacity:.6}td,th{padding:.2em .8em;text-align:left}"


def write_all(folder: PathLike, found: Diarization, kinds: Optional[Iterable[str]] = None) -> list[Path]:
    """Write files named after the recording into a folder and return their paths.

    RTTM has underscores instead of blanks in names; the other files have the names unchanged.

    Args:
        kinds: the kinds of files, keys of KINDS; None: see `default_kinds`.

    Raises:
        InputError: a PNG is requested, but matplotlib is not installed.
    """
    written = []
    for kind in default_kinds() if kinds is None else kinds:
        path = Path(folder, f"{found.recording}.{kind}")
        KINDS[kind](path, found)
        written.append(path)
    return written


def default_kinds() -> list[str]:
    """Return all KINDS, without PNG if matplotlib is not installed."""
    return [kind for kind in KINDS if kind != PNG or find_spec("matplotlib") is not None]


def as_json(found: Diarization) -> dict[str, Any]:
    """Return a diarization as values for JSON, without the embeddings."""
    speakers = [
        {
            "speaker": name,
            "speech_s": round(speech_of(found.turns, name), 3),
            "is_enrolled": name in found.scores,
            "score": round(found.scores[name], 4) if name in found.scores else None,
            "quality": asdict(found.qualities[name]) if name in found.qualities else None,
        }
        for name in found.speakers
    ]
    return {
        "format_version": FORMAT_VERSION,
        "recording": found.recording,
        "duration_s": round(found.duration_s, 3),
        "num_speakers": len(speakers),
        "speakers": speakers,
        "turns": [
            {"start_s": round(turn.start_s, 3), "end_s": round(turn.end_s, 3), "speaker": turn.speaker}
            for turn in found.turns
        ],
        "notes": found.notes,
    }


def _write_rttm(path: Path, found: Diarization) -> None:
    write_rttm(path, {found.recording: found.turns})


def _write_json(path: Path, found: Diarization) -> None:
    write_json(path, as_json(found))


def _write_csv(path: Path, found: Diarization) -> None:
    rows = [(f"{turn.start_s:.3f}", f"{turn.end_s:.3f}", turn.speaker) for turn in found.turns]
    write_csv(path, ("start_s", "end_s", "speaker"), rows)


def _write_labels(path: Path, found: Diarization) -> None:
    """Write a label track for Audacity: start, end and text, separated by tabs."""
    lines = [f"{turn.start_s:.6f}\t{turn.end_s:.6f}\t{' '.join(turn.speaker.split())}\n" for turn in found.turns]
    _write_text(path, "".join(lines))


def _write_vtt(path: Path, found: Diarization) -> None:
    """Write WebVTT: one cue per turn, with a voice tag (W3C, section 6.4); players show the speaker's name."""
    cues = [
        f"{_clock(turn.start_s)} --> {_clock(turn.end_s)}\n<v {name}>{name}</v>\n"
        for turn in found.turns
        if _milliseconds(turn.end_s) > _milliseconds(turn.start_s)
        for name in (html.escape(" ".join(turn.speaker.split()), quote=False),)
    ]
    _write_text(path, "\n".join(["WEBVTT\n", *cues]))


def _write_html(path: Path, found: Diarization) -> None:
    _write_text(path, timeline(found))


def timeline(found: Diarization) -> str:
    """Return an HTML page with one line per speaker and one bar per turn; it has no scripts or external files."""
    speakers = found.speakers
    length_s = max(found.duration_s, 1e-3)
    height = ROW * len(speakers) + 30
    bars = [_bar(turn, speakers.index(turn.speaker), length_s) for turn in found.turns]
    names = [
        f'<text x="{LEFT - 8}" y="{ROW * row + 18}" text-anchor="end">{html.escape(name)}</text>'
        for row, name in enumerate(speakers)
    ]
    marks = []
    for tick in range(TICKS + 1):
        x = LEFT + WIDTH * tick / TICKS
        time = _tick(length_s * tick / TICKS, length_s)
        marks.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 20}" stroke="#ddd"/>'
            f'<text x="{x:.1f}" y="{height - 4}" text-anchor="middle" font-size="11">{time}</text>'
        )
    spoken = {name: speech_of(found.turns, name) for name in speakers}
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{seconds:.1f}</td><td>{seconds / length_s:.0%}</td></tr>"
        for name, seconds in spoken.items()
    )
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in found.notes)
    title = html.escape(found.recording)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f'</head><body><h1>{title}</h1>{notes}<svg role="img" aria-label="who speaks when" '
        f'viewBox="0 0 {LEFT + WIDTH + 40} {height}" width="100%">{"".join(marks + names + bars)}</svg>'
        f"<table><tr><th>speaker</th><th>speech, s</th><th>of the recording</th></tr>{rows}</table></body></html>\n"
    )


def _bar(turn: Turn, row: int, length_s: float) -> str:
    x, width = LEFT + WIDTH * turn.start_s / length_s, WIDTH * (turn.end_s - turn.start_s) / length_s
    told = html.escape(f"{turn.speaker}: {_clock(turn.start_s)} to {_clock(turn.end_s)}")
    return (
        f'<rect x="{x:.2f}" y="{ROW * row + 4}" width="{max(width, 0.5):.2f}" height="{ROW - 8}" '
        f'fill="{COLOURS[row % len(COLOURS)]}"><title>{told}</title></rect>'
    )


def _write_png(path: Path, found: Diarization) -> None:
    content = png(timeline_figure(found))
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def timeline_figure(found: Diarization) -> "Figure":
    """Draw what `timeline` shows: one line per speaker, the first at the top, and one bar per turn.

    Raises:
        InputError: matplotlib is not installed.
    """
    speakers = found.speakers
    length_s = max(found.duration_s, 1e-3)
    figure, axes = new_figure(12, 1.2 + 0.3 * max(1, len(speakers)))
    for row, name in enumerate(speakers):
        bars = [(turn.start_s, turn.end_s - turn.start_s) for turn in found.turns if turn.speaker == name]
        axes.broken_barh(bars, (row - 0.35, 0.7), facecolor=COLOURS[row % len(COLOURS)])
    ticks = [length_s * tick / TICKS for tick in range(TICKS + 1)]
    axes.set_xticks(ticks, [_tick(time_s, length_s) for time_s in ticks])
    axes.set_yticks(range(len(speakers)), [literal(name) for name in speakers])
    axes.set(xlim=(0, length_s), ylim=(max(1, len(speakers)) - 0.5, -0.5), title=literal(found.recording))
    if found.notes:
        axes.set_xlabel(literal(" ".join(found.notes)))
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _tick(time_s: float, length_s: float) -> str:
    """Return the label of a time on the axis, for a recording of `length_s`."""
    return duration(time_s) if length_s >= TICKS else f"{time_s:.1f} s"


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _clock(seconds: float) -> str:
    """Return a time as hh:mm:ss.mmm."""
    whole, milliseconds = divmod(_milliseconds(seconds), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{milliseconds:03}"


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


PNG = "png"
KINDS: dict[str, Callable[[Path, Diarization], None]] = {
    "rttm": _write_rttm,
    "json": _write_json,
    "csv": _write_csv,
    "txt": _write_labels,
    "vtt": _write_vtt,
    "html": _write_html,
    PNG: _write_png,
}
"""Writers by file suffix."""
