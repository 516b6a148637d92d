"""``Run``: the state of one training, and how it moves on by an epoch."""

import time
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from labkit.device import choose_precision, get_device
from labkit.engine import (
    Engine,
    NotFiniteLossError,
    PassResult,
    class_names,
    matrix_metrics,
    run_pass,
)
from labkit.history import EarlyStopping, History
from labkit.training_bar import TrainingBar


class Run:
    """One training: everything that changes while it goes on, and so goes into a checkpoint."""

    def __init__(
        self,
        model: nn.Module,
        train: Iterable,
        val: Iterable | None,
        epochs: int,
        optimizer: Optimizer | None,
        criterion: nn.Module | None,
        scheduler: LRScheduler | None,
        device: torch.device | str | None,
        precision: str,
    ) -> None:
        device = get_device(device and str(device))
        self.engine = Engine(model, device, choose_precision(precision, device))
        self.model, self.train, self.val, self.scheduler = model, train, val, scheduler
        self.optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=1e-3)
        _check_optimizer(self.optimizer, model)
        self.criterion = (criterion or nn.CrossEntropyLoss()).to(device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.engine.precision == "fp16")
        self.steps_each_batch = isinstance(scheduler, OneCycleLR | CyclicLR)
        self.best_weights: dict | None = None
        self.history = History(
            classes=class_names(train),
            origin=getattr(getattr(train, "dataset", None), "origin", ""),
            planned_epochs=epochs,
            setup={
                "model": type(model).__name__,
                "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
                "loss": type(self.criterion).__name__,
                "optimizer": type(self.optimizer).__name__,
                "learning rate": self.learning_rate,
                "epochs": epochs,
                "device": f"{device.type}, {self.engine.precision}",
            },
        )

    @property
    def loaders(self) -> list[Iterable]:
        """The training loader, and the validation loader where there is one."""
        return [self.train] if self.val is None else [self.train, self.val]

    @property
    def learning_rate(self) -> float:
        """The learning rate of the first parameter group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def finished(self, early_stopping: EarlyStopping | None) -> bool:
        """Whether all epochs are done, or early stopping says that it is enough."""
        if len(self.history) >= self.history.planned_epochs:
            return True
        return bool(early_stopping and self.history and early_stopping.should_stop(self.history))

    def one_epoch(self, bar: TrainingBar) -> None:
        """Train for one epoch, validate, and add the record to the history."""
        start, learning_rate = time.perf_counter(), self.learning_rate
        trained = self._pass(self.train, "training", self._learn, bar.update)
        record = {"epoch": len(self.history) + 1, **_named("train", trained)}
        looked = trained
        if self.val is not None:
            looked = self._pass(self.val, "validation")
            record |= _named("val", looked)
        if self.scheduler and not self.steps_each_batch:
            plateau = isinstance(self.scheduler, ReduceLROnPlateau)
            self.scheduler.step(*([looked.loss] if plateau else []))
        record["learning_rate"] = learning_rate
        record["seconds"] = time.perf_counter() - start
        self.history.append(record)
        self.history.confusion_matrices.append(looked.matrix)
        self.history.batch_losses.append(trained.batch_losses)
        bar.end_epoch(looked.loss)

    def _pass(self, loader: Iterable, name: str, *steps: object) -> PassResult:
        try:
            return run_pass(self.engine, loader, self.criterion, *steps)
        except NotFiniteLossError as error:
            raise FloatingPointError(
                f"The {name} loss became NaN or infinite in epoch {len(self.history) + 1}, "
                f"{error}. Nothing of this epoch was saved. Try a smaller learning rate (now "
                f"{self.learning_rate:g}), and look whether the images are normalised."
            ) from None

    def _learn(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.steps_each_batch:
            self.scheduler.step()

    def keep_best_weights(self, early_stopping: EarlyStopping | None) -> None:
        """Copy the weights if this epoch is the best one and they may be wanted back."""
        if early_stopping is None or not early_stopping.restore_best:
            return
        if early_stopping.best_index(self.history) == len(self.history) - 1:
            state = self.model.state_dict()
            self.best_weights = {name: value.detach().clone() for name, value in state.items()}

    def progress_bar(self, wanted: bool) -> TrainingBar:
        """One bar for the whole training, in batches."""
        batches = len(self.train) if hasattr(self.train, "__len__") else None
        return TrainingBar(self.history.planned_epochs, batches, len(self.history), wanted)

    def summary(self) -> str:
        """What the training came to, in one line."""
        history = self.history
        seconds = sum(epoch["seconds"] for epoch in history)
        line = f"{len(history)} epochs in {seconds:.1f} s ({self.history.setup['device']})"
        if not history:
            return line
        column = "train_accuracy" if self.val is None else "val_accuracy"
        best = history.best(column)
        return f"{line}; best {column} {100 * best[column]:.2f} % in epoch {best['epoch']}"


def _named(part: str, result: PassResult) -> dict[str, float]:
    metrics = {"loss": result.loss, **matrix_metrics(result.matrix)}
    return {f"{part}_{name}": value for name, value in metrics.items()}


def _check_optimizer(optimizer: Optimizer, model: nn.Module) -> None:
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not any(id(p) in held for p in model.parameters()):
        raise ValueError(
            "The optimizer holds none of this model's parameters, so nothing would be learnt: "
            "make it with model.parameters() of the model you train."
        )
