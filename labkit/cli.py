"""The ``labkit`` command. An error is one line on stderr and exit code 1 or 2, no traceback."""

from pathlib import Path
from typing import Any

import click


class _Group(click.Group):
    """Turns what goes wrong in a command into one line."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise _one_line(error) from None

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _one_line(error) from None
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except ModuleNotFoundError as error:
            need = 'pip install "labkit[lab,instructor]"'
            raise click.ClickException(f"{error.name} is missing: {need}") from None
        except Exception as error:
            text = " ".join(str(error).split())
            # our own errors say all that is needed; of others the type helps
            expected = isinstance(error, ValueError | OSError) and text
            message = text if expected else f"{type(error).__name__}: {text}"
            raise click.ClickException(message) from None


def _one_line(error: click.UsageError) -> click.UsageError:
    """Click prints the usage, a hint and the error: three lines, unless it has no context."""
    if error.ctx is None or isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        return error
    text = " ".join(error.format_message().split())
    return click.UsageError(f"{text} See `{error.ctx.command_path} --help`.")


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="labkit")
def main() -> None:
    """Labs on classifying blood cells: build, run and check them.

    Example: labkit doctor
    """


@main.command()
@click.argument("labs", nargs=-1)
@click.option("--check", is_flag=True, help="Write nothing; fail where a notebook is out of date.")
@click.option("--execute", is_flag=True, help="Run the instructor's notebooks and keep outputs.")
def build(labs: tuple[str, ...], check: bool, execute: bool) -> None:
    """Build the notebooks of LABS (or of all) from solutions/*.py.

    Example: labkit build 02 --execute
    """
    from labkit.authoring.build import build

    if check and execute:
        raise click.UsageError("--check writes nothing, --execute does: give one of them.")
    for line in build(labs, check=check, execute=execute):
        click.echo(line)


@main.command()
@click.argument("lab")
@click.option("--full", is_flag=True, help="Train in full; otherwise fast mode.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Keep all here.")
def run(lab: str, full: bool, out: Path | None) -> None:
    """Execute the instructor's notebook of LAB and print its results.

    Example: labkit run 02 --full --out results/02
    """
    from labkit.authoring.run import run

    click.echo(str(run(lab, full=full, out=out)))


@main.command()
@click.argument("action", type=click.Choice(["show", "hide", "strip"]))
@click.argument("notebooks", nargs=-1, required=True, type=click.Path(path_type=Path))
def solutions(action: str, notebooks: tuple[Path, ...]) -> None:
    """Show, hide or strip the solutions in NOTEBOOKS; nothing else in them changes.

    Example: labkit solutions strip notebooks/02_mlp.ipynb
    """
    from labkit.authoring.toggle import toggle_file

    done = {"show": "shown", "hide": "hidden", "strip": "stripped"}[action]
    for path in notebooks:
        changed = toggle_file(path, action)
        click.echo(f"{path}: solutions {done}" if changed else f"{path}: unchanged, already {done}")


@main.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--size", type=int, help="Pixels a side; the data set's own if not given.")
def download(names: tuple[str, ...], size: int | None) -> None:
    """Fetch the data sets NAMES into the cache, for work without a network.

    A NAME may also be a pretrained network of lab 06: squeezenet1_0, resnet18, vit_b_16, vgg16.

    Example: labkit download bloodmnist squeezenet1_0
    """
    from labkit.data.catalog import entry
    from labkit.data.download import fetch
    from labkit.models.backbones import BACKBONES, fetch_weights

    items = [entry(name) for name in names if name not in BACKBONES]  # first, all names
    for name in names:
        if name in BACKBONES:
            click.echo(f"{name}: {fetch_weights(name).path}")
    for item in items:
        files = item.files(item.check_size(size))
        for path in [fetch(file).path for file in files]:
            click.echo(f"{item.name}: {path}")
        if not files:
            click.echo(f"{item.name}: is drawn, nothing to download")


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
