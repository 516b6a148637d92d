"""The best rung: a small residual network, and averaging over views of an image."""

import torch
from torch import Tensor, nn

from labkit.models.ladder import Rung


def conv_block(c_in: int, c_out: int, pool: bool = False) -> nn.Sequential:
    """Convolution of 3x3 (its bias would be undone by the normalisation), norm, ReLU.

    Pooling comes before the normalisation, which then has a quarter of the numbers to work on.
    """
    convolution = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
    pooling = [nn.MaxPool2d(2)] if pool else []
    return nn.Sequential(convolution, *pooling, nn.BatchNorm2d(c_out), nn.ReLU())


class Residual(nn.Module):
    """Two convolutions whose result is added to their input.

    Args:
        channels: of the input (B, channels, H, W) and of the output, which has the same shape.

    Source:
        He, Zhang, Ren and Sun, Deep residual learning for image recognition, CVPR 2016.

    Example:
        >>> Residual(16)(torch.zeros(2, 16, 7, 7)).shape
        torch.Size([2, 16, 7, 7])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = conv_block(channels, channels), conv_block(channels, channels)
        self.change = nn.Sequential(*first, *second[:-1])
        self.activation = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """Feature maps (B, channels, H, W) to feature maps of the same shape."""
        return self.activation(images + self.change(images))


class SmallResNet(Rung):
    """Four convolutions with three residual blocks between them, then global average pooling.

    Input (B, channels, H, W), any size from 4 pixels. With 3 channels, 8 classes and a width of 32
    it has 1,055,784 parameters.

    Args:
        num_classes: how many logits it gives.
        in_channels: 3 for colour, 1 for grey.
        width: filters of the first convolution; the last one has eight times as many.

    Source:
        The plan follows the ResNet-9 of Page, How to train your ResNet, 2018, made narrower, with
        one residual block more.

    Example:
        >>> SmallResNet()(torch.zeros(4, 3, 28, 28)).shape
        torch.Size([4, 8])
    """

    def __init__(self, num_classes: int = 8, in_channels: int = 3, width: int = 32) -> None:
        super().__init__()
        w = width
        self.features = nn.Sequential(
            conv_block(in_channels, w),
            *(conv_block(w, 2 * w, pool=True), Residual(2 * w)),
            *(conv_block(2 * w, 4 * w, pool=True), Residual(4 * w), Residual(4 * w)),
            conv_block(4 * w, 8 * w),
        )
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * w, num_classes)
        )


class EightViews(nn.Module):
    """Average a network's probabilities over the eight flips and turns of each image.

    A blood cell has no up and no left, so all eight views show the same cell.

    Args:
        model: gives logits (B, C) for square images; it is not changed.

    Example:
        >>> EightViews(SmallResNet())(torch.zeros(2, 3, 28, 28)).shape
        torch.Size([2, 8])
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.train(model.training)  # else eval() of this one alone would look undone

    def forward(self, images: Tensor) -> Tensor:
        """Square images (B, channels, S, S) to the logs of the mean probabilities (B, C)."""
        turns = [images.rot90(quarter, (2, 3)) for quarter in range(4)]
        views = [view for turn in turns for view in (turn, turn.flip(3))]
        return torch.stack([self.model(v).float().softmax(1) for v in views]).mean(0).log()
