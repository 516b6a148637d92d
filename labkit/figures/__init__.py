"""Every static figure of the labs: plain arrays or labkit's objects in, a matplotlib figure out.

A figure names its data; a stand-in is marked in red. Nothing is shown here: a figure appears
when it is the last expression of a cell.
"""

from labkit.figures.base import PALETTE, WIDTH, new_figure
from labkit.figures.explain import (
    attribution_grid,
    faithfulness_curves,
    overlays,
    randomisation_curves,
)
from labkit.figures.images import class_distribution, image_grid, split_proportions
from labkit.figures.ladder import feature_maps, ladder_chart, search_results, shape_trace
from labkit.figures.probes import depth_curves, layer_statistics
from labkit.figures.results import (
    confusion_matrix,
    draw_confusion_matrix,
    draw_curves,
    reliability_diagram,
    run_summary,
    training_curves,
)

__all__ = [
    "PALETTE",
    "WIDTH",
    "attribution_grid",
    "class_distribution",
    "confusion_matrix",
    "depth_curves",
    "draw_confusion_matrix",
    "draw_curves",
    "faithfulness_curves",
    "feature_maps",
    "image_grid",
    "ladder_chart",
    "layer_statistics",
    "new_figure",
    "overlays",
    "randomisation_curves",
    "reliability_diagram",
    "run_summary",
    "search_results",
    "shape_trace",
    "split_proportions",
    "training_curves",
]
