"""labkit: the helpers that the blood-cell labs import.

``import labkit as lk`` costs a few milliseconds: a name is loaded when it is first used, and
nothing is downloaded or created on import. `__init__.pyi` is the list of the public names.
"""

import sys

import lazy_loader

__version__ = "0.1.0"
_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"labkit has no name {name!r}; it has {', '.join(__all__)}")
    return _load(name)


if "IPython" in sys.modules:  # the %%solution magic must be there before a notebook's first use
    from labkit.notebook.answers import load_into_running_shell

    load_into_running_shell()
