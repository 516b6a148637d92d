"""Grade one submission: its answers run between the kit's own cells, and the kit's checks judge.

Nothing that the submission says of itself counts: not its outputs, its checks or its solutions.
Where an answer fails, the reference takes its place, so that the exercises after it are judged on
their own; where an answer ends its kernel, the rest is judged in a fresh one. Runs as a process of
its own, ``python -m labkit.classroom.grade``: a JSON object on stdin, the verdicts on stdout.
"""

import hmac
import json
import math
import re
import secrets
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import nbjson

from labkit.authoring.cells import marker
from labkit.authoring.rules import plain_python
from labkit.classroom import sandbox
from labkit.classroom.plan import Step, answers, plan
from labkit.classroom.seal import PARTS, REPLY, mac
from labkit.classroom.similar import fingerprint
from labkit.notebook.answers import assigned_names

_ARM = '__import__("labkit.classroom.judge", fromlist=["arm"]).arm'


@dataclass
class Verdict:
    """What became of one exercise in a submission."""

    exercise: str
    whose: str  # "yours", "reference" or "nobody"
    passed: bool
    message: str
    seconds: float = 0.0


class _Stopped(Exception):
    """The kernel ended, or no longer answers; the text says what the cell before did."""


class _Spoiled(Exception):
    """The kernel runs, but no later verdict in it can be trusted."""


def grade(submission: NotebookNode, lab: NotebookNode, limits: sandbox.Limits) -> list[Verdict]:
    """Judge every exercise of a lab in a submission.

    Args:
        submission: the student's notebook.
        lab: the lab as `build_notebook(source, "shown")` gives it.
        limits: what the submission may use.

    Returns:
        One verdict an exercise, in order; only `whose` "yours" can have passed.
    """
    steps = plan(submission, lab)
    run = _Run(steps, limits, _uses(lab), _answers(lab))
    while run.is_open() and run.again():
        pass
    return [run.verdicts[number] for number in run.numbers]


class _Run:
    """The verdicts so far, and what is left out because it ended a kernel."""

    def __init__(
        self, steps: list[Step], limits: sandbox.Limits, uses: list[str], answers: list[str]
    ) -> None:
        self.steps, self.limits, self.uses, self.answers = steps, limits, uses, answers
        self.numbers = dict.fromkeys(step.unit for step in steps if step.kind == "check")
        tried = {number for step in steps for number in step.exercises()}
        self.verdicts = {
            number: Verdict(number, "nobody", False, "○ not attempted")
            for number in self.numbers
            if number not in tried
        }
        self.seconds: dict[str, float] = {}
        self.left_out: set[str] = set()
        self.end = time.monotonic() + limits.total

    def is_open(self) -> bool:
        """Whether an exercise is left to be judged."""
        return not self.numbers.keys() <= self.verdicts.keys()

    def again(self) -> bool:
        """Run what leads to the last open exercise in a fresh kernel; False at the end."""
        with tempfile.TemporaryDirectory(prefix="lk", ignore_cleanup_errors=True) as name:
            client, step = sandbox.start(Path(name), self.limits), self.steps[0]
            self.trusted = True  # nothing but the kit's own has run in this kernel
            self.ran: list[str] = []  # the student's cells that this kernel was given, in order
            try:
                self._run(client, step, step.source)
                self._arm(client, Path(name) / "home" / "key")
                for step in self.steps[1:]:
                    if self.is_open():
                        self._take(client, step)
                return False
            except _Stopped as why:
                return self._blame(step, str(why))
            except _Spoiled:
                return time.monotonic() < self.end or self._blame(step, "took the time")
            finally:
                client.close()

    def _arm(self, client: sandbox.SafeClient, file: Path) -> None:
        key = secrets.token_bytes(32)
        file.write_bytes(key)
        self.sign, self.asked, self.given = mac(key), 0, [self.steps[0].source]
        self.since: list[str] = []  # the student's cells since the last verdict that can be trusted
        arguments = (str(file), self.uses, self.answers)
        self._run(client, self.steps[0], f"{_ARM}{arguments!r}")

    def _take(self, client: sandbox.SafeClient, step: Step) -> None:
        if step.kind == "check":
            self._judge(client, step)
        elif step.kind == "solution":
            if not self.verdicts[step.unit].passed or step.unit in self.left_out:
                self._ask(client, step, "restore")
                self._run(client, step, step.source)
        elif step.kind == "given":
            self._run(client, step, step.source)
            self.given.append(step.source)
        elif step.unit not in self.left_out:
            self._ask(client, step, "keep", " ".join(_assigned(self.given)))
            self.given, self.trusted = [], False
            self.since.append(step.unit)
            self.ran.append(step.unit)
            self._run(client, step, step.source)

    def _ask(self, client: sandbox.SafeClient, step: Step, task: str, text: str = "") -> str:
        """What the judge replies to a signed request; no other reply carries its seal."""
        self.asked += 1
        request = PARTS.join([str(self.asked), task, step.unit, text])
        call = f'__import__("sys").audit("labkit", {request!r}, {self.sign(request)!r})'
        for output in self._run(client, step, call):
            said = output.get("metadata", {}).get("labkit", {})
            if isinstance(said, dict) and isinstance(reply := said.get("reply"), str):
                seal = self.sign(f"{request}{REPLY}{reply}")
                if hmac.compare_digest(seal.encode(), str(said.get("seal", "")).encode()):
                    return reply
        # a message too long for its channel is dropped with the channel, and all that follows it
        why = f"printed more than {sandbox.OUTPUT >> 20} MB at once, started too many threads"
        raise _Stopped(f"kept the kit's check from its kernel ({why}, or changed the kernel)")

    def _run(self, client: sandbox.SafeClient, step: Step, source: str) -> list[NotebookNode]:
        began = time.monotonic()
        # the kit's own imports may take long on a busy machine, and are nobody's fault
        most = self.limits.total if self.trusted else self.limits.cell
        client.timeout = max(1, math.ceil(min(most, self.end - began)))  # not before the end
        outputs = client.run(source)
        self.seconds[step.unit] = self.seconds.get(step.unit, 0) + time.monotonic() - began
        if client.stopped:
            raise _Stopped(client.stopped)
        return outputs

    def _judge(self, client: sandbox.SafeClient, step: Step) -> None:
        number = step.unit
        if number in self.verdicts:
            return
        reply = self._ask(client, step, "judge", step.source)
        passed, whose, message = reply.split(" ", 2)
        seconds = round(self.seconds[number], 1)
        own = passed == "1" and whose == "yours"
        self.verdicts[number] = Verdict(number, whose, own, message, seconds)
        if message.startswith("✗ not judged"):
            self.left_out |= {number, *self.since}
            raise _Spoiled
        self.since = []

    def _blame(self, step: Step, why: str) -> bool:
        """Leave out what ended the kernel: the student's cell of this step, or the last that ran.

        False where there is no time, or nothing of the student's to leave out. A kernel that was
        told to exit ends a moment later, before the next cell of the student's has run.
        """
        unit = step.unit if step.unit in self.ran else (self.ran or [""])[-1]
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


def _assigned(sources: list[str]) -> list[str]:
    """The names that cells of the kit assign."""
    return sorted({name for text in sources for name in assigned_names(plain_python(text))})


def _uses(lab: NotebookNode) -> list[str]:
    """What the lab uses of labkit."""
    code = "\n".join(cell.source for cell in lab.cells if cell.cell_type == "code")
    return sorted(set(re.findall(r"\blk\.([A-Za-z]\w*(?:\.[A-Za-z]\w*)*)", code)))


def _answers(lab: NotebookNode) -> list[str]:
    """The names that exercises ask for."""
    cells = [cell for cell in lab.cells if marker(cell)[0] in ("exercise", "solution")]
    return _assigned([cell.source for cell in cells])


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
    written = answers(submission, lab)
    verdicts = grade(submission, lab, sandbox.Limits(**task["limits"]))
    found = {
        "verdicts": [asdict(verdict) for verdict in verdicts],
        "answers": [
            {"exercise": number, "source": text[:20_000], **asdict(fingerprint(text))}
            for number, text in written.items()
        ],
        "isolated": bool(sandbox.bubblewrap()),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
