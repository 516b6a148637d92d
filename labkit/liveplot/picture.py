"""The still form of a live plot: a small PNG of the same data, drawn by matplotlib."""

import io
import math

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image

from labkit.figures.base import PALETTE, WIDTH
from labkit.figures.results import draw_confusion_matrix
from labkit.liveplot.record import Curve, Record, thin


def picture(record: Record) -> bytes:
    """Draw curves and confusion matrix as a PNG, 792 pixels wide and at most about 30 KB.

    Args:
        record: what is to be drawn.

    Returns:
        The bytes of the file.

    Example:
        >>> picture(Record())[1:4]
        b'PNG'
    """
    # narrower than an output of JupyterLab, which would cut it off
    figure = Figure(figsize=(WIDTH, 3.8), dpi=88)
    canvas = FigureCanvasAgg(figure)
    panels, matrix = record.panels(), record.matrix()
    # fixed margins: a layout that looks for the best place takes longer than all the rest
    widths = [1.0] * len(panels) + [0.25, 1.15] * (matrix is not None)  # class names need room
    grid = figure.add_gridspec(
        1, len(widths), left=0.06, right=0.985, top=0.84, bottom=0.27, width_ratios=widths
    )
    for column, panel in enumerate(panels):
        _draw_curves(figure.add_subplot(grid[column]), record, panel)
    if matrix is not None:
        ax = figure.add_subplot(grid[-1])
        draw_confusion_matrix(ax, matrix, record.matrix_labels())
        ax.set_title(f"{record.matrix_name}, % of a row", fontsize=10)
    figure.text(0.01, 0.95, record.headline(), fontsize=11)
    _add_legend(figure, record)
    if record.origin:
        colour = "#b3261e" if getattr(record.origin, "stand_in", False) else "0.4"
        figure.text(0.01, 0.015, f"data: {record.origin}", fontsize=8, color=colour)
    canvas.draw()
    width, height = canvas.get_width_height()
    pixels = Image.frombuffer("RGBA", (width, height), canvas.buffer_rgba()).convert("RGB")
    file = io.BytesIO()
    # an octree keeps the colours of thin lines, which PIL's other methods merge
    small = pixels.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    small.save(file, "PNG", optimize=True)
    return file.getvalue()


def _draw_curves(ax: Axes, record: Record, panel: str) -> None:
    for curve in record.curves():
        if curve.panel == panel:
            x, y = thin(curve.x, curve.y)
            marker = "o" if len(x) < 3 else None
            ax.plot(x, [math.nan if v is None else v for v in y], marker=marker, **_look(curve))
    ax.set_title(panel.capitalize(), fontsize=10)
    ax.set_xlabel("epoch" if record.histories else "step", fontsize=9)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.tick_params(labelsize=8)
    ax.grid(alpha=0.3)


def _look(curve: Curve) -> dict:
    light = curve.part == "batches"
    return {
        "color": PALETTE[curve.number % len(PALETTE)],
        "linestyle": "--" if curve.part == "training" else "-",
        "linewidth": 0.8 if light else 1.6,
        "alpha": 0.35 if light else 1,
        "label": curve.name,
    }


def _add_legend(figure: Figure, record: Record) -> None:
    lines = [Line2D([], [], **_look(curve)) for curve in record.legend()]
    if lines:
        place = {"loc": "upper left", "bbox_to_anchor": (0.05, 0.17), "ncols": 3}
        figure.legend(handles=lines, fontsize=8, frameon=False, borderpad=0, **place)
