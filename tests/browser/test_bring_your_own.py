"""A reader's own zip in Chromium: uploaded, recognised, its class renamed, checked, and read so by the training."""

import json
import re
import zipfile

import numpy as np
import pytest
from browser import driver
from make_dataset import save
from pycocotools import mask as coco_mask

from pipelines import jobs
from pipelines.reading import read_reading

pytestmark = pytest.mark.browser
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


def test_a_zip_is_described_and_goes_on_to_the_training(window, tmp_path):
    (tmp_path / "runs").mkdir()
    with driver.server(tmp_path / "runs", cwd=tmp_path) as address:
        view = window().open(f"{address}/data")
        view.page.locator(".st-key-data .upload input").set_input_files(str(zipped(coco, tmp_path)))
        view.page.get_by_text("A first look").wait_for()
        view.settle()
        assert view.page.get_by_text("Recognised: annotations/instances.json").count() >= 1
        assert view.page.get_by_text("labels share pixels").count() >= 1
        edit(view, 0, 60, "outer")
        view.page.locator("[data-testid=stColorPicker]").filter(has_text="outer").wait_for()
        view.settle()
        assert view.page.get_by_role("img", name=re.compile("^Classes of im")).count() == 8

        view.page.get_by_role("button", name="Check the whole data set").click()
        view.page.get_by_role("button", name="Check again").wait_for(timeout=60_000)
        view.settle()
        assert view.page.get_by_text("Best possible with one label a pixel").count() >= 1
        view.page.get_by_role("link", name="Train a pair on it").click()
        view.page.wait_for_url(re.compile("/train.*reading="))
        view.page.get_by_role("button", name="Start without an estimate").wait_for()
        view.settle()
        view.page.get_by_role("button", name="Start without an estimate").click()
        view.page.get_by_test_id("stProgress").wait_for()
        assert view.shown_errors() == []
        (job,) = jobs.list_jobs(tmp_path / "runs")
        job.cancel()
        assert [rule.name for rule in read_reading(job.request.reading).classes] == ["outer", "core"]
