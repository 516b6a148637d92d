import io

import pytest

from labkit import display
from labkit.training.bar import TrainingBar


@pytest.fixture
def notebook(monkeypatch):
    """Pretend to be in a notebook; return what the one output showed, text by text."""
    shown = []
    monkeypatch.setattr(display, "front_end", lambda: "notebook")
    monkeypatch.setattr(display.Output, "show", lambda self, b: shown.append(b["text/plain"]))
    return shown


@pytest.fixture
def unthrottled(monkeypatch):
    monkeypatch.setattr(display.Throttle, "ready", lambda self: True)


def train(bar, batches):
    for _ in range(batches):
        bar.update()


def test_a_program_gets_the_summary_alone(monkeypatch, capsys):
    monkeypatch.setattr(display, "front_end", lambda: "unattended")
    bar = TrainingBar(3, 10)
    train(bar, 10)
    bar.finish("done")
    assert capsys.readouterr() == ("done\n", "")


@pytest.mark.parametrize("place", ["notebook", "terminal", "unattended"])
def test_unwanted_it_says_nothing(monkeypatch, capsys, place):
    monkeypatch.setattr(display, "front_end", lambda: place)
    monkeypatch.setattr(display.Output, "show", lambda self, bundle: pytest.fail("shown"))
    bar = TrainingBar(3, 10, wanted=False)
    train(bar, 10)
    bar.finish("done")
    assert capsys.readouterr() == ("", "")


def test_the_line_names_epoch_batch_loss_and_time_left(notebook, unthrottled):
    bar = TrainingBar(3, 10, done=1)
    train(bar, 10)
    bar.end_epoch(0.25)
    train(bar, 4)
    assert notebook[-1].startswith("epoch 3/3, batch 4/10 |")
    assert "loss 0.2500" in notebook[-1]
    assert notebook[-1].endswith(" left")
    bar.finish("done")
    assert notebook[-1] == "done"


def test_the_time_left_follows_the_pace_of_this_run(notebook, unthrottled, monkeypatch):
    clock = iter(range(100, 200))
    monkeypatch.setattr("labkit.training.bar.time.perf_counter", lambda: next(clock))
    bar = TrainingBar(12, 2, done=10)  # ten epochs came from a checkpoint
    bar.update()
    assert notebook[-1].endswith(", 3 s left")  # half an epoch took a second, one and a half remain


def test_a_thousand_batches_are_few_messages(notebook):
    bar = TrainingBar(1, 100_000)
    train(bar, 100_000)
    bar.finish("done")
    assert len(notebook) < 20


def test_a_loader_of_unknown_length(notebook):
    bar = TrainingBar(2, None)
    bar.update()
    assert notebook == ["epoch 1/2, batch 1, loss –"]


def test_in_a_terminal_it_is_drawn_on_stderr(monkeypatch, capsys, unthrottled):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(display.sys, "stderr", terminal)
    bar = TrainingBar(1, 10)
    train(bar, 10)
    bar.finish("done")
    lines = terminal.getvalue().split("\r")
    assert lines[1].startswith("epoch 1/1, batch 1/10")
    assert lines[10].startswith("epoch 1/1, batch 10/10")
    assert lines[-2].strip() == "" and lines[-1] == ""  # nothing of it stays
    assert capsys.readouterr().out == "done\n"
