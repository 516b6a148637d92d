"""Runs in the kernel of a submission, before any of its code, and judges its answers there.

The verdict is what the kit's own check says. The grader signs each request and `arm` seals each
reply with a key that lives in an audit hook, where no name and no object of the kernel leads to it.
The check sees the kit's own values for what the kit defined, and Python's own built-ins. Code that
replaces what judges (a function of labkit, torch, NumPy, the built-ins), answers whose class says
what a comparison gives, and code that looks at the frames of its callers are named and not judged.
One process cannot keep a determined forger from its own memory; it can keep out what a student
would try in passing.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.utils.capture import capture_output

import labkit
from labkit.notebook.answers import assigned_names, session

PARTS, REPLY = "\x1f", "\x1e"  # between the parts of a request; between a request and its reply
_WATCHED = ("builtins", "math", "random", "contextlib", "inspect", "copy", "numpy", "pandas")
_WATCHED += ("numpy.linalg", "numpy.testing", "torch", "torch.nn", "torch.nn.functional")
_WATCHED += ("torch.linalg", "torch.testing", "sklearn.metrics", "scipy.stats")
_OWNERS = ("labkit", "torch.nn", "torch.Tensor")  # whose classes' methods are watched, too
_CHANGES = ("input", "display", "breakpoint")  # the kernel itself replaces these
_COMPARES = {f"__{name}__" for name in "eq ne lt le gt ge bool abs sub rsub float".split()}
_COMPARES |= {"__instancecheck__", "__subclasscheck__", "__array__", "__torch_function__"}
_COMPARES |= {"__class__"}
_FRAMES = {"sys._getframe", "sys._current_frames", "sys.settrace", "sys.setprofile"}
_FRAMES |= {"gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys._current_exceptions"}
_LEADS_TO_FRAMES = {"tb_frame", "gi_frame", "cr_frame", "ag_frame"}
_LOOKS = ("/inspect.py", "/traceback.py")  # of the library, but whoever calls them looks


def mac(key: bytes) -> Callable[[str], str]:
    """A function that signs a text; of C alone, so that no code can replace a part of it."""
    keyed = hashlib.blake2b(key=key, digest_size=32)

    def sign(text: str) -> str:
        copy = keyed.copy()
        copy.update(text.encode("utf-8", "backslashreplace"))
        return copy.hexdigest()

    return sign


def arm(key: str, uses: Sequence[str], answers: Sequence[str]) -> None:
    """Take the key from a file, which goes, and wait for requests; the set-up cell has run before.

    Args:
        key: the file.
        uses: names of labkit that the lab uses, loaded now so that a change of them is seen.
        answers: names that a student may define; of all others the check sees the kit's.
    """
    sign = mac(Path(key).read_bytes())
    Path(key).unlink()
    import torch._dynamo  # noqa: F401 - replaces functions of torch itself, when first needed

    for name in ("check", "evaluate", "fit", "Predictions", *uses):
        with suppress(AttributeError, ImportError):
            _load(name)
    bench = _Bench(get_ipython(), frozenset(answers))
    publish, last, busy = bench.shell.display_pub.publish, [-1], [False]

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if busy[0] or not (event in _FRAMES or event in ("labkit", "object.__getattr__")):
            return
        if event != "labkit":
            if event in _FRAMES or args[1] in _LEADS_TO_FRAMES:
                busy[0] = True
                try:
                    asks = _asks(sys._getframe(1))
                finally:
                    busy[0] = False
                if asks:
                    raise RuntimeError(f"{event}: not while a lab is graded")
            return
        request, signed = args
        step, task, number, text = request.split(PARTS, 3)
        if signed != sign(request) or int(step) <= last[0]:
            return
        last[0] = int(step)
        reply = getattr(bench, task)(number, text)
        sealed = f"{request}{REPLY}{reply}"
        publish({"text/plain": reply}, {"labkit": {"reply": reply, "seal": sign(sealed)}})

    sys.addaudithook(hook)


def _load(name: str) -> None:
    value: Any = labkit
    for part in name.split("."):
        value = getattr(value, part)


def _asks(frame: Any) -> bool:
    """Whether the notebook's own code asks for a frame, itself or through `inspect`."""
    while frame and frame.f_code.co_filename.endswith(_LOOKS):
        frame = frame.f_back
    return bool(frame) and _of_notebook(frame.f_code)


def _of_notebook(code: CodeType) -> bool:
    name = code.co_filename
    return "ipykernel_" in name or name.startswith(("<ipython", "<string>"))


class _Bench:
    """What a verdict rests on: the kit's values, and how everything was before any answer."""

    def __init__(self, shell: Any, answers: frozenset[str]) -> None:
        self.shell, self.answers, self.listen = shell, answers, capture_output
        self.builtins, self.own_builtins = vars(sys.modules["builtins"]), {}
        self.own_builtins.update(self.builtins)
        modules = {k: v for k, v in shell.user_ns.items() if isinstance(v, ModuleType)}
        self.kit: dict[str, Any] = modules
        self.look = _callables
        self.before = _callables()

    def keep(self, number: str, text: str) -> str:
        """Remember the kit's values of these names, which its own cells have just assigned."""
        values = self.shell.user_ns
        self.kit |= {name: values[name] for name in text.split() if name in values}
        return "kept"

    def restore(self, number: str, text: str) -> str:
        """Give the lab back what a failed answer took from it, before the reference runs."""
        values = self.shell.user_ns
        for name in [name for name in values if self._hides(name)]:
            del values[name]
        values |= {name: value for name, value in self.kit.items() if name not in values}
        return "restored"

    def judge(self, number: str, text: str) -> str:
        """The verdict on an exercise: 1 or 0, whose answer it is, and what the check says."""
        if fault := self._fault(number):
            return f"0 yours ✗ not judged: {fault}"
        decoy = f'with lk.check("{number}"):\n    assert False, "decoy"'
        passed, _, outcome = self._listen(number, decoy)
        if passed or not outcome.startswith(("✗", "○")):
            return "0 yours ✗ not judged: a check that must fail does not; look"
        passed, whose, outcome = self._listen(number, text)
        readable = outcome.encode("utf-8", "replace").decode()  # no half of a surrogate pair
        return f"{passed:d} {whose} {readable}"

    def _fault(self, number: str) -> str:
        changed = []
        for name, value in self.own_builtins.items():  # first, and without any built-in
            if name[0] != "_" and name not in _CHANGES and self.builtins.get(name) is not value:
                changed += [f"builtins.{name}"]
        if not changed:
            now = self.look()
            changed = [name for name, value in self.before.items() if now.get(name) is not value]
        if changed:
            return f"the code replaces {', '.join(changed[:3])}; look"
        if found := next(_comparing(), ""):
            return f"{found} says itself what a comparison gives; look"
        lines = [line for cell in session.cells for line in cell.splitlines() if "import" in line]
        mocks = any("mock" in line for line in lines)
        return "the code uses unittest.mock, whose objects equal anything; look" if mocks else ""

    def _hides(self, name: str) -> bool:
        """Whether a name of the notebook hides a built-in of Python, and is none of the kit's."""
        own = name in self.own_builtins and name[0] != "_" and name not in _CHANGES
        return own and name not in self.kit and name not in self.answers

    def _listen(self, number: str, source: str) -> tuple[bool, str, str]:
        """What a check itself says last."""
        user = self.shell.user_ns
        values = {name: value for name, value in user.items() if not self._hides(name)}
        values |= {name: v for name, v in self.kit.items() if name not in self.answers}
        error = None
        with self.listen() as heard:
            try:
                exec(compile(source, f"<check {number}>", "exec"), values)
            except BaseException as stopped:  # SystemExit too: it is the answer that is judged
                error = stopped
        user |= {name: values[name] for name in assigned_names(source) if name in values}
        found = [output.metadata.get("labkit", {}).get("check") for output in heard.outputs[-1:]]
        if found and found[0]:
            return found[0]["passed"], found[0]["whose"], found[0]["outcome"]
        said = f"✗ the check stopped with {type(error).__name__}: {error}"
        return False, "yours", said[:300]


def _comparing() -> Iterator[str]:
    """The notebook's own classes that define comparisons, other than those of a dataclass."""
    left, seen = [object], set()
    while left:
        owner = left.pop()
        if id(owner) in seen:
            continue
        seen.add(id(owner))
        left += type.__subclasses__(owner)
        names = vars(owner)
        for name in _COMPARES.intersection(names):
            code = getattr(names[name], "__code__", None)
            ours = names.get("__module__") == "__main__"
            made = "__dataclass_fields__" in names and code and code.co_filename == "<string>"
            if (code and "ipykernel_" in code.co_filename) or (ours and not made):
                yield f"{owner.__name__}.{name}"


def _callables() -> dict[str, Any]:
    """Every function and class that a verdict may rest on, by its full name."""
    modules = [
        (name, module)
        for name, module in list(sys.modules.items())
        if name in _WATCHED or name.split(".")[0] == "labkit"
    ]
    found = {
        f"{name}.{key}": value
        for name, module in modules
        for key, value in list(vars(module).items())
        if (callable(value) or isinstance(value, ModuleType)) and key not in _CHANGES
    }
    methods = {
        f"{name}.{key}": value
        for name, owner in list(found.items())
        if isinstance(owner, type) and name.startswith(_OWNERS)
        for key, value in list(vars(owner).items())
        if isinstance(value, FunctionType | property | classmethod | staticmethod)
    }
    return found | methods
