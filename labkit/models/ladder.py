"""The rungs of lab 05, from one linear map to a wide network.

Every network takes images (B, channels, H, W) and gives logits (B, classes). ``num_classes`` says
how many logits, ``in_channels`` is 3 for colour and 1 for grey, ``side`` the height and width of
the images in pixels. What extracts the features is called ``features``, what decides on them
``classifier``. Each activation is an object of its own and works out of place: explanations by
hooks and by DeepLIFT need that (lab 07).
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class SoftmaxRegression(nn.Sequential):
    """One affine map from pixels to logits.

    Input (B, channels, side, side). With 28-pixel colour images and 8 classes it has 18,824
    parameters.

    Example:
        >>> SoftmaxRegression()(torch.zeros(4, 3, 28, 28)).shape
        torch.Size([4, 8])
    """

    def __init__(self, num_classes: int = 8, in_channels: int = 3, side: int = 28) -> None:
        super().__init__(nn.Flatten(), nn.Linear(in_channels * side**2, num_classes))


class Rung(nn.Module):
    """Features, then a classifier."""

    features: nn.Module
    classifier: nn.Module

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, channels, H, W) to logits (B, classes)."""
        return self.classifier(self.features(images))


def mean_and_linear(features: int, hidden: Sequence[int], num_classes: int) -> nn.Sequential:
    """The mean of each feature map, then linear layers with ReLU and dropout between them."""
    layers = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    for n_in, n_out in pairwise((features, *hidden)):
        layers += [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], num_classes))


class OneFilterCNN(Rung):
    """One filter of 2x2, a pooling of 2, one linear layer: the smallest network with a convolution.

    Input (B, channels, side, side). With grey 32-pixel images and 5 classes (32 → 31 → 15) it has
    1,135 parameters, with 28-pixel colour images and 8 classes (28 → 27 → 13) 1,373.

    Example:
        >>> OneFilterCNN(5, in_channels=1, side=32)(torch.zeros(4, 1, 32, 32)).shape
        torch.Size([4, 5])
    """

    def __init__(self, num_classes: int = 8, in_channels: int = 3, side: int = 28) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 1, kernel_size=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
        )
        self.classifier = nn.Linear(((side - 1) // 2) ** 2, num_classes)


class TwoBlockCNN(Rung):
    """Two convolutions of 16 and 32 filters, batch normalisation after the first only.

    Input (B, channels, side, side). With grey 32-pixel images and 5 classes it has 153,061
    parameters, with 28-pixel colour images and 8 classes 108,680.

    Example:
        >>> TwoBlockCNN()(torch.zeros(4, 3, 28, 28)).shape
        torch.Size([4, 8])
    """

    def __init__(self, num_classes: int = 8, in_channels: int = 3, side: int = 28) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(in_channels, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        )
        left = ((side - 2) // 2 - 2) // 2  # two convolutions without padding, two poolings
        self.classifier = nn.Sequential(
            *(nn.Flatten(), nn.Dropout(0.2)),
            *(nn.Linear(32 * left**2, 128), nn.ReLU()),
            nn.Linear(128, num_classes),
        )


class SimpleCNN(Rung):
    """Three convolutions of 32, 64 and 128 filters, then global average pooling.

    Input (B, channels, H, W), any size from 8 pixels. With 3 channels and 8 classes it has 102,024
    parameters.

    Example:
        >>> SimpleCNN()(torch.zeros(4, 3, 28, 28)).shape
        torch.Size([4, 8])
    """

    def __init__(self, num_classes: int = 8, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(in_channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.classifier = mean_and_linear(128, [64], num_classes)


def _double_block(c_in: int, c_out: int) -> list[nn.Module]:
    """Convolution, batch normalisation and ReLU, twice, then pooling."""
    layers: list[nn.Module] = []
    for c in (c_in, c_out):
        layers += [nn.Conv2d(c, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU()]
    return [*layers, nn.MaxPool2d(2)]


class DeeperCNN(Rung):
    """Six convolutions with batch normalisation in three blocks, three linear layers.

    Input (B, channels, H, W), any size from 8 pixels. Dropout is 0.5. With 3 channels and 8
    classes it has 313,192 parameters.

    Example:
        >>> DeeperCNN()(torch.zeros(4, 3, 28, 28)).shape
        torch.Size([4, 8])
    """

    def __init__(self, num_classes: int = 8, in_channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for c_in, c_out in pairwise((in_channels, 32, 64, 128)):
            layers += _double_block(c_in, c_out)
        self.features = nn.Sequential(*layers)
        self.classifier = mean_and_linear(128, [128, 64], num_classes)


class _ThreeBlocks(Rung):
    """Three double blocks, each with dropout behind it, and one hidden layer."""

    def __init__(
        self,
        channels: tuple[int, int, int],
        dropouts: tuple[float, float, float],
        hidden: int,
        num_classes: int,
        in_channels: int,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for c_in, c_out, dropout in zip((in_channels, *channels), channels, dropouts, strict=False):
            layers += [*_double_block(c_in, c_out), nn.Dropout(dropout)]
        self.features = nn.Sequential(*layers)
        self.classifier = mean_and_linear(channels[-1], [hidden], num_classes)


class LightCNN(_ThreeBlocks):
    """Three double blocks of 10, 20 and 40 filters: the plan of ``WideCNN``, made narrow.

    Input (B, channels, H, W), any size from 8 pixels. With 3 channels and 8 classes it has 53,686
    parameters.

    Example:
        >>> LightCNN()(torch.zeros(4, 3, 28, 28)).shape
        torch.Size([4, 8])
    """

    def __init__(self, num_classes: int = 8, in_channels: int = 3) -> None:
        super().__init__((10, 20, 40), (0.2, 0.2, 0.3), 512, num_classes, in_channels)


class WideCNN(_ThreeBlocks):
    """Three double blocks of 64, 128 and 256 filters.

    Input (B, channels, H, W), any size from 8 pixels. With 3 channels and 8 classes it has
    1,215,048 parameters.

    Example:
        >>> WideCNN()(torch.zeros(4, 3, 28, 28)).shape
        torch.Size([4, 8])
    """

    def __init__(self, num_classes: int = 8, in_channels: int = 3) -> None:
        super().__init__((64, 128, 256), (0.2, 0.3, 0.4), 256, num_classes, in_channels)
