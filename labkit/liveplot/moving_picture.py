"""The moving form of a live plot for front ends without widgets: SVG, written in a millisecond.

A PNG of the same panels takes matplotlib a hundred times as long, too long for every epoch.
"""

from html import escape

import numpy as np
from matplotlib.ticker import MaxNLocator

from labkit.figures.base import PALETTE
from labkit.liveplot.record import Curve, Record, thin

WIDTH, HEIGHT = 900, 370
_TOP, _BOTTOM, _LEFT, _NAMES = 60, 262, 50, 105  # pixels: panel edges, room for class names


def moving_picture(record: Record) -> str:
    """Draw curves and confusion matrix as an SVG image.

    Args:
        record: what is to be drawn.

    Returns:
        The SVG, with the plot in words as its title.

    Example:
        >>> moving_picture(Record())[:4]
        '<svg'
    """
    panels, matrix = record.panels(), record.matrix()
    right = WIDTH - (_BOTTOM - _TOP) - 15 if matrix is not None else WIDTH - 15
    room = (right - (_NAMES if matrix is not None else 0)) / len(panels)
    parts = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(10, 22, record.headline(), size=14),
        _text(
            10, HEIGHT - 8, f"data: {record.origin}" if record.origin else "", 10, **_tone(record)
        ),
    ]
    for number, panel in enumerate(panels):
        left = number * room + _LEFT
        lines = [curve for curve in record.curves() if curve.panel == panel]
        parts += _curves(lines, panel, left, left + room - _LEFT - 15)
        parts.append(_text(left, _BOTTOM + 32, "epoch" if record.histories else "step", 11))
    parts += _legend(record.legend())
    if matrix is not None:
        parts += _matrix(record, matrix, right)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="840" '
        f'font-family="sans-serif" role="img"><title>{escape(record.description())}</title>'
        f"{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, text: str, size: int = 11, **attributes: object) -> str:
    extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}"{extra}>{escape(text)}</text>'


def _tone(record: Record) -> dict[str, str]:
    return {"fill": "#b3261e" if getattr(record.origin, "stand_in", False) else "#666666"}


def _curves(curves: list[Curve], panel: str, left: float, right: float) -> list[str]:
    points = [thin(curve.x, curve.y) for curve in curves]
    xs = [x for line, _ in points for x in line] or [0.0, 1.0]
    ys = [y for _, line in points for y in line if y is not None] or [0.0, 1.0]
    x_ticks = MaxNLocator(5, integer=True).tick_values(min(xs), max(xs))
    y_ticks = MaxNLocator(5).tick_values(min(ys), max(ys))
    low_x, high_x = min(xs), max(max(xs), min(xs) + 1)

    def across(x: float) -> float:
        return left + (x - low_x) / (high_x - low_x) * (right - left)

    def up(y: float) -> float:
        return _BOTTOM - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (_BOTTOM - _TOP)

    parts = [_text((left + right) / 2, _TOP - 10, panel.capitalize(), 12, text_anchor="middle")]
    for tick in y_ticks:
        grid = f"M{left:.0f} {up(tick):.1f}H{right:.0f}"
        parts.append(f'<path d="{grid}" stroke="#e5e5e5"/>')
        parts.append(_text(left - 5, up(tick) + 4, f"{tick:.4g}", 10, text_anchor="end"))
    for tick in x_ticks:
        if low_x <= tick <= high_x:
            parts.append(_text(across(tick), _BOTTOM + 15, f"{tick:g}", 10, text_anchor="middle"))
    for curve, (x, y) in zip(curves, points, strict=True):
        known = [(a, b) for a, b in zip(x, y, strict=True) if b is not None]
        path = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in known)
        parts.append(f'<polyline points="{path}" fill="none" {_stroke(curve)}/>')
        if len(known) == 1:
            colour = PALETTE[curve.number % len(PALETTE)]
            parts += [f'<circle cx="{across(known[0][0]):.1f}" cy="{up(known[0][1]):.1f}" r="3" '
                      f'fill="{colour}"/>']  # fmt: skip
    return parts


def _stroke(curve: Curve) -> str:
    light = curve.part == "batches"
    dash = ' stroke-dasharray="6 4"' if curve.part == "training" else ""
    look = 'stroke-width="1" opacity="0.35"' if light else 'stroke-width="2"'
    return f'stroke="{PALETTE[curve.number % len(PALETTE)]}" {look}{dash}'


def _legend(curves: list[Curve]) -> list[str]:
    parts = []
    for number, curve in enumerate(curves):
        x, y = _LEFT + 165 * (number % 3), _BOTTOM + 52 + 14 * (number // 3)
        parts.append(f'<path d="M{x} {y - 4}h24" {_stroke(curve)}/>')
        parts.append(_text(x + 30, y, curve.name))
    return parts


def _matrix(record: Record, matrix: np.ndarray, left: float) -> list[str]:
    names, side = record.matrix_labels(), (_BOTTOM - _TOP) / len(matrix)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    title = f"{record.matrix_name}, % of a row"
    parts = [_text(left + side * len(names) / 2, _TOP - 10, title, 12, text_anchor="middle")]
    for (row, column), share in np.ndenumerate(shares):
        x, y = left + column * side, _TOP + row * side
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{side:.1f}" '
            f'fill="#08519c" fill-opacity="{share:.2f}"/>'
        )
        if matrix[row, column]:
            label = f"{100 * share:.0f}" if share >= 0.01 else "<1"
            look = {"text_anchor": "middle", "fill": "white" if share > 0.55 else "black"}
            parts.append(_text(x + side / 2, y + side / 2 + 4, label, 10, **look))
    for number, name in enumerate(names):
        middle = (number + 0.5) * side
        parts.append(_text(left - 4, _TOP + middle + 4, name, 10, text_anchor="end"))
        x, y = left + middle + 3, _BOTTOM + 10
        turn = {"text_anchor": "end", "transform": f"rotate(-40 {x:.0f} {y})"}
        parts.append(_text(x, y, name, 10, **turn))
    parts.append(_text(left + side * len(names) / 2, _BOTTOM + 85, "predicted", 11))
    return parts
