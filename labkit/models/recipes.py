"""How labs 02 and 05 train the networks that later labs load, in one place for all who need it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from labkit import settings
from labkit.data.image_data import ImageData
from labkit.data.loaders import Augment
from labkit.history import EarlyStopping, History
from labkit.models.ladder import DeeperCNN, SimpleCNN
from labkit.models.mlp import BloodMLP
from labkit.models.residual import SmallResNet
from labkit.training import FAST_EPOCHS, fit

# from a network, its epochs and its batches an epoch
Optimize = Callable[[nn.Module, int, int], tuple[Optimizer, LRScheduler | None]]


def _adam(model: nn.Module, epochs: int, batches: int) -> tuple[Optimizer, None]:
    return Adam(model.parameters(), lr=1e-3), None


def _adam_cosine(model: nn.Module, epochs: int, batches: int) -> tuple[Optimizer, LRScheduler]:
    optimizer = Adam(model.parameters(), lr=1e-3)
    return optimizer, CosineAnnealingLR(optimizer, T_max=epochs)


def _adamw_one_cycle(model: nn.Module, epochs: int, batches: int) -> tuple[Optimizer, LRScheduler]:
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    return optimizer, OneCycleLR(optimizer, max_lr=3e-3, total_steps=epochs * batches)


@dataclass(frozen=True)
class Recipe:
    """How one network is trained."""

    network: type[nn.Module]
    time: str  # on two cores, with fast bf16 or without
    epochs: int = 20
    batch_size: int = 64
    augment: Augment | None = None
    optimize: Optimize = _adam
    class_weights: bool = False
    label_smoothing: float = 0.0
    precision: str = "auto"
    keep_best: bool = True  # the weights of the epoch with the best validation accuracy


RECIPES = {
    "BloodMLP": Recipe(BloodMLP, "about 20 seconds", epochs=30, precision="fp32", keep_best=False),
    "SimpleCNN": Recipe(SimpleCNN, "about one minute"),
    "DeeperCNN": Recipe(
        DeeperCNN,
        "one to two minutes",
        augment=Augment(flip=True, rotate=15),
        optimize=_adam_cosine,
        class_weights=True,
    ),
    "SmallResNet": Recipe(
        SmallResNet,
        "5 to 15 minutes",
        epochs=30,
        batch_size=128,
        augment=Augment(flip=True, turn=True, shift=2, brightness=0.1),
        optimize=_adamw_one_cycle,
        label_smoothing=0.1,
    ),
}


def train_recipe(name: str, data: ImageData, progress: bool = True) -> tuple[nn.Module, History]:
    """Train a network of lab 02 or 05 as that lab does.

    Args:
        name: "BloodMLP", "SimpleCNN", "DeeperCNN" or "SmallResNet".
        data: with a training and a validation split.
        progress: show a bar while training.

    Returns:
        The trained network and its history.

    Example:
        >>> model, history = train_recipe("DeeperCNN", blood)  # doctest: +SKIP
    """
    recipe = RECIPES[name]
    epochs = min(recipe.epochs, FAST_EPOCHS) if settings.fast() else recipe.epochs
    train, val, _ = data.loaders(batch_size=recipe.batch_size, augment=recipe.augment)
    weight = None
    if recipe.class_weights:
        counts = torch.bincount(data.train.labels, minlength=len(data.classes)).clamp_min(1)
        weight = len(data.train) / (len(counts) * counts)
    model = recipe.network(len(data.classes))
    optimizer, scheduler = recipe.optimize(model, epochs, len(train))
    history = fit(
        model,
        train,
        val,
        epochs,
        optimizer=optimizer,
        scheduler=scheduler,
        criterion=nn.CrossEntropyLoss(weight, label_smoothing=recipe.label_smoothing),
        early_stopping=EarlyStopping("val_accuracy", epochs) if recipe.keep_best else None,
        precision=recipe.precision,
        progress=progress,
    )
    return model, history
