"""How a live plot looks: a panel of curves for each metric, and the confusion matrix."""

import math
from itertools import groupby

import numpy as np
from matplotlib.ticker import MaxNLocator

from labkit.display import PALETTE
from labkit.liveplot.record import Curve, Record, row_shares, thin
from labkit.liveplot.sheet import Box, Dot, Line, Sheet, Text

WIDTH, HEIGHT = 340, 270  # of a panel; all are alike, so that they stand in rows and columns
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 328, 28, 226  # edges of the curves
_FEW = 30  # up to so many points, each gets a dot
MANY = 40  # classes


def paint(record: Record) -> list[Sheet]:
    """Paint every panel: the same panels from the first drawing to the last.

    Example:
        >>> [(sheet.width, sheet.height) for sheet in paint(Record())]
        [(340, 270), (340, 270)]
    """
    sheets = [_curves(record, panel) for panel in record.panels()]
    return [*sheets, _matrix(record)] if record.shows_matrix() else sheets


def colour_of(curve: Curve) -> str | None:
    """The colour of a run; the eighth has that of the text, which black would not be on dark."""
    return (*PALETTE[:7], None)[curve.number % 8]


def per_cent(share: float) -> str:
    """The share of a cell that has images, in whole per cents; a little is no "0".

    Example:
        >>> per_cent(0.128), per_cent(0.004)
        ('13', '<1')
    """
    return f"{100 * share:.0f}" if share >= 0.01 else "<1"


def _height_axis(panel: str, heights: list[float]) -> tuple[list[float], float, float]:
    """Ticks, lower and upper end of the axis for values of a panel."""
    least = 0.05 * max(abs(heights[0]), 1e-6)  # a level line is no mountain range
    ticks = MaxNLocator(5).tick_values(min(heights) - least, max(heights) + least)
    low, high = float(ticks[0]), float(ticks[-1])
    if min(heights) >= 0:  # nothing to see below 0, and no share above 1
        low = max(low, 0.0)
    if panel != "loss" and max(heights) <= 1:
        high = min(high, 1.0)
    return [tick for tick in ticks if low <= tick <= high], low, high


def _curves(record: Record, panel: str) -> Sheet:
    curves = [curve for curve in record.curves() if curve.panel == panel]
    lines = [thin(curve.x, curve.y) for curve in curves]
    first, last = record.span()
    heights = [y for _, ys in lines for y in ys if y is not None] or [0.05, 0.95]
    ticks, low, high = _height_axis(panel, heights)

    def across(x: float) -> float:
        return _LEFT + (x - first) / (last - first) * (_RIGHT - _LEFT)

    def up(y: float) -> float:
        return _BOTTOM - (y - low) / (high - low) * (_BOTTOM - _TOP)

    sheet = Sheet(WIDTH, HEIGHT)
    middle = (_LEFT + _RIGHT) / 2
    sheet.marks.append(Text(middle, 17, panel.capitalize(), 13, "middle"))
    sheet.marks.append(Text(middle, HEIGHT - 10, record.unit, 11, "middle"))
    for tick in ticks:
        sheet.marks.append(Line([(_LEFT, up(tick)), (_RIGHT, up(tick))], None, 1, opacity=0.15))
        sheet.marks.append(Text(_LEFT - 6, up(tick) + 4, f"{tick:.4g}", 11, "end"))
    for tick in MaxNLocator(6, integer=True).tick_values(first, last):
        if first <= tick <= last:
            sheet.marks.append(Text(across(tick), _BOTTOM + 18, f"{tick:g}", 11, "middle"))
    if record.kept_epoch is not None:
        x = across(record.kept_epoch)
        sheet.marks.append(Line([(x, _TOP), (x, _BOTTOM)], None, 1, dashed=True, opacity=0.6))
        end = "end" if x > middle else "start"
        sheet.marks.append(Text(x + (-4 if end == "end" else 4), _TOP + 10, "kept", 11, end))
    for curve, (xs, ys) in zip(curves, lines, strict=True):
        dashed, colour = curve.part == "training", colour_of(curve)
        for gap, part in groupby(zip(xs, ys, strict=True), lambda point: point[1] is None):
            known = [] if gap else list(part)
            points = [(across(x), up(y)) for x, y in known]
            sheet.marks += [Line(points, colour, dashed=dashed)] if len(points) > 1 else []
            if len(xs) <= _FEW:
                for (x, y), place in zip(known, points, strict=True):
                    hint = f"{curve.full_name}, {record.unit} {x:g}: {y:.4g}"
                    sheet.marks.append(Dot(*place, colour, not dashed, hint))
    return sheet


def _matrix(record: Record) -> Sheet:
    matrix, names = record.matrix(), record.matrix_labels()
    left, size = 108, 164
    side = size / max(len(names), 1)
    sheet = Sheet(WIDTH, HEIGHT)
    sheet.marks.append(Text(left + size / 2, 13, record.matrix_title(), 12, "middle"))
    bottom = _TOP + size
    if matrix is not None:
        sheet.marks += _cells(matrix, left, side)
    right = left + size
    frame = [(left, _TOP), (right, _TOP), (right, bottom), (left, bottom), (left, _TOP)]
    sheet.marks.append(Line(frame, None, 1, opacity=0.3))
    font = min(11, max(4, math.floor(0.8 * side)))
    if len(names) <= MANY:  # more cannot be read
        for number, name in enumerate(names):
            middle = (number + 0.5) * side
            sheet.marks.append(Text(left - 5, _TOP + middle + 0.35 * font, name, font, "end"))
            where = (left + middle + 0.35 * font, bottom + 12)
            sheet.marks.append(Text(*where, name, font, "end", turned=True))
    sheet.marks.append(Text(left - 5, _TOP - 2, "true", 10, "end"))
    sheet.marks.append(Text(WIDTH - 2, bottom + 13, "predicted", 10, "end"))
    return sheet


def _cells(matrix: np.ndarray, left: float, side: float) -> list[Box | Text]:
    """A box for each cell that has images, the bluer the larger its share of the row; per cents."""
    shares = row_shares(matrix)
    boxes, labels = [], {False: [], True: []}
    shown = shares > (0 if len(matrix) <= MANY else 0.02)  # faint cells of many classes fill a file
    for row, column in zip(*np.nonzero(shown), strict=True):
        share = float(shares[row, column])
        x, y = left + column * side, _TOP + row * side
        # no blue between the two on which either ink would have too little contrast
        strong = share >= 0.7
        opacity = 0.78 + 0.22 * (share - 0.7) / 0.3 if strong else 0.65 * share / 0.7
        boxes.append(Box(x, y, side, side, "#08519c", opacity))
        label, colour = per_cent(share), "#ffffff" if strong else None
        labels[strong].append(Text(x + side / 2, y + side / 2 + 4, label, 10, "middle", colour))
    return [*boxes, *labels[False], *labels[True]] if side >= 11 else boxes
