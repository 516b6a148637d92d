"""The commands of the guides, run as they stand there, in a course of one lab; and the tests that
the page on reliability names."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RELIABILITY = ROOT / "docs" / "reliability.md"
GUIDES = [path for path in sorted((ROOT / "docs").glob("*.md")) if "```bash" in path.read_text()]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_every_command_of_a_guide_runs(guide, tmp_path):
    (tmp_path / "solutions").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    mini = ROOT / "tests" / "authoring" / "mini_lab.txt"
    (tmp_path / "solutions" / "02_mini.py").write_text(mini.read_text())
    blocks = re.findall(r"```bash\n(.*?)```", guide.read_text(), re.DOTALL)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    script = "\n".join(["set -e", "labkit build >/dev/null", *blocks])
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert blocks


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_every_labkit_command_of_a_guide_exists(guide):
    from labkit.cli import main

    named = set(re.findall(r"^labkit (\w+)", guide.read_text(), re.MULTILINE))
    assert named and named <= set(main.commands)


def test_every_test_that_the_page_on_reliability_names_exists():
    named = set(re.findall(r"`((?:\w+/)*test_\w+\.py)`", RELIABILITY.read_text()))
    assert named
    for name in named:
        assert list((ROOT / "tests").rglob(name)), name
