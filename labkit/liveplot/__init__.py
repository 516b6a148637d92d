"""``LivePlot``: watch the training, keep the picture.

`record` holds what is drawn as plain Python, `throttle` says when, `plotly_figure` and `picture`
say how it looks, `renderers` bring it to the screen, `plot` is the class that students use.
"""

from labkit.liveplot.plot import LivePlot

__all__ = ["LivePlot"]
