import numpy as np
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


def test_curves_draw_every_method():
    curve = np.linspace(0, 1, 5), np.linspace([1], [0], 5).T
    figure = lk.figures.faithfulness_curves({"a": curve, "b": curve}, {"a": curve, "b": curve})
    assert [len(ax.lines) for ax in figure.axes] == [2, 2]
