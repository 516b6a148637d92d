"""The multilayer perceptron of lab 02, and counting parameters."""

from torch import Tensor, nn


class BloodMLP(nn.Module):
    """A multilayer perceptron for 28x28 colour images: 2352 → 256 → 128 → classes, ReLU between.

    With 8 classes it has 636,296 parameters. Input (B, 3, 28, 28), output logits (B, classes).
    Lab 02 builds it.

    Example:
        >>> import torch
        >>> BloodMLP()(torch.zeros(4, 3, 28, 28)).shape
        torch.Size([4, 8])
    """

    def __init__(self, num_classes: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(3 * 28 * 28, 256),
            nn.ReLU(),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Linear(128, num_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, 28, 28) to logits (B, classes)."""
        return self.layers(images)


def count_parameters(model: nn.Module) -> int:
    """The number of trainable parameters of a network.

    Example:
        >>> count_parameters(BloodMLP())
        636296
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
