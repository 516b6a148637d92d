"""labkit: the helpers that the blood-cell labs import.

``import labkit as lk`` costs a few milliseconds: a name is loaded when it is first used, and
nothing is downloaded or created on import.
"""

import importlib
import sys

__version__ = "0.1.0"

# public name -> the module that defines it
_PUBLIC = {
    "get_device": "device",
    "seed_everything": "device",
    "load_dataset": "data.images",
    "load_folder": "data.images",
    "ImageData": "data.images",
    "ImageSplit": "data.images",
    "dataset_folder": "data.images",
    "Augment": "data.loaders",
    "BatchLoader": "data.loaders",
    "Predictions": "metrics",
    "mcnemar": "statistics",
    "fit": "training",
    "evaluate": "training",
    "History": "training",
    "EarlyStopping": "training",
    "LivePlot": "liveplot",
    "explore": "controls",
    "check": "exercise",
    "use_solution": "exercise",
    "progress": "exercise",
    "start_lab": "exercise",
    "report_result": "exercise",
}
_MODULES = {
    "settings",
    "device",
    "data",
    "metrics",
    "figures",
    "features",
    "training",
    "liveplot",
    "models",
    "probes",
    "exercise",
    "explain",
    "statistics",
}

__all__ = [*_PUBLIC, *_MODULES]


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(f"labkit.{_PUBLIC[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"labkit.{name}")
    else:
        raise AttributeError(f"labkit has no name {name!r}; it has {', '.join(sorted(__all__))}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if "IPython" in sys.modules:  # the %%solution magic must be there before a notebook's first use
    importlib.import_module("labkit.exercise").load_into_running_shell()
