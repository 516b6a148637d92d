"""Execute a notebook in a fresh kernel, with outputs that a second run would write again."""

import time
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from labkit.authoring import AuthoringError
from labkit.display import ProgressLine, progress_text

TIMEOUT = 3600  # seconds a cell: the longest trains for minutes


def execute(nb: NotebookNode, folder: Path, env: dict[str, str]) -> None:
    """Run every cell of a notebook; the outputs land in the notebook itself.

    Args:
        nb: the notebook; after a failure it holds the outputs so far.
        folder: the working folder of the kernel.
        env: the kernel's environment.

    Raises:
        AuthoringError: names the cell that failed, and its error.
    """
    language, at = nb.metadata.get("language_info"), ""
    line, start = ProgressLine(), time.perf_counter()

    def started(cell: NotebookNode, cell_index: int) -> None:
        nonlocal at
        at = f"{cell_index + 1}, `{cell.source.strip().partition(chr(10))[0]}`,"
        name, cells = nb.metadata.labkit.lab, len(nb.cells)
        line.show(lambda: progress_text(name, cell_index, cells, time.perf_counter() - start))

    try:
        client = NotebookClient(
            nb,
            timeout=TIMEOUT,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
            store_widget_state=False,
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],  # ipykernel 7 warns of TCP at each start
            on_cell_start=started,
        )
        client.execute(env=env)
    except Exception as error:
        raise AuthoringError(f"cell {at} {_reason(error)}") from None
    finally:
        line.finish()
        nb.metadata["language_info"] = language
        nb.metadata.pop("widgets", None)
        for cell in nb.cells:
            cell.metadata.pop("execution", None)


def _reason(error: Exception) -> str:
    if isinstance(error, CellTimeoutError):
        return f"ran for more than {TIMEOUT} s; make it faster"
    if isinstance(error, DeadKernelError):
        return "ended the kernel; was there enough memory?"
    # nbclient's own message for a failed cell holds its whole source and traceback
    name, value = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", error)
    return f"failed: {name}: {' '.join(str(value).split())}"
