"""What every figure shares: the frame that sets it off from a dark page, in every file format."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from labkit.figures import base


@pytest.fixture
def figure():
    figure, axes = base.new_figure(1, 2, origin="three points")
    axes[0, 0].plot([1, 3, 2])
    axes[0, 1].set_axis_off()  # a tight crop leaves this side out
    return figure


@pytest.mark.parametrize(
    "make",
    [lambda f: f.small_png(), lambda f: base.as_jpeg(f).data, lambda f: drawn_ahead(f)],
    ids=["png", "jpeg", "explore"],
)
def test_the_frame_is_whole_on_all_four_sides(figure, make):
    pixels = np.asarray(Image.open(BytesIO(make(figure))).convert("L"), dtype=int)
    for side in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert abs(side - 0xCC).max() < 40, "no gap"
        assert abs(side - 0xCC).mean() < 6
    assert pixels[2, 3:-3].mean() > 230, "and it is thin"


def drawn_ahead(figure):
    return base.as_png(base.as_picture(figure, 2 * figure.dpi), colours=64)
