"""Where code comes from: a library's lies below Python's own folders. And who asks for frames."""

import sys
from functools import partial, partialmethod
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

import labkit

_PLACES = [sys.prefix, sys.base_prefix, str(Path(labkit.__file__).parent)]
_PLACES += [place for place in sys.path if place.endswith(("site-packages", "dist-packages"))]
LIBRARY = tuple(f"{place.rstrip('/')}/" for place in _PLACES)
# files whose functions hand frames, or what is in them, to whoever calls
_HAND_OUT = ("/inspect.py", "/bdb.py", "/pdb.py", "/_jit_internal.py")


def code_of(value: Any) -> CodeType | None:
    """The code of a function, also in a method, a property or a partial; None for all else."""
    if function := function_of(value):
        return function.__code__
    return None


def function_of(value: Any) -> FunctionType | None:
    """The function in a method, a property, a partial or one of NumPy's dispatchers."""
    kind = type(value)  # an instance may lie about its class
    if issubclass(kind, classmethod | staticmethod | MethodType):
        value = value.__func__
    elif issubclass(kind, property):
        value = value.fget
    elif issubclass(kind, partialmethod | partial):
        value = value.func
    elif kind.__name__ == "_ArrayFunctionDispatcher":
        value = value._implementation
    return value if type(value) is FunctionType else None


def of_library(code: CodeType) -> bool:
    """Whether a file of Python, of an installed package or of labkit holds this code."""
    return code.co_filename.startswith((*LIBRARY, "<frozen "))


def looks(asker: Any, given: Any = None) -> bool:
    """Whether code of no library gets at a frame: it asks itself, or through what hands frames out.

    Args:
        asker: the frame of the code that asks.
        given: the frame that it gets, if that is known; one above the frame of code of no library
            is none that a library needs, and is refused, too.
    """
    frame = asker
    while frame and _hands_out(frame.f_code):
        frame = frame.f_back
    if frame and not of_library(frame.f_code):
        return True
    while given and asker and asker is not given:
        if not of_library(asker.f_code):
            return True
        asker = asker.f_back
    return False


def _hands_out(code: CodeType) -> bool:
    file, name = code.co_filename, code.co_name
    walks = file.endswith("/traceback.py") and name.startswith("walk_")
    logs = file.endswith("/logging/__init__.py") and name in ("currentframe", "<lambda>")
    return walks or logs or file.endswith(_HAND_OUT)
