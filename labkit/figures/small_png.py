"""A figure that stores itself in a notebook as a PNG of 256 colours: a third of the size."""

from base64 import b64encode
from io import BytesIO

from matplotlib.figure import Figure
from PIL import Image


class SmallFigure(Figure):
    r"""A matplotlib figure for many small pictures; pass it as ``FigureClass`` to ``new_figure``.

    Example:
        >>> from labkit.figures.base import new_figure
        >>> figure, axes = new_figure(FigureClass=SmallFigure)
        >>> figure.small_png()[:4]
        b'\x89PNG'
    """

    def small_png(self) -> bytes:
        """The figure as a PNG with a palette of its 256 most useful colours."""
        full, small = BytesIO(), BytesIO()
        self.savefig(full, format="png", dpi=self.dpi)
        picture = Image.open(full).convert("RGB")
        # a median cut keeps the colours that pictures and colour bars use most
        picture = picture.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        picture.save(small, format="png", optimize=True)
        return small.getvalue()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        text = f"<figure of {len(self.axes)} panels>"
        data = {"image/png": b64encode(self.small_png()).decode(), "text/plain": text}
        display(data, raw=True)
