"""What every figure shares: the width of a notebook, the line that names the data, file formats."""

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image as Shown
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageOps

from labkit.display import PALETTE, STAND_IN_COLOUR

__all__ = ["PALETTE", "WIDTH", "as_jpeg", "new_figure"]

WIDTH = 9.0  # inches: fills a notebook of 900 pixels
FRAME = "#cccccc"


def new_figure(
    rows: int = 1, columns: int = 1, height: float = 3.6, origin: str = "", **options: object
) -> tuple[Figure, np.ndarray]:
    """Make a figure of notebook width whose bottom line names the data.

    Args:
        rows: rows of panels.
        columns: columns of panels.
        height: in inches.
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
        FigureClass=SmallFigure,
        **options,
    )
    plt.close(figure)  # else the notebook would show it twice
    if origin:
        stand_in = getattr(origin, "stand_in", False)
        colour, weight = (STAND_IN_COLOUR, "bold") if stand_in else ("0.4", "normal")
        figure.supxlabel(f"data: {origin}", fontsize=8, color=colour, weight=weight)
    return figure, axes


def as_images(images: torch.Tensor | np.ndarray | Sequence) -> torch.Tensor:
    """Images (N, 1 or 3, H, W) as a tensor.

    Raises:
        ValueError: for another shape; says what to write instead.
    """
    if hasattr(images, "subset"):
        raise ValueError(f"These are {images!r}: give its images, split.images[:8].")
    try:
        given = [torch.as_tensor(each) for each in images] if type(images) in (list, tuple) else []
        images = torch.stack(given) if given else torch.as_tensor(images)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"images must be a tensor (N, C, H, W): {error}") from None
    if len(images) and (images.ndim != 4 or images.shape[1] not in (1, 3)):
        one = "a single image is images[:1], not images[0]; " if images.ndim < 4 else ""
        raise ValueError(
            f"images have the shape {tuple(images.shape)}; it must be (N, C, H, W) with C of 1 or "
            f"3: {one}colours that stand last go to the front with permute(0, 3, 1, 2)."
        )
    return images


def as_captions(titles: Sequence, width: int, whole_words: bool = False) -> list[str]:
    """Captions in lines of so many letters; numbers are written out."""
    titles = titles.tolist() if hasattr(titles, "tolist") else titles
    return [fill(str(title), width, break_long_words=not whole_words) for title in titles]


class SmallFigure(Figure):
    r"""A matplotlib figure that a notebook stores as a PNG with a palette, a third of the size.

    Example:
        >>> figure, axes = new_figure()
        >>> figure.small_png()[:4]
        b'\x89PNG'
    """

    def small_png(self) -> bytes:
        """The figure as a PNG with a palette of its 256 most useful colours."""
        return as_png(as_picture(self, self.dpi, bbox_inches="tight"), colours=256)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        text = f"<figure of {len(self.axes)} panels>"
        data = {"image/png": b64encode(self.small_png()).decode(), "text/plain": text}
        display(data, raw=True)


def as_picture(figure: Figure, dpi: float, margin: int = 0, **options: object) -> Image.Image:
    """A figure as a picture with a quiet frame, which sets it off from any page, light or dark."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=dpi, **options)
    picture = ImageOps.expand(Image.open(file).convert("RGB"), margin, "white")
    # drawn here, because what is cropped tightly loses the frame that matplotlib draws
    ImageDraw.Draw(picture).rectangle((0, 0, picture.width - 1, picture.height - 1), outline=FRAME)
    return picture


def as_png(picture: Image.Image, colours: int) -> bytes:
    """A picture as a PNG with a palette, a third of the size."""
    file = BytesIO()
    # a median cut keeps the colours that pictures and colour bars use most
    small = picture.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small.save(file, format="png", optimize=True)
    return file.getvalue()


def as_jpeg(figure: Figure) -> Shown:
    """A figure of photographs as a JPEG, which takes a fifth of the room of a PNG."""
    buffer = BytesIO()
    smaller = {"optimize": True, "progressive": True}  # by a tenth, with the same pixels
    # JPEG works on squares of 8 pixels: what is drawn in that of the frame would blur it
    picture = as_picture(figure, dpi=90, margin=8)
    picture.save(buffer, format="jpeg", quality=60, **smaller)
    return Shown(buffer.getvalue(), format="jpeg", width=picture.width)
