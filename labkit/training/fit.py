"""``fit`` and ``evaluate``: train a network, and ask it about a split."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from operator import length_hint
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from labkit import settings
from labkit.data.loaders import BatchLoader
from labkit.device import choose_precision, get_device
from labkit.display import end_cell_as_interrupted, heed_stop
from labkit.inference import device_of, evaluating
from labkit.metrics import Predictions
from labkit.training import checkpoint as checkpoints
from labkit.training import slips
from labkit.training.bar import TrainingBar
from labkit.training.batches import (
    NO_BATCH,
    check_loader,
    check_logits,
    class_names,
    count_answers,
    explaining_memory,
    origin_of,
    source_of,
    warn_of_augmenting,
    warn_of_order,
)
from labkit.training.engine import Engine
from labkit.training.history import EarlyStopping, History
from labkit.training.losses import check_criterion
from labkit.training.run import Run

FAST_EPOCHS = 2


def fit(
    model: nn.Module,
    train: Iterable,
    val: Iterable | None = None,
    epochs: int = 10,
    *,
    optimizer: Optimizer | None = None,
    criterion: nn.Module | None = None,
    scheduler: LRScheduler | None = None,
    device: torch.device | str | None = None,
    precision: str = "auto",
    early_stopping: EarlyStopping | None = None,
    keep_best: str | None = None,
    checkpoint: str | Path | None = None,
    callbacks: Sequence[object] = (),
    progress: bool = True,
) -> History:
    """Train a classifier and record every epoch.

    The loss of an epoch is the mean over images, not over batches (with class weights the weighted
    mean); accuracy and macro precision, recall and F1 come from one confusion matrix an epoch. In
    fast mode at most two epochs run. However a training ends that has begun, also by Ctrl-C or an
    error, the network is then in ``eval`` mode, ready to predict; a loop of one's own begins with
    ``model.train()``.
    Batch normalisation without gradients keeps its running means if ``norm.eval()`` came before.

    Args:
        model: gives logits (B, C) for images (B, …); it is trained in place.
        train: batches of (images, labels); labels int (B,) or (B, 1).
        val: the same for validation, or None.
        epochs: passes over the training data, at least 1.
        optimizer: default Adam with learning rate 1e-3.
        criterion: default cross-entropy.
        scheduler: a scheduler of ``torch.optim``; one-cycle and cyclic ones step after each batch,
            the others after each epoch.
        device: default ``lk.get_device()``.
        precision: ``"auto"`` (the fastest the processor does well), ``"fp32"``, ``"bf16"`` or
            ``"fp16"``.
        early_stopping: when to end before the last epoch.
        keep_best: a column of the history, such as ``"val_accuracy"``: the network ends with the
            weights of the epoch in which it was best (whatever ``early_stopping`` restores).
        checkpoint: a file that is written after each epoch; where it exists, training continues
            from it. The file of another training is refused.
        callbacks: objects with ``on_fit_begin``, ``on_epoch_end`` or ``on_fit_end``, each called
            with the history.
        progress: show a bar while training and one line at the end.

    Returns:
        The history; after Ctrl-C that of the epochs so far. (In a notebook, "Run All" stops there,
        and so does the cell where it calls ``fit`` again.)

    Raises:
        ValueError, TypeError: for settings or data that cannot work; says what to change.
        FloatingPointError: when the loss becomes NaN or infinite; names epoch and batch. The
            network has the weights of the epoch before. Any error carries the history so far.
        torch.OutOfMemoryError: when a batch does not fit; names the batch size.

    Example:
        >>> history = fit(model, train, val, epochs=5)  # doctest: +SKIP
    """
    heed_stop()
    slips.check_epochs(epochs)
    slips.check_model(model)
    check_criterion(criterion)
    slips.check_stopping(early_stopping, keep_best, val is not None)
    slips.check_callbacks(callbacks)
    file = None if checkpoint is None else checkpoints.file_of(checkpoint)
    epochs = min(epochs, FAST_EPOCHS) if settings.fast() else epochs
    slips.check_loaders(train, val, model, epochs)
    device = get_device(device)
    engine = Engine(model, device, choose_precision(precision, device))
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=1e-3)
    slips.check_optimizer(optimizer, model, criterion, scheduler is not None)
    slips.check_scheduler(scheduler, optimizer, train, epochs)
    # class weights that come from NumPy are float64
    dtype = next(p.dtype for p in model.parameters() if p.requires_grad)
    criterion = (criterion or nn.CrossEntropyLoss()).to(device, dtype)
    history = _new_history(engine, train, epochs, optimizer, criterion, scheduler)
    run = Run(
        engine, train, val, optimizer, criterion, scheduler, early_stopping, keep_best, history
    )
    saver = checkpoints.Saver(file, run) if file else None
    bar = TrainingBar(epochs, length_hint(train) or None, len(history), progress)
    try:
        with _begun(run, callbacks, bar):
            while not run.finished():
                with explaining_memory(train):
                    run.one_epoch(bar)
                _end_epoch(callbacks, history, saver)
    except KeyboardInterrupt:
        where = f"in epoch {min(len(history) + 1, epochs)} of {epochs}"
        print(f"Stopped by hand {where}; the model is kept.")
        end_cell_as_interrupted()
    except Exception as error:
        error.history = history
        kept = f"{len(history)} of {epochs} epochs are kept"
        error.add_note(f"{kept}: history = sys.last_value.history")
        raise
    return history


def _new_history(
    engine: Engine,
    train: Iterable,
    epochs: int,
    optimizer: Optimizer,
    criterion: nn.Module,
    scheduler: LRScheduler | None,
) -> History:
    parameters, group = engine.model.parameters(), optimizer.param_groups[0]
    rate, decay = group.get("max_lr", group["lr"]), group.get("weight_decay", 0)  # OneCycleLR's
    setup = {
        "model": type(engine.model).__name__,
        "parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "loss": type(criterion).__name__,
        "optimizer": type(optimizer).__name__,
        "learning rate": float(f"{rate:.3g}"),
        **({"weight decay": decay} if decay else {}),
        **({"scheduler": type(scheduler).__name__} if scheduler else {}),
        "epochs": epochs,
        "device": f"{engine.device.type}, {engine.precision}",
    }
    return History((), class_names(train), origin_of(train), epochs, setup)


@contextmanager
def _begun(run: Run, callbacks: Sequence[object], bar: TrainingBar) -> Iterator[None]:
    """A training begins; whatever ends it, the best weights come back, and every callback hears."""
    with ExitStack() as stack:
        stack.callback(lambda: bar.finish(run.summary()))
        for callback in reversed(callbacks):
            if hasattr(callback, "on_fit_end"):
                stack.callback(callback.on_fit_end, run.history)
        stack.callback(run.give_back_best_weights)
        _call(callbacks, "on_fit_begin", run.history)
        run.look_at_validation()
        stack.callback(run.engine.close)
        stack.callback(run.model.eval)  # not before: a slip in the data leaves the network alone
        yield


def _end_epoch(
    callbacks: Sequence[object], history: History, saver: checkpoints.Saver | None
) -> None:
    try:
        _call(callbacks, "on_epoch_end", history)
    finally:  # what a callback changes belongs to the epoch, also where it ends the training
        if saver:
            saver.save()


def _call(callbacks: Sequence[object], name: str, history: History) -> None:
    for callback in callbacks:
        if hasattr(callback, name):
            getattr(callback, name)(history)


def evaluate(
    model: nn.Module,
    loader: Iterable,
    device: torch.device | str | None = None,
    precision: str = "fp32",
) -> Predictions:
    """Run a network over a split without training it.

    Args:
        model: gives logits (B, C).
        loader: batches of (images, labels); one of labkit's that shuffles is read in order.
        device: default: where the model is.
        precision: as in ``fit``; fp32, so that results do not depend on the processor.

    Returns:
        The predictions, with everything that can be asked of them.

    Raises:
        ValueError: when the loader is empty, the logits do not fit the classes, or one is NaN.

    Example:
        >>> evaluate(model, test).accuracy  # doctest: +SKIP
    """
    slips.check_network(model, "evaluate(model, loader)")
    check_loader(loader, "loader")
    loader = loader.in_order() if isinstance(loader, BatchLoader) else loader
    warn_of_order(loader)
    warn_of_augmenting(loader)
    device = get_device(device_of(model) if device is None else device)
    engine = Engine(model, device, choose_precision(precision, device))
    logits, labels = [], []
    # no inference_mode: what a network keeps for later could not be trained on any more
    with closing(engine), evaluating(model), torch.no_grad(), explaining_memory(loader):
        for images, truth in engine.batches(loader):
            logits.append(engine.logits(images))
            labels.append(truth)
    if not labels:
        raise ValueError(NO_BATCH)
    classes = class_names(loader)
    check_logits(logits[0], labels[0], classes)
    result = Predictions(
        torch.cat(logits).cpu().numpy(),
        torch.cat(labels).cpu().numpy(),
        classes or tuple(f"class {i}" for i in range(logits[0].shape[1])),
        origin=origin_of(loader),
        indices=source_of(loader)[1],
    )
    count_answers(loader, result.predicted)
    return result
