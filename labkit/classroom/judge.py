"""Runs in the kernel of a submission, before any of its code, and judges its answers there.

The verdict is what the kit's own check says. The grader signs each request and `arm` seals each
reply with a key that lives in an audit hook, where no name and no object of the kernel leads to it.
The check sees the kit's own values for what the kit defined, and Python's own built-ins, and runs
in a thread of its own, where no frame above an answer holds the key. What could make it lie is
named and not judged (`suspects`): code that replaces what judges (a function of labkit, torch,
NumPy, the built-ins), classes that say what a comparison gives, a look at the frames of callers.
One process cannot keep a determined forger from its own memory; it can keep out what a student
would try in passing.
"""

import _thread
import hashlib
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.utils.capture import capture_output

import labkit
from labkit.classroom import suspects
from labkit.notebook.answers import assigned_names, session

PARTS, REPLY = "\x1f", "\x1e"  # between the parts of a request; between a request and its reply
# what no code needs, and what a library may use, but a submission's own code may not
_NEVER = {"gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys._current_frames"}
_NEVER |= {"sys._current_exceptions"}
_TRACES = {"sys.settrace", "sys.setprofile"}  # nobody while a check runs: a tracer may leap in it
_FRAMES = _NEVER | _TRACES | {"sys._getframe"}
_LEADS_TO_FRAMES = {"tb_frame", "gi_frame", "cr_frame", "ag_frame"}


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
    suspects.defuse()
    bench = _Bench(get_ipython(), frozenset(answers))
    publish, last, busy, judging = bench.shell.display_pub.publish, [-1], [False], [False]

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if busy[0] or not (event in _FRAMES or event in ("labkit", "object.__getattr__")):
            return
        if event != "labkit":
            if event in _NEVER or (judging[0] and event in _TRACES):
                raise RuntimeError(f"{event}: not while a lab is graded")
            if event in _FRAMES or args[1] in _LEADS_TO_FRAMES:
                busy[0] = True
                try:
                    asks = suspects.looks(sys._getframe(1))
                finally:
                    busy[0] = False
                if asks:
                    raise RuntimeError(f"{event}: not while a lab is graded")
            return
        request, signed = args
        step, task, number, text = request.split(PARTS, 3)
        if signed != sign(request) or int(step) <= last[0]:
            return
        last[0], judging[0] = int(step), True
        try:
            reply = _apart(getattr(bench, task), number, text)
        finally:
            judging[0] = False
        sealed = f"{request}{REPLY}{reply}"
        publish({"text/plain": reply}, {"labkit": {"reply": reply, "seal": sign(sealed)}})

    sys.addaudithook(hook)


def _load(name: str) -> None:
    value: Any = labkit
    for part in name.split("."):
        value = getattr(value, part)


def _apart(function: Callable, *arguments: Any) -> Any:
    """Call a function in a thread of its own, so that no frame above it holds anything of ours.

    Not one of `threading`: that would run a trace function which the submission may have set.
    """
    done, found, context = _thread.allocate_lock(), [], copy_context()

    def call() -> None:
        try:
            found.append(context.run(function, *arguments))
        finally:
            done.release()

    done.acquire()
    _thread.start_new_thread(call, ())
    done.acquire()
    return found[0]


def _attempt(source: CodeType, values: dict[str, Any]) -> str:
    """Run a check; what stopped it, "" for nothing."""
    try:
        exec(source, values)
    except BaseException as stopped:  # SystemExit too: it is the answer that is judged
        return f"{type(stopped).__name__}: {stopped}"[:300]
    return ""


class _Bench:
    """What a verdict rests on: the kit's values, and how everything was before any answer."""

    def __init__(self, shell: Any, answers: frozenset[str]) -> None:
        self.shell, self.answers, self.listen = shell, answers, capture_output
        self.builtins, self.own_builtins = vars(sys.modules["builtins"]), {}
        self.own_builtins.update(self.builtins)
        modules = {k: v for k, v in shell.user_ns.items() if isinstance(v, ModuleType)}
        self.kit: dict[str, Any] = modules
        self.look, self.path = suspects.callables, [place for place in sys.path if place]
        self.before, self.compared = suspects.callables(), suspects.comparisons()

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
            seen = name[0] != "_" and name not in suspects.CHANGES
            if seen and self.builtins.get(name) is not value:
                changed += [f"builtins.{name}"]
        if not changed:
            now = self.look()
            changed = [name for name, value in self.before.items() if now.get(name) is not value]
        if changed:
            return f"the code replaces {', '.join(changed[:3])}; look"
        if found := next(suspects.own_comparisons(self.compared), ""):
            return f"{found} says itself what a comparison gives; look"
        lines = [line for cell in session.cells for line in cell.splitlines() if "import" in line]
        if any("mock" in line for line in lines):
            return "the code uses unittest.mock, whose objects equal anything; look"
        name = suspects.equal_all(self.shell.user_ns)
        return f"{name} is an object made to equal anything; look" if name else ""

    def _hides(self, name: str) -> bool:
        """Whether a name of the notebook hides a built-in of Python, and is none of the kit's."""
        own = name in self.own_builtins and name[0] != "_" and name not in suspects.CHANGES
        return own and name not in self.kit and name not in self.answers

    def _listen(self, number: str, source: str) -> tuple[bool, str, str]:
        """What a check itself says last."""
        user = self.shell.user_ns
        values = {name: value for name, value in user.items() if not self._hides(name)}
        values |= {name: v for name, v in self.kit.items() if name not in self.answers}
        own_path, sys.path[:] = sys.path[:], self.path  # no answer's module stands in for another
        with self.listen():
            mouth = self.shell.display_pub
            said = mouth.outputs
            error = _apart(_attempt, compile(source, f"<check {number}>", "exec"), values)
            last = said[-1:] if mouth is self.shell.display_pub and mouth.outputs is said else []
        sys.path[:] = own_path
        user |= {name: values[name] for name in assigned_names(source) if name in values}
        found = [(output["metadata"] or {}).get("labkit", {}).get("check") for output in last]
        if found and found[0]:
            return found[0]["passed"], found[0]["whose"], found[0]["outcome"]
        said = f"the check stopped with {error}" if error else "the answer keeps back what it says"
        return False, "yours", f"✗ {said}"
