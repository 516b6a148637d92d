"""A kernel for strangers' code: apart from the disk and the network where bubblewrap is there.

With ``bwrap`` the kernel sees Python, labkit, the data and its own scratch folder; it can write
into that folder alone, and it has no network. Without it a kernel has the rights of whoever grades.
Time, memory, processes, disk and output are limited in both cases; a limit that is passed ends the
kernel and all that it started.
"""

import functools
import os
import shutil
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

import labkit
from labkit import settings

# a kernel's most: processes, their threads, bytes of disk and of output
PROCESSES, THREADS, DISK, OUTPUT = 64, 2000, 1 << 30, 10 << 20
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache")
_SYSTEM += ("/etc/alternatives", "/etc/fonts", "/etc/localtime", "/sys/devices/system/cpu")
# the limits are set by the process that becomes the kernel, so they hold for its children too
_LIMIT = """import os, sys
try:
    import resource
    for name, most in (("DATA", {memory}), ("FSIZE", {disk}), ("CORE", 0), ("NPROC", {processes})):
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (most, most))
except (ImportError, AttributeError, ValueError):  # Windows, macOS: the watch alone limits
    pass
if os.getppid() == 1:  # behind walls, where a kernel would take its parent for dead
    os.environ.pop("JPY_PARENT_PID", None)
os.execv(sys.executable, [sys.executable, "-m", "ipykernel_launcher", *sys.argv[1:]])"""


@dataclass(frozen=True)
class Limits:
    """What one submission may use: seconds a cell, seconds in all, and bytes of memory."""

    cell: float = 120
    total: float = 1200
    memory: int = 4 << 30


@functools.cache
def bubblewrap() -> str | None:
    """The path of a bubblewrap that works here, or None."""
    path = shutil.which("bwrap")
    check = [path or "", "--unshare-all", "--ro-bind", "/", "/", sys.executable, "-c", ""]
    return path if path and psutil.Popen(check, stderr=-3).wait() == 0 else None


class _Specs(KernelSpecManager):
    """Knows one kernel."""

    argv: list[str] = []  # noqa: RUF012 - each instance gets its own

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(argv=self.argv, language="python", display_name=kernel_name)


def start(folder: Path, limits: Limits) -> "SafeClient":
    """Start a kernel for a submission.

    Args:
        folder: its new scratch folder, for sockets, working folder and home; sockets need it short.
        limits: what it may use.
    """
    home = folder / "home"
    home.mkdir()
    data = _link_data(home / "data")
    specs = _Specs()
    limit = _LIMIT.format(memory=limits.memory, disk=DISK, processes=1024)
    command = [sys.executable, "-c", limit, "-f", "{connection_file}", "--log-level=ERROR"]
    specs.argv = [*_walls(folder), *command]
    manager = AsyncKernelManager(
        kernel_spec_manager=specs,
        transport="ipc" if os.name == "posix" else "tcp",
        ip=str(folder / "k") if os.name == "posix" else "127.0.0.1",
        connection_file=str(folder / "kernel.json"),
    )
    manager.client_factory = _Channels
    client = SafeClient(manager, limits, folder)
    client.start_new_kernel(env=_environment(home, data), cwd=str(home), stdout=-3, stderr=-3)
    client.start_new_kernel_client()
    threading.Thread(target=client.watch, daemon=True).start()
    return client


def _link_data(folder: Path) -> Path:
    """A data folder of its own: links to the files that are there, and room for others."""
    source = settings.data_dir()
    folder.mkdir()
    for path in source.iterdir() if source.is_dir() else ():
        if path.name == "trained":  # labs write these again
            shutil.copytree(path, folder / path.name)
        elif path.is_dir():
            shutil.copytree(path, folder / path.name, copy_function=os.symlink)
        else:
            (folder / path.name).symlink_to(path)
    return folder


def _environment(home: Path, data: Path) -> dict[str, str]:
    """No variable of the person who grades but these: one may hold a password."""
    kept = ("PATH", "LANG", "LC_ALL", "OMP_NUM_THREADS", "LD_LIBRARY_PATH", "SYSTEMROOT")
    own = {"HOME": home, "USER": "student", "TMPDIR": home, "LABKIT_DATA": data}
    own |= {"PYTHONPATH": Path(labkit.__file__).parent.parent, "PYTHONDONTWRITEBYTECODE": "1"}
    own |= {"LABKIT_OFFLINE": "1", "LABKIT_FAST": "1"}  # checks hold in both modes
    own |= {"LABKIT_DEVICE": "cpu", "MPLCONFIGDIR": home}
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        name: str(value) for name, value in own.items()
    }


def _walls(folder: Path) -> list[str]:
    if not (path := bubblewrap()):
        return []
    python = Path(sys.executable)
    # of the folders on the path only packages: the course itself is not to be seen
    packages = [place for place in sys.path if place.endswith(("site-packages", "dist-packages"))]
    places = [*_SYSTEM, sys.prefix, sys.base_prefix, python.parent, python.resolve().parent]
    places += [*packages, Path(labkit.__file__).parent, settings.data_dir().resolve()]
    walls = [path, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    walls += ["--dev", "/dev", "--proc", "/proc"]
    for inside in ("tmp", "dev/shm"):  # on the disk that is watched, not in memory that is not
        outside = folder / inside.replace("/", "-")
        outside.mkdir(exist_ok=True)
        walls += ["--bind", str(outside), f"/{inside}"]
    walls += [word for place in places for word in ("--ro-bind-try", str(place), str(place))]
    walls += ["--bind", str(folder), str(folder), "--remount-ro", "/dev", "--remount-ro", "/"]
    return [*walls, "--chdir", str(folder / "home")]


class _Channels(AsyncKernelClient):
    """Channels that take no message larger than a cell may print: it would fill our own memory."""

    def _context_default(self) -> zmq.asyncio.Context:
        self._created_context = True
        context = zmq.asyncio.Context()
        context.MAXMSGSIZE = 2 * OUTPUT
        return context


class SafeClient(NotebookClient):
    """A notebook client that ends its kernel when that uses too much; `stopped` says why."""

    def __init__(self, manager: AsyncKernelManager, limits: Limits, folder: Path) -> None:
        options = {"timeout": limits.cell, "allow_errors": True, "store_widget_state": False}
        super().__init__(new_notebook(), km=manager, record_timing=False, **options)
        self.limits, self.folder, self.bytes, self.stopped = limits, folder, 0, ""

    def run(self, source: str) -> list[NotebookNode]:
        """Run a cell and give its outputs; where that ends the kernel, `stopped` says why."""
        cell = new_code_cell(source)
        self.nb.cells = [cell]
        try:
            self.execute_cell(cell, 0)
        except CellTimeoutError:
            self.end(f"ran for more than {self.timeout:.0f} s")
        except (DeadKernelError, RuntimeError):
            self.end("ended its kernel")
        return cell.outputs

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Count what a kernel sends, and take no more than it may send."""
        self.bytes += len(repr(msg["content"])) if not self.stopped else 0
        if self.bytes > OUTPUT:
            self.end(f"printed more than {OUTPUT >> 20} MB")
            return None
        return super().process_message(msg, cell, cell_index)

    def watch(self) -> None:
        """Look at memory, processes and disk until the kernel is gone; in a thread of its own."""
        kernel = psutil.Process(self.km.provisioner.pid)
        while not threading.Event().wait(0.2) and not self.stopped:
            try:
                family = [kernel, *kernel.children(recursive=True)]
                memory = sum(process.memory_info().rss for process in family)
                threads = sum(process.num_threads() for process in family)
            except psutil.NoSuchProcess:
                if not kernel.is_running():
                    return
                continue
            if len(family) > PROCESSES:
                self.end(f"started more than {PROCESSES} processes")
            elif threads > THREADS:
                self.end(f"started more than {THREADS} threads")
            elif memory > self.limits.memory:
                self.end(f"used more than {self.limits.memory / 2**30:.1f} GB of memory")
            elif _size(self.folder) > DISK:
                self.end(f"wrote more than {DISK >> 20} MB")

    def close(self) -> None:
        """End the kernel, and the threads here that would go on asking for it."""
        self.end()
        self.kc.stop_channels()
        for owner in (self.kc, self.km):
            owner.context.destroy(linger=0)

    def end(self, why: str = "closed") -> None:
        """End the kernel and all that it started."""
        self.stopped = self.stopped or why
        try:
            kernel = psutil.Process(self.km.provisioner.pid)
            family = [kernel, *kernel.children(recursive=True)]
        except (psutil.NoSuchProcess, AttributeError):
            return
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _size(folder: Path) -> int:
    """Bytes on disk; an empty file takes a block, too."""
    paths = (Path(at, name) for at, _, names in os.walk(folder) for name in names)
    return sum(4096 + size for path in paths if (size := _bytes(path)) is not None)


def _bytes(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except OSError:  # gone meanwhile
        return None
