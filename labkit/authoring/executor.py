"""Where many runs go side by side: threads of this machine, or the workers of a Dask cluster."""

from concurrent.futures import Executor, ThreadPoolExecutor

from labkit.authoring import AuthoringError


def open_executor(scheduler: str | None, jobs: int) -> Executor:
    """An executor for runs that start processes of their own.

    Args:
        scheduler: the address of a Dask cluster, "tcp://host:8786", whose workers have labkit and
            the data; this machine if not given. A run whose worker dies goes to another one.
        jobs: how many runs at a time on this machine.

    Raises:
        AuthoringError: where Dask is not installed, or no scheduler answers.

    Example:
        >>> with open_executor(None, 2) as executor:
        ...     executor.submit(pow, 2, 3).result()
        8
    """
    if not scheduler:
        return ThreadPoolExecutor(jobs)
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise AuthoringError(
            "--scheduler needs Dask: in the course folder, pip install -e '.[cluster]'"
        ) from None
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise AuthoringError(f"no Dask scheduler answers at {scheduler}: {error}") from None
    return client.get_executor(retries=3, pure=False)
