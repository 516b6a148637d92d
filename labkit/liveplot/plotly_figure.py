"""The interactive form of a live plot, as the plain dictionary that plotly draws."""

import numpy as np

from labkit.figures.base import PALETTE
from labkit.liveplot.record import Curve, Record, thin

HEIGHT = 380  # pixels
_GAP = 0.08  # between two panels, as a share of the width


def plotly_figure(record: Record) -> dict:
    """Draw curves and confusion matrix in one plotly figure.

    Args:
        record: what is to be drawn.

    Returns:
        ``{"data": …, "layout": …}``: lists of numbers only, so that every version of plotly.js
        draws it, and white paper, so that it can be read on a dark theme too.

    Example:
        >>> sorted(plotly_figure(Record()))
        ['data', 'layout']
    """
    panels, matrix = record.panels(), record.matrix()
    with_matrix = matrix is not None or record.history is not None
    data = _lines(record, panels)
    layout = {
        "title": {"text": record.headline(), "font": {"size": 14}, "x": 0, "xref": "paper"},
        "height": HEIGHT,
        "autosize": True,
        "margin": {"l": 50, "r": 15, "t": 60, "b": 85},
        "font": {"size": 11, "color": "#222222"},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "legend": {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top", "font": {"size": 11}},
        "annotations": _captions(record),
    }
    domains = _domains(len(panels), with_matrix)
    for number, (panel, domain) in enumerate(zip(panels, domains, strict=False), 1):
        layout |= _curve_axes(number, panel, domain, "epoch" if record.histories else "step")
        layout["annotations"].append(_title(panel.capitalize(), domain))
    if with_matrix:
        data.append(_heatmap(record, len(panels) + 1))
        layout |= _matrix_axes(len(panels) + 1, domains[-1])
        layout["annotations"].append(_title(f"{record.matrix_name}, % of a row", domains[-1]))
    return {"data": data, "layout": layout}


def _lines(record: Record, panels: list[str]) -> list[dict]:
    seen, lines = set(), []
    for curve in record.curves():
        if curve.panel in panels:
            lines.append(_line(curve, panels.index(curve.panel) + 1, curve.name not in seen))
            seen.add(curve.name)
    return lines


def _line(curve: Curve, panel: int, in_legend: bool) -> dict:
    x, y = thin(curve.x, curve.y)
    light = curve.part == "batches"
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(x) < 3 else "lines",
        "name": curve.name,
        "legendgroup": curve.name,  # one entry switches the line in every panel
        "showlegend": in_legend,
        "x": x,
        "y": y,
        "xaxis": f"x{panel}",
        "yaxis": f"y{panel}",
        "opacity": 0.35 if light else 1,
        "line": {
            "color": PALETTE[curve.number % len(PALETTE)],
            "dash": "dash" if curve.part == "training" else "solid",
            "width": 1 if light else 2,
        },
    }


def _domains(panels: int, with_matrix: bool) -> list[list[float]]:
    widths = [1.0] * panels + [1.15] * with_matrix
    gaps = [_GAP] * (panels - 1) + [0.15] * with_matrix  # class names need room
    unit = (1 - sum(gaps)) / sum(widths)
    domains, left = [], 0.0
    for width, gap in zip(widths, [*gaps, 0.0], strict=True):
        domains.append([round(left, 4), round(min(1, left + width * unit), 4)])
        left += width * unit + gap
    return domains


def _curve_axes(number: int, panel: str, domain: list[float], unit: str) -> dict:
    line = {"gridcolor": "#e5e5e5", "zeroline": False, "linecolor": "#888888", "showline": True}
    return {
        f"xaxis{number}": {**line, "domain": domain, "anchor": f"y{number}", "title": unit},
        f"yaxis{number}": {**line, "anchor": f"x{number}", "title": {"text": panel, "standoff": 4}},
    }


def _matrix_axes(number: int, domain: list[float]) -> dict:
    axis = {"showgrid": False, "zeroline": False, "tickfont": {"size": 9}, "type": "category"}
    return {
        f"xaxis{number}": {
            **axis,
            "domain": domain,
            "anchor": f"y{number}",
            "title": {"text": "predicted", "standoff": 2},
            "tickangle": 40,
        },
        f"yaxis{number}": {
            **axis,
            "anchor": f"x{number}",
            "autorange": "reversed",
            "title": {"text": "true", "standoff": 2},
        },
    }


def _heatmap(record: Record, number: int) -> dict:
    matrix = record.matrix()
    shares, texts, names = [], [], []
    if matrix is not None:
        percent = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        shares = np.round(percent, 1).tolist()
        texts = [
            [_label(share, count) for share, count in zip(*rows, strict=True)]
            for rows in zip(percent, matrix, strict=True)
        ]
        names = record.matrix_labels()
    return {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": shares,
        "text": texts,
        "texttemplate": "%{text}",
        "textfont": {"size": 10},
        "hovertemplate": "true %{y}, predicted %{x}: %{z} %<extra></extra>",
        "xaxis": f"x{number}",
        "yaxis": f"y{number}",
        "zmin": 0,
        "zmax": 100,
        "colorscale": [[0, "#f7fbff"], [0.5, "#6baed6"], [1, "#08306b"]],
        "showscale": False,
    }


def _label(share: float, count: int) -> str:
    return "" if not count else f"{share:.0f}" if share >= 1 else "<1"


def _title(text: str, domain: list[float]) -> dict:
    middle = sum(domain) / 2
    place = {"xref": "paper", "yref": "paper", "x": middle, "y": 1.02, "yanchor": "bottom"}
    return {**place, "text": text, "showarrow": False, "font": {"size": 12}}


def _captions(record: Record) -> list[dict]:
    if not record.origin:
        return []
    colour = "#b3261e" if getattr(record.origin, "stand_in", False) else "#666666"
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": -0.36, "xanchor": "left"}
    text = f"data: {record.origin}"
    return [{**place, "text": text, "showarrow": False, "font": {"size": 10, "color": colour}}]
