import ipywidgets
from matplotlib.figure import Figure

from labkit.figures import new_figure
from labkit.notebook import explore as controls


def draw(method="he", depth=5) -> Figure:
    if depth > 99:
        raise ValueError(f"depth is {depth}")
    figure, axes = new_figure()
    axes[0, 0].set_title(f"{method} {depth}")
    return figure


def test_without_a_person_the_first_choice_is_drawn():
    figure = controls.explore(draw, method=["xavier", "he"], depth=[3, 5])
    assert figure.axes[0].get_title() == "xavier 3"


def test_menus_redraw_the_picture_and_show_errors(monkeypatch):
    shown = []
    monkeypatch.setattr(controls, "front_end", lambda: "jupyter")
    monkeypatch.setattr("IPython.display.display", shown.append)
    assert controls.explore(draw, method=["xavier", "he"], depth=[3, 5, 100]) is None
    menus, message, picture = shown[0].children
    assert isinstance(picture, ipywidgets.Image)
    before = bytes(picture.value)
    assert before.startswith(b"\x89PNG")
    menus.children[0].value = "he"
    assert bytes(picture.value) != before
    menus.children[1].value = 100
    assert "depth is 100" in message.value
    menus.children[1].value = 5
    assert message.value == ""
