"""Which processor does the work, and the seed of everything random."""

import platform
import random
from pathlib import Path

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
        seed: from 0 to 2**32 - 1; ``LABKIT_SEED`` is added to it.

    Returns:
        The seed that was set.

    Raises:
        ValueError: for a seed outside that range.

    Example:
        >>> seed_everything(42)
        42
    """
    seed += settings.seed_offset()
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}; it must lie in 0 … {2**32 - 1}.")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return seed


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 matrices faster than float32 ones.

    That is so for CUDA from compute capability 8.0 on and for CPUs with AMX; other processors
    compute bfloat16, but slowly.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()


def choose_precision(precision: str, device: torch.device) -> str:
    """Turn ``"auto"`` into the fastest precision that the device does well.

    Args:
        precision: ``"auto"``, ``"fp32"``, ``"bf16"`` or ``"fp16"``.
        device: where the network runs.

    Returns:
        ``"fp32"``, ``"bf16"`` or ``"fp16"``.

    Raises:
        ValueError: for another word, or fp16 away from CUDA.

    Example:
        >>> choose_precision("fp32", torch.device("cpu"))
        'fp32'
    """
    allowed = ("auto", "fp32", "bf16", "fp16")
    if precision not in allowed:
        raise ValueError(f"precision is {precision!r}; choose one of {', '.join(allowed)}.")
    if precision == "fp16" and device.type != "cuda":
        raise ValueError(f"fp16 needs a CUDA device, not {device.type}; choose bf16 or fp32.")
    if precision != "auto":
        return precision
    if has_fast_bf16(device):
        return "bf16"
    return "fp16" if device.type == "cuda" else "fp32"


def machine() -> str:
    """The processor's name, PyTorch's threads and its version, in one line.

    Example:
        >>> machine().endswith(torch.__version__)
        True
    """
    name, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():  # Linux knows more
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = names[0].split(":")[1].strip() if names else name
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"
