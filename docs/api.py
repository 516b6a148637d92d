"""The API's pages: one for `lk.NAME`, one for each public module, from the names in the stubs."""

import importlib
import inspect
import re
from pathlib import Path

import labkit

INTRODUCTION = """# The package

`import labkit as lk`. A name is loaded when it is first used, so the import costs milliseconds.
"""
_ROOT = Path(labkit.__file__).parents[1]


def public_names(module: str) -> list[str]:
    """The names that Tab shows: those of a folder's stub, else of the module's ``__all__``."""
    stub = _ROOT / module.replace(".", "/") / "__init__.pyi"
    if stub.exists():
        return re.findall(r"^from .+ import \w+ as (\w+)$", stub.read_text(), re.M)
    return importlib.import_module(module).__all__


def write_api(out: Path) -> None:
    """Write the source of the API's pages into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    listed = {name: getattr(labkit, name) for name in public_names("labkit")}
    modules = {name: value.__name__ for name, value in listed.items() if inspect.ismodule(value)}
    (out / "labkit.md").write_text(
        _page("labkit", [name for name in listed if name not in modules])
    )
    for module in modules.values():
        (out / f"{module}.md").write_text(_page(module, public_names(module)))
    pages = "\n".join(["labkit", *modules.values()])
    contents = f"```{{toctree}}\n:maxdepth: 1\n\n{pages}\n```\n"
    (out / "index.md").write_text(f"{INTRODUCTION}\n{contents}")


def _page(module: str, names: list[str]) -> str:
    table = "\n".join(f"   {name}" for name in names)
    entries = "\n".join(_entry(module, name) for name in names)
    return f"""# {module}

```{{eval-rst}}
.. automodule:: {module}
   :no-members:

.. currentmodule:: {module}

.. autosummary::
   :nosignatures:

{table}

{entries}
```
"""


def _entry(module: str, name: str) -> str:
    value = getattr(importlib.import_module(module), name)
    if inspect.isclass(value):
        return f".. autoclass:: {name}\n   :members:\n"
    return f".. {'autofunction' if callable(value) else 'autodata'}:: {name}\n"
