"""Which processor does the work, and the seed of everything random."""

import random

import numpy as np
import torch

from labkit import settings

_PREFERENCE = ("cuda", "mps", "xpu", "cpu")


def available_devices() -> list[str]:
    """The devices of this machine, the fastest first."""
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "xpu": hasattr(torch, "xpu") and torch.xpu.is_available(),
        "cpu": True,
    }
    return [name for name in _PREFERENCE if there[name]]


def get_device(name: str | None = None) -> torch.device:
    """Choose the device to compute on.

    Args:
        name: ``"cuda"``, ``"mps"``, ``"xpu"`` or ``"cpu"``, also with a number (``"cuda:1"``);
            None for ``LABKIT_DEVICE`` where it is set, else the fastest there is.

    Returns:
        The device.

    Raises:
        ValueError: when that device is not there; lists those that are.

    Example:
        >>> get_device("cpu")
        device(type='cpu')
    """
    there = available_devices()
    wanted = name or settings.device() or there[0]
    kind, _, number = wanted.partition(":")
    count = {"cuda": torch.cuda.device_count}.get(kind, lambda: 1)
    if kind not in there or (number and not (number.isdigit() and int(number) < count())):
        asked = "LABKIT_DEVICE asks for" if not name and settings.device() else "You asked for"
        raise ValueError(
            f"{asked} the device {wanted!r}, which this machine does not have. "
            f"Available: {', '.join(there)}."
        )
    return torch.device(wanted)


def seed_everything(seed: int) -> int:
    """Seed Python, NumPy and PyTorch (all devices), so that a run can be repeated.

    Args:
        seed: from 0 to 2**32 - 1.

    Returns:
        The seed.

    Raises:
        ValueError: for a seed outside that range.

    Example:
        >>> seed_everything(42)
        42
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}; it must lie in 0 … {2**32 - 1}.")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return seed
