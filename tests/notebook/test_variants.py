"""The check of lab 05's variants on networks that are far from the plan."""

import pytest
from torch import nn

from labkit.notebook.variants import judge_variants


class NoLinear(nn.Module):
    """Eight numbers of the maps, as they are."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Sequential(
            *(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten()),
        )

    def forward(self, images):
        return self.maps(images)[:, :8]


def test_a_network_without_linear_layers_is_told_so():
    with pytest.raises(AssertionError, match=r"the linear layers are \[\], not \[\(800, 128\)"):
        judge_variants({"second_norm": NoLinear})
