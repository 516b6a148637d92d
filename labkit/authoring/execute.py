"""Execute a notebook in a fresh kernel, with outputs that a second run would write again."""

from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from tqdm import tqdm

from labkit.authoring import AuthoringError

TIMEOUT = 3600  # seconds a cell: the longest trains for minutes


def execute(nb: NotebookNode, folder: Path, env: dict[str, str], timeout: int = TIMEOUT) -> None:
    """Run every cell of a notebook; the outputs land in the notebook itself.

    Args:
        nb: the notebook; after a failure it holds the outputs so far.
        folder: the working folder of the kernel.
        env: the kernel's environment.
        timeout: seconds that one cell may take.

    Raises:
        AuthoringError: names the cell that failed, and its error.
    """
    language, at = nb.metadata.get("language_info"), ""

    def started(cell: NotebookNode, cell_index: int) -> None:
        nonlocal at
        line = cell.source.strip().partition("\n")[0]
        at = f"{cell_index + 1}, `{line}`,"

    try:
        # the client tells of code cells only
        cells = sum(cell.cell_type == "code" for cell in nb.cells)
        with tqdm(total=cells, desc=nb.metadata.labkit.lab, unit="cell") as bar:
            client = NotebookClient(
                nb,
                timeout=timeout,
                kernel_name="python3",
                resources={"metadata": {"path": str(folder)}},
                store_widget_state=False,
                record_timing=False,
                coalesce_streams=True,
                extra_arguments=["--log-level=ERROR"],  # ipykernel 7 warns of TCP at each start
                on_cell_start=started,
                on_cell_complete=lambda cell, cell_index: bar.update(),
            )
            client.execute(env=env)
    except Exception as error:
        raise AuthoringError(f"cell {at} {_reason(error, timeout)}") from None
    finally:
        nb.metadata["language_info"] = language
        nb.metadata.pop("widgets", None)
        for cell in nb.cells:
            cell.metadata.pop("execution", None)


def _reason(error: Exception, timeout: int) -> str:
    if isinstance(error, CellTimeoutError):
        return f"ran for more than {timeout} s; make it faster"
    if isinstance(error, DeadKernelError):
        return "ended the kernel; was there enough memory?"
    # nbclient's own message for a failed cell holds its whole source and traceback
    name, value = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", error)
    return f"failed: {name}: {' '.join(str(value).split())}"
