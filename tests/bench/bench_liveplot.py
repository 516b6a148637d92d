"""What LivePlot costs: time as a share of training, and bytes sent to the browser.

Runs in a real kernel. Messages are counted where Jupyter packs them, with every epoch drawn, which
is the worst case: in a real training the throttle leaves most epochs out.
"""

import os

import nbformat
from nbclient import NotebookClient

from labkit.device import machine

SETUP = """\
import time
import warnings

import numpy as np

import labkit as lk
from labkit.display import Throttle

warnings.simplefilter("ignore")
session, sizes = get_ipython().kernel.session, []
serialize, send = session.serialize, session.send

def count(message, ident=None):
    parts = serialize(message, ident)
    if message["header"]["msg_type"] in ("comm_open", "comm_msg", "display_data",
                                         "update_display_data"):
        sizes.append(sum(map(len, parts)))
    return parts

def count_buffers(*args, buffers=None, **options):
    before = len(sizes)
    result = send(*args, buffers=buffers, **options)
    if len(sizes) > before:
        sizes[-1] += sum(memoryview(b).nbytes for b in buffers or [])
    return result

session.serialize, session.send = count, count_buffers
"""

SHARE = """\
blood = lk.load_dataset("bloodmnist")
train, val, _ = blood.loaders(batch_size=64)
print(f"Time, an MLP on {len(train.dataset):,} images, 30 epochs ({blood.origin}):")

def fit(plot=None):
    lk.seed_everything(0)
    spent = {"on_fit_begin": 0.0, "on_epoch_end": 0.0, "on_fit_end": 0.0}
    if plot:
        for name in spent:
            def timed(history, name=name, call=getattr(plot, name)):
                start = time.perf_counter()
                call(history)
                spent[name] += time.perf_counter() - start
            setattr(plot, name, timed)
    start = time.perf_counter()
    lk.fit(lk.models.BloodMLP(), train, val, epochs=30, callbacks=[plot] if plot else [],
           precision="fp32", progress=False)
    return time.perf_counter() - start, sum(spent.values()), spent["on_fit_end"]

fit(lk.LivePlot(renderer="image"))  # imports and first drawings are not part of a training
plain = np.median([fit()[0] for _ in range(3)])
total, inside, last = np.median([fit(lk.LivePlot(renderer="image")) for _ in range(3)], axis=0)
print(f"  {100 * inside / (total - inside):5.2f} % of {total:.1f} s, of which "
      f"{100 * last / (total - inside):.2f} % for the picture at the end;\\n"
      f"  the whole run takes {total / plain:.3f} x one without (median of 3)")
"""

BYTES = """\
def history_of(epochs):
    history = lk.History(classes=tuple("abcdefgh"), planned_epochs=epochs)
    random = np.random.default_rng(0)
    matrix = random.integers(0, 100, (8, 8))
    for epoch in range(1, epochs + 1):
        values = random.random(4)
        names = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
        history.append({"epoch": epoch, "seconds": 1.0, **dict(zip(names, values))})
        history.confusion_matrices.append(matrix)
        yield history

def ours(epochs):
    plot = lk.LivePlot(renderer="image")
    for history in history_of(epochs):
        if len(history) == 1:
            plot.on_fit_begin(history)
            plot._throttle = Throttle(first=epochs + 2)  # every epoch is drawn
            sizes.clear()
        plot.on_epoch_end(history)

print("Bytes, every epoch drawn:")
print(f"  {'epochs':>8}{'messages':>10}{'largest, KB':>13}{'in all, MB':>12}")
for epochs in (30, 300, 3000):
    ours(epochs)
    print(f"  {epochs:8,}{len(sizes):10,}{max(sizes) / 1e3:13.1f}{sum(sizes) / 1e6:12.1f}")
"""


def main() -> None:
    """Run the cells and print what they print."""
    print(f"LivePlot on {machine()}")
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, SHARE, BYTES)]
    nb = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(nb, timeout=1800, kernel_name="python3", store_widget_state=False)
    client.execute(env=dict(os.environ))
    for cell in nb.cells:
        for output in cell.outputs:
            if output.get("name") == "stdout":
                print(output.text, end="")


if __name__ == "__main__":
    main()
