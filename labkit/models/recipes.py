"""How the labs train the networks that they keep or show as a recording: one recipe for both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from labkit import settings
from labkit.data.image_data import ImageData
from labkit.data.transforms import Augment
from labkit.models.ladder import DeeperCNN, LightCNN, WideCNN
from labkit.models.mlp import BloodMLP
from labkit.models.residual import SmallResNet
from labkit.models.vgg import vgg16
from labkit.training.fit import FAST_EPOCHS, fit
from labkit.training.history import EarlyStopping, History
from labkit.training.muon import Muon


@dataclass(frozen=True)
class Recipe:
    """How a lab trains a network."""

    network: Callable[[int], nn.Module]  # takes the number of classes
    time: str  # on two cores, with fast bf16 or without
    epochs: int  # at most, where it may stop early
    optimizer: type[Optimizer] = Adam
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: str = (
        "constant"  # or "cosine", which falls to 0, or "one-cycle", a rise and a linear fall
    )
    batch_size: int = 64
    label_smoothing: float = 0.0
    augment: Augment | None = None
    class_weights: bool = False
    early_stopping: EarlyStopping | None = None
    keep_best: str | None = None
    precision: str = "auto"
    eight_views: bool = False  # whether its answers are means over flips and turns

    def __str__(self) -> str:
        parts = [
            f"{self.optimizer.__name__} with learning rate {self.learning_rate:g}",
            *([f"{self.schedule} schedule"] if self.schedule != "constant" else []),
            *([f"weight decay {self.weight_decay:g}"] if self.weight_decay else []),
            f"batches of {self.batch_size}",
            *([f"label smoothing {self.label_smoothing:g}"] if self.label_smoothing else []),
            *(["each class weighs the same"] if self.class_weights else []),
            *([f"{self.augment}"] if self.augment else []),
            f"{'at most ' if self.early_stopping else ''}{self.epochs} epochs",
        ]
        if rule := self.early_stopping:
            parts.append(
                f"stopped when {rule.monitor} has not improved by {rule.min_delta:g} for "
                f"{rule.patience} epochs, weights of the best one"
            )
        if self.keep_best:
            parts.append(f"weights of best {self.keep_best}")
        return ", ".join([*parts, *(["answers by eight views"] if self.eight_views else [])])


_PUBLISHED = {  # the plan of a comparison at 224 pixels; here only network and optimiser change
    "epochs": 40,
    "learning_rate": 1e-4,
    "early_stopping": EarlyStopping("val_loss", patience=10, min_delta=1e-4),
}

RECIPES = {
    "BloodMLP": Recipe(BloodMLP, "about 20 seconds", epochs=30, precision="fp32"),
    "DeeperCNN": Recipe(
        DeeperCNN,
        "two to seven minutes",
        epochs=20,
        augment=Augment(flip=True, rotate=15),
        schedule="cosine",
        class_weights=True,
        keep_best="val_accuracy",
    ),
    "LightCNN, SGD": Recipe(LightCNN, "3 to 6 minutes", optimizer=SGD, **_PUBLISHED),
    "LightCNN, Adam": Recipe(LightCNN, "3 to 6 minutes", **_PUBLISHED),
    "WideCNN, SGD": Recipe(WideCNN, "12 to 35 minutes", optimizer=SGD, **_PUBLISHED),
    "WideCNN, Adam": Recipe(WideCNN, "12 to 35 minutes", **_PUBLISHED),
    "VGG16": Recipe(
        vgg16, "6 to 12 minutes", epochs=5, learning_rate=1e-4, keep_best="val_accuracy"
    ),
    "best rung": Recipe(
        SmallResNet,
        "8 to 25 minutes",
        epochs=34,
        optimizer=Muon,
        learning_rate=3e-3,
        weight_decay=0.1,
        schedule="one-cycle",
        batch_size=128,
        label_smoothing=0.1,
        augment=Augment(flip=True, turn=True, shift=2, brightness=0.1),
        eight_views=True,
    ),
}


def find_recipe(name: str) -> Recipe:
    """The recipe of this name; ValueError for an unknown one lists those that there are."""
    if name not in RECIPES:
        names = ", ".join(map(repr, RECIPES))  # some hold a comma
        raise ValueError(f"There is no recipe {name!r}; choose {names}.")
    return RECIPES[name]


def train_recipe(
    name: str,
    data: ImageData,
    precision: str | None = None,
    progress: bool = True,
    checkpoint: Path | None = None,
    callbacks: Sequence[object] = (),
) -> tuple[nn.Module, History]:
    """Train a network as its lab does; a precision of one's own replaces the recipe's."""
    recipe = find_recipe(name)
    epochs = min(recipe.epochs, FAST_EPOCHS) if settings.fast() else recipe.epochs
    train, val, _ = data.loaders(recipe.batch_size, augment=recipe.augment)
    weight = None
    if recipe.class_weights:
        counts = torch.bincount(data.train.labels, minlength=len(data.classes)).clamp_min(1)
        weight = len(data.train) / (len(counts) * counts)
    model = recipe.network(len(data.classes))
    rate, decay = recipe.learning_rate, recipe.weight_decay
    learned = model if recipe.optimizer is Muon else model.parameters()
    optimizer = recipe.optimizer(learned, lr=rate, weight_decay=decay)
    make_schedule = {
        "constant": lambda: None,
        "cosine": lambda: CosineAnnealingLR(optimizer, T_max=epochs),
        "one-cycle": lambda: OneCycleLR(
            optimizer,
            rate,
            total_steps=epochs * len(train),
            pct_start=0.15,
            anneal_strategy="linear",
            cycle_momentum=False,
        ),
    }
    history = fit(
        model,
        train,
        val,
        epochs,
        optimizer=optimizer,
        scheduler=make_schedule[recipe.schedule](),
        criterion=nn.CrossEntropyLoss(weight, label_smoothing=recipe.label_smoothing),
        early_stopping=recipe.early_stopping,
        keep_best=recipe.keep_best,
        precision=precision or recipe.precision,
        checkpoint=checkpoint,
        callbacks=callbacks,
        progress=progress,
    )
    return model, history
