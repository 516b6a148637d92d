"""What ``fit`` is given, looked at before the first epoch: the usual slips get a hint."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral, Real
from operator import length_hint

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from labkit.training.batches import (
    check_last_batch,
    check_loader,
    count_answers,
    warn_of_augmenting,
)
from labkit.training.history import EarlyStopping, check_column
from labkit.training.run import are_sound, parts_of, steps_each_batch

MOMENTS = ("on_fit_begin", "on_epoch_end", "on_fit_end")


def check_epochs(epochs: object) -> None:
    """Raise ValueError unless this is a number of epochs."""
    if isinstance(epochs, bool) or not isinstance(epochs, Integral) or epochs < 1:
        raise ValueError(f"epochs is {epochs!r}; it must be a whole number, at least 1.")


def check_network(model: nn.Module, call: str) -> None:
    """Raise TypeError or ValueError unless the model is a network whose layers are made."""
    if isinstance(model, type):
        raise TypeError(f"model is the class {model.__name__}: call it, with ().")
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise TypeError(f"model is of type {kind}; give a network: {call}.")
    if any(map(is_lazy, [*model.parameters(), *model.buffers()])):
        raise ValueError(
            "The model has lazy layers, whose sizes are not known yet: send one batch through it, "
            "model(images), before you make the optimizer and call fit."
        )


def check_model(model: nn.Module) -> None:
    """Raise TypeError or ValueError unless the model is a network that can be trained here."""
    check_network(model, "fit(model, train, val)")
    _warn_of_lists(model)
    if not are_sound(model, model.state_dict()):
        raise ValueError(
            "The model has weights that are NaN or infinite before it is trained, perhaps from a "
            "training that went astray: make it and its optimizer anew."
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            "The model has no parameter that can be trained: are all of them frozen? "
            "layer.requires_grad_(True) thaws one."
        )
    if not torch.is_grad_enabled():
        raise ValueError(
            "Gradients are switched off here (torch.no_grad or torch.inference_mode), so nothing "
            "can be learnt: call fit outside of it."
        )


def _warn_of_lists(model: nn.Module) -> None:
    """Warn of layers in a plain list, which PyTorch does not see."""
    known = {id(module) for module in model.modules()}
    for module in model.modules():
        for name, value in vars(module).items():
            inside = value.values() if isinstance(value, dict) else value
            if name.startswith("_") or not isinstance(value, list | tuple | dict):
                continue
            if any(isinstance(one, nn.Module) and id(one) not in known for one in inside):
                warnings.warn(
                    f"{type(module).__name__}.{name} is a plain {type(value).__name__} of layers, "
                    "which are not trained or saved: make it an nn.ModuleList or nn.ModuleDict.",
                    stacklevel=4,
                )


def check_loaders(train: Iterable, val: Iterable | None, model: nn.Module, epochs: int) -> None:
    """Raise TypeError or ValueError unless both loaders serve for so many epochs."""
    check_loader(train, "train")
    check_last_batch(train, model)
    if val is not None:
        check_loader(val, "val")
        count_answers(val)  # a test split that is given here has been looked at
        warn_of_augmenting(val)
    for name, loader in (("train", train), ("val", val)):
        if isinstance(loader, Iterator) and epochs > 1:
            raise TypeError(
                f"{name} is a {type(loader).__name__}, which is used up after one epoch of "
                f"{epochs}: give a loader that can be gone through again, or list({name})."
            )


def check_optimizer(
    optimizer: Optimizer, model: nn.Module, criterion: nn.Module | None, scheduled: bool = False
) -> None:
    """Raise TypeError or ValueError unless the optimizer can change this model."""
    if isinstance(optimizer, type):
        name = optimizer.__name__
        raise TypeError(f"optimizer is the class {name}: give {name}(model.parameters(), lr=…).")
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(
            f"optimizer is {optimizer!r}; give one, such as "
            "torch.optim.Adam(model.parameters(), lr=1e-3)."
        )
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError(
            "LBFGS needs the loss of a batch several times in a step, and fit computes it once: "
            "choose another optimizer, such as torch.optim.Adam."
        )
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    ours = [p for p in model.parameters() if id(p) in held]
    if not ours:
        raise ValueError(
            "The optimizer holds none of this model's parameters, so nothing would be learnt: "
            "make it with model.parameters() of the model you train."
        )
    if not any(p.requires_grad for p in ours):
        raise ValueError(
            "All of the optimizer's parameters are frozen, so nothing would be learnt: give it "
            "those that are to be trained."
        )
    _check_rates([group["lr"] for group in optimizer.param_groups if "lr" in group], scheduled)
    known = {id(p) for part in (model, criterion) if part is not None for p in part.parameters()}
    lacking = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in held]
    if held - known and lacking:
        raise ValueError(
            f"The optimizer lacks {', '.join(lacking[:3])} of the model, and holds "
            f"{len(held - known)} parameters of something else: was a layer replaced after the "
            "optimizer was made? Make it anew."
        )


def _check_rates(rates: list[object], scheduled: bool) -> None:
    """Raise ValueError unless these learning rates let something be learnt."""
    right = "give a number above 0, such as lr=1e-3"
    for rate in rates:
        number = isinstance(rate, Real | Tensor)
        if not (number and 0 <= rate < float("inf")):
            raise ValueError(f"The optimizer's learning rate is {rate!r}: {right}.")
    if rates and not any(rates) and not scheduled:  # a schedule may begin at 0
        raise ValueError(
            f"The optimizer's learning rate is 0, so nothing would be learnt: {right}."
        )


def check_scheduler(
    scheduler: LRScheduler | None, optimizer: Optimizer, train: Iterable, epochs: int
) -> None:
    """Raise ValueError unless the scheduler belongs to the optimizer and lasts long enough."""
    if scheduler is None:
        return
    if isinstance(scheduler, type) or not hasattr(scheduler, "step"):
        raise TypeError(
            f"scheduler is {scheduler!r}; give one that was made with the optimizer, such as "
            "torch.optim.lr_scheduler.StepLR(optimizer, 10)."
        )
    if getattr(scheduler, "optimizer", None) is not optimizer:
        raise ValueError(
            "The scheduler belongs to another optimizer, so the learning rate would never change: "
            "give fit the optimizer that the scheduler was made with."
        )
    if isinstance(scheduler, ReduceLROnPlateau) and scheduler.mode != "min":
        raise ValueError(
            f"ReduceLROnPlateau has mode={scheduler.mode!r}, and fit gives it the loss, which is "
            "better when it is smaller: leave mode out."
        )
    if len({steps_each_batch(part) for part in parts_of(scheduler)}) > 1:
        raise ValueError(
            f"{type(scheduler).__name__} joins schedulers that step after each batch (OneCycleLR, "
            "CyclicLR) with some that step after each epoch: choose one kind."
        )
    batches, taken = length_hint(train), getattr(scheduler, "last_epoch", 0)
    if isinstance(scheduler, OneCycleLR) and scheduler.total_steps - taken < epochs * batches:
        already = f" and has taken {taken} of them" if taken else ""
        raise ValueError(
            f"OneCycleLR plans {scheduler.total_steps} steps{already}, but {epochs} epochs of "
            f"{batches} batches are {epochs * batches}: give total_steps={epochs * batches}"
            f"{', in a new scheduler of a new optimizer' if taken else ''}."
        )


def check_stopping(
    early_stopping: EarlyStopping | None, keep_best: str | None, validates: bool
) -> None:
    """Raise TypeError or ValueError unless what is watched will be there."""
    if early_stopping is not None:
        if not isinstance(early_stopping, EarlyStopping):
            raise TypeError(
                f"early_stopping is {early_stopping!r}; give a rule, such as "
                'lk.EarlyStopping("val_loss", patience=5).'
            )
        check_column(early_stopping.monitor, "early_stopping's monitor", validates)
    if keep_best is not None:
        check_column(keep_best, "keep_best", validates)


def check_callbacks(callbacks: Sequence[object]) -> None:
    """Raise TypeError unless each callback would be called at some moment."""
    if not isinstance(callbacks, Sequence):
        raise TypeError(f"callbacks is {callbacks!r}; give a list, such as [LivePlot()].")
    for callback in callbacks:
        if isinstance(callback, type):
            raise TypeError(f"callbacks holds the class {callback.__name__}: call it, with ().")
        if not any(hasattr(callback, moment) for moment in MOMENTS):
            raise TypeError(
                f"callbacks holds {callback!r}, which would never be called: give an object with "
                f"a method {', '.join(MOMENTS[:-1])} or {MOMENTS[-1]}."
            )
