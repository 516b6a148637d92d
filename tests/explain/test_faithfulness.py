import numpy as np
import pytest
import torch
from torch import nn

import labkit as lk
from labkit.data import draw_off_centre
from labkit.explain import (
    area_under,
    deletion_curve,
    grad_cam,
    insertion_curve,
    mask_overlap,
    pointing_game,
    randomise_layers,
    rank_correlation,
    saliency,
)


def test_the_pointing_game_on_constructed_maps():
    masks = np.zeros((4, 3, 3), bool)
    masks[:, 1, 1:] = True
    maps = np.zeros((4, 3, 3))
    maps[0, 1, 2] = 1  # inside
    maps[1, 0, 0] = 1  # outside
    maps[2] = -1.0
    maps[2, 1, 1] = -0.5  # all against, least so inside
    # the last one is constant: the share of the mask
    np.testing.assert_allclose(pointing_game(maps, masks), [1, 0, 1, 2 / 9])


def test_the_overlap_on_constructed_maps():
    masks = np.zeros((3, 2, 2), bool)
    masks[:, 0] = True
    maps = np.array([[[3.0, 1], [0, -9]], [[0, 0], [1, 1]], [[0, 0], [0, 0]]])
    table = mask_overlap(maps, masks)
    np.testing.assert_allclose(table["inside"], [1, 0, 0.5])
    np.testing.assert_allclose(table["iou"][:2], [1, 0])
    np.testing.assert_allclose(table["area"], 0.5)
    with pytest.raises(ValueError, match="empty"):
        mask_overlap(maps, np.zeros_like(masks))
    with pytest.raises(ValueError, match=r"\(N, H, W\)"):
        pointing_game(maps, masks[:2])


class First(nn.Module):
    """Looks at the upper left pixel alone."""

    def forward(self, images):
        value = 10 * images[:, 0, 0, 0]
        return torch.stack([value, torch.zeros_like(value)], 1)


def test_deletion_and_insertion_find_the_only_pixel_that_counts():
    images, baseline = torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    right, wrong = np.zeros((2, 4, 4)), np.zeros((2, 4, 4))
    right[:, 0, 0], wrong[:, 0, 0] = 1, -1
    for maps, quick in ((right, True), (wrong, False)):
        shares, curve = deletion_curve(First(), images, maps, 0, baseline, steps=16)
        expected = np.where(shares >= (1 / 16 if quick else 1), 0.5, 1.0)
        np.testing.assert_allclose(curve[0], expected, atol=1e-3)
        shares, curve = insertion_curve(First(), images, maps, 0, baseline, steps=16)
        np.testing.assert_allclose(curve[0], 1.5 - expected, atol=1e-3)
    with pytest.raises(ValueError, match="maps are"):
        deletion_curve(First(), images, right[:, :2])


def test_the_area_of_a_straight_line():
    np.testing.assert_allclose(area_under(np.linspace(0, 1, 11), np.linspace([0], [1], 11).T), 0.5)


def test_randomisation_goes_from_the_top_to_the_bottom_and_spares_the_network():
    torch.manual_seed(0)
    net = lk.models.DeeperCNN(8).eval()
    images = torch.randn(3, 3, 28, 28)
    before = {name: value.clone() for name, value in net.state_dict().items()}

    def explain(n):
        return {"cam": grad_cam(n, n.features[10], images, 0), "size": saliency(n, images, 0)}

    table = randomise_layers(net, explain, draws=(0, 1))
    convs, linears = [f"features.{i}" for i in (17, 14, 10, 7, 3, 0)], (8, 5, 2)
    layers = ["as trained", *(f"classifier.{i}" for i in linears), *convs]
    for _, rows in table.groupby(["draw", "method"]):
        assert rows.layer.tolist() == layers
        assert rows.rank_correlation.iloc[0] == pytest.approx(1)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    one = randomise_layers(net, explain, draws=(1,))
    np.testing.assert_array_equal(table[table.draw == 1].rank_correlation, one.rank_correlation)
    bottom = table[(table.layer == "features.0") & (table.method == "size")].rank_correlation
    assert bottom.iloc[0] != bottom.iloc[1]  # draws differ


def test_what_explain_draws_does_not_change_the_random_weights():
    torch.manual_seed(0)
    net, images = nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), torch.randn(4, 3, 8, 8)

    def draws_too(n):
        torch.rand(17)
        return {"size": saliency(n, images, 0)}

    tables = [
        randomise_layers(net, explain).rank_correlation
        for explain in (draws_too, lambda n: {"size": saliency(n, images, 0)})
    ]
    np.testing.assert_array_equal(*tables)


def test_a_map_that_ignores_the_network_survives_and_one_that_does_not_falls():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    images = torch.randn(4, 3, 8, 8)
    maps = {"deaf": images.mean(1).numpy(), "constant": np.ones((4, 8, 8))}
    table = randomise_layers(net, lambda n: maps | {"honest": saliency(n, images, 0)})
    last = table[table.layer == "1"].set_index("method").rank_correlation
    assert last["deaf"] == pytest.approx(1) and last["constant"] == 0 and abs(last["honest"]) < 0.4


def test_rank_correlation_is_spearmans():
    from scipy.stats import spearmanr

    some, others = np.random.default_rng(0).integers(0, 9, (2, 3, 4, 5))
    expected = [
        spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(some, others, strict=True)
    ]
    assert rank_correlation(some, others) == pytest.approx(np.mean(expected))


def test_drawn_cells_lie_off_the_centre_and_their_masks_fit():
    split = draw_off_centre(10, seed=3)
    cell, nucleus = split.masks["cell"], split.masks["nucleus"]
    assert split.images.shape == (80, 3, 40, 40) and cell.any((1, 2)).all()
    assert not (nucleus & ~cell).any()
    middle = np.array([np.argwhere(mask).mean(0) for mask in cell])
    assert middle.std(0).min() > 4  # pixels
    again = draw_off_centre(10, seed=3)
    assert torch.equal(again.images, split.images)
    assert not torch.equal(draw_off_centre(10, seed=4).images, split.images)
    # cells are darker than what is around them
    grey = split.images.float().mean(1).numpy()
    assert (grey[cell].mean() + 30) < grey[~cell].mean()


def test_weights_that_cannot_be_randomised_are_refused():
    attention = nn.Sequential(nn.Linear(4, 4), nn.MultiheadAttention(4, 1))
    with pytest.raises(ValueError, match="no reset_parameters: 1"):
        randomise_layers(attention, lambda n: {})
    first = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3))
    with pytest.raises(ValueError, match=r"begins with batch normalisation \(0\), before"):
        randomise_layers(first, lambda n: {})


def test_a_map_of_nan_is_no_map_at_chance_level():
    maps, masks = np.zeros((3, 2, 2)), np.ones((3, 2, 2), bool)
    maps[1, 0, 0] = np.nan
    net, pictures = nn.Flatten(), torch.rand(3, 1, 2, 2)
    for ask in (
        lambda: pointing_game(maps, masks),
        lambda: mask_overlap(maps, masks),
        lambda: deletion_curve(net, pictures, maps),
        lambda: insertion_curve(net, pictures, maps),
        lambda: rank_correlation(maps, 0 * masks),
    ):
        with pytest.raises(ValueError, match="1 of 3 maps hold NaN"):
            ask()


def test_maps_of_two_shapes_are_not_compared():
    with pytest.raises(ValueError, match=r"\(2, 3, 3\) and \(3, 3, 3\)"):
        rank_correlation(np.ones((2, 3, 3)), np.ones((3, 3, 3)))


@pytest.mark.parametrize("curve", [deletion_curve, insertion_curve])
def test_one_baseline_serves_all_images(curve):
    pictures, maps = torch.rand(3, 1, 2, 2), np.random.default_rng(0).random((3, 2, 2))
    expected = curve(nn.Flatten(), pictures, maps, 0, torch.full((3, 1, 2, 2), 0.5))[1]
    for baseline in (0.5, torch.full((1, 1, 2, 2), 0.5)):
        np.testing.assert_array_equal(curve(nn.Flatten(), pictures, maps, 0, baseline)[1], expected)
    with pytest.raises(ValueError, match="baseline has the shape"):
        curve(nn.Flatten(), pictures, maps, 0, torch.zeros(2, 1, 2, 2))
    with pytest.raises(ValueError, match="steps is 0"):
        curve(nn.Flatten(), pictures, maps, 0, steps=0)
