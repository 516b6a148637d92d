"""Runs in the kernel of a submission, before any of its code, and judges its answers there.

The verdict is what the kit's own check says, sealed with a key that only the grader and this
module's closure hold. Code that replaces what judges (a function of labkit, torch, NumPy, the
builtins) is named instead of judged. One process cannot keep a determined forger from its own
memory; it can keep out everything that a student would try in passing.
"""

import hmac
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.utils.capture import capture_output

import labkit

_WATCHED = ("builtins", "math", "random", "numpy", "pandas", "torch", "torch.nn.functional")
_CHANGES = ("input", "display", "breakpoint")  # the kernel itself replaces these
judge: Callable[[str, str], None]


def arm(key: str) -> None:
    """Take the key from a file, which goes, and define `judge`; the set-up cell has run before."""
    shell, secret = get_ipython(), Path(key).read_bytes()
    Path(key).unlink()
    publish, listen = shell.display_pub.publish, capture_output
    import torch._dynamo  # noqa: F401 - replaces functions of torch itself, when first needed

    for name in ("check", "evaluate", "fit", "Predictions"):
        getattr(labkit, name)  # loaded now, so that a change of them is seen
    names = {k: v for k, v in shell.user_ns.items() if isinstance(v, ModuleType)}
    before, look = _callables(), _callables

    def judge(exercise: str, source: str) -> None:
        facts: dict[str, Any] = {"exercise": exercise, "passed": False, "whose": "yours"}
        now = look()
        if changed := [name for name, value in before.items() if now.get(name) is not value]:
            facts["outcome"] = f"✗ not judged: the code replaces {', '.join(changed[:3])}; look"
        else:
            shell.user_ns.update(names)
            facts |= _listen(listen, source, exercise, shell.user_ns)
        text = json.dumps(facts)
        seal = hmac.new(secret, text.encode(), "sha256").hexdigest()
        publish({"text/plain": facts["outcome"]}, {"labkit": {"sealed": text, "seal": seal}})

    globals()["judge"] = judge


def _listen(listen: Any, source: str, exercise: str, values: dict[str, Any]) -> dict[str, Any]:
    """What the check itself said last."""
    error = None
    with listen() as heard:
        try:
            exec(compile(source, f"<check {exercise}>", "exec"), values)
        except BaseException as stopped:  # SystemExit too: it is the answer that is judged
            error = stopped
    found = [output.metadata.get("labkit", {}).get("check") for output in heard.outputs[-1:]]
    said = f"✗ the check stopped with {type(error).__name__}: {error}"[:300]
    return found[0] if found and found[0] else {"outcome": said}


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
        if callable(value) and key not in _CHANGES and value is not globals().get("judge")
    }
    methods = {
        f"{name}.{key}": value
        for name, owner in list(found.items())
        if isinstance(owner, type) and name.split(".")[0] == "labkit"
        for key, value in vars(owner).items()
        if callable(value) or isinstance(value, property)
    }
    return found | methods
