"""Grade one submission: its answers run between the kit's own cells, and the kit's checks judge.

Nothing that the submission says of itself counts: not its outputs, its checks or its solutions.
Where an answer fails, the reference takes its place, so that the exercises after it are judged on
their own; where an answer ends its kernel, the rest is judged in a fresh one. Runs as a process of
its own, ``python -m labkit.classroom.grade``: a JSON object on stdin, the verdicts on stdout.
"""

import hmac
import json
import secrets
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import nbjson

from labkit.authoring.cells import marker, tags
from labkit.classroom import sandbox
from labkit.classroom.merge import merge
from labkit.notebook import markers

_CALL = '__import__("labkit.classroom.judge", fromlist=["judge"]).'


@dataclass
class Verdict:
    """What became of one exercise in a submission."""

    exercise: str
    whose: str  # "yours", "reference" or "nobody"
    passed: bool
    message: str
    seconds: float = 0.0


@dataclass
class _Step:
    """A cell to run: "given" by the kit, the student's "own", a "check" or a "solution"."""

    kind: str
    unit: str  # the exercise, or a name of its own for a cell of none
    source: str


class _Stopped(Exception):
    """The kernel ended."""


def grade(submission: NotebookNode, lab: NotebookNode, limits: sandbox.Limits) -> list[Verdict]:
    """Judge every exercise of a lab in a submission.

    Args:
        submission: the student's notebook.
        lab: the lab as `build_notebook(source, "shown")` gives it.
        limits: what the submission may use.

    Returns:
        One verdict an exercise, in order; only `whose` "yours" can have passed.
    """
    steps = _plan(submission, lab)
    run = _Run(steps, limits)
    while run.again():
        pass
    numbers = dict.fromkeys(step.unit for step in steps if step.kind == "check")
    return [run.verdicts[number] for number in numbers]


class _Run:
    """The verdicts so far, and what is left out because it ended a kernel."""

    def __init__(self, steps: list[_Step], limits: sandbox.Limits) -> None:
        self.steps, self.limits = steps, limits
        self.verdicts: dict[str, Verdict] = {}
        self.seconds: dict[str, float] = {}
        self.left_out: set[str] = set()
        self.end = time.monotonic() + limits.total

    def again(self) -> bool:
        """Run everything in a fresh kernel; False where it came to the end."""
        with tempfile.TemporaryDirectory(prefix="lk", ignore_cleanup_errors=True) as name:
            client = sandbox.start(Path(name), self.limits)
            step, key = self.steps[0], secrets.token_bytes(32)
            try:
                for number, step in enumerate(self.steps):
                    self._take(client, step, key)
                    if number == 0:
                        (Path(name) / "home" / "key").write_bytes(key)
                        self._run(client, step, f"{_CALL}arm({str(Path(name) / 'home' / 'key')!r})")
                return False
            except _Stopped as why:
                return self._blame(step, str(why))
            finally:
                client.end()

    def _take(self, client: sandbox.SafeClient, step: _Step, key: bytes) -> None:
        if step.kind == "check":
            self._judge(client, step, key)
        elif step.kind == "solution":
            if not self.verdicts[step.unit].passed or step.unit in self.left_out:
                self._run(client, step, step.source)
        elif step.kind == "given" or step.unit not in self.left_out:
            self._run(client, step, step.source)

    def _run(self, client: sandbox.SafeClient, step: _Step, source: str) -> list[NotebookNode]:
        began = time.monotonic()
        client.timeout = max(1, int(min(self.limits.cell, self.end - began)))
        outputs = client.run(source)
        self.seconds[step.unit] = self.seconds.get(step.unit, 0) + time.monotonic() - began
        if client.stopped:
            raise _Stopped(client.stopped)
        return outputs

    def _judge(self, client: sandbox.SafeClient, step: _Step, key: bytes) -> None:
        number = step.unit
        if number in self.verdicts:
            return
        if not any(other.kind == "own" and other.unit == number for other in self.steps):
            self.verdicts[number] = Verdict(number, "nobody", False, "○ not attempted")
            return
        outputs = self._run(client, step, f"{_CALL}judge({number!r}, {step.source!r})")
        facts = _unseal(outputs, key, number)
        whose = facts["whose"] if facts else "yours"
        passed = bool(facts and facts["passed"]) and whose == "yours"
        message = facts["outcome"] if facts else "✗ not judged: the code kept the check from it"
        seconds = round(self.seconds[number], 1)
        self.verdicts[number] = Verdict(number, whose, passed, message, seconds)

    def _blame(self, step: _Step, why: str) -> bool:
        """Leave out what ended the kernel: this step, or the student's last one before it.

        False where there is no time, or nothing of the student's to leave out.
        """
        before = self.steps[: self.steps.index(step) + 1]
        units = [s.unit for s in before if s.kind == "own" and s.unit not in self.left_out]
        unit = step.unit if step.unit in units else (units or [""])[-1]
        late = time.monotonic() >= self.end
        if unit:
            self._fail(unit, f"✗ your cell {why}")
            self.left_out.add(unit)
        if late or not unit:
            reason = f"{self.limits.total:.0f} s were over" if late else f"a cell of the lab {why}"
            for other in self.steps:
                self._fail(other.unit, f"✗ not judged: {reason}")
        return not late and bool(unit)

    def _fail(self, number: str, message: str) -> None:
        seconds = round(self.seconds.get(number, 0), 1)
        self.verdicts.setdefault(number, Verdict(number, "yours", False, message, seconds))


def _unseal(outputs: list[NotebookNode], key: bytes, number: str) -> dict | None:
    """What the judge said, if it was the judge; None otherwise."""
    for output in outputs:
        said = output.get("metadata", {}).get("labkit", {})
        text = str(said.get("sealed", "")) if isinstance(said, dict) else ""
        seal = hmac.new(key, text.encode(), "sha256").hexdigest()
        if hmac.compare_digest(seal, str(said.get("seal", ""))):
            facts = json.loads(text)
            return facts if facts["exercise"] == number else None
    return None


def _plan(submission: NotebookNode, lab: NotebookNode) -> list[_Step]:
    """The cells to run, in the lab's order: the set-up first, an answer's check after its cells."""
    merged = merge(submission, lab)
    kit = {cell.id: cell for cell in lab.cells}
    steps: list[_Step] = []
    unit, waiting = "", []
    for position, cell in enumerate(merged.nb.cells):
        if cell.cell_type != "code":
            continue
        role, number = marker(cell)
        own = cell.id not in kit or (number in merged.answers and role == "exercise")
        own |= "exercise" in cell.metadata.get("labkit", {}) and cell.source != kit[cell.id].source
        if own:
            number = str(cell.metadata.get("labkit", {}).get("exercise", ""))
        if (number and number != unit) or (not own and role not in ("solution", "check")):
            steps += waiting
            unit, waiting = number, []
            if role in ("solution", "check"):  # no cell is left of the exercise but an own one
                _claim(steps, number)
        if own:
            steps.append(_Step("own", unit or f"cell {position}", cell.source))
        elif role in ("solution", "check"):
            waiting = sorted([*waiting, _Step(role, number, cell.source)], key=lambda s: s.kind)
        else:  # a stub without its marker: an answer in a cell of its own may follow it
            text = "\n".join(t for t in cell.source.splitlines() if not markers.lines(t))
            steps.append(_Step("given", "", text if role else cell.source))
    setup = next(i for i, cell in enumerate(lab.cells) if "setup" in tags(cell))
    first = next(s for s in steps if s.source == lab.cells[setup].source)
    return [first, *(s for s in [*steps, *waiting] if s is not first)]


def _claim(steps: list[_Step], number: str) -> None:
    """Count the student's cells at the end as an answer to this exercise."""
    for step in reversed(steps):
        if step.kind != "own" or not step.unit.startswith("cell "):
            break
        step.unit = number


def main() -> None:
    """Grade what stdin holds."""
    try:
        import resource

        most = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, most))  # a flood ends this process only
    except (ImportError, ValueError):  # Windows, macOS
        pass
    task = json.load(sys.stdin)
    submission, lab = (nbjson.to_notebook(task[name]) for name in ("submission", "lab"))
    verdicts = grade(submission, lab, sandbox.Limits(**task["limits"]))
    json.dump([asdict(verdict) for verdict in verdicts], sys.stdout)


if __name__ == "__main__":
    main()
