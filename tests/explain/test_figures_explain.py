import numpy as np
import pandas as pd
import pytest
import torch

import labkit as lk


def test_overlays_have_a_row_for_the_pictures_and_one_for_each_map():
    maps = {"a": np.random.rand(3, 8, 8), "b": np.zeros((3, 8, 8))}
    for signed in (False, True):
        figure = lk.figures.overlays(
            torch.rand(3, 3, 8, 8), maps, ["x", "y", "z"], origin="mine", signed=signed
        )
        assert len(figure.axes) == 9 + 1  # and the colour bar
        assert figure.get_supxlabel() == "data: mine"


def test_pictures_and_maps_stand_in_line_whichever_way_the_grid_lies():
    for pictures, count in ((3, 5), (5, 3), (3, 3)):
        maps = {str(n): np.random.rand(pictures, 8, 8) for n in range(count)}
        figure = lk.figures.overlays(torch.rand(pictures, 3, 8, 8), maps, ["x"] * pictures)
        figure.draw_without_rendering()
        boxes = [ax.get_position() for ax in figure.axes[:-1]]
        assert len(boxes) == pictures * (count + 1)
        for values, lines in (
            ([b.x0 for b in boxes], max(pictures, count + 1)),
            ([b.y0 for b in boxes], min(pictures, count + 1)),
        ):
            assert len(np.unique(np.round(values, 3))) == lines


def test_one_extreme_pixel_does_not_hide_the_rest_of_a_map():
    values = np.full((1, 30, 30), 0.5)
    values[0, 0, 0] = 100
    figure = lk.figures.overlays(torch.rand(1, 3, 30, 30), {"m": values})
    assert figure.axes[1].images[-1].get_array().min() == 1


def test_the_band_of_the_randomisation_test_spans_the_draws():
    rows = [(d, layer, "a", v) for d in (0, 1) for layer, v in (("as trained", 1.0), ("top", d))]
    table = pd.DataFrame(rows, columns=["draw", "layer", "method", "rank_correlation"])
    figure = lk.figures.randomisation_curves(table, {"signed": ["a"], "absolute": ["a"]})
    line, band = figure.axes[0].lines[0], figure.axes[0].collections[0].get_paths()[0].vertices
    assert line.get_ydata().tolist() == [1.0, 0.5]
    at_top = band[band[:, 0] == 1][:, 1]
    assert (at_top.min(), at_top.max()) == (0, 1)


def test_attributions_share_one_symmetric_scale():
    values = np.random.default_rng(0).normal(size=(2, 3, 3, 8, 8))
    values[1] *= 100
    images = torch.randint(0, 255, (2, 1, 8, 8), dtype=torch.uint8)
    figure = lk.figures.attribution_grid(images, values, ["r", "s"], ["k", "l", "m"])
    limits = {ax.images[-1].get_clim() for ax in figure.axes[1:4] + figure.axes[5:8]}
    assert len(limits) == 1
    low, high = limits.pop()
    assert low == -high


def test_the_stored_picture_is_small_and_opens():
    figure = lk.figures.overlays(torch.rand(2, 3, 28, 28), {"m": np.random.rand(2, 28, 28)})
    png = figure.small_png()
    assert png[:4] == b"\x89PNG" and len(png) < 60_000


@pytest.mark.parametrize("count", [2, 20])
def test_curves_draw_every_method(count):
    curve = np.linspace(0, 1, 5), np.linspace([1], [0], 5).T
    methods = {f"method {number}": curve for number in range(count)}
    figure = lk.figures.faithfulness_curves(methods, methods)
    assert [len(ax.lines) for ax in figure.axes] == [count, count]


def test_a_map_smaller_than_the_picture_covers_all_of_it():
    figure = lk.figures.overlays(torch.rand(2, 3, 28, 20), {"coarse": np.ones((2, 7, 5))})
    assert {tuple(ax.images[-1].get_extent()) for ax in figure.axes[:4]} == {
        (-0.5, 19.5, 27.5, -0.5)
    }
    grid = lk.figures.attribution_grid(torch.rand(2, 3, 28, 20), np.ones((2, 3, 7, 5)))
    assert {tuple(ax.images[-1].get_extent()) for ax in grid.axes[:8]} == {(-0.5, 19.5, 27.5, -0.5)}
    with pytest.raises(ValueError, match="one for each of 2 pictures"):
        lk.figures.overlays(torch.rand(2, 3, 8, 8), {"of others": np.ones((3, 8, 8))})
    with pytest.raises(ValueError, match="maps must have names"):
        lk.figures.overlays(torch.rand(2, 3, 8, 8), np.ones((2, 8, 8)))
