"""Grids of images: what is shown is what the pixels are."""

import numpy as np
import pytest
import torch

from labkit.figures import image_grid, split_proportions


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


def test_captions_may_be_numbers_and_what_are_no_images_is_named(tiny):
    figure = image_grid(tiny.test.images[:3], tiny.test.labels[:3])
    assert [ax.get_title() for ax in figure.axes] == [str(int(k)) for k in tiny.test.labels[:3]]
    assert len(image_grid([tiny.test.images[0], tiny.test.images[1]]).axes) == 2
    for wrong, words in (
        (tiny.test, r"give its images, split\.images"),
        (tiny.test.images[0], r"images\[:1\], not images\[0\]"),
        (tiny.test.images.permute(0, 2, 3, 1), r"permute\(0, 3, 1, 2\)"),
        ([tiny.test.images[0], torch.zeros(3, 4, 4)], "must be a tensor"),
    ):
        with pytest.raises(ValueError, match=words):
            image_grid(wrong)


def test_the_totals_of_a_data_set_are_no_class_and_no_split(tiny):
    ax = split_proportions(tiny.counts()).axes[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        f"{name} ({len(split)})" for name, split in tiny.splits.items()
    ]
    heights = sum(bar.get_height() for bar in ax.containers[0])
    assert heights == pytest.approx(100) and len(ax.containers[0]) == len(tiny.classes)
