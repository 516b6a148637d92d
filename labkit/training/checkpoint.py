"""Save a training so that it can be killed at any point and go on as if nothing had happened."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from labkit.files import atomic

if TYPE_CHECKING:
    from labkit.training.run import Run


def random_state(loaders: Iterable) -> dict:
    """The state of every random generator that a training draws from."""
    kind, keys, *rest = np.random.get_state()
    generators = [getattr(loader, "generator", None) for loader in loaders]
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "loaders": [generator and generator.get_state() for generator in generators],
    }


def set_random_state(state: dict, loaders: Iterable) -> None:
    """Put back what ``random_state`` returned."""
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    for loader, saved in zip(loaders, state["loaders"], strict=True):
        if saved is not None:
            loader.generator.set_state(saved)


def save(path: str | Path, run: "Run") -> None:
    """Write the whole state of a training, all or nothing."""
    history = run.history
    state = {
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scheduler": run.scheduler.state_dict() if run.scheduler else None,
        "scaler": run.scaler.state_dict(),
        "best_weights": run.best_weights,
        "history": list(history),
        "confusion_matrices": [matrix.tolist() for matrix in history.confusion_matrices],
        "batch_losses": history.batch_losses,
        "random": random_state(run.loaders),
    }
    with atomic(Path(path)) as temporary:
        torch.save(state, temporary)


def resume(path: str | Path, run: "Run") -> None:
    """Continue from a checkpoint, if there is one.

    Raises:
        ValueError: when the file is damaged, or belongs to another model or optimiser.
    """
    path = Path(path)
    if not path.exists():
        return
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        run.model.load_state_dict(state["model"])
        run.optimizer.load_state_dict(state["optimizer"])
        if run.scheduler:
            run.scheduler.load_state_dict(state["scheduler"])
        run.scaler.load_state_dict(state["scaler"])
        set_random_state(state["random"], run.loaders)
    except Exception as error:  # torch.load fails in many ways; each means the same to the reader
        raise ValueError(
            f"The checkpoint {path} cannot be continued: it is damaged, or belongs to another "
            "model, optimizer or number of loaders. Delete it, or give another path."
        ) from error
    run.best_weights = state["best_weights"]
    run.history.extend(state["history"])
    run.history.confusion_matrices = [np.array(m) for m in state["confusion_matrices"]]
    run.history.batch_losses = state["batch_losses"]
