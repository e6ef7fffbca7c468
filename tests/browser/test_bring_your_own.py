"""A reader's own zip in Chromium, from the upload to the verdict: each kind of truth, each in another format."""

import json
import re
import zipfile

import numpy as np
import pytest
from browser import driver
from make_dataset import save
from pycocotools import mask as coco_mask

pytestmark = pytest.mark.browser
SLOW = 240_000  # milliseconds, for what trains on a busy machine
SIZE = 64
IMAGES = 16
ROW, HEADER = 35, 35  # pixels of the table of classes


def discs(seed):
    """Image (H, W, 3) uint8, a disc and its core, both (H, W) bool."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    away = np.hypot(y - rng.integers(20, 44), x - rng.integers(20, 44))
    disc, core = away < rng.integers(14, 18), away < 7
    image = np.full((SIZE, SIZE, 3), 60.0) + disc[..., None] * [90, 0, 40] + core[..., None] * [0, 90, 0]
    return np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8), disc, core


def colored(root):
    """Exclusive: masks in colours."""
    for index in range(IMAGES):
        image, disc, core = discs(index)
        mask = np.zeros((SIZE, SIZE, 3), np.uint8)
        mask[disc], mask[core] = (200, 30, 30), (30, 30, 200)
        save(root / "images" / f"im{index:02d}.png", image)
        save(root / "masks" / f"im{index:02d}.png", mask)


def grey(root):
    """Binary: 0 and 255."""
    for index in range(IMAGES):
        image, disc, _ = discs(index)
        save(root / "images" / f"im{index:02d}.png", image)
        save(root / "masks" / f"im{index:02d}.png", disc.astype(np.uint8) * 255)


def coco(root):
    """Overlapping: each core lies inside its disc."""
    listed = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "disc"}, {"id": 7, "name": "core"}]}
    for index in range(IMAGES):
        image, *masks = discs(index)
        save(root / "images" / f"im{index:02d}.png", image)
        listed["images"].append({"id": index, "file_name": f"im{index:02d}.png", "height": SIZE, "width": SIZE})
        for category, mask in zip((1, 7), masks, strict=True):
            packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            listed["annotations"].append(
                {
                    "id": len(listed["annotations"]) + 1, "image_id": index, "category_id": category, "iscrowd": 0,
                    "area": int(mask.sum()), "bbox": coco_mask.toBbox(packed).tolist(),
                    "segmentation": {"size": packed["size"], "counts": packed["counts"].decode()},
                }
            )  # fmt: skip
    (root / "annotations").mkdir()
    (root / "annotations" / "instances.json").write_text(json.dumps(listed))


def zipped(make, folder):
    root = folder / "my set"
    root.mkdir()
    make(root)
    with zipfile.ZipFile(folder / "my set.zip", "w") as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return folder / "my set.zip"


def edit(view, row, from_right, text):
    """Write into a cell of the table of classes, of the column so many pixels from its right edge."""
    grid = view.page.locator("[data-testid=stDataFrame] canvas").first
    grid.scroll_into_view_if_needed()
    box = grid.bounding_box()
    y = box["y"] + HEADER + row * ROW + ROW / 2
    view.page.mouse.click(box["x"] + 60, y)  # a click on a chosen cell would open it
    view.page.mouse.click(box["x"] + box["width"] - from_right, y)
    view.page.keyboard.press("Enter")
    field = view.page.locator("textarea.gdg-input")
    field.wait_for()
    field.fill(text)
    view.page.keyboard.press("Enter")
    view.settle()


def fill(view, label, value):
    field = view.page.get_by_test_id("stNumberInput").filter(has_text=label).locator("input")
    field.fill(str(value))
    field.press("Enter")
    view.settle()


SETS = {
    # How it is made, why it is recognised, the row to rename, the new name, and what is said of the truth.
    "exclusive": (colored, "one mask in colours", 1, "outer", "each pixel has one label"),
    "binary": (grey, "Recognised: every picture has one mask", 1, "vessel", "one class against background"),
    "overlapping": (coco, "Recognised: annotations/instances.json", 0, "outer", "labels share pixels"),
}


@pytest.mark.parametrize("kind", SETS)
def test_a_zip_becomes_a_verdict(kind, window, tmp_path):
    make, recognised, row, name, truth = SETS[kind]
    (tmp_path / "runs").mkdir()
    with driver.server(tmp_path / "runs", cwd=tmp_path) as address:
        view = window().open(f"{address}/data")
        view.page.locator(".st-key-data .upload input").set_input_files(str(zipped(make, tmp_path)))
        view.page.get_by_text("A first look").wait_for()
        view.settle()
        assert view.page.get_by_text(recognised).count() >= 1
        assert view.page.get_by_text(truth).count() >= 1
        edit(view, row, 60, name)
        view.page.locator("[data-testid=stColorPicker]").filter(has_text=name).wait_for()
        view.settle()
        assert view.page.get_by_role("img", name=re.compile("^Classes of im")).count() == 8

        view.page.get_by_role("button", name="Check the whole data set").click()
        view.page.get_by_role("button", name="Check again").wait_for(timeout=60_000)
        view.settle()
        if kind == "overlapping":
            assert view.page.get_by_text("Best possible with one label a pixel").count() >= 1
        view.page.get_by_role("link", name="Train a pair on it").click()
        view.page.wait_for_url(re.compile("/train.*reading="))
        view.page.get_by_role("button", name="Start without an estimate").wait_for()
        view.settle()
        fill(view, "Epochs", 1)
        fill(view, "Seeds", 1)
        view.page.get_by_role("button", name="Start without an estimate").click()
        view.page.get_by_test_id("stProgress").wait_for()
        assert view.shown_errors() == []
        view.close()

        again = window().open(f"{address}/train")
        again.page.get_by_role("button", name="Read the verdict").wait_for(timeout=SLOW)
        again.page.get_by_role("button", name="Read the verdict").click()
        again.page.get_by_role("heading", name="Why").wait_for()
        again.settle()
        assert again.page.locator("[role=heading][aria-level='1']").inner_text()
        again.page.get_by_role("link", name="Labels").click()
        again.page.get_by_role("heading", name="Splits").wait_for()
        again.settle()
        assert again.page.get_by_text(name).count() >= 1
        assert again.shown_errors() == []
