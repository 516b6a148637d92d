"""The mark of lab 05's closing challenge: a small network that is trained by the clock."""

import time

import torch
from torch import nn

from labkit.data.image_split import ImageSplit
from labkit.data.transforms import Augment
from labkit.device import get_device, has_fast_bf16
from labkit.models.residual import EightViews, Residual, conv_block
from labkit.training.engine import Engine


def quick_net(num_classes: int = 8) -> nn.Sequential:
    """Four convolutions and a residual block, then a mean: 79,768 parameters for 8 classes.

    Example:
        >>> quick_net()(torch.zeros(2, 3, 28, 28)).shape
        torch.Size([2, 8])
    """
    return nn.Sequential(
        conv_block(3, 16),
        *(conv_block(16, 32, pool=True), Residual(32)),
        *(conv_block(32, 64, pool=True), conv_block(64, 64)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes)),
    )


def quick_training(train: ImageSplit, seconds: float = 60, peak: float = 0.01) -> nn.Module:
    """Train ``quick_net`` for so many seconds of this machine; it answers by eight views.

    The learning rate follows the clock, not the epochs: it rises for a fifth of the time and then
    falls to zero, however many batches the machine has managed by then.

    Args:
        train: the training images.
        seconds: what the training may take.
        peak: the highest learning rate of AdamW.

    Returns:
        The network, in eval mode.

    Example:
        >>> network = quick_training(blood.train, seconds=60)  # doctest: +SKIP
    """
    device = get_device()
    model = quick_net(len(train.classes))
    # without a scaler fp16 would lose small gradients
    engine = Engine(model, device, "bf16" if has_fast_bf16(device) else "fp32")
    loader = train.loader(128, shuffle=True, augment=Augment(flip=True, turn=True, shift=2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.05)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    start, done = time.perf_counter(), 0.0
    while done < 1:
        for images, labels in engine.batches(loader):
            if (done := (time.perf_counter() - start) / seconds) >= 1:
                break
            optimizer.param_groups[0]["lr"] = peak * min(done / 0.2, (1 - done) / 0.8)
            optimizer.zero_grad()
            criterion(engine.logits(images), labels).backward()
            optimizer.step()
    return EightViews(model).eval()
