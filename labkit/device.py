"""Which processor does the work, and the seed of everything random."""

import operator
import platform
import random
from pathlib import Path

import numpy as np
import torch

from labkit import settings

__all__ = [
    "available_devices",
    "choose_precision",
    "fast_bf16",
    "get_device",
    "has_fast_bf16",
    "machine",
    "processor",
    "seed_everything",
]


def __dir__() -> list[str]:  # what Tab shows after the module's name
    return __all__


def available_devices() -> list[str]:
    """The devices of this machine, the fastest first."""
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "xpu": hasattr(torch, "xpu") and torch.xpu.is_available(),
        "cpu": True,
    }
    return [name for name, is_there in there.items() if is_there]


def get_device(name: str | torch.device | None = None) -> torch.device:
    """Choose the device to compute on.

    Args:
        name: ``"cuda"``, ``"mps"``, ``"xpu"`` or ``"cpu"``, also with a number (``"cuda:1"``),
            or a device of PyTorch's; None for ``LABKIT_DEVICE`` where it is set, else the fastest
            there is.

    Raises:
        ValueError: when that device is not there; lists those that are.

    Example:
        >>> get_device("cpu")
        device(type='cpu')
    """
    there = available_devices()
    wanted = str((settings.device() or there[0]) if name is None else name)
    kind, colon, number = wanted.partition(":")
    count = {"cuda": torch.cuda.device_count}.get(kind, lambda: 1)
    has_number = number.isdecimal() and int(number) < count()
    if kind not in there or (colon and not has_number):
        asked = "LABKIT_DEVICE asks for" if name is None and settings.device() else "You asked for"
        raise ValueError(
            f"{asked} the device {wanted!r}, which this machine does not have. "
            f"Available: {', '.join(there)}."
        )
    return torch.device(kind, int(number)) if colon else torch.device(kind)


def seed_everything(seed: int) -> int:
    """Seed Python, NumPy and PyTorch (all devices), so that a run can be repeated.

    Args:
        seed: from 0 to 2**32 - 1; ``LABKIT_SEED`` is added to it.

    Returns:
        The seed that was set.

    Raises:
        ValueError, TypeError: for a seed outside that range, or no whole number.

    Example:
        >>> seed_everything(42)
        42
    """
    try:
        seed = operator.index(seed) + settings.seed_offset()
    except TypeError:
        raise TypeError(f"seed is {seed!r}; it must be a whole number.") from None
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}; it must lie in 0 … {2**32 - 1}.")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return seed


def fast_bf16(device: torch.device) -> str:
    """Say what makes bfloat16 faster than float32 on this device, if anything does.

    Returns:
        ``"AMX"`` or ``"AVX-512 BF16"`` on x86 processors, ``"ARM BF16"``, ``"CUDA 8.0"`` (or
        higher) for graphics cards; ``""`` where bfloat16 is computed, but slowly.

    Example:
        >>> fast_bf16(torch.device("cpu")) in ("", "AMX", "AVX-512 BF16", "ARM BF16")
        True
    """
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"CUDA {major}.{minor}" if major >= 8 else ""
    if device.type != "cpu":
        return ""
    # PyTorch has no public names for these; where they are missing, the answer is the careful one
    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return ""  # oneDNN computes what is fast
    if getattr(torch.cpu, "_is_amx_tile_supported", bool)():
        return "AMX"
    if getattr(torch.cpu, "_is_avx512_bf16_supported", bool)():
        return "AVX-512 BF16"
    # on x86 oneDNN also says yes where it only imitates bfloat16; on ARM it needs the instructions
    return "ARM BF16" if platform.machine().lower() in ("aarch64", "arm64") else ""


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 matrices faster than float32 ones."""
    return bool(fast_bf16(device))


def choose_precision(precision: str, device: torch.device) -> str:
    """Turn ``"auto"`` into ``LABKIT_PRECISION``, else the fastest that the device does well.

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
    allowed = ("auto", *settings.PRECISIONS)
    if precision not in allowed:
        raise ValueError(f"precision is {precision!r}; choose one of {', '.join(allowed)}.")
    if precision == "fp16" and device.type != "cuda":
        raise ValueError(f"fp16 needs a CUDA device, not {device.type}; choose bf16 or fp32.")
    if precision != "auto":
        return precision
    if wished := settings.precision():
        return choose_precision(wished, device)
    if has_fast_bf16(device):
        return "bf16"
    return "fp16" if device.type == "cuda" else "fp32"


def processor(device: torch.device) -> str:
    """The name of the graphics card, or of this machine's processor for other devices.

    Example:
        >>> processor(torch.device("cpu")) in machine()
        True
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():  # Linux knows more
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line for line in lines if line.startswith("model name")]
        name = names[0].split(":")[1].strip() if names else name
    return name


def machine() -> str:
    """What a training runs on here, in one line: the processors, PyTorch's threads and version.

    Example:
        >>> machine().endswith(torch.__version__)
        True
    """
    names = dict.fromkeys(processor(device) for device in (get_device(), torch.device("cpu")))
    threads = torch.get_num_threads()
    text = f"{threads} thread{'s' * (threads > 1)}, torch {torch.__version__}"
    return ", ".join((*names, text))
