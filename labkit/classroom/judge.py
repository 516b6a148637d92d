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
import ast
import gc
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from copy import copy
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.utils.capture import capture_output

import labkit
from labkit.classroom import libraries, origin, suspects
from labkit.classroom.seal import PARTS, REPLY, mac
from labkit.notebook import exercise
from labkit.notebook.advice import describe_error
from labkit.notebook.answers import assigned_names, session

# what no code needs, and what a library may use, but a submission's own code may not
_NEVER = frozenset("gc.get_objects gc.get_referrers gc.get_referents sys._current_frames".split())
_NEVER |= {"sys._current_exceptions"}
_TRACES = frozenset(("sys.settrace", "sys.setprofile"))  # a tracer may leap in a check that runs
_FRAMES = _NEVER | _TRACES | {"sys._getframe"}
_END = "_what_ended_the_check"
_LEADS_TO_FRAMES = frozenset(("tb_frame", "gi_frame", "cr_frame", "ag_frame"))


def arm(key: str, uses: Sequence[str], answers: Sequence[str]) -> None:
    """Take the key from a file, which goes, and wait for requests; the set-up cell has run before.

    Args:
        key: the file.
        uses: names of labkit that the lab uses, loaded now so that a change of them is seen.
        answers: names that a student may define; of all others the check sees the kit's.
    """
    sign = mac(Path(key).read_bytes())
    Path(key).unlink()
    _load(("check", "judge", "evaluate", "fit", "Predictions", *uses))
    suspects.defuse()
    bench = _Bench(get_ipython(), frozenset(answers))
    publish, last, busy, judging = bench.shell.display_pub.publish, [-1], [False], [False]
    # names of this function, to which no module leads: what a module holds can be replaced there
    replaced, frame, looks = suspects.ground(), sys._getframe, origin.looks
    frames, never, traces, leads = _FRAMES, _NEVER, _TRACES, _LEADS_TO_FRAMES
    parts, end, whole = PARTS, REPLY, int

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if busy[0] or not (event in frames or event in ("labkit", "object.__getattr__")):
            return
        if event != "labkit":
            if event in never or (judging[0] and event in traces):
                raise RuntimeError(f"{event}: not while a lab is graded")
            if event in frames or args[1] in leads:
                busy[0] = True
                above = args[0] if judging[0] and event == "sys._getframe" else None
                try:
                    asks = (judging[0] and replaced()) or looks(frame(1), above)
                finally:
                    busy[0] = False
                if asks:
                    raise RuntimeError(f"{event}: not while a lab is graded")
            return
        request, signed = args
        found = replaced()
        step, task, number, text = request.split(parts, 3)
        if signed != sign(request) or whole(step) <= last[0]:
            return
        last[0], judging[0] = whole(step), True
        try:
            reply = "" if found else _apart(getattr(bench, task), number, text)
        finally:
            judging[0] = False
        if found := found or replaced():
            reply = f"0 yours ✗ not judged: the code replaces {found}; look"
        sealed = f"{request}{end}{reply}"
        publish({"text/plain": reply}, {"labkit": {"reply": reply, "seal": sign(sealed)}})

    sys.addaudithook(hook)


def _load(names: Sequence[str]) -> None:
    """Load these of labkit, and what of torch replaces its own functions when first needed."""
    import torch._dynamo  # noqa: F401

    for name in names:
        value: Any = labkit
        with suppress(AttributeError, ImportError):
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
    (answer,) = found  # nobody else has put one there
    return answer


def _attempt(source: CodeType, values: dict[str, Any]) -> BaseException | None:
    """Run a piece of a check; what stopped it, None for nothing."""
    try:
        exec(source, values)
    except BaseException as stopped:  # SystemExit too: it is the answer that is judged
        return stopped
    return None


class _Bench:
    """What a verdict rests on: the kit's values, and how everything was before any answer."""

    def __init__(self, shell: Any, answers: frozenset[str]) -> None:
        self.shell, self.answers, self.listen = shell, answers, capture_output
        self.own_builtins = dict(vars(sys.modules["builtins"]))
        modules = {k: v for k, v in shell.user_ns.items() if isinstance(v, ModuleType)}
        self.kit: dict[str, Any] = modules
        self.changes, self.path = suspects.changes, [place for place in sys.path if place]
        self.finders = list(sys.meta_path)
        self.before, self.compared = suspects.callables(), suspects.comparisons()
        self.libraries, self.hook, self.inside = libraries.watch(), "", {}

    def keep(self, number: str, text: str) -> str:
        """Remember the kit's values of these names, which its own cells have just assigned."""
        values = self.shell.user_ns
        given = {name: values[name] for name in text.split() if name in values}
        self.kit |= given
        self.inside |= {name: suspects.inside(name, value) for name, value in given.items()}
        self.hook = self.hook or libraries.hook(self.shell)  # the kit's cells ran with it
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
        if fault := self._fault():
            return f"0 yours ✗ not judged: {fault}"
        check, values = ast.parse(text).body[0], self._values()
        if self._says(number, check, values, AssertionError("decoy"))[0]:
            return "0 yours ✗ not judged: a check that must fail does not; look"
        values = self._values()
        before, own = self.own_builtins | values, {*assigned_names(text)}
        body = compile(ast.Module(check.body, []), f"<check {number}>", "exec")
        gc.disable()  # a class that the answer makes meanwhile must still be there to be seen
        end = self._end(check, body, values)
        fault = self._fault(body)  # what the answer did while the check called it
        changed = [n for n in values.keys() & before.keys() - own if values[n] is not before[n]]
        fault = fault or (f"the code replaces {changed[0]} in the check; look" if changed else "")
        gc.enable()
        if fault:
            return f"0 yours ✗ not judged: {fault}"
        passed, whose, outcome = self._says(number, check, values, end)
        readable = outcome.encode("utf-8", "replace").decode()  # no half of a surrogate pair
        return f"{passed:d} {whose} {readable}"

    def _fault(self, check: CodeType | None = None) -> str:
        anew = suspects.put_anew(self.inside, self.kit)
        if changed := [*self.changes(self.before), *anew, *self.libraries()]:
            return f"the code replaces {', '.join(changed[:3])}; look"
        if hook := self.hook or libraries.hook(self.shell):
            return f"the code adds to what runs each cell ({hook}); look"
        if found := next(suspects.own_comparisons(self.compared, check), ""):
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

    def _values(self) -> dict[str, Any]:
        """The names that a check sees."""
        user = self.shell.user_ns.items()
        return {name: value for name, value in user if not self._hides(name)} | self._kits()

    def _kits(self) -> dict[str, Any]:
        return {name: v for name, v in self.kit.items() if name not in self.answers}

    def _end(self, check: ast.stmt, body: CodeType, values: dict[str, Any]) -> BaseException | None:
        """What stops the asserts of a check; nothing of the kit waits for it in their frames."""
        # no answer's module stands in for another
        own_path, sys.path[:] = sys.path[:], self.path
        own_finders, sys.meta_path[:] = sys.meta_path[:], self.finders
        quiet = warnings.catch_warnings(action="ignore")  # the answer may have made them errors
        with exercise._same_chance_afterwards(), quiet, self.listen():
            end = _apart(_attempt, body, values)
        sys.path[:], sys.meta_path[:] = own_path, own_finders
        names = assigned_names(ast.unparse(check))
        self.shell.user_ns |= {name: values[name] for name in names if name in values}
        return end

    def _says(
        self, number: str, check: ast.stmt, values: dict[str, Any], end: BaseException | None
    ) -> tuple[bool, str, str]:
        """What a check says of this end; no code of an answer runs meanwhile."""
        again = copy(check)
        again.body = ast.parse("pass" if end is None else f"raise {_END}").body
        code = compile(ast.Module([again], []), f"<check {number}>", "exec")
        values |= {**self._kits(), _END: end}
        said: list[dict[str, Any]] = []
        show, exercise._show = exercise._show, lambda text, rich, facts: said.append(facts)
        stopped = _apart(_attempt, code, values)
        exercise._show = show
        if stopped:
            return False, "yours", f"✗ the check stopped with {describe_error(stopped)}"
        found = said[-1]["check"]
        return found["passed"], found["whose"], found["outcome"]
