"""Links in data sets and outputs: followed on the command line, inside allowed folders from the app, never twice."""

import json
import os
import time

import numpy as np
import pytest
from asking import start
from listed import Listed
from make_dataset import exclusive, overlapping, picture, save

from pipelines import links
from pipelines.datasets.check import check_dataset
from pipelines.datasets.opening import open_dataset
from pipelines.datasets.preview import PreviewRequest, preview_in_sandbox
from pipelines.errors import ConfigError, DatasetError
from pipelines.imports.readers import open_outputs
from pipelines.imports.sources import Said

MASK = np.repeat(np.array([0, 0, 1, 1, 2, 2], np.uint8)[:, None], 8, axis=1)


@pytest.fixture(autouse=True)
def anywhere(monkeypatch):
    """As on the command line, whatever another test has set."""
    monkeypatch.delenv(links.ROOTS, raising=False)


def pairs(root, count=12):
    for index in range(count):
        save(root / "images" / f"im{index:02d}.png", picture(index))
        save(root / "masks" / f"im{index:02d}.png", MASK)
    return root


def linked(root, real):
    """A folder whose images/ and masks/ are links."""
    root.mkdir(parents=True)
    for name in ("images", "masks"):
        (root / name).symlink_to(real / name)
    return root


def notes(dataset):
    return [one.message for one in dataset.structure() if one.code == "LINKS"]


def same(one, other):
    """Whether two data sets hold the same images and truth."""
    assert one.names() == other.names()
    for name in one.names():
        np.testing.assert_array_equal(one.read(name).image, other.read(name).image)
        np.testing.assert_array_equal(one.read(name).truth, other.read(name).truth)


def test_folders_that_are_links_are_read(tmp_path):
    real = pairs(tmp_path / "real")
    dataset = open_dataset(linked(tmp_path / "set", real))
    same(dataset, open_dataset(real))
    assert notes(dataset) == []
    assert dataset.fingerprint() == open_dataset(real).fingerprint()
    assert sum(one.pixels for one in check_dataset(dataset).class_facts) == 12 * 48


@pytest.mark.parametrize("write", [exclusive, overlapping])
def test_a_native_folder_of_links_is_the_same_set(tmp_path, write):
    real = write(tmp_path / "real")
    root = tmp_path / "set"
    root.mkdir()
    for path in real.iterdir():
        (root / path.name).symlink_to(path)
    dataset = open_dataset(root)
    same(dataset, open_dataset(real))
    assert [dataset.images(split) for split in ("train", "val", "test")] == [
        open_dataset(real).images(split) for split in ("train", "val", "test")
    ]
    assert dataset.fingerprint() == open_dataset(real).fingerprint()


def test_files_that_are_links_are_read_and_a_broken_one_is_noted(tmp_path):
    real = pairs(tmp_path / "real")
    root = tmp_path / "set"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
        for path in (real / folder).iterdir():
            (root / folder / path.name).symlink_to(os.path.relpath(path, root / folder))
    (root / "images" / "none.png").symlink_to(tmp_path / "nowhere.png")
    dataset = open_dataset(root)
    same(dataset, open_dataset(real))
    (note,) = notes(dataset)
    assert note.startswith("1 link is passed over, such as images/none.png: leading nowhere")


def test_several_pictures_may_share_one_mask_by_links(tmp_path):
    root = pairs(tmp_path / "set")
    for index in range(12, 15):
        save(root / "images" / f"im{index}.png", picture(index))
        (root / "masks" / f"im{index}.png").symlink_to("im00.png")
    assert len(open_dataset(root).names()) == 15


def test_loops_end_and_no_folder_or_file_is_read_twice(tmp_path):
    root = pairs(tmp_path / "set")
    (root / "up").symlink_to(tmp_path)
    (root / "self").symlink_to(root)
    (root / "images" / "again").symlink_to(root / "images")
    (root / "ring").symlink_to(root / "ring")
    (root / "more").mkdir()
    (root / "more" / "im00.png").symlink_to(root / "images" / "im00.png")
    outside = pairs(tmp_path / "outside", 2)
    for path in list((outside / "images").iterdir()):
        path.rename(path.with_name(f"x{path.name}"))
    for path in list((outside / "masks").iterdir()):
        path.rename(path.with_name(f"x{path.name}"))
    (outside / "back").symlink_to(root)
    (root / "far").symlink_to(outside)
    (root / "farther").symlink_to(outside)
    dataset = open_dataset(root)
    assert [name for name in dataset.names() if name.startswith("im")] == [f"im{index:02d}" for index in range(12)]
    assert len(dataset.names()) == 14
    (note,) = notes(dataset)
    # far/back, farther (the same folder as far), images/again, more/im00.png, ring, self, up
    assert note.startswith("7 links are passed over")


def split_by_links(root, pictures, masks):
    """12 pairs in folders of any name, and a folder of links for each split: 6, 2 and 4 of them."""
    for index in range(12):
        split = "train" if index < 6 else "val" if index < 8 else "test"
        for kind, place, values in (("images", pictures, picture(index)), ("masks", masks, MASK)):
            save(root / place / f"im{index:02d}.png", values)
            (root / split / kind).mkdir(parents=True, exist_ok=True)
            (root / split / kind / f"im{index:02d}.png").symlink_to(root / place / f"im{index:02d}.png")
    return root


def test_links_of_a_split_to_pictures_of_the_same_set_give_the_split(tmp_path):
    root = split_by_links(tmp_path / "set", "all/images", "all/masks")
    dataset = open_dataset(root)
    assert [len(dataset.images(split)) for split in ("train", "val", "test")] == [6, 2, 4]
    (root / "val" / "images" / "im00.png").symlink_to(root / "all" / "images" / "im00.png")
    leaks = [one.message for one in check_dataset(open_dataset(root)).findings if one.code == "SPLIT-LEAK"]
    assert leaks == ["im00 is in train and val; an image belongs to one split, keep one"]


def test_folder_links_of_a_split_give_the_split(tmp_path):
    root = pairs(tmp_path / "set", 4)
    for index in range(4):
        place = root / "images" / ("a" if index < 3 else "b") / f"im{index:02d}.png"
        place.parent.mkdir(exist_ok=True)
        (root / "images" / place.name).rename(place)
    for split, folder in (("train", "a"), ("test", "b")):
        (root / split).symlink_to(root / "images" / folder)
    assert open_dataset(root).images("test") == ("im03",)


def test_folder_that_no_format_knows_for_its_links_says_so(tmp_path):
    root = split_by_links(tmp_path / "set", "pool/x", "pool/y")
    with pytest.raises(DatasetError, match=r"in no known format .*; 24 links are passed over, such as test/"):
        open_dataset(root)


def test_links_lead_no_farther_than_the_allowed_folders(tmp_path, monkeypatch):
    inside, outside = pairs(tmp_path / "allowed" / "real"), pairs(tmp_path / "outside")
    hidden = pairs(tmp_path / "allowed" / ".uploads" / "theirs")
    monkeypatch.setenv(links.ROOTS, str(tmp_path / "allowed"))
    same(open_dataset(linked(tmp_path / "allowed" / "good", inside)), open_dataset(inside))
    for number, real in enumerate((outside, hidden)):
        root = linked(tmp_path / "allowed" / f"bad{number}", real)
        with pytest.raises(DatasetError, match="it holds images, masks, 2 of them links that lead nowhere or out of"):
            open_dataset(root)


def test_a_folder_outside_the_allowed_ones_such_as_an_upload_has_no_links_followed(tmp_path, monkeypatch):
    monkeypatch.setenv(links.ROOTS, str(tmp_path / "allowed"))
    real = pairs(tmp_path / "allowed" / "real")
    for root in (tmp_path / "upload", tmp_path / "allowed" / ".uploads" / "mine"):
        with pytest.raises(DatasetError, match="2 of them links"):
            open_dataset(linked(root, real))


def test_native_tables_and_folders_obey_the_allowed_folders(tmp_path, monkeypatch):
    outside = exclusive(tmp_path / "outside")
    monkeypatch.setenv(links.ROOTS, str(tmp_path / "allowed"))
    root = exclusive(tmp_path / "allowed" / "set")
    (root / "groups.csv").symlink_to(tmp_path / "secret.csv")
    (tmp_path / "secret.csv").write_text("image,group\nim00,secret\n")
    (root / "images" / "im12.png").symlink_to(outside / "images" / "im00.png")
    dataset = open_dataset(root)
    assert dataset.groups == {}
    assert len(dataset.names()) == 12
    assert notes(dataset)[0].startswith("2 links are passed over, such as images/im12.png")
    (root / "dataset.toml").unlink()
    (root / "dataset.toml").symlink_to(outside / "dataset.toml")
    with pytest.raises(DatasetError, match="2 of them links"):
        open_dataset(root)


def test_the_process_of_a_first_look_keeps_the_allowed_folders(tmp_path, monkeypatch):
    root = linked(tmp_path / "allowed" / "set", pairs(tmp_path / "outside"))
    assert preview_in_sandbox(PreviewRequest(path=str(root)))[0].problem is None
    monkeypatch.setenv(links.ROOTS, str(tmp_path / "allowed"))
    assert "2 of them links" in preview_in_sandbox(PreviewRequest(path=str(root)))[0].problem


def test_a_job_keeps_the_allowed_folders_that_it_was_started_with(tmp_path, monkeypatch):
    root = linked(tmp_path / "allowed" / "set", pairs(tmp_path / "outside"))
    monkeypatch.setenv(links.ROOTS, str(tmp_path / "allowed"))
    job = start(["check", str(root)], tmp_path / "runs", waits=False)
    monkeypatch.delenv(links.ROOTS)
    deadline = time.monotonic() + 120
    while job.state() not in ("failed", "done") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert job.state() == "failed"
    assert "2 of them links" in job.status().message
    assert json.loads((job.folder / "job.json").read_text())["link_roots"] == str(tmp_path / "allowed")


def test_outputs_in_linked_folders_are_read_and_obey_the_allowed_folders(tmp_path, monkeypatch):
    values = np.zeros((2, 4, 6), np.float32)
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    np.save(tmp_path / "outside" / "deep" / "x.npy", values)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "outside")
    said = Said("sigmoid", "logits", ("a", "b"))
    (source,) = open_outputs(tmp_path / "out", said, Listed("x")).sources.values()
    assert source.absent(("x",)) == ()
    monkeypatch.setenv(links.ROOTS, str(tmp_path / "out"))
    with pytest.raises(ConfigError, match="holds no file of sigmoid"):
        open_outputs(tmp_path / "out", said, Listed("x"))


def test_coco_pictures_and_nnunet_folders_that_are_links_are_read(tmp_path):
    for index in range(3):
        save(tmp_path / "photos" / f"{index}.png", picture(index))
        save(tmp_path / "cases" / f"c{index}_0000.png", picture(index))
        save(tmp_path / "maps" / f"c{index}.png", MASK)
    coco = tmp_path / "coco"
    coco.mkdir()
    (coco / "images").symlink_to(tmp_path / "photos")
    box = [[1, 1, 5, 1, 5, 4, 1, 4]]
    content = {
        "images": [{"id": index, "file_name": f"{index}.png", "height": 6, "width": 8} for index in range(3)],
        "annotations": [{"id": 1 + n, "image_id": n, "category_id": 1, "segmentation": box} for n in range(3)],
        "categories": [{"id": 1, "name": "box"}],
    }
    (coco / "annotations.json").write_text(json.dumps(content))
    assert open_dataset(coco).names() == ("0", "1", "2")
    nnunet = tmp_path / "Dataset001"
    nnunet.mkdir()
    (nnunet / "imagesTr").symlink_to(tmp_path / "cases")
    (nnunet / "labelsTr").symlink_to(tmp_path / "maps")
    labels = {"background": 0, "one": 1, "two": 2}
    channels = {"0": "R", "1": "G", "2": "B"}
    (nnunet / "dataset.json").write_text(
        json.dumps({"channel_names": channels, "labels": labels, "file_ending": ".png"})
    )
    assert open_dataset(nnunet).read("c0").truth.sum() == 48


def test_splits_and_groups_that_are_links_are_read(tmp_path):
    root = exclusive(tmp_path / "set")
    rows = "".join(f"im{index:02d},g{index // 2}\n" for index in range(12))
    (tmp_path / "groups.csv").write_text(f"image,group\n{rows}")
    (root / "groups.csv").symlink_to(tmp_path / "groups.csv")
    (root / "splits").rename(tmp_path / "splits")
    (root / "splits").symlink_to(tmp_path / "splits")
    dataset = open_dataset(root)
    assert dataset.groups["im03"] == "g1"
    assert dataset.images("test") == ("im10", "im11")
