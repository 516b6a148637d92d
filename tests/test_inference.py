"""What a network is asked: the usual slips are named wherever its outputs are wanted."""

import re

import pytest
import torch
from torch import nn

from labkit.inference import outputs_of


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))


class Pair(nn.Module):
    def forward(self, images):
        return images, images


@pytest.mark.parametrize(
    ("model", "images", "kind", "message"),
    [
        (network(), torch.zeros(2, 3, 8, 8).numpy(), TypeError, "torch.as_tensor(images)"),
        (network(), [torch.zeros(3, 8, 8)], TypeError, "images is of type list"),
        (network(), torch.zeros(2, 3, 8, 8, dtype=torch.uint8), ValueError, "images are uint8"),
        (network(), torch.zeros(2, 3, 8, 8).double(), ValueError, "images are float64"),
        (network(), torch.zeros(3, 8, 8), ValueError, "images[None] of a single image"),
        (network()[0], torch.zeros(5, 8, 8), ValueError, "images[:, None] of grey ones"),
        (network(), torch.zeros(2, 8, 8, 3), ValueError, "with the colours last"),
        (Pair(), torch.zeros(2, 3), TypeError, "The model gives a tuple"),
    ],
)
def test_what_a_network_cannot_take_or_give_is_named(model, images, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        outputs_of(model, images)
    assert model.training  # given back also after an error
