import json
import re

import pytest
from matplotlib.figure import Figure

from labkit.figures import new_figure
from labkit.notebook import explore as module

explore = module.explore


def draw(method="he", depth=5) -> Figure:
    figure, axes = new_figure()
    axes[0, 0].set_title(f"{method} {depth}")
    return figure


@pytest.fixture
def shown(monkeypatch):
    """Pretend to be in a notebook; what was shown there."""
    bundles = []
    monkeypatch.setattr(module, "front_end", lambda: "jupyter")
    monkeypatch.setattr(module.Output, "show", lambda self, bundle: bundles.append(bundle))
    return bundles


def test_without_a_person_the_first_choice_is_drawn():
    figure = explore(draw, method=["xavier", "he"], depth=[3, 5])
    assert figure.axes[0].get_title() == "xavier 3"


def test_every_combination_is_drawn_ahead_and_kept(shown):
    assert explore(draw, method=["xavier", "he"], depth=[3, 5, 9]) is None
    page = shown[-1]["text/html"]
    pictures = json.loads(re.search(r"pictures = (\[.*?\]), img", page)[1])
    assert len({*pictures, re.search(r"base64,([^\"]+)\">", page)[1]}) == 6
    controls = json.loads(re.search(r"choices = (\[.*?\]), pictures", page)[1])
    assert controls == [["method", ["xavier", "he"], False], ["depth", ["3", "5", "9"], True]]
    assert len(page) < 250_000


@pytest.mark.parametrize(
    ("values", "slides"),
    [
        ([1, 2.5, 9], True),
        ([1], False),
        ([2, 1], False),
        (["a", "b"], False),
        ([False, True], False),
    ],
)
def test_rising_numbers_get_a_slider(values, slides):
    assert module._rises(values) is slides


def test_names_are_never_markup(shown):
    explore(lambda kind: draw(), kind=["</script><b>", '"&'])
    page = shown[-1]["text/html"]
    assert "</script><b>" not in page
    assert page.count("</script>") == 1


@pytest.mark.parametrize("choices", [{"depth": []}, {"depth": range(61)}])
def test_nothing_or_too_much_to_draw_is_named(choices):
    with pytest.raises(ValueError, match=r"would draw (0|61) pictures"):
        explore(draw, **choices)
