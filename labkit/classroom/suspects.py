"""What in a submission's kernel could make a check lie: changed functions, comparisons.

Code is judged by where it comes from (`origin`), not by what it calls itself: what a library
defines is found there under its name.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import Field, make_dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch

from labkit.classroom.origin import LIBRARY, code_of, function_of, of_library

_WATCHED = ("builtins", "math", "random", "contextlib", "inspect", "copy", "numpy", "pandas")
_WATCHED += ("numpy.linalg", "numpy.testing", "torch", "torch.nn", "torch.nn.functional")
_WATCHED += ("torch.linalg", "torch.testing", "sklearn.metrics", "scipy.stats")
_WATCHED += ("torch.random", "warnings", "html", "linecache", "traceback")  # a check calls these
_OWNERS = ("labkit", "torch.nn", "pandas")  # whose own classes' methods are watched, too
CHANGES = ("input", "display", "breakpoint")  # the kernel itself replaces these
_MAY_CHANGE = {f"builtins.{name}" for name in CHANGES}
_MAY_CHANGE |= {"warnings.showwarning", "warnings.formatwarning"}  # libraries replace these
_COMPARES = {f"__{name}__" for name in "eq ne lt le gt ge bool abs sub rsub float contains".split()}
_COMPARES |= {"__instancecheck__", "__subclasscheck__", "__array__", "__torch_function__"}
_COMPARES |= {"__array_ufunc__", "__array_function__", "__torch_dispatch__"}
_COMPARES |= {"__class__"}
# the judge's own modules, and of others what it calls before it looks whether they are changed
_OURS = ("labkit.classroom.judge", "labkit.classroom.suspects", "labkit.notebook.exercise")
_OURS += ("labkit.classroom.libraries", "labkit.classroom.origin")
_OURS += ("labkit.notebook.answers", "labkit.notebook.judge")
_LATE = frozenset(f"__{name}__" for name in "warningregistry annotations annotate".split())
_LATE |= {"__annotations_cache__", "__annotate_func__"}  # what Python adds when it needs it
_BELOW = ("builtins", "ast", "_thread", "gc", "copy", "contextlib")
_ARRAYS = {np.ndarray, torch.Tensor}
_HARMLESS = {f"__{name}__" for name in "new init repr str array_finalize array_priority".split()}
# what Python itself writes into every class
_HARMLESS |= set(vars(type("_", (), {}))) | {"__annotations__", "__annotate_func__", "__slots__"}
_HARMLESS |= {"__static_attributes__", "__firstlineno__", "__annotations_cache__"}
_EQUAL_ALL = ("unittest", "_pytest", "dirty_equals")  # libraries made to say yes to a comparison
# slots, methods and attributes that are written in C
_OF_C = (type(int.__eq__), type(str.join), type(vars(type)["__name__"]))

Comparisons = dict[tuple[int, str], tuple[type, Any]]  # by the id of a class and a method's name


def defuse() -> None:
    """Let `unittest.mock.ANY`, which PyTorch has loaded already, equal nothing but itself."""
    for name in {"__eq__", "__ne__"} & set(vars(mock._ANY)):
        delattr(mock._ANY, name)


def ground() -> Callable[[], str]:
    """A function that names what was replaced of what the judge stands on, and calls none of it.

    In the judge's own modules also a name that is new there counts: it may hide a built-in.
    """
    held, sizes, codes, first, size, late = [], [], [], next, len, _LATE
    spaces = [(name, vars(sys.modules[name]), name in _OURS) for name in (*_OURS, *_BELOW)]
    classes = {v for _, space, own in spaces if own for v in space.values() if isinstance(v, type)}
    spaces += [(kind.__name__, vars(kind), True) for kind in classes if _home(kind) in _OURS]
    for where, space, own in spaces:
        if own:
            sizes.append((space, len([n for n in space if n not in late]), f"a part of {where}"))
        for name, value in list(space.items()):
            label = f"{where}.{name}"
            # the judge itself puts another `_show` there while it asks for a verdict
            kept = own and name not in late
            if name != "_show" and (kept or (callable(value) and name not in CHANGES)):
                held.append((space, name, value, label))
            if own and type(value) is FunctionType:
                codes.append((value, value.__code__, label))
    return lambda: (
        first((label for space, name, value, label in held if space.get(name) is not value), "")
        or first((s for names, n, s in sizes if size([x for x in names if x not in late]) != n), "")
        or first((label for one, code, label in codes if one.__code__ is not code), "")
    )


def comparisons() -> Comparisons:
    """Every method that says what a comparison gives, with its class, which so keeps its id.

    Of a class of arrays or tensors every method: `(a == b).all()` is asked of the class of `a`.
    """
    left, found, seen = [object], {}, set()
    while left:
        owner = left.pop()
        if id(owner) not in seen:
            seen.add(id(owner))
            left += type.__subclasses__(owner)
            names = vars(owner)
            array = _ARRAYS.intersection(type.__dict__["__mro__"].__get__(owner))
            asked = {n for n in names if n not in _HARMLESS} if array else _COMPARES
            found |= {(id(owner), n): (owner, names[n]) for n in asked.intersection(names)}
    return found


def own_comparisons(before: Comparisons, check: CodeType | None = None) -> Iterator[str]:
    """Those of now that neither were there before nor are a library's, a dataclass's or a check's.

    What is found to be in order is added to `before`, and not looked at again.
    """
    for (number, name), (owner, value) in comparisons().items():
        if before.get((number, name), (None, None))[1] is value:
            continue
        of_check = any(code_of(value) is part for part in _inside(check))
        if of_check or _of_library(owner, value) or _of_dataclass(owner, name):
            before[number, name] = owner, value
        else:
            yield f"{owner.__name__}.{name}"


def _inside(code: CodeType | None) -> Iterator[CodeType]:
    for part in code.co_consts if code else ():
        if type(part) is CodeType:
            yield part
            yield from _inside(part)


def _of_library(owner: type, value: Any) -> bool:
    if type(value) in _OF_C and value.__objclass__ is owner:
        return True
    home = _home(owner)
    module = sys.modules.get(home)
    if home.startswith(("__main__", *_EQUAL_ALL)) or not isinstance(module, ModuleType):
        return False
    outermost = type.__dict__["__qualname__"].__get__(owner).partition(".")[0]
    file, code = str(vars(module).get("__file__")), code_of(value)
    known = not code or of_library(code) or code.co_filename.startswith("<attrs generated ")
    return bool(file.startswith(LIBRARY) and outermost in vars(module) and known)


def _of_dataclass(owner: type, name: str) -> bool:
    """Whether it is what `dataclass` itself writes: a class of the same fields has the same."""
    fields, code = vars(owner).get("__dataclass_fields__"), code_of(vars(owner).get(name))
    if not isinstance(fields, dict) or not code:
        return False
    # a ClassVar or InitVar is listed, too, and not compared
    real = [f for f in fields.values() if type(f) is Field and f._field_type.name == "_FIELD"]
    compared = [field.name for field in real if field.compare]
    twin = code_of(vars(make_dataclass("Twin", compared, order=True)).get(name))
    same = ("co_code", "co_names", "co_consts")
    return bool(twin) and all(getattr(code, part) == getattr(twin, part) for part in same)


def equal_all(values: dict[str, Any]) -> str:
    """A name that stands for an object made to equal anything, "" where there is none."""
    for name, value in list(values.items()):
        home = vars(type(value)).get("__module__")
        if type(home) is str and home.startswith(_EQUAL_ALL):
            return name
    return ""


def changes(before: dict[str, Any]) -> Iterator[str]:
    """What of `callables` is no longer as it was, and what classes of then have been given."""
    now = callables()
    yield from (name for name, value in before.items() if now.get(name) is not value)
    for name in now.keys() - before.keys():  # `torch.Tensor.all = …` hides what it inherits
        code = code_of(now[name])
        of_class = isinstance(before.get(name.rpartition(".")[0]), type)
        if of_class and not (code and of_library(code)):
            yield name


def callables() -> dict[str, Any]:
    """Every function and class that a verdict may rest on, and their parts, by the full name."""
    modules = [
        (name, module)
        for name, module in list(sys.modules.items())
        if name in _WATCHED or name.split(".")[0] == "labkit"
    ]
    found = {
        f"{name}.{key}": value
        for name, module in modules
        for key, value in list(vars(module).items())
        if (callable(value) or isinstance(value, ModuleType)) and f"{name}.{key}" not in _MAY_CHANGE
    }
    classes = [c for c in found.values() if isinstance(c, type) and _home(c).startswith(_OWNERS)]
    # with what they inherit from, but for optimisers, whose steps torch wraps itself
    owners = {
        f"{_home(base)}.{type.__dict__['__qualname__'].__get__(base)}": base
        for owner in [*classes, *filter(None, [found.get("torch.Tensor")])]
        for base in type.__dict__["__mro__"].__get__(owner)
        if not _home(base).startswith(("builtins", "torch.optim"))
    }
    found |= owners
    found |= {
        f"{name}.{key}": value
        for name, owner in owners.items()
        for key, value in list(vars(owner).items())
        if callable(value) or isinstance(value, property | classmethod | staticmethod)
    }
    parts = {f"{name}.{part}": v for name, value in found.items() for part, v in _parts(value)}
    return found | parts | {f"{name}.__class__": type(module) for name, module in modules}


def _home(owner: type) -> str:
    return str(vars(owner).get("__module__"))


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What can be put into a function anew: its code, its defaults, the functions that it wraps."""
    if function := function_of(value):
        yield "__code__", function.__code__
        yield "__defaults__", function.__defaults__
        for name, default in (function.__kwdefaults__ or {}).items():
            yield f"__kwdefaults__[{name}]", default
    for number, cell in enumerate((type(value) is FunctionType and value.__closure__) or ()):
        with suppress(ValueError):  # an empty one
            if type(cell.cell_contents) is FunctionType:
                yield f"__closure__[{number}]", cell.cell_contents


def inside(name: str, value: Any) -> dict[str, Any]:
    """What can be put anew into a function or class, as it is now."""
    found = {name: value}
    if issubclass(type(value), type):
        found |= {f"{name}.{key}": part for key, part in vars(value).items() if code_of(part)}
    parts = {f"{label}.{part}": v for label, one in found.items() for part, v in _parts(one)}
    return found | parts


def put_anew(held: dict[str, dict[str, Any]], values: dict[str, Any]) -> Iterator[str]:
    """What is no longer as `inside` found it in these values, by the full name."""
    for name, before in held.items():
        now = inside(name, values[name])
        yield from (label for label, part in before.items() if now.get(label) is not part)
