"""The set-up files agree with each other, and what is committed is what should be."""

import re
import runpy
import subprocess
import tomllib
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from labkit.authoring.complete import KIT_LABS
from labkit.authoring.files import find_sources

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text()


def test_environment_yml_installs_what_pyproject_says():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, extra = environment["dependencies"]
    name, tested = python.split("=")
    constraints = (ROOT / "constraints.txt").read_text()
    assert name == "python" and f"Python {tested}" in constraints.splitlines()[0]
    assert SpecifierSet(PROJECT["requires-python"]).contains(tested)
    assert pip == "pip"
    assert extra == {"pip": ["-c constraints.txt", "-e .[lab,instructor]"]}
    assert {"lab", "instructor"} <= set(PROJECT["optional-dependencies"])


def test_colab_is_given_all_that_the_labs_need_but_jupyterlab():
    extras = PROJECT["optional-dependencies"]
    left = [r for r in extras["lab"] if Requirement(r).name not in ("jupyterlab", "ipykernel")]
    assert extras["colab"] == left


def test_the_version_is_the_same_everywhere():
    import labkit

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == PROJECT["version"] == labkit.__version__
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_requirement_has_a_tested_version_within_its_bounds():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    wanted = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for requirement in map(Requirement, chain(*wanted)):
        if requirement.name != PROJECT["name"]:
            assert Version(tested[requirement.name]) in requirement.specifier, requirement.name


def test_colab_test_names_a_package_that_was_moved():
    moved = runpy.run_path(str(ROOT / "tests" / "colab" / "moved.py"))["moved"]
    now = version("numpy")
    assert moved(["# of Colab", f"numpy=={now}"]) == []
    assert moved(["numpy==0.1"]) == [f"numpy was 0.1, now {now}"]


def test_pyproject_has_lower_bounds_only():
    for requirement in map(Requirement, PROJECT["dependencies"]):
        assert {s.operator for s in requirement.specifier} == {">="}, requirement.name


def test_no_data_and_no_large_files_are_tracked():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert [f for f in tracked if f.startswith("data/")] == ["data/README.md"]
    large = [f for f in tracked if (ROOT / f).exists() and (ROOT / f).stat().st_size > 1_000_000]
    assert large == []


@pytest.mark.parametrize("command", ["lab", "test", "site"])
def test_the_readme_names_each_make_command_that_there_is(command):
    assert f"make {command}" in README
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), re.M)


def test_the_guides_name_every_variable_and_command():
    from labkit.cli import main

    text = (ROOT / "docs" / "commands.md").read_text()
    settings = (ROOT / "labkit" / "settings.py").read_text()
    for variable in set(re.findall(r"LABKIT_[A-Z]+", settings)):
        assert variable in text, variable
    for command in main.commands:
        assert f"`labkit {command}" in text, command


def test_every_link_of_the_readme_leads_somewhere():
    course = {path.stem for path in find_sources(ROOT)}
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if Path(target).stem in {*KIT_LABS} - course:
            continue  # the course leaves this lab out
        assert target.startswith("https://") or (ROOT / target).exists(), target
