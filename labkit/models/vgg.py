"""VGG16 for small images."""

import torch.nn.functional as F
from torch import Tensor, nn

from labkit.models.ladder import mean_and_linear


class _ToVGG(nn.Module):
    """Pad to 32 pixels, which five poolings need; take a grey channel three times."""

    def forward(self, images: Tensor) -> Tensor:
        missing = [max(0, 32 - side) for side in images.shape[2:]]
        pads = [part for m in reversed(missing) for part in (m // 2, m - m // 2)]
        images = F.pad(images, pads)
        return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def vgg16(num_classes: int = 8) -> nn.Sequential:
    """VGG16's convolutions from torchvision, untrained, with a small head for small images.

    Input (B, 1 or 3, H, W); images below 32 pixels are padded. The head 512 → 1024 → classes
    replaces the 124 million parameters of the original one. With 5 classes it has 15,245,125. Its
    parts are called ``features`` and ``classifier``, as in the other rungs.

    Source:
        Simonyan and Zisserman, Very deep convolutional networks for large-scale image
        recognition, ICLR 2015.

    Example:
        >>> vgg16(5)(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 5])
    """
    from torchvision.models import vgg16 as torchvision_vgg16

    network = nn.Sequential()
    network.add_module("pad", _ToVGG())
    features = torchvision_vgg16(weights=None).features
    for name, layer in features.named_children():
        if isinstance(layer, nn.ReLU):
            features[int(name)] = nn.ReLU()  # torchvision's work in place
    network.add_module("features", features)
    network.add_module("classifier", mean_and_linear(512, [1024], num_classes))
    return network
