"""Pictures whose evidence is known: drawn cells off the centre, with their masks."""

import numpy as np
import torch

from labkit.data.classes import BLOOD_CLASSES
from labkit.data.drawn.paint import paint_chunks
from labkit.data.image_split import ImageSplit

SIDE, FIELD, DRAWN = 40, 2.4, 68  # pixels of the cut-out; half widths drawn; pixels drawn


def draw_off_centre(per_class: int, seed: int = 0) -> ImageSplit:
    """Draw cells as large as BloodMNIST's, anywhere in pictures of 40 x 40 pixels.

    In centred pictures a map that always points to the middle would pass every test. Here the
    cell is cut out of a wider view at a random place; only the cell depends on the class.

    Args:
        per_class: pictures of each of the eight classes, in random order.
        seed: which cells; other seeds give other cells.

    Returns:
        Images uint8 (8 · per_class, 3, 40, 40) with the masks ``"cell"`` and ``"nucleus"``.

    Example:
        >>> split = draw_off_centre(2)
        >>> split.images.shape, split.masks["cell"].shape
        (torch.Size([16, 3, 40, 40]), (16, 40, 40))
    """
    random = np.random.default_rng([seed, 7])
    labels = random.permutation(np.repeat(np.arange(len(BLOOD_CLASSES)), per_class))
    corners = random.integers(0, DRAWN - SIDE + 1, (len(labels), 2))
    images = np.empty((len(labels), 3, SIDE, SIDE), np.uint8)
    nucleus, cell = (np.empty((len(labels), SIDE, SIDE), bool) for _ in range(2))
    for rows, *drawn in paint_chunks(labels, DRAWN, seed, field=FIELD):
        for target, wide in zip((images, nucleus, cell), drawn, strict=True):
            for row, picture in zip(range(rows.start, rows.stop), wide, strict=True):
                y, x = corners[row]
                target[row] = picture[..., y : y + SIDE, x : x + SIDE]
    origin = f"drawn cells, off the centre, with known masks (seed {seed})"
    masks = {"cell": cell, "nucleus": nucleus}
    return ImageSplit(
        torch.from_numpy(images), torch.from_numpy(labels), BLOOD_CLASSES, origin, None, masks
    )
