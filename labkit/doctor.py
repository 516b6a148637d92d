"""What `labkit doctor` looks at: is everything here, and if not, how is it mended?"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata, util
from pathlib import Path
from zipfile import is_zipfile

from labkit import settings

MIN_PYTHON, MIN_FREE_GB = (3, 11), 2
Finding = tuple[bool, str, str]  # fine or not, what was found, what to do


def checks() -> Iterator[Finding]:
    """Look at this machine; a look that itself fails is a finding too.

    Yields:
        For each finding whether all is well, what was found, and the remedy ("" where well).

    Example:
        >>> for ok, what, remedy in checks():
        ...     print("[ OK ]" if ok else "[FAIL]", what, remedy)
        [ OK ] Python 3...
    """
    for look in LOOKS:
        try:
            yield from look()
        except Exception as error:
            text = " ".join(str(error).split())
            name = look.__name__.removeprefix("_").replace("_", " ")
            yield False, f"{name}: {type(error).__name__}: {text}", "mend this first"


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, MIN_PYTHON))
    fine = sys.version_info >= MIN_PYTHON
    yield fine, f"Python {version}", "" if fine else f"install Python {wanted} or later"


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    modules: dict[str, str] = {}
    for module, owners in metadata.packages_distributions().items():
        for owner in owners:
            modules.setdefault(owner.lower().replace("_", "-"), module)
    good = 0
    for requirement in map(Requirement, metadata.requires("bloodlabs-labkit") or []):
        if requirement.marker and not requirement.marker.evaluate({"extra": "lab"}):
            continue
        remedy = f'pip install "{requirement.name}{requirement.specifier}"'
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield False, f"{requirement.name} is not installed", remedy
            continue
        module = modules.get(requirement.name.lower().replace("_", "-"), requirement.name)
        if not requirement.specifier.contains(version, prereleases=True):
            yield False, f"{requirement.name} {version} is too old", remedy
        elif util.find_spec(module) is None:
            yield False, f"{requirement.name} {version} cannot be imported", remedy
        else:
            good += 1
    yield True, f"{good} packages are installed in versions that serve", ""


def _torch() -> Iterator[Finding]:
    import torch

    from labkit.device import fast_bf16, get_device

    device = get_device()
    product = torch.ones(64, 64, device=device) @ torch.ones(64, 64, device=device)
    fine = bool((product == 64).all())
    yield fine, f"torch {torch.__version__} computes on {device}", "" if fine else "reinstall torch"
    found = fast_bf16(device)
    said = f"has fast bf16 ({found})" if found else "has no fast bf16, so fp32 is used"
    yield True, f"this processor {said} (information)", ""


def _data_folder() -> Iterator[Finding]:
    folder = settings.data_dir()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    elsewhere = "set LABKIT_DATA to a folder"
    if not there.is_dir() or not os.access(there, os.W_OK):
        yield False, f"data folder {folder} cannot be written", f"{elsewhere} that can be"
        return
    with tempfile.TemporaryFile(dir=there):
        yield True, f"data folder {folder} can be written", ""
    free = shutil.disk_usage(there).free / 1e9
    fine = free >= MIN_FREE_GB
    remedy = "" if fine else f"free {MIN_FREE_GB} GB, or {elsewhere} on another disk"
    yield fine, f"{free:.1f} GB are free there", remedy


def _mirror() -> Iterator[Finding]:
    mirror = settings.mirror()
    if not mirror:
        return
    from labkit.data.mirrors import mirror_index

    yield True, f"mirror {mirror} offers {len(mirror_index(mirror))} files", ""


def _data_sets() -> Iterator[Finding]:
    from labkit.data.archives import holds_photographs
    from labkit.data.catalog import NAMES, entry

    folder, found = settings.data_dir(), []
    for item in map(entry, NAMES):
        sizes = [item.default_size] if isinstance(item.sizes, range) else item.sizes
        for size in sizes:
            parts = [folder / part.path for part in item.files(size)]
            if not parts or not all(part.exists() for part in parts):
                continue
            looks = {".zip": holds_photographs, ".npz": is_zipfile}
            if wrong := [p for p in parts if not looks.get(p.suffix, Path.is_file)(p)]:
                what = "photographs" if wrong[0].suffix == ".zip" else "arrays"
                remedy = f"`lk.load_dataset({item.name!r}, size={size})` fetches it again"
                yield False, f"{wrong[0]} holds no {what}", remedy
            else:
                found.append(f"{item.name} {size} px")
    said = ", ".join(found) or "none yet (the labs fetch them; or `labkit download bloodmnist`)"
    yield True, f"data sets in the cache: {said}", ""


def _jupyter() -> Iterator[Finding]:
    from jupyter_client.kernelspec import KernelSpecManager

    fine = "python3" in KernelSpecManager().find_kernel_specs()
    remedy = "" if fine else "python -m ipykernel install --sys-prefix"
    yield fine, f"Jupyter kernel python3 {'is there' if fine else 'is missing'}", remedy
    fine = util.find_spec("jupyterlab") is not None
    remedy = "" if fine else 'pip install "jupyterlab>=4.2"'
    yield fine, f"JupyterLab {'is there' if fine else 'is missing'}", remedy


LOOKS: list[Callable[[], Iterator[Finding]]] = [
    _python,
    _packages,
    _torch,
    _data_folder,
    _mirror,
    _data_sets,
    _jupyter,
]
