"""What every figure shares: the palette, the width of a notebook, the line that names the data."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

# Okabe and Ito (2008): eight colours that people with any colour blindness tell apart
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
WIDTH = 9.0  # inches: fills a notebook of 900 pixels


def new_figure(
    rows: int = 1, columns: int = 1, height: float = 3.6, origin: str = "", **options: object
) -> tuple[Figure, np.ndarray]:
    """Make a figure of notebook width whose bottom line names the data.

    Args:
        rows: rows of panels.
        columns: columns of panels.
        height: in inches.
        origin: which data the figure shows.
        **options: passed on to ``matplotlib.pyplot.subplots``.

    Returns:
        The figure, and its axes as an array (rows, columns).

    Example:
        >>> figure, axes = new_figure(1, 2, origin="my data")
        >>> axes.shape
        (1, 2)
    """
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(WIDTH, height),
        dpi=80,
        squeeze=False,
        layout="constrained",
        **options,
    )
    plt.close(figure)  # else the notebook would show it twice
    if origin:
        stand_in = origin.startswith("STAND-IN")
        colour, weight = ("#b3261e", "bold") if stand_in else ("0.4", "normal")
        figure.supxlabel(f"data: {origin}", fontsize=8, color=colour, weight=weight)
    return figure, axes
