"""The ``labkit`` command. An error is one line on stderr and exit code 1 or 2, no traceback."""

import sys
from pathlib import Path
from typing import Any

import click

from labkit.one_line import OneLineGroup, lab_names, say

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(cls=OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bloodlabs-labkit")
def main() -> None:
    """Labs on classifying blood cells: build, run and check them.

    Example: labkit doctor
    """


@main.command()
@click.argument("labs", nargs=-1)
@click.option("--labs", "named", metavar="02,05", help="The same as LABS, with commas.")
@click.option("--check", is_flag=True, help="Write nothing; fail where CI would, and say why.")
@click.option("--execute", is_flag=True, help="Run the instructor's notebooks and keep outputs.")
@click.option(
    "--solutions",
    type=click.Choice(["hidden", "stripped", "shown"]),
    help="For --out: the state of the solutions; hidden if not given.",
)
@click.option("--out", type=_FOLDER, help="Build notebooks to hand out here; overwrite nothing.")
def build(
    labs: tuple[str, ...],
    named: str | None,
    check: bool,
    execute: bool,
    solutions: str | None,
    out: Path | None,
) -> None:
    """Build the notebooks of LABS (or of all) from solutions/*.py.

    Example: labkit build 02 --execute

    Example: labkit build --solutions stripped --out handout --labs 02,05
    """
    from labkit.authoring.build import build
    from labkit.authoring.handout import hand_out

    if check + execute + bool(out) > 1:
        raise click.UsageError("--check, --execute and --out exclude each other: give one of them.")
    if solutions and not out:
        raise click.UsageError("--solutions is for notebooks to hand out: say where with --out.")
    labs += lab_names(named)
    made = hand_out(labs, solutions or "hidden", out) if out else None
    click.echo("\n".join(made or build(labs, check=check, execute=execute)))


@main.command()
@click.argument("lab")
@click.option("--full", is_flag=True, help="Train in full; otherwise fast mode.")
@click.option("--out", type=_FOLDER, help="Keep all here.")
def run(lab: str, full: bool, out: Path | None) -> None:
    """Execute the instructor's notebook of LAB and print its results.

    Example: labkit run 02 --full --out results/02
    """
    from labkit.authoring.run import run

    click.echo(str(run(lab, full=full, out=out)))


@main.command()
@click.argument("labs", nargs=-1)
@click.option("--seeds", type=click.IntRange(min=1), default=1, help="Runs of each; 1.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, help="Runs at a time here; 1.")
@click.option("--scheduler", metavar="ADDRESS", help="A Dask cluster, tcp://host:8786.")
@click.option("--elsewhere", is_flag=True, help="Only add the time that this machine takes.")
@click.option("--record", is_flag=True, help="LABS are recipes: keep their trainings for lab 05.")
def results(labs: tuple[str, ...], record: bool, seeds: int, **options: Any) -> None:
    """Execute LABS (or all) in full with each seed, and write RESULTS.md.

    Example: labkit results 05 --seeds 10 --jobs 2
    """
    from labkit.authoring.results import write_results
    from labkit.models.recordings import write_recordings

    write_recordings(labs, seeds) if record else write_results(labs, seeds, **options)


@main.command()
@click.argument("action", type=click.Choice(["show", "hide", "strip"]))
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=_FOLDER, help="Write copies here; overwrite nothing.")
def solutions(action: str, paths: tuple[Path, ...], out: Path | None) -> None:
    """Show, hide or strip the solutions in PATHS: notebooks, or folders of them.

    Nothing that a student wrote is lost: what is not the kit's own text stays as a plain cell.
    But a shown solution is a plain cell, too: "Run All" lets it replace what an answer defined.

    Example: labkit solutions strip notebooks --out handout
    """
    from labkit.authoring.handout import toggle_paths

    sys.exit(int(not say(toggle_paths(paths, action, out))))


@main.group()
def new() -> None:
    """Write the skeleton of a lab or an exercise, with its bank of answers.

    Example: labkit new lab 09_my_lab
    """


@new.command()
@click.argument("name")
def lab(name: str) -> None:
    """Write solutions/NAME.py and its bank; both build and run as they are.

    Example: labkit new lab 09_my_lab
    """
    from labkit.authoring.new import new_lab

    click.echo("\n".join(new_lab(name)))


@new.command()
@click.argument("number")
def exercise(number: str) -> None:
    """Insert exercise NUMBER behind the one before it, and its answers into the lab's bank.

    Example: labkit new exercise 2.9
    """
    from labkit.authoring.new import new_exercise

    click.echo("\n".join(new_exercise(number)))


@main.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--out", type=_FOLDER, default="report", help="For the report; ./report.")
@click.option("--scheduler", metavar="ADDRESS", help="A Dask cluster, tcp://host:8786.")
@click.option("--seconds", type=click.FloatRange(min=1), default=120, help="A cell's time; 120.")
@click.option("--memory", type=click.FloatRange(min=1), default=4, help="Gigabytes; 4.")
def report(folder: Path, out: Path, scheduler: str | None, seconds: float, memory: float) -> None:
    """Grade the submissions in DIR: run each apart, and count only what students wrote.

    Example: labkit report submissions --out report
    """
    from labkit.classroom.report import report
    from labkit.classroom.sandbox import Limits

    limits = Limits(seconds, 10 * seconds, int(memory * 2**30))
    click.echo("\n".join(report(folder, out, limits, scheduler)))


@main.group()
def export() -> None:
    """Write the course in the form of other tools.

    Example: labkit export nbgrader grading --labs 02,05
    """


@export.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--labs", metavar="02,05", help="All if not given.")
def nbgrader(folder: Path, labs: str | None) -> None:
    """Write a course folder for nbgrader: labs with points and locked checks, and its settings.

    Example: labkit export nbgrader grading --labs 02,05
    """
    from labkit.classroom.nbgrader import export_nbgrader

    click.echo("\n".join(export_nbgrader(folder, lab_names(labs))))


@main.command()
@click.argument("directory", metavar="[DIR]", type=_FOLDER, default="work")
def update(directory: Path) -> None:
    """Bring the newest labs into DIR (work/), with every answer; old files are kept beside.

    Example: labkit update work
    """
    from labkit.classroom.update import update

    sys.exit(int(not say(update(directory))))


@main.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--size", type=int, help="Pixels a side; the data set's own if not given.")
def download(names: tuple[str, ...], size: int | None) -> None:
    """Fetch the data sets NAMES into the cache, for work without a network.

    A NAME may also be a pretrained network of lab 06: squeezenet1_0, resnet18, vit_b_16, vgg16.

    Example: labkit download bloodmnist squeezenet1_0
    """
    from labkit.classroom.mirror import check_names, fetch_named

    check_names(names)
    for name in names:
        paths = [fetched.path for fetched in fetch_named(name, size).values()]
        for what in paths or ["is drawn, nothing to download"]:
            click.echo(f"{name}: {what}")


@main.command()
@click.argument("folder", metavar="[DIR]", type=_FOLDER, default="mirror")
@click.argument("names", nargs=-1)
@click.option("--size", type=int, help="Pixels a side; the data set's own if not given.")
@click.option("--serve", is_flag=True, help="Then serve DIR to the room, until Ctrl-C.")
@click.option("--port", type=int, default=8000, help="For --serve; 8000.")
def mirror(folder: Path, names: tuple[str, ...], size: int | None, serve: bool, port: int) -> None:
    """Fill DIR (mirror/) with what the labs need, or with NAMES, for a room without a network.

    Example: labkit mirror --serve
    """
    from labkit.classroom.mirror import COURSE, make_mirror, serve_mirror

    fine = say(make_mirror(folder, names or COURSE, size))
    if serve:
        serve_mirror(folder, port)
    sys.exit(int(not fine))


@main.command()
def doctor() -> None:
    """Say what is installed, which device and data there are, and how to mend what is wrong.

    Example: labkit doctor
    """
    from labkit.doctor import checks

    failed = 0
    for fine, what, remedy in checks():
        click.echo(f"[ OK ] {what}" if fine else f"[FAIL] {what} -> {remedy}")
        failed += not fine
    if failed:
        raise click.ClickException(f"{failed} to mend, see [FAIL] above")


if __name__ == "__main__":
    main()
