"""What a command prints: findings line by line, and an error as one line without a traceback."""

import sys
from collections.abc import Iterable
from typing import Any

import click


class OneLineGroup(click.Group):
    """Says what goes wrong in a command in one line."""

    def main(self, *args: Any, **options: Any) -> None:
        """Run the command; whatever goes wrong ends in one line and an exit code."""
        try:
            sys.exit(super().main(*args, **{**options, "standalone_mode": False}))
        except Exception as error:
            if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
                error.show()
            else:
                click.echo(f"Error: {_in_one_line(error)}", err=True)
            sys.exit(getattr(error, "exit_code", 1))


def _in_one_line(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f'{error.name} is missing: in the course folder, pip install -e ".[lab,instructor]"'
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f" See `{context.command_path} --help`." if context else ""
        return " ".join(error.format_message().split()) + hint
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | OSError) and text:
        return text  # our own errors say all that is needed; of others the type helps
    return f"{type(error).__name__}: {text}".removesuffix(": ")


def lab_names(text: str | None) -> tuple[str, ...]:
    """The names in "02,05", none where nothing was given."""
    found = tuple(filter(None, (text or "").replace(" ", "").split(",")))
    if text is not None and not found:
        raise click.UsageError(f"--labs {text!r} names no lab: write --labs 02,05.")
    return found


def say(findings: Iterable[tuple[bool, str]]) -> bool:
    """Print what was done or went wrong, line by line; return whether all went well."""
    well = True
    for fine, line in findings:
        click.echo(line if fine else f"Error: {line}", err=not fine)
        well &= fine
    return well
