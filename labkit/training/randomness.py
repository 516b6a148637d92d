"""The state of all random numbers that a training draws: taken, and put back."""

import random
from collections.abc import Iterable

import numpy as np
import torch


def random_state(loaders: Iterable) -> dict:
    """The state of every random generator that a training draws from."""
    kind, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "loaders": [generator.get_state() for generator in generators_of(loaders)],
    }


def set_random_state(state: dict, loaders: Iterable) -> None:
    """Put back what ``random_state`` returned."""
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])
    for generator, saved in zip(generators_of(loaders), state["loaders"], strict=True):
        generator.set_state(saved)


def generators_of(loaders: Iterable) -> list[torch.Generator]:
    """The generators that loaders have of their own, in themselves or in their samplers."""
    found = {}
    for loader in loaders:
        plan = getattr(loader, "batch_sampler", None)
        parts = (loader, plan, getattr(loader, "sampler", None), getattr(plan, "sampler", None))
        for generator in (getattr(part, "generator", None) for part in parts):
            if isinstance(generator, torch.Generator):
                found[id(generator)] = generator
    return list(found.values())
