"""The ``LABKIT_*`` environment variables, read here and nowhere else.

Each function reads its variable when it is called, so a notebook may change one as it runs.
"""

import os
from pathlib import Path

__all__ = [
    "data_dir",
    "device",
    "fast",
    "mirror",
    "offline",
    "precision",
    "seed_offset",
    "strict",
]


def __dir__() -> list[str]:  # what Tab shows after the module's name
    return __all__


PRECISIONS = ("fp32", "bf16", "fp16")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


def _switch(name: str) -> bool:
    value = os.environ.get(name, "").strip().lower()
    if value not in _TRUE + _FALSE:
        raise ValueError(f"{name} is {value!r}; set it to 1 (on) or 0 (off), or leave it out.")
    return value in _TRUE


def checkout() -> Path | None:
    """The root of the git checkout that labkit runs from, or None for an installed package."""
    root = Path(__file__).resolve().parent.parent
    labs = any((root / name).is_dir() for name in ("solutions", "notebooks"))
    return root if labs and (root / "pyproject.toml").exists() else None


def data_dir() -> Path:
    """Where downloads are kept: ``LABKIT_DATA``, else ``data/`` in a checkout, else a user cache.

    The folder is not created here.

    Raises:
        ValueError: where no folder can be at that path.
    """
    if path := os.environ.get("LABKIT_DATA"):
        try:
            return expanded(path).resolve()
        except (OSError, RuntimeError) as error:  # a link that leads to itself
            raise ValueError(f"LABKIT_DATA is {path!r} ({error}); give a folder.") from None
    if root := checkout():
        return root / "data"
    import pooch

    return Path(pooch.os_cache("labkit"))


def expanded(path: str) -> Path:
    """A path with ``~`` put in place.

    Raises:
        ValueError: when there is no such user, or nobody's home is known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"There is no home folder for {path!r}: give the whole path.") from None


def mirror() -> str | None:
    """``LABKIT_MIRROR``: a folder or URL that holds ``mirror.toml``, or None."""
    return os.environ.get("LABKIT_MIRROR") or None


def offline() -> bool:
    """``LABKIT_OFFLINE=1``: no internet; a mirror in a folder or in this network works."""
    return _switch("LABKIT_OFFLINE")


def device() -> str | None:
    """``LABKIT_DEVICE``: the device of every lab (``cpu``, ``cuda``, ``mps``, ``xpu``), or None."""
    return os.environ.get("LABKIT_DEVICE") or None


def precision() -> str | None:
    """``LABKIT_PRECISION``: what ``precision="auto"`` means (``fp32``, ``bf16``, …), or None."""
    value = os.environ.get("LABKIT_PRECISION") or None
    if value not in (None, *PRECISIONS):
        raise ValueError(f"LABKIT_PRECISION is {value!r}; choose one of {', '.join(PRECISIONS)}.")
    return value


def fast() -> bool:
    """``LABKIT_FAST=1``: shrink loaders and epochs so that a whole lab runs in seconds.

    Example:
        >>> EPOCHS = 2 if fast() else 30
    """
    return _switch("LABKIT_FAST")


def strict() -> bool:
    """``LABKIT_STRICT=1``: a failed exercise check raises (for CI)."""
    return _switch("LABKIT_STRICT")


def seed_offset() -> int:
    """``LABKIT_SEED``: a number that `seed_everything` adds to every seed; 0 unless set.

    So a lab that is written with one seed can be run with several, to measure their spread.

    Raises:
        ValueError: when it is no whole number from 0.
    """
    value = os.environ.get("LABKIT_SEED") or "0"
    if not value.isdecimal():
        raise ValueError(f"LABKIT_SEED is {value!r}; it must be a whole number from 0, such as 1.")
    return int(value)
