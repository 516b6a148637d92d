"""The plan of the house: who may import whom, how large a room is, and one list of public names."""

import ast
import importlib
import inspect
from itertools import pairwise
from pathlib import Path

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

import labkit as lk

PACKAGE = Path(lk.__file__).parent
# a room imports only from those that stand before it
ROOMS = (
    *("settings", "files", "device", "display", "arrays", "data", "inference", "statistics"),
    *("metrics", "training", "liveplot", "models", "features", "probes", "explain", "figures"),
    *("notebook", "authoring", "classroom", "doctor", "one_line", "cli"),
)
FACES = [path for path in PACKAGE.rglob("__init__.pyi")]


def modules() -> dict[str, Path]:
    """Every module by its dotted name below labkit; a folder's face has the folder's name."""
    names = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(part for part in parts if part != "__init__")] = path
    return names


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """What a module imports of labkit, also inside functions and for type checkers alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            are_modules = {name for name in inner if name.removeprefix("labkit.") in known}
            found |= are_modules or {node.module}
    return {name.removeprefix("labkit.") for name in found if name.startswith("labkit.")}


KNOWN = modules()
GRAPH = {name: imports(path, KNOWN) for name, path in KNOWN.items()}


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    done, path = set(), []

    def visit(name: str) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        path.append(name)
        circle = next((c for other in sorted(graph.get(name, ())) if (c := visit(other))), [])
        path.pop()
        done.add(name)
        return circle

    return next((circle for name in sorted(graph) if (circle := visit(name))), [])


def test_the_finder_finds_a_circle():
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_circle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_every_import_of_labkit_is_of_a_module_that_is_there():
    assert sum(map(len, GRAPH.values())) > 100
    assert {name for targets in GRAPH.values() for name in targets} <= set(KNOWN)


def test_no_modules_import_each_other_in_a_circle():
    assert find_circle(GRAPH) == []


def test_a_room_imports_only_from_those_before_it():
    assert {name.split(".")[0] for name in KNOWN} - {""} == set(ROOMS)
    rank = {room: number for number, room in enumerate(ROOMS)}
    wrong = [
        f"{name} imports {target}"
        for name, targets in GRAPH.items()
        for target in targets
        if name and rank[target.split(".")[0]] > rank[name.split(".")[0]]
    ]
    assert wrong == []


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_module_stays_within_250_lines(name):
    assert len(KNOWN[name].read_text(encoding="utf-8").splitlines()) <= 250


def code_lines(node: ast.AST, lines: list[str]) -> int:
    """Lines of a function without its docstring, comments and blank lines."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    numbers = {n for part in body for n in range(part.lineno, part.end_lineno + 1)}
    return sum(bool(lines[n - 1].strip()) and lines[n - 1].strip()[0] != "#" for n in numbers)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_function_stays_within_40_lines_of_code(name):
    text = KNOWN[name].read_text(encoding="utf-8")
    functions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = {(node.name, node.lineno): code_lines(node, text.splitlines()) for node in functions}
    assert {name: n for name, n in lengths.items() if n > 40} == {}


def public(face: Path) -> dict[str, str]:
    """Each name of a stub, with the module that it says defines it ("" for a module)."""
    tree = ast.parse(face.read_text(encoding="utf-8"))
    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in nodes for alias in node.names}


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.parent.name)
def test_the_list_of_names_is_what_is_there(face):
    package = ".".join(["labkit", *face.parent.relative_to(PACKAGE).parts])
    module, names = importlib.import_module(package), public(face)
    assert dir(module) == sorted(names)
    for name, home in names.items():
        there = importlib.import_module(f"{package}.{home or name}")
        expected = getattr(there, name) if home else there
        assert getattr(module, name) is expected
        defined = getattr(expected, "__module__", None)
        assert defined in (None, there.__name__), f"{name} is defined in {defined}"


def test_every_name_is_listed_once_and_as_editors_want_it():
    for face in FACES:
        for node in ast.parse(face.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom):
                assert all(alias.asname == alias.name for alias in node.names)
        lines = face.read_text(encoding="utf-8").splitlines()
        assert len(public(face)) == sum(line.startswith("from ") for line in lines)


def test_an_editor_without_a_kernel_completes_names_and_signatures():
    import jedi

    code = "import labkit as lk\nlk."
    names = {c.name for c in jedi.Script(code, path=str(PACKAGE.parent / "x.py")).complete(2, 3)}
    assert set(dir(lk)) <= names
    script = jedi.Script("import labkit as lk\nlk.fit(", path=str(PACKAGE.parent / "x.py"))
    (signature,) = script.get_signatures(2, 7)
    assert [p.name for p in signature.params][:4] == ["model", "train", "val", "epochs"]
    assert "Train a classifier" in signature.docstring()


def test_a_kernel_completes_the_public_names_and_no_others():
    shell = InteractiveShell()
    shell.run_cell("import labkit as lk; lk.fit, lk.LivePlot, lk.check")  # these load inner modules
    for shell.Completer.use_jedi in (True, False):
        with provisionalcompleter():
            found = {c.text.rpartition(".")[2] for c in shell.Completer.completions("lk.", 3)}
        assert found == set(dir(lk))


def test_the_labs_import_nothing_deeper_than_lk_x_y():
    deep = []
    for source in sorted((PACKAGE.parent / "solutions").glob("*.py")):
        tree = ast.parse(source.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("labkit"):
                deep.append(f"{source.name}:{node.lineno} imports from {node.module}")
            if isinstance(node, ast.Attribute) and depth(node) > 2:
                deep.append(f"{source.name}:{node.lineno} {ast.unparse(node)}")
    assert deep == []


def depth(node: ast.Attribute) -> int:
    """How far below `lk` a dotted name reaches while it still names modules; 0 for other names."""
    parts, inner = [], node
    while isinstance(inner, ast.Attribute):
        parts, inner = [inner.attr, *parts], inner.value
    if not (isinstance(inner, ast.Name) and inner.id == "lk"):
        return 0
    found = lk
    for number, (name, _) in enumerate(pairwise([*parts, ""])):
        found = getattr(found, name, None)
        if not isinstance(found, type(lk)):
            return number + 1
    return len(parts)


MODULES = [name for name in dir(lk) if inspect.ismodule(getattr(lk, name))]


@pytest.mark.parametrize("name", [n for n in MODULES if not hasattr(getattr(lk, n), "__path__")])
def test_tab_shows_of_a_module_what_it_is_for_and_nothing_it_imports(name):
    module = getattr(lk, name)
    assert dir(module) == sorted(module.__all__)
    assert all(getattr(module, each).__module__ == module.__name__ for each in dir(module))
