"""What was replaced of the libraries below a verdict, and of the shell that runs the kit's cells.

`suspects` knows what a check itself calls, and lets nobody replace that. Here are the many
functions below: a library may change its own at any time, so only what no library wrote counts.
"""

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import torch.nn.modules.module as layers
import torch.optim.optimizer as optimizers

from labkit.classroom.origin import LIBRARY, function_of, of_library

_BELOW = frozenset(
    "IPython ipykernel traitlets numpy pandas scipy sklearn torch torchvision collections os re "
    "functools itertools math numbers operator random statistics time tracemalloc".split()
)
_COMPILED = ("<attrs generated ", "<class 'networkx.")  # by libraries, when first called
_LISTS = ("input_transformers_cleanup", "input_transformers_post", "ast_transformers")
_PARTS = ("kernel", "events", "input_transformer_manager", "compile", "displayhook", "display_pub")


def watch() -> Callable[[], Iterator[str]]:
    """A function that names what of these libraries is now a student's."""
    loaded = [(n, m) for n, m in sys.modules.items() if isinstance(m, ModuleType)]
    modules = {name: module for name, module in loaded if _watched(name)}
    held = [(name, space, dict(space)) for name, space in _spaces(modules)]
    ids = [list(map(id, before.values())) for _, _, before in held]
    functions = [f for _, _, before in held for f in map(function_of, before.values()) if f]
    codes = [function.__code__ for function in functions]

    def replaced() -> Iterator[str]:
        for (name, space, before), known in zip(held, ids, strict=True):
            if list(map(id, space.values())) == known:
                continue
            for key, value in list(space.items()):
                if before.get(key) is not value and foreign(value):
                    yield f"{name}.{key}"
        now = [(name, sys.modules.get(name)) for name in modules]
        yield from (name for name, m in now if m is not modules[name] and foreign(m))
        others = [f for f, code in zip(functions, codes, strict=True) if f.__code__ is not code]
        yield from (f"{f.__module__}.{f.__qualname__}" for f in others if foreign(f))

    return replaced


def _watched(name: str) -> bool:
    return name.partition(".")[0] in _BELOW


def _spaces(modules: dict[str, ModuleType]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The names in each of these libraries' modules and classes."""
    yield from ((name, vars(module)) for name, module in modules.items())
    left, seen = [object], set()
    while left:
        owner = left.pop()
        if id(owner) not in seen:
            seen.add(id(owner))
            left += type.__subclasses__(owner)
            if _watched(_home(owner)):
                yield f"{_home(owner)}.{owner.__name__}", vars(owner)


def _home(owner: type) -> str:
    return str(type.__dict__["__module__"].__get__(owner))


def foreign(value: Any) -> bool:
    """Whether no library has written this function or module, or the class of this object."""
    if function := function_of(value):
        code = function.__code__
        return not (of_library(code) or code.co_filename.startswith(_COMPILED))
    if type(value) is SimpleNamespace:  # of anything
        return True
    owner = value if issubclass(type(value), type) else type(value)
    root = sys.modules.get(_home(owner).partition(".")[0])
    module = value if type(value) is ModuleType else root
    if not isinstance(module, ModuleType) or _home(owner) == "__main__":
        return True
    names = vars(module)
    in_c = LIBRARY[0] if names.get("__spec__") else ""  # it has no file, but was found somewhere
    return not str(names.get("__file__") or in_c).startswith(LIBRARY)


def hook(shell: Any) -> str:
    """What of a student's would run with each cell or layer, and so change what the kit's do."""
    hooks = [(name, item) for name in _LISTS for item in getattr(shell, name)]
    hooks += [(name, f) for name, found in shell.events.callbacks.items() for f in found]
    for part in (shell, *(getattr(shell, name, None) for name in _PARTS)):
        if part is not None:
            hooks += [(n, v) for n, v in list(vars(part).items()) if callable(v)]
    for space in map(vars, (layers, optimizers)):
        of_all = [(n, d) for n, d in space.items() if n[:8] == "_global_"]
        hooks += [(n, v) for n, d in of_all if type(d) is OrderedDict for v in d.values()]
    own = type(shell.user_ns) is not dict or shell.kernel.shell is not shell
    return "the shell's names" if own else next((n for n, v in hooks if foreign(v)), "")
