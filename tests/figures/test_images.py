"""Grids of images: what is shown is what the pixels are."""

import numpy as np
import pytest
import torch

from labkit.figures import image_grid


def test_a_grid_of_no_images_says_so():
    figure = image_grid(torch.zeros(0, 3, 8, 8), title="The mistakes", origin="drawn")
    assert figure.axes[0].get_xlabel() == "no images"
    assert figure.get_suptitle() == "The mistakes"


@pytest.mark.parametrize(("dtype", "white"), [(torch.uint8, 255), (torch.float32, 1)])
def test_a_dark_grey_image_looks_dark(dtype, white):
    dark = torch.linspace(0, white // 4 if white > 1 else 0.25, 64).reshape(1, 1, 8, 8).to(dtype)
    shown = image_grid(dark).axes[0].images[0]
    assert shown.get_clim() == (0, white)
    np.testing.assert_array_equal(shown.get_array(), dark[0, 0])


def test_images_with_a_gradient_are_shown():
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    assert len(image_grid(images).axes[1].images) == 1
