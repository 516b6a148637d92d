"""How a cell is drawn: arithmetic on a grid of coordinates from -1 to 1, whole chunks at once.

An ellipse is the cell, up to five lobes along an arc its nucleus, spots on a jittered lattice its
granules.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

MAX_LOBES = 5
CHUNK_PIXELS = 2**17  # arrays that fit the processor's cache

# A row a kind; each pair is the range a cell is drawn from, in the order of the columns below.
# `radius`, `ripple` and `grain` (the pitch of the granules) are in half image widths, `lobe` and
# `arc` in cell radii: `lobes` lobes sit `step` radians apart on an arc, so one lobe is round, two
# are oval or bilobed, three close ones a kidney, five a band or segments. `chance` is the share of
# granules that is there. Tuned so that at 28 pixels an MLP gets about 85 % and a small CNN about
# 94 %; less overlap is easy for both.
_SHAPES = """
radius   lobes  lobe     arc      step     chance   grain    ripple
.46 .62  2 3    .40 .55  .20 .40  1.2 2.2  .40 .95  .10 .13  .02 .05   basophil
.48 .64  2 3    .30 .40  .36 .46  1.3 2.4  .40 1.0  .10 .12  .02 .05   eosinophil
.30 .50  1 1    .46 .70  .00 .30  1.0 1.0  .00 .10  .10 .12  .02 .05   erythroblast
.48 .72  2 3    .40 .62  .22 .44  0.7 1.2  .10 .80  .08 .10  .02 .06   immature granulocyte
.38 .58  1 2    .68 .90  .00 .18  0.5 0.9  .00 .15  .10 .12  .02 .05   lymphocyte
.50 .74  2 4    .36 .52  .26 .45  0.7 1.2  .00 .30  .08 .12  .03 .08   monocyte
.48 .66  3 5    .21 .29  .40 .54  0.9 1.3  .20 .80  .08 .10  .02 .05   neutrophil
.12 .26  0 0    .30 .30  .00 .00  1.0 1.0  .50 .90  .08 .10  .01 .03   platelet
.48 .66  1 2    .66 .82  .00 .20  0.5 0.9  .40 .90  .10 .14  .02 .05   B cell
.38 .54  1 2    .76 .90  .00 .12  0.5 0.9  .00 .40  .10 .14  .02 .05   T cell
"""
# The cytoplasm lies between its two colours; `over`: do the granules cover the nucleus too?
_COLOURS = """
cytoplasm      granule  nucleus  over
be96be a073aa  3e1969   5f378c   1     basophil
ebb4b4 cd8caf  cd7382   552e8a   0     eosinophil
c3afb9 9687af  9678aa   40206e   0     erythroblast
d7a5be 9b73b4  a0649b   603592   0     immature granulocyte
b4a0cd 8c78be  9664aa   4c267a   0     lymphocyte
c8aac8 967db9  d2bed7   603592   0     monocyte
ebbec3 cd9bb9  c38caa   522c87   0     neutrophil
cda5cd a57db9  6e3c8c   502882   0     platelet
b4a0cd 9682be  9664aa   4c267a   0     B cell
b4a0cd 9682be  9664aa   4c267a   0     T cell
"""


@dataclass
class _Cells:
    """Every property of n cells: columns (n, 1), or (n, 3) for colours, (n, lobes) for lobes."""

    radius: np.ndarray
    shift: list[np.ndarray]  # of the middle, across and down
    squash: np.ndarray
    angle: np.ndarray
    ripple: np.ndarray
    phase: list[np.ndarray]  # of the ripple (2) and of the texture (2)
    lobe: np.ndarray  # the size of a lobe
    lobe_x: np.ndarray
    lobe_y: np.ndarray
    lobe_size: np.ndarray  # of each lobe; 0 for those that are not there
    grain: np.ndarray
    chance: np.ndarray
    over: np.ndarray
    offset: list[np.ndarray]  # of the lattices of red cells (2) and granules (2)
    red_chance: np.ndarray
    cytoplasm: np.ndarray
    granule: np.ndarray
    nucleus: np.ndarray
    mottle: np.ndarray  # how much the nucleus' density varies
    strength: np.ndarray  # of the stain
    tint: np.ndarray
    light: np.ndarray
    slope: list[np.ndarray]  # of the light, across and down
    brightness: np.ndarray
    soft: np.ndarray  # the width of an edge
    noise: np.ndarray
    film: np.ndarray  # where the cell's noise begins


def paint_chunks(
    kinds: np.ndarray, size: int, seed: int, grey: bool = False, field: float = 1.0
) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield rows, images, nucleus and cell masks, chunk by chunk.

    ``field`` is how far one sees, in half widths of the usual image: photographs show more.
    """
    # Row i of `uniform` belongs to cell i however many rows there are: chunks cannot matter.
    uniform = np.random.default_rng([seed, 0]).random((len(kinds), 64), dtype=np.float32)
    spots = np.random.default_rng([seed, 1]).random((3, 2**16), dtype=np.float32)
    noise = np.random.default_rng([seed, 2]).standard_normal(2**20, dtype=np.float32)
    axis = np.linspace(-field, field, 2 * size + 1, dtype=np.float32)[1::2]
    x, y = np.tile(axis, size), np.repeat(axis, size)
    step = max(1, CHUNK_PIXELS // size**2)
    for start in range(0, len(kinds), step):
        rows = slice(start, min(start + step, len(kinds)))
        cells = _describe(kinds[rows], uniform[rows], axis, grey)
        density, nucleus, cell = _paint(x, y, cells, spots)
        image = _develop(x, y, density, cells, noise)
        if grey:
            image = image.mean(1, keepdims=True, dtype=np.float32).astype(np.uint8)
        square = (-1, size, size)
        image = image.reshape(-1, image.shape[1], size, size)
        yield rows, image, nucleus.reshape(square), cell.reshape(square)


def _describe(kinds: np.ndarray, uniform: np.ndarray, axis: np.ndarray, grey: bool) -> _Cells:
    """Draw every property of some cells. The order of the draws decides which cells they are."""
    columns = iter(uniform.T[:, :, None])

    def between(low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
        return low + (high - low) * next(columns)

    likeness = 0.48 * between(0, 1) ** 3  # half is the border between the two kinds
    table = _TABLE[kinds] + likeness * (_TABLE[_NEIGHBOUR[kinds]] - _TABLE[kinds])
    ranges, colours, over = np.split(table, [16, 28], axis=1)
    radius, lobes, lobe, arc, step, chance, grain, ripple = (
        between(ranges[:, [2 * k]], ranges[:, [2 * k + 1]]) for k in range(8)
    )
    radius *= between(0.85, 1.15)
    shift = [between(-0.1, 0.1) for _ in "xy"]
    squash, angle = between(1.0, 1.15), between(0, 2 * np.pi)
    phase = [between(0, 2 * np.pi) for _ in range(4)]
    soft, mottle = between(0.015, 0.07) + axis[1] - axis[0], between(0.05, 0.25)
    offset = [between(0, 999) for _ in range(4)]
    number, there = np.arange(MAX_LOBES, dtype=np.float32), np.floor(lobes)
    turn = np.hstack([between(-0.2, 0.2) for _ in number]) + (number - (there - 1) / 2) * step
    lobe_size = lobe * np.hstack([between(0.85, 1.15) for _ in number]) * (number < there)
    first, second, granule, nucleus = np.split(colours, 4, axis=1)
    cytoplasm, nucleus = between(first, second), nucleus * between(0.85, 1.15)
    red_chance, strength = between(0.2, 0.8), between(0.85, 1.15)
    tint = np.hstack([between(0.95, 1.05) for _ in "rgb"])
    light = between(_WARM, _WARM + (_COOL - _WARM) * next(columns) ** 3)
    slope = [between(-0.06, 0.06) for _ in "xy"]
    brightness, noise, film = between(-0.05, 0.05), between(2, 6), next(columns)
    if grey:
        red_chance, strength = np.zeros_like(film), 0.5 * strength
        light, tint = _GREY, np.ones(3, np.float32)
    return _Cells(
        *(radius, shift, squash, angle, ripple, phase),
        *(lobe, arc * np.cos(turn), arc * np.sin(turn), lobe_size),
        *(grain, chance, over, offset, red_chance, cytoplasm, granule, nucleus, mottle),
        *(strength, tint, light, slope, brightness, soft, noise, film),
    )


def _outline(x: np.ndarray, y: np.ndarray, cells: _Cells) -> tuple[np.ndarray, ...]:
    """Signed distances (n, pixels) to the cell and to its nucleus, negative inside."""
    p = cells.phase
    dx = x - cells.shift[0] + cells.ripple * np.sin(6 * y + p[0])
    dy = y - cells.shift[1] + cells.ripple * np.sin(6 * x + p[1])
    c, s = np.cos(cells.angle) / cells.radius, np.sin(cells.angle) / cells.radius
    a, b = (c * dx + s * dy) * cells.squash, (c * dy - s * dx) / cells.squash
    cell = (np.sqrt(a * a + b * b) - 1) * cells.radius
    pull = np.full_like(cell, 1e-9)
    for k in range(MAX_LOBES):  # near lobes melt into one another, as drops do
        across, along = a - cells.lobe_x[:, [k]], b - cells.lobe_y[:, [k]]
        near = cells.lobe_size[:, [k]] ** 2 / (across * across + along * along + 1e-3)
        near *= near
        pull += near * near
    nucleus = (pull ** np.float32(-1 / 8) - 1) * cells.lobe * cells.radius
    return cell, np.maximum(nucleus, cell + 0.03)


def _scatter(
    x: np.ndarray, y: np.ndarray, pitch: np.ndarray | float, spots: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offsets to the one spot in each square of a lattice, and a number in 0..1 for the square.

    A pixel looks at a single spot however many there are, which is what makes granules cheap.
    """
    # Bent, and every other row moved by half a square: a plain lattice catches the eye.
    x, y = (x + 0.15 * pitch * np.sin(2 * y / pitch)) / pitch, y / pitch
    row = np.floor(y)
    x += 0.5 * (row % 2)
    column = np.floor(x)
    key = (column.astype(np.int32) * 73 + row.astype(np.int32) * 1009) & 0xFFFF
    jitter_x, jitter_y, number = spots[0][key], spots[1][key], spots[2][key]
    middle_x, middle_y = column + 0.3 + 0.4 * jitter_x, row + 0.3 + 0.4 * jitter_y
    return (x - middle_x) * pitch, (y - middle_y) * pitch, number


def _paint(
    x: np.ndarray, y: np.ndarray, cells: _Cells, spots: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Density of stain (n, 3, pixels) and the masks of nucleus and cell (n, pixels)."""

    def cover(distance: np.ndarray) -> np.ndarray:
        return np.clip(0.5 - distance / cells.soft, 0, 1)

    o = cells.offset
    dx, dy, number = _scatter(x + o[0], y + o[1], 0.72, spots)
    distance = np.sqrt(dx * dx + dy * dy)
    disc = cover(distance - 0.19 - 0.2 * number * cells.red_chance) * (number < cells.red_chance)
    hollow = 1 - 0.8 * np.clip(1.2 - distance / 0.18, 0, 1)
    density = _RED_CELL[:, None] * (disc * hollow)[:, None]

    cell, nucleus = _outline(x, y, cells)
    bent_x, bent_y = (3 * np.sin(8 * z + cells.phase[0]) for z in (x - y, x + y))
    texture = np.sin(15 * x + bent_x + cells.phase[2]) * np.sin(17 * y + bent_y + cells.phase[3])
    inside, core = cover(cell), cover(nucleus)
    density += inside[:, None] * (cells.cytoplasm[:, :, None] - density)
    chromatin = cells.nucleus[:, :, None] * (1 + cells.mottle * texture)[:, None]
    density += core[:, None] * (chromatin - density)
    dx, dy, number = _scatter(x + o[2], y + o[3], cells.grain, spots)
    grains = cover(np.sqrt(dx * dx + dy * dy) - 0.3 * cells.grain) * (number < cells.chance)
    grains *= inside * (1 - core * (1 - cells.over))
    density += grains[:, None] * (cells.granule[:, :, None] - density)
    return density, nucleus < 0, cell < 0


def _develop(
    x: np.ndarray, y: np.ndarray, density: np.ndarray, cells: _Cells, noise: np.ndarray
) -> np.ndarray:
    """Turn densities into uint8: light that varies, stain that varies, noise of the sensor."""
    density *= (cells.strength * cells.tint)[:, :, None]
    glow = cells.brightness + cells.slope[0] * x + cells.slope[1] * y
    density -= glow[:, None]
    density += cells.light[..., None]
    image = 255 * np.exp(-density)
    # A slice of one long film of noise a cell: drawing it anew would take as long as the cells.
    flat = image.reshape(len(image), -1)
    for picture, start, level in zip(flat, cells.film, cells.noise, strict=True):
        first = int(start[0] * (len(noise) - picture.size))
        picture += level * noise[first : first + picture.size]
    return np.clip(image, 0, 255).astype(np.uint8)


def _rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()[1:]]


def _density(*colours: str) -> np.ndarray:
    # Stains absorb: densities add up and scale with the strength of the stain, colours do not.
    return -np.log(np.array([list(bytes.fromhex(c)) for c in colours], np.float32) / 255)


_RANGES = np.array([row[:16] for row in _rows(_SHAPES)], np.float32)
_RANGES[:, 3] += 0.999  # the number of lobes is rounded down
_STAINS = [[*_density(*row[:4]).ravel(), float(row[4])] for row in _rows(_COLOURS)]
_TABLE = np.hstack([_RANGES, np.array(_STAINS, np.float32)])
_NEIGHBOUR = np.array([3, 6, 4, 5, 2, 3, 3, 7, 8, 9])  # which kind each kind is mistaken for
_WARM, _COOL, _GREY, _RED_CELL = _density("ffe6cd", "e6e6f5", "b4b4b4", "d2b4b4")
