"""What an object is made of, in words: settings, and marks of its code and of its numbers.

The words are the same in every process: no address, no order of a set, nothing random.
"""

import dis
import functools
import re
import sys
import types
import zlib
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler

from labkit.data.image_split import ImageSplit

PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, np.generic)
RULES = (type, types.FunctionType, types.BuiltinFunctionType, functools._lru_cache_wrapper)
SETTINGS_OF_A_CLASS = (*PLAIN, list, tuple, *RULES)
LIBRARIES = {"torch", "torchvision", "numpy", "labkit"}
# what changes while a training goes on, or repeats what is said elsewhere
PASSING = {*vars(nn.Module()), "data_source", "defaults", "state", "param_groups", "step"}


def words(thing: object, numbers: bool = True) -> str:
    """An object in words, to be compared with those of another.

    Args:
        thing: a network, loss, data set, sampler, function or plain value.
        numbers: whether its tensors count as well; a network's are no settings, they are learnt.

    Returns:
        One line. Functions that the user wrote are named, with a mark of their code and of the
        functions and plain values that it uses.

    Example:
        >>> words({"rate": 0.5, "sizes": [1, 2]})
        "{'rate': 0.5, 'sizes': [1, 2]}"
    """
    return _Writer(numbers).text(thing)


def is_own(thing: object) -> bool:
    """Whether a class or function was written by the user: not Python's, a library's or labkit's.

    Example:
        >>> is_own(nn.Linear)
        False
    """
    name = getattr(thing, "__module__", None) or ""
    top = name.partition(".")[0]
    if top == "__main__":  # a notebook's or a script's, whatever program started it
        return True
    if top in LIBRARIES or top in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    return not {"site-packages", "dist-packages"} & set(re.split(r"[\\/]", file))


def without_addresses(thing: object) -> str:
    """Its `repr` in one line, without addresses, which differ from run to run."""
    return " ".join(re.sub(r" (object )?at 0x[0-9a-fA-F]+", "", repr(thing)).split())


def mark(content: object) -> str:
    """A few digits that tell one text or buffer of bytes from another."""
    return f"#{zlib.crc32(content.encode() if isinstance(content, str) else content):08x}"


def tensor_bytes(tensor: Tensor) -> np.ndarray:
    """All bytes of a tensor, uint8 (N,); of one that lies in one piece no copy is made."""
    dense = tensor.detach().to_dense() if tensor.layout != torch.strided else tensor.detach()
    return dense.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


class _Writer:
    """Writes objects, each once: the same one is the same text, and one within itself is `…`."""

    def __init__(self, numbers: bool) -> None:
        self.numbers = numbers
        self.done: dict[int, tuple[object, str]] = {}  # keeps the object, and so its id, alive

    def text(self, thing: object) -> str:
        if isinstance(thing, PLAIN):
            return repr(thing)
        if id(thing) not in self.done:
            self.done[id(thing)] = thing, "…"
            text = self._text(thing)
            text = text if len(text) < 4000 else f"{text[:4000]}…{mark(text)}"
            self.done[id(thing)] = thing, text
        return self.done[id(thing)][1]

    def _text(self, thing: object) -> str:
        match thing:
            case Tensor():
                numbers = mark(tensor_bytes(thing))
                return f"{thing.dtype}{tuple(thing.shape)}{numbers}".removeprefix("torch.")
            case dict():
                return f"{{{', '.join(f'{k!r}: {self.text(v)}' for k, v in thing.items())}}}"
            case list() | tuple():
                plain = all(isinstance(item, PLAIN) for item in thing)
                return repr(list(thing)) if plain else f"[{', '.join(map(self.text, thing))}]"
            case set() | frozenset():
                return f"{{{', '.join(sorted(map(self.text, thing)))}}}"
            case torch.Generator():
                return f"Generator({thing.initial_seed()})"
            case functools._lru_cache_wrapper():
                return self.text(thing.__wrapped__)
            case functools.partial():
                return f"partial{self.text([thing.func, thing.args, thing.keywords])}"
            case types.MethodType():
                return f"{self.text(thing.__self__)}.{self.text(thing.__func__)}"
            case types.FunctionType():
                return self._function(thing)
            case type():
                return self._class(thing)
            case _ if hasattr(type(thing), "__array__"):  # also tables and pictures
                array = np.asarray(thing)
                plain = array.dtype != object
                content = np.ascontiguousarray(array).reshape(-1).view(np.uint8) if plain else None
                numbers = mark(content if plain else self.text(array.tolist()))
                return f"{array.dtype}{array.shape}{numbers}"
        return self._object(thing)

    def _function(self, function: types.FunctionType) -> str:
        name = function.__name__
        if not is_own(function):
            return name
        defaults = [function.__defaults__, function.__kwdefaults__, self._used_by(function)]
        return f"{name}{mark(f'{self._code(function.__code__)} {self.text(defaults)}')}"

    def _code(self, code: types.CodeType) -> str:
        constants = [
            self._code(constant) if isinstance(constant, types.CodeType) else self.text(constant)
            for constant in code.co_consts
        ]
        return f"{code.co_code.hex()} {code.co_names} {constants}"

    def _used_by(self, function: types.FunctionType) -> dict[str, object]:
        """What a function finds outside of itself and is made of: rules, constants, closed values.

        Of other globals a run may change any, and the training would still be the same.
        """
        code, around = function.__code__, function.__globals__
        names = sorted({s.argval for s in _steps(code) if s.opname == "LOAD_GLOBAL"} & set(around))
        found = {n: around[n] for n in names if n.isupper() or callable(around[n])}
        for name in names:
            if isinstance(around[name], types.ModuleType):  # a file of one's own
                inside = {n: getattr(around[name], n, None) for n in code.co_names}
                rules = {n: f for n, f in inside.items() if isinstance(f, types.FunctionType)}
                found |= {f"{name}.{n}": f for n, f in rules.items() if is_own(f)}
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            with suppress(ValueError):  # a cell that is still empty
                found[name] = cell.cell_contents
        return {name: value for name, value in found.items() if self._matters(value)}

    def _matters(self, value: object) -> bool:
        if isinstance(value, Tensor | np.ndarray):
            return self.numbers
        learns = isinstance(value, nn.Module) and any(True for _ in value.parameters())
        rule = callable(value) and not learns and not isinstance(value, Dataset)
        return rule or _is_plain(value)

    def _class(self, cls: type) -> str:
        own = [base for base in cls.__mro__ if is_own(base)]
        parts: dict[str, str] = {}
        for base in reversed(own):
            for name, value in vars(base).items():
                kept = value.func if isinstance(value, functools.cached_property) else value
                inner = getattr(kept, "__func__", getattr(kept, "fget", kept))
                hidden = name.startswith("__") and not isinstance(inner, types.FunctionType)
                if not hidden and isinstance(inner, SETTINGS_OF_A_CLASS):
                    parts[name] = self.text(inner)
        return f"{cls.__name__}({', '.join(f'{n}: {t}' for n, t in parts.items())})"

    def _object(self, thing: object) -> str:
        """An object's class and settings; of one that is not known to be stable, the class only."""
        cls = type(thing)
        if isinstance(thing, nn.Module) and "_orig_mod" in thing._modules:
            return self.text(thing._orig_mod)  # torch.compile adds what differs from run to run
        if isinstance(thing, ImageSplit):  # the rest changes no batch, or counts the trainings
            settings = {"images": thing.images, "labels": thing.labels}
        elif is_own(cls) or isinstance(thing, Dataset | Sampler | nn.Module):
            settings = {n: v for n, v in _attributes(thing) if n not in PASSING}
        elif cls.__module__.partition(".")[0] in ("torchvision", "labkit"):
            settings = dict(_attributes(thing))
        else:
            return without_addresses(thing)
        if isinstance(thing, nn.Module):
            settings |= thing._modules
            settings |= {**thing._parameters, **thing._buffers} if self.numbers else {}
        if not self.numbers:  # a network may keep what it computed last
            settings = {n: v for n, v in settings.items() if not _is_computed(v)}
        listed = ", ".join(f"{name}: {self.text(value)}" for name, value in settings.items())
        return f"{self.text(cls)}({listed})"


def _is_plain(value: object) -> bool:
    """Whether a value is plain, or a tuple of such; a list may be a diary that grows."""
    if isinstance(value, tuple | frozenset):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN)


def _is_computed(value: object) -> bool:
    """Whether a network may have kept this of its last batch: a tensor, or a container of such."""
    value = list(value.values()) if isinstance(value, dict) else value
    if isinstance(value, list | tuple):
        return all(map(_is_computed, value))  # also an empty one, which is to be filled
    return isinstance(value, Tensor | types.NoneType)


def _steps(code: types.CodeType) -> Iterator[dis.Instruction]:
    """The instructions of a function and of those within it."""
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _steps(constant)


def _attributes(thing: object) -> list[tuple[str, object]]:
    slots = [name for base in type(thing).__mro__ for name in getattr(base, "__slots__", ())]
    found = {name: getattr(thing, name) for name in slots if hasattr(thing, name)}
    return list((found | getattr(thing, "__dict__", {})).items())
