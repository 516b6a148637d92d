import dataclasses
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError
from scipy.ndimage import binary_dilation, zoom
from sklearn.ensemble import RandomForestClassifier

from labkit.data.classes import BLOOD_CLASSES
from labkit.data.drawn import cells as synthetic
from labkit.data.drawn import paint as synthetic_paint
from labkit.data.drawn.cells import COUNTS, DrawnCells, draw_cells, draw_grey_cells, draw_splits

PARTS = [field.name for field in dataclasses.fields(DrawnCells)]
PLATELET = BLOOD_CLASSES.index("platelet")


def assert_equal(one: DrawnCells, other: DrawnCells, rows: slice = slice(None)):
    for part in PARTS:
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part)[rows])


@pytest.fixture(scope="module")
def cells() -> DrawnCells:
    return draw_cells(np.arange(800) % 8, seed=3)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    path = tmp_path_factory.mktemp("drawn") / "pbc"
    return path, synthetic.write_photo_folder(path, per_class=3, seed=5)


@pytest.mark.parametrize("size", [28, 64, 363])
def test_shapes_and_types_at_any_size(size):
    cells = draw_cells(np.arange(8), size)
    assert cells.images.shape == (8, 3, size, size)
    assert cells.images.dtype == np.uint8
    assert cells.labels.dtype == np.int64
    for mask in (cells.nucleus, cells.cell):
        assert mask.shape == (8, size, size)
        assert mask.dtype == bool


@settings(max_examples=15, deadline=None)
@given(
    labels=st.lists(st.integers(0, 7), max_size=12),
    size=st.integers(28, 80),
    seed=st.integers(0, 2**32),
)
def test_masks_hold_for_any_request(labels, size, seed):
    cells = draw_cells(labels, size, seed)
    assert len(cells.images) == len(labels)
    assert not (cells.nucleus & ~cells.cell).any()
    assert cells.cell.any((1, 2)).all()
    np.testing.assert_array_equal(cells.nucleus.any((1, 2)), cells.labels != PLATELET)


def test_same_seed_same_bytes_other_seed_other_cells():
    labels = np.arange(16) % 8
    assert_equal(draw_cells(labels, seed=1), draw_cells(labels, seed=1))
    assert (draw_cells(labels, seed=1).cell != draw_cells(labels, seed=2).cell).any((1, 2)).all()


def test_a_cell_depends_on_its_place_and_label_alone():
    labels = np.arange(400) % 8
    changed = labels.copy()
    changed[100:] = 0
    assert_equal(draw_cells(labels[:100]), draw_cells(labels), slice(100))
    assert_equal(draw_cells(labels[:100]), draw_cells(changed), slice(100))


@pytest.mark.parametrize("pixels", [1, 5000])
def test_chunks_do_not_matter(monkeypatch, pixels):
    whole = draw_cells(np.arange(60) % 8)
    monkeypatch.setattr(synthetic_paint, "CHUNK_PIXELS", pixels)
    assert_equal(draw_cells(np.arange(60) % 8), whole)


@pytest.mark.parametrize("mask", ["cell", "nucleus"])
def test_the_same_cell_at_every_size(mask):
    small, large = (getattr(draw_cells(np.arange(24) % 7, size), mask) for size in (28, 112))
    shrunk = zoom(large.astype(float), (1, 0.25, 0.25), order=1, grid_mode=True, mode="nearest")
    shared = (small & (shrunk > 0.5)).sum((1, 2)) / (small | (shrunk > 0.5)).sum((1, 2))
    assert shared.min() > 0.5
    assert shared.mean() > 0.9


def test_masks_lie_where_the_cell_is_drawn(cells):
    grey = cells.images.mean(1)
    for picture, nucleus, cell in zip(grey, cells.nucleus, cells.cell, strict=True):
        around = ~binary_dilation(cell, iterations=2)
        assert picture[cell].mean() < picture[around].mean()
        if nucleus.any():
            assert picture[nucleus].mean() < picture[around].mean() - 40


@pytest.mark.parametrize("shift", [(-1, 0), (1, 0), (0, -1), (0, 1)])
@pytest.mark.parametrize("part", ["cell", "nucleus"])
def test_a_mask_moved_by_a_pixel_fits_worse(cells, part, shift):
    rows = cells.labels != PLATELET
    grey, mask = cells.images.mean(1)[rows], getattr(cells, part)[rows]
    moved = np.roll(mask, shift, axis=(1, 2))
    darkness = [(255 - grey)[here].mean() for here in (mask & ~moved, moved & ~mask)]
    assert darkness[0] > darkness[1] + 20


def test_nucleus_is_darker_than_cytoplasm_except_under_granules(cells):
    grey = cells.images.mean(1)
    cytoplasm = cells.cell & ~binary_dilation(cells.nucleus, structure=np.ones((1, 3, 3)))
    for name in ("eosinophil", "erythroblast", "monocyte", "neutrophil"):
        rows = cells.labels == BLOOD_CLASSES.index(name)
        inside, outside = grey[rows][cells.nucleus[rows]], grey[rows][cytoplasm[rows]]
        assert inside.mean() < outside.mean() - 30


def test_classes_can_be_told_apart_by_simple_features(cells):
    cytoplasm = cells.cell & ~cells.nucleus
    features = [cells.cell.sum((1, 2)), cells.nucleus.sum((1, 2)), cytoplasm.sum((1, 2))]
    for mask in (cells.nucleus, cytoplasm):
        area = np.maximum(mask.sum((1, 2)), 1)
        features += [(cells.images[:, k] * mask).sum((1, 2)) / area for k in range(3)]
    features = np.stack(features, axis=1)
    forest = RandomForestClassifier(100, random_state=0).fit(features[:400], cells.labels[:400])
    assert forest.score(features[400:], cells.labels[400:]) > 0.6  # chance: 0.125


@pytest.mark.parametrize("draw", [draw_cells, draw_grey_cells])
@pytest.mark.parametrize("size", [27, 364])
def test_a_size_out_of_range_is_named(draw, size):
    with pytest.raises(ValueError, match=rf"{size}.*28 to 363"):
        draw([0], size)


@pytest.mark.parametrize(
    ("draw", "label", "last"), [(draw_cells, 8, "7 platelet"), (draw_grey_cells, -1, "4 neutro")]
)
def test_a_wrong_label_lists_the_classes(draw, label, last):
    with pytest.raises(ValueError, match=rf"no class {label}\..*{last}"):
        draw([0, label])


def test_splits_have_their_counts_are_shuffled_and_share_nothing():
    splits = draw_splits(counts={name: np.array(COUNTS[name]) // 20 for name in COUNTS})
    seen = Counter()
    for name, cells in splits.items():
        np.testing.assert_array_equal(np.bincount(cells.labels), np.array(COUNTS[name]) // 20)
        assert (np.diff(cells.labels) < 0).any()
        seen.update(image.tobytes() for image in cells.cell)
    # A mask of a platelet is a few pixels: two of them may agree by chance.
    assert sum(seen.values()) - len(seen) < 5


def test_official_counts():
    assert [sum(COUNTS[name]) for name in ("train", "val", "test")] == [11_959, 1_712, 3_421]


def test_grey_cells_are_grey_and_b_cells_larger():
    labels = np.arange(500) % 5
    cells = draw_grey_cells(labels, seed=4)
    assert cells.images.shape == (500, 1, 32, 32)
    assert_equal(draw_grey_cells(labels[:50], seed=4), cells, slice(50))
    assert cells.nucleus.any((1, 2)).all()
    area = cells.cell.sum((1, 2))
    assert area[labels == 0].mean() > area[labels == 1].mean()


def test_folder_holds_what_was_asked_for_and_what_was_planted(photographs):
    path, planted = photographs
    files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*.jpg"))
    assert len(files) == 8 * 3 + 2
    assert {file.split("/")[0] for file in files} == set(
        "basophil eosinophil erythroblast ig lymphocyte monocyte neutrophil platelet".split()
    )
    odd, unreadable = {}, []
    for file in files:
        try:
            with Image.open(path / file) as photo:
                photo.load()
                if photo.size != (360, 363):
                    odd[file] = photo.size
        except UnidentifiedImageError:
            unreadable.append(file)
    assert odd == planted.odd_sizes
    assert len(set(odd.values())) == 6
    assert unreadable == [planted.broken]
    assert Path(planted.broken).name.startswith(".DS_")


def test_folder_has_one_photograph_twice_under_two_labels(photographs):
    path, planted = photographs
    by_hash = {}
    for file in path.rglob("*.jpg"):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        by_hash.setdefault(digest, set()).add(file.relative_to(path).as_posix())
    assert [twins for twins in by_hash.values() if len(twins) > 1] == [set(planted.duplicate)]
    assert len({Path(file).parent for file in planted.duplicate}) == 2


def test_folder_is_reproducible_and_never_overwritten(photographs, tmp_path):
    path, planted = photographs
    again = tmp_path / "again"
    assert synthetic.write_photo_folder(again, per_class=3, seed=5) == planted
    for file in path.rglob("*.jpg"):
        assert (again / file.relative_to(path)).read_bytes() == file.read_bytes()
    with pytest.raises(FileExistsError, match="again"):
        synthetic.write_photo_folder(again)


def test_a_folder_that_failed_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("labkit.data.drawn.photographs._save", full)
    with pytest.raises(OSError, match="disk full"):
        synthetic.write_photo_folder(tmp_path / "pbc", per_class=2)
    assert list(tmp_path.iterdir()) == []


def test_too_few_photographs_for_the_defects(tmp_path):
    with pytest.raises(ValueError, match="at least 2"):
        synthetic.write_photo_folder(tmp_path / "pbc", per_class=1)
