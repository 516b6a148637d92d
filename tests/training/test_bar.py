import io

import pytest

from labkit import training_bar
from labkit.training.bar import TrainingBar


@pytest.fixture
def notebook(monkeypatch):
    """Pretend to be in a notebook; return what the one output showed, text by text."""
    shown = []
    monkeypatch.setattr(training_bar, "front_end", lambda: "notebook")
    monkeypatch.setattr(training_bar, "_replace_output", lambda: shown.append)
    return shown


def test_a_program_gets_the_summary_alone(capsys):
    with TrainingBar(3, 10) as bar:
        bar.update()
        bar.finish("done")
    assert capsys.readouterr() == ("done\n", "")


def test_unwanted_it_says_nothing(capsys):
    with TrainingBar(3, 10, wanted=False) as bar:
        bar.update()
        bar.finish("done")
    assert capsys.readouterr() == ("", "")


def test_the_line_names_epoch_batch_loss_rate_and_time_left(notebook):
    with TrainingBar(3, 10, done=1) as bar:
        bar.update(10)
        bar.end_epoch(0.25)
        bar.update(4)
        bar.refresh()
        bar.finish("done")
    line = next(text for text in notebook if "batch 4/10" in text)
    assert line.startswith("epoch 3/3, batch 4/10 |")
    assert "loss 0.2500" in line
    assert "batches/s" in line
    assert line.endswith("left")
    assert notebook[-1] == "done"


def test_a_thousand_batches_are_few_messages(notebook):
    with TrainingBar(1, 100_000) as bar:
        for _ in range(100_000):
            bar.update()
        bar.finish("done")
    assert len(notebook) < 20


def test_a_loader_of_unknown_length(notebook):
    with TrainingBar(2, None) as bar:
        bar.update()
        bar.refresh()
        bar.finish("done")
    assert any("epoch 1/2, batch 1 " in text for text in notebook)


def test_in_a_terminal_it_is_drawn_on_stderr(monkeypatch, capsys):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(training_bar.sys, "stderr", terminal)
    with TrainingBar(1, 10) as bar:
        bar.update(10)
        bar.refresh()
        bar.finish("done")
    assert "epoch 1/1, batch 10/10" in terminal.getvalue()
    assert capsys.readouterr().out == "done\n"
