"""How a live plot comes to the screen: `draw` while training, `settle` once at the end.

Each renderer keeps one output of one cell. A FigureWidget moves well in JupyterLab but dies with
its kernel; plotly's own output survives but JupyterLab does not redraw it; a picture does both,
without interaction. So a widget or a picture moves, and `settle` puts one static output in its
place that holds both an interactive figure and a picture.
"""

import base64
import math
from typing import Any, Protocol

from labkit.display import front_end
from labkit.liveplot.moving_picture import moving_picture
from labkit.liveplot.picture import picture
from labkit.liveplot.plotly_figure import plotly_figure
from labkit.liveplot.record import Record


class Renderer(Protocol):
    """What a live plot asks of a renderer."""

    def draw(self, record: Record) -> None:
        """Show the present state."""

    def settle(self, record: Record) -> None:
        """Leave the last state, so that it outlives the kernel."""


class StillRenderer:
    """Nothing while training, one static output at the end: for nbclient, nbval and CI."""

    def __init__(self) -> None:
        self._output: Any = None  # IPython's handle of the one output

    def draw(self, record: Record) -> None:
        """Do nothing: nobody watches."""

    def settle(self, record: Record) -> None:
        """Put interactive figure, picture and description into one output."""
        png = base64.b64encode(picture(record)).decode()
        figure = {"application/vnd.plotly.v1+json": plotly_figure(record)}
        self._put({**figure, "image/png": png}, record)

    def _put(self, bundle: dict[str, Any], record: Record) -> None:
        from IPython.display import display

        alt = record.description()
        bundle = {**bundle, "text/plain": alt}
        metadata = {"image/png": {"alt": alt}}
        if self._output is None:
            self._output = display(bundle, metadata=metadata, raw=True, display_id=True)
        else:
            self._output.update(bundle, metadata=metadata, raw=True)


class ImageRenderer(StillRenderer):
    """A picture, drawn anew: works in every front end."""

    def draw(self, record: Record) -> None:
        """Replace the picture."""
        self._put({"image/svg+xml": moving_picture(record)}, record)


class WidgetRenderer(StillRenderer):
    """A plotly FigureWidget: interactive while it moves. For JupyterLab and Notebook 7."""

    def __init__(self) -> None:
        super().__init__()
        self._widget: Any = None

    def draw(self, record: Record) -> None:
        """Send what has changed, in one message."""
        figure = plotly_figure(record)
        if self._widget is None:
            self._open(figure, record)
        elif len(self._widget.data) != len(figure["data"]):
            self._widget.data = ()
            self._widget.update_layout(figure["layout"])
            self._widget.add_traces(figure["data"])
        else:
            self._update(figure)

    def _open(self, figure: dict, record: Record) -> None:
        from plotly.graph_objects import FigureWidget

        self._widget = FigureWidget(figure)
        bundle = self._widget._repr_mimebundle_()
        bundle = bundle[0] if isinstance(bundle, tuple) else bundle  # or with metadata
        self._put(dict(bundle), record)

    def _update(self, figure: dict) -> None:
        with self._widget.batch_update():
            for trace, new in zip(self._widget.data, figure["data"], strict=True):
                keys = ("x", "y", "z", "text") if new["type"] == "heatmap" else ("x", "y", "mode")
                trace.update({key: new[key] for key in keys}, overwrite=True)
            self._widget.layout.title.text = figure["layout"]["title"]["text"]

    def settle(self, record: Record) -> None:
        """Put the static output in the widget's place and close the widget."""
        super().settle(record)
        if self._widget is not None:
            self._widget.close()
            self._widget = None


class TextRenderer:
    """A line an epoch, for terminals."""

    def __init__(self) -> None:
        self._last = ""

    def draw(self, record: Record) -> None:
        """Print the latest values, once."""
        values = [f"{c.full_name} {c.y[-1]:.4f}" for c in record.curves() if _worth(c)]
        line = ", ".join(values)
        if line and line != self._last:
            print(f"{record.headline()}: {line}")
        self._last = line

    def settle(self, record: Record) -> None:
        """Print the last state, if it has not been printed."""
        self.draw(record)


def _worth(curve: Any) -> bool:
    return bool(curve.y) and curve.part != "batches" and math.isfinite(curve.y[-1])


RENDERERS = {"widget": WidgetRenderer, "image": ImageRenderer, "text": TextRenderer}
_AUTOMATIC = {
    "jupyter": WidgetRenderer,
    "notebook": ImageRenderer,
    "terminal": TextRenderer,
    "unattended": StillRenderer,
}


def make_renderer(name: str) -> Renderer:
    """Make the renderer of a name; ``"auto"`` follows the front end.

    Args:
        name: ``"auto"``, ``"widget"``, ``"image"`` or ``"text"``.

    Returns:
        A new renderer.

    Example:
        >>> type(make_renderer("auto")).__name__
        'TextRenderer'
    """
    return _AUTOMATIC[front_end()]() if name == "auto" else RENDERERS[name]()
