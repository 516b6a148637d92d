"""``Origin``: the words that say which data something was computed from."""

import json
from pathlib import Path

from labkit.files import DiskError, atomic

_NOTED: dict[Path, "Origin"] = {}  # of folders that lie where nothing can be written


class Origin(str):
    """A text that says which data these are, and knows whether they are a stand-in.

    It goes along with splits, histories, predictions and figures. A plain text given in its place
    counts as real data.

    Args:
        text: "BloodMNIST 28 px, official".
        stand_in: whether the data replace others that could not be had.

    Example:
        >>> drawn = Origin("cells drawn by labkit", stand_in=True)
        >>> f"data: {drawn}", drawn.stand_in
        ('data: cells drawn by labkit', True)
    """

    stand_in: bool

    def __new__(cls, text: str = "", stand_in: bool | None = None) -> "Origin":  # noqa: D102 - the class describes it
        origin = super().__new__(cls, text)
        origin.stand_in = getattr(text, "stand_in", False) if stand_in is None else stand_in
        return origin

    def __add__(self, more: str) -> "Origin":
        """The text with more behind it: a stand-in stays one."""
        return Origin(str(self) + more, self.stand_in)


def save_origin(folder: Path, origin: Origin) -> None:
    """Note beside a folder of images where they are from, so that `load_folder` can say it."""
    folder = folder.resolve()
    _NOTED.pop(folder, None)
    try:
        with atomic(_note(folder)) as temporary:
            text = json.dumps({"origin": origin, "stand_in": origin.stand_in}, indent=1)
            temporary.write_text(text, encoding="utf-8")
    except DiskError:  # a cache that a class shares may be read-only
        _NOTED[folder] = origin


def read_origin(folder: Path) -> Origin:
    """What `save_origin` noted; "photographs of NAME" where nobody did."""
    folder = folder.resolve()
    if folder in _NOTED:
        return _NOTED[folder]
    try:
        noted = json.loads(_note(folder).read_text(encoding="utf-8"))
        return Origin(noted["origin"], noted["stand_in"])
    except (OSError, ValueError, LookupError, TypeError):  # none, or not one of labkit's
        return Origin(f"photographs of {folder.name}")


def _note(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.origin.json")
