"""Has an installation moved a package that Colab has? Names each that it did, with exit code 1."""

import sys
from importlib.metadata import version
from pathlib import Path


def moved(pins: list[str]) -> list[str]:
    """The packages of lines "name==version" that are installed in another version."""
    wanted = dict(line.split("==") for line in pins if not line.startswith("#"))
    found = {name: version(name).partition("+")[0] for name in wanted}  # of any build, as for pip
    return [f"{n} was {v}, now {found[n]}" for n, v in wanted.items() if found[n] != v]


if __name__ == "__main__":
    pins = Path(__file__).with_name("requirements.txt").read_text().splitlines()
    sys.exit("\n".join(moved(pins)) or 0)
