import numpy as np
import pytest
from PIL import Image

from labkit.data.folder import load_folder
from labkit.data.origin import Origin, save_origin


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for name in ("ig", "monocyte"):
        (tmp_path / name).mkdir()
        for i in range(3):
            pixels = random.integers(0, 256, (10, 12, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    Image.fromarray(np.zeros((14, 9, 3), np.uint8)).save(tmp_path / "ig" / "odd.png")
    Image.fromarray(np.zeros((10, 12), np.uint8)).save(tmp_path / "ig" / "grey.png")
    (tmp_path / "ig" / "broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(50))
    (tmp_path / "ig" / ".DS_Store").write_bytes(b"Bud1")
    (tmp_path / "monocyte" / "twin.png").write_bytes((tmp_path / "ig" / "0.png").read_bytes())
    (tmp_path / "readme.txt").write_text("not in a class folder")
    return tmp_path


@pytest.mark.parametrize(
    ("size", "shape"), [(None, (10, 12)), (6, (6, 6)), ((8, 16), (8, 16))], ids=str
)
def test_every_file_is_an_image_or_left_out_and_every_defect_is_listed(folder, size, shape):
    split, problems = load_folder(folder, size)
    left_out = problems[problems["action"] == "left out"]
    files = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
    assert set(split.files) | set(left_out["file"]) == files
    assert len(split) + len(left_out) == len(files) == 12
    assert split.images.shape[1:] == (3, *shape)
    assert set(left_out["file"]) == {"ig/broken.jpg", "ig/.DS_Store", "readme.txt"}
    found = dict(zip(problems["file"], problems["problem"], strict=True))
    assert found["ig/grey.png"] == "colour mode L"
    assert found["ig/odd.png"] == "size 9x14 instead of 12x10"
    assert found["monocyte/twin.png"] == "same bytes as ig/0.png, under another label"
    assert len(problems) == 6


def test_labels_follow_the_folders_and_images_the_files(folder):
    split, _ = load_folder(folder)
    assert split.classes == ("immature granulocyte", "monocyte")
    for file, image, label in zip(split.files, split.images, split.labels, strict=True):
        assert label == (not file.startswith("ig/"))
        pixels = np.asarray(Image.open(folder / file).convert("RGB"))
        assert file == "ig/odd.png" or np.array_equal(image.permute(1, 2, 0), pixels)


def test_folders_that_cannot_serve_are_named(tmp_path):
    with pytest.raises(ValueError, match="There is no folder"):
        load_folder(tmp_path / "none")
    with pytest.raises(ValueError, match="no sub-folders with files"):
        load_folder(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.jpg").write_text("no image")
    with pytest.raises(ValueError, match="no readable image: 1 files were tried"):
        load_folder(tmp_path)


def test_a_note_beside_the_folder_says_where_the_photographs_are_from(folder, monkeypatch):
    split, _ = load_folder(folder)
    assert (split.origin, split.origin.stand_in) == (f"photographs of {folder.name}", False)
    save_origin(folder, Origin("STAND-IN: drawn cells", stand_in=True))
    monkeypatch.chdir(folder.parent)
    split, problems = load_folder(folder.name)
    assert (split.origin, split.origin.stand_in) == ("STAND-IN: drawn cells", True)
    assert not problems["file"].str.contains("origin").any()
    monkeypatch.chdir(folder)
    assert load_folder(".")[0].origin == "STAND-IN: drawn cells"
    (folder.parent / f"{folder.name}.origin.json").write_text('{"of": "another program"}')
    assert load_folder(".")[0].origin == f"photographs of {folder.name}"
