"""Which machine a benchmark ran on."""

import platform
from pathlib import Path

import torch


def machine() -> str:
    """The processor's name, the threads PyTorch uses, and its version, in one line."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux: the short name must do
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"
