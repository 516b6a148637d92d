"""Who looks at the output: somebody in a notebook, a program that runs it, or a terminal."""

import os
import sys


def front_end() -> str:
    """Say where output goes, as far as a kernel can know.

    Returns:
        ``"terminal"`` without a kernel; ``"unattended"`` when nbclient or nbval runs the cells, so
        that nobody watches; ``"jupyter"`` under Jupyter Server (JupyterLab, Notebook 7), where
        widgets work; ``"notebook"`` in every other front end (Colab, VS Code, …).

    Example:
        >>> front_end()
        'terminal'
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return "terminal"
    # a front end with a person in front of it lets a cell ask for input; nbclient and nbval do not
    if not kernel.get_parent().get("content", {}).get("allow_stdin", True):
        return "unattended"
    elsewhere = "google.colab" in sys.modules or "__vsc_ipynb_file__" in shell.user_ns
    return "jupyter" if "JPY_SESSION_NAME" in os.environ and not elsewhere else "notebook"
