"""Functions that all figures share. Figures need matplotlib, which is imported when the first one is made."""

import io
from typing import TYPE_CHECKING

from mindvox.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> tuple["Figure", "Axes"]:
    """Return a figure without a window or global state.

    Args:
        width, height: inches.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("plots need matplotlib: pip install -e '.[plots]'") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def literal(text: str) -> str:
    """Escape text for matplotlib, which reads text between dollar signs as a formula."""
    return text.replace("$", r"\$")


def png(figure: "Figure") -> bytes:
    """Return a figure as PNG, the same bytes for the same figure."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130, metadata={"Software": None})
    return stream.getvalue()
