"""The labs keep every rule: the lists stand in `labkit.authoring.rules` and `.complete`."""

import pytest

from labkit.authoring.build import find_faults
from labkit.authoring.files import find_root, find_sources


@pytest.mark.parametrize("source", find_sources(find_root()), ids=lambda source: source.stem)
def test_a_lab_keeps_every_rule(source):
    assert find_faults(source) == []
