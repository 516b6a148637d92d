import os
import weakref

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from labkit.data import folder as module
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


def picture(path, pixels=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((10, 12, 3), len(path.name), np.uint8) if pixels is None else pixels
    Image.fromarray(pixels).save(path, **options)


def test_pixels_of_more_than_eight_bits_are_not_made_white(folder):
    wide = np.linspace(0, 4095, 120).reshape(10, 12)
    picture(folder / "ig" / "wide.png", wide.astype(np.uint16))
    picture(folder / "ig" / "real.tif", wide.astype(np.float32))
    colours = np.dstack([wide] * 3).astype(np.uint16)
    for name in ("deep.png", "deep.ppm", "deep.tif"):  # Pillow opens these as RGB
        cv2.imwrite(str(folder / "ig" / name), colours)
    cv2.imwrite(str(folder / "ig" / "deepalpha.png"), np.dstack([colours, wide]).astype(np.uint16))
    raw = [cv2.IMWRITE_TIFF_COMPRESSION, 1]
    cv2.imwrite(str(folder / "ig" / "deep.tiff"), colours, raw)
    for name in ("plain.ppm", "plain.tif"):
        cv2.imwrite(str(folder / "ig" / name), (colours // 16).astype(np.uint8))
    split, problems = load_folder(folder)
    told = problems[problems["problem"].str.contains("more than 8 bits a colour")]
    colours = [f"ig/deep{kind}" for kind in (".ppm", ".tif", ".tiff", "alpha.png")]
    assert sorted(told["file"]) == sorted([*colours, "ig/deep.png", "ig/real.tif", "ig/wide.png"])
    assert set(told["action"]) == {"left out"} and not {*told["file"]} & {*split.files}


def test_a_turned_camera_and_further_pictures_of_a_file_are_told(folder):
    exif = Image.Exif()
    exif[0x112] = 6
    pixels = np.zeros((12, 10, 3), np.uint8)
    pixels[:, :5] = 200  # bright on the left as stored, on top as seen
    picture(folder / "ig" / "phone.jpg", pixels, exif=exif, quality=95)
    exif[0x112] = 0  # of cameras that do not know
    picture(folder / "ig" / "plain.jpg", exif=exif)
    more = [Image.fromarray(np.full((10, 12, 3), v, np.uint8)) for v in (9, 99)]
    picture(folder / "ig" / "stack.tif", save_all=True, append_images=more)
    split, problems = load_folder(folder)
    rows = problems.set_index("file")[["problem", "action"]].T.to_dict("list")
    assert rows["ig/phone.jpg"] == ["the camera was turned (EXIF)", "turned upright"]
    assert rows["ig/stack.tif"] == ["3 pictures in one file", "the first one kept"]
    assert "ig/plain.jpg" not in rows
    image = split.images[split.files.index("ig/phone.jpg")].float()
    assert image.shape == (3, 10, 12) and image[:, :4].mean() > 150 > 50 > image[:, 6:].mean()
    assert split.images[split.files.index("ig/stack.tif")].unique().tolist() == [len("stack.tif")]


@pytest.mark.parametrize("kind", [TypeError, NotImplementedError, RuntimeError])
def test_what_a_format_of_pillow_raises_leaves_one_file_out(folder, monkeypatch, kind):
    """Of damaged TIFF, DDS and AVIF files."""
    load = PngImagePlugin.PngImageFile.load

    def damaged(image):
        if str(image.filename).endswith("odd.png"):
            raise kind("damaged")
        return load(image)

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", damaged)
    split, problems = load_folder(folder)
    found = dict(zip(problems["file"], problems["problem"], strict=True))
    assert found["ig/odd.png"] == f"not a readable image ({kind.__name__})" and len(split) == 8


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="only where there are pipes")
def test_a_link_to_what_never_answers_is_left_out(folder):
    os.mkfifo(folder / "pipe")
    (folder / "ig" / "pipe.png").symlink_to(folder / "pipe")
    split, problems = load_folder(folder)
    assert len(split) == 9 and "ig/pipe.png" in {*problems["file"]}


def test_links_and_hidden_folders_are_listed_and_not_followed(folder):
    (folder / "ig" / "gone.png").symlink_to("nowhere.png")
    (folder / "ig" / "self.png").symlink_to("self.png")
    (folder / "ig" / "loop").symlink_to(folder)
    picture(folder / "ig" / ".ipynb_checkpoints" / "0-checkpoint.png")
    (folder / "__MACOSX" / "ig").mkdir(parents=True)
    (folder / "__MACOSX" / "ig" / "._0.png").write_bytes(b"\0\5\x16\7")
    (folder / "other").symlink_to(folder / "monocyte")
    split, problems = load_folder(folder)
    assert split.classes == ("immature granulocyte", "monocyte", "other")
    left_out = {*problems["file"][problems["action"] == "left out"]}
    assert left_out == {
        *("ig/gone.png", "ig/self.png", "ig/loop", "ig/.ipynb_checkpoints/0-checkpoint.png"),
        *("__MACOSX/ig/._0.png", "ig/broken.jpg", "ig/.DS_Store", "readme.txt"),
    }


def test_a_folder_that_may_not_be_read_is_an_error(folder, monkeypatch):
    scandir = os.scandir

    def refused(place):
        if str(place).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    (folder / "ig" / "closed").mkdir()
    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PermissionError, match="closed"):
        load_folder(folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["a/1.png", "b/notes.txt"], r"b holds no readable image: 1 files .* notes\.txt"),
        (["x_y/1.png", "x y/2.png"], "two folders of the class 'x y', 'x y' and 'x_y'"),
        (["RBC/1.png", "rbc /2.png"], "two folders of the class 'rbc ', 'RBC' and 'rbc '"),
        (["e\u0301/1.png", "\u00e9/2.png"], "two folders of the class '\u00e9'"),
        (["ig/1.png", "immature granulocyte/2.png"], "two folders of the class 'immature"),
        (["train/a/1.png", "test/a/2.png"], "split already, into test, train"),
        (["Train/1.png", "val/2.png", "TEST/3.png"], "split already"),
        (["own/a/1.png", "own/b/2.png", "empty/"], "one class folder only, own, with nothing but"),
    ],
)
def test_folders_that_are_not_the_classes_are_named(tmp_path, files, message):
    for file in files:
        if file.endswith(".png"):
            picture(tmp_path / file)
        elif file.endswith("/"):
            (tmp_path / file).mkdir()
        else:
            (tmp_path / file).parent.mkdir()
            (tmp_path / file).write_text("no image")
    with pytest.raises(ValueError, match=message):
        load_folder(tmp_path)


def test_a_class_has_its_name_as_one_types_it(tmp_path):
    picture(tmp_path / "e\u0301" / "1.png")
    assert load_folder(tmp_path)[0].classes == ("\u00e9",)


@pytest.mark.parametrize("size", [0, -1, 2.5, "64", [4, 4], (8,), (0, 5), (4, 4, 4)], ids=str)
def test_a_size_that_is_none_is_named(folder, size):
    with pytest.raises(ValueError, match="give None, a number of pixels from 1, or a pair"):
        load_folder(folder, size)


def test_photographs_are_made_small_as_they_are_read(folder, monkeypatch):
    read, seen = module._read, []

    def watched(file):
        assert not any(whole() is not None for whole in seen[:-1]), "more than one is held whole"
        photo, defects = read(file)
        if photo is not None:
            photo = photo.copy()
            seen.append(weakref.ref(photo))
        return photo, defects

    monkeypatch.setattr(module, "_read", watched)
    load_folder(folder, 4)
    assert len(seen) == 9
