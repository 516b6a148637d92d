"""What would fail on Windows or macOS, found by rule: neither is tried in CI."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from labkit.authoring.build import build_notebook

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "labkit").rglob("*.py"))
UNIX_MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "termios"}
UNIX_NAMES = {"fork", "forkpty", "mkfifo", "getuid", "geteuid", "SIGKILL", "SIGALRM", "setsid"}
# `labkit report`, for instructors, limits the memory of a submission: on Linux and macOS only
ALLOWED = {"classroom/grade.py", "classroom/sandbox.py"}


def faults(source: str) -> list[str]:
    """What in a module only Unix has, or what depends on the language of the system."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            found += sorted(name for name in names & UNIX_MODULES)
        if isinstance(node, ast.Attribute) and node.attr in UNIX_NAMES:
            found.append(f"line {node.lineno}: {node.attr}")
        if isinstance(node, ast.Call) and _reads_text(node):
            given = {keyword.arg for keyword in node.keywords}
            if not given & {"encoding", None}:
                found.append(f"line {node.lineno}: no encoding")
    return found


def _reads_text(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in ("read_text", "write_text"):
        return True
    modes = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return name == "open" and isinstance(call.func, ast.Name) and not any("b" in m for m in modes)


@pytest.mark.parametrize(
    "bad",
    [
        "import fcntl",
        "from pwd import getpwnam",
        "os.fork()",
        "os.kill(1, signal.SIGKILL)",
        "Path('a').read_text()",
        "open('a')",
        "open('a', 'w')",
    ],
)
def test_the_rule_finds_what_it_looks_for(bad):
    assert len(faults(bad)) == 1
    assert not faults("Path('a').read_text(encoding='utf-8'); open('a', 'rb'); os.name")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT / "labkit").as_posix())
def test_no_module_needs_unix_or_guesses_an_encoding(path):
    found = faults(path.read_text(encoding="utf-8"))
    if path.relative_to(ROOT / "labkit").as_posix() in ALLOWED:
        found = [fault for fault in found if "no encoding" in fault]
    assert not found


def test_every_file_name_is_one_on_any_system():
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")[:-1]
    assert names
    reserved = r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?"
    for name in names:
        assert not re.search(r'[<>:"\\|?*\x00-\x1f]', name), name
        for part in name.split("/"):
            assert not re.fullmatch(reserved, part) and not part.endswith((".", " ")), name
    assert len({name.lower() for name in names}) == len(names)
    assert max(map(len, names)) < 120  # below a folder of one's own, Windows allows 260


def test_a_source_with_the_line_ends_of_windows_gives_the_same_notebook(tmp_path):
    source = ROOT / "solutions" / "02_mlp.py"
    copy = tmp_path / "solutions" / source.name
    copy.parent.mkdir()
    copy.write_bytes(source.read_bytes().replace(b"\n", b"\r\n"))
    one, other = build_notebook(source, "hidden"), build_notebook(copy, "hidden")
    assert [cell.source for cell in one.cells] == [cell.source for cell in other.cells]
