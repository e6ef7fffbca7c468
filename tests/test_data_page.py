"""The page "Data" without a browser: links, tables, the check, and everything that files or links can have wrong."""

import time

import numpy as np
import opening
import pytest
import tifffile
from make_dataset import exclusive, overlapping, picture, save
from PIL import Image

from pipelines import jobs, readings
from pipelines.reading import DataReading, parse_reading


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder that may be read from the app."""
    monkeypatch.setenv("PIPELINES_DATA_ROOTS", str(tmp_path))
    return tmp_path


@pytest.fixture
def page(tmp_path, monkeypatch):
    def open_page(**query):
        at = opening.open_page(monkeypatch, tmp_path / "runs", "data")
        for name, value in query.items():
            at.query_params[name] = value
        return at.run()

    return open_page


def key_of(at):
    """Key of the reading in the address."""
    said = at.query_params["reading"]
    return said if isinstance(said, str) else said[0]


def text_of(at):
    """Everything that is said on the page."""
    parts = [*at.markdown, *at.caption, *at.text, *at.error, *at.warning, *at.info, *at.header]
    return "\n".join([str(one.value) for one in parts] + [one.proto.body for one in at.get("html")])


def problems(at):
    assert not at.exception
    return [one.value for one in at.error]


def test_without_a_data_set_the_page_says_what_can_be_brought(page):
    at = page()
    assert problems(at) == []
    assert "native" in text_of(at)
    assert not at.header


def test_a_link_opens_a_data_set_with_its_classes_splits_and_images(page, place):
    at = page(data=str(overlapping(place / "set")))
    assert problems(at) == []
    said = text_of(at)
    assert "it holds dataset" in said
    assert "labels share pixels in the images looked at" in said
    assert [one.label for one in at.get("color_picker")] == ["cell", "nucleus"]
    assert "im00" in said
    assert [one.value for one in at.header] == ["Classes", "A first look", "Check", "Next"]
    kept = readings.find(place / "runs", place / "set", key_of(at))
    assert [rule.name for rule in kept.reading.classes] == ["cell", "nucleus"]
    assert kept.reading.kind is None


def test_what_masks_are_taken_for_is_said_with_the_other_ways_to_read_them(page, place):
    for index in range(4):
        save(place / "set" / "images" / f"{index}.png", np.full((6, 8, 3), index, np.uint8))
        for folder in ("masks", "masks_2nd_observer", "fov"):
            save(place / "set" / folder / f"{index}.png", np.eye(6, 8, dtype=np.uint8) * 255)
    at = page(data=str(place / "set"))
    assert problems(at) == []
    said = text_of(at).replace("\\", "")  # Markdown's
    assert "2 observers marked the pictures (first: 4, 2: 4 of 4)" in said
    assert "the option observer takes first, 2 or majority" in said
    assert "4 fields of view" in said


def test_the_link_keeps_what_was_said(page, place):
    root = exclusive(place / "set")
    reading = parse_reading(
        {
            "format": "native", "kind": "exclusive", "ignore": [], "background": "land",
            "classes": [{"name": "land", "labels": ["grass", "tree"]}, {"name": "lake", "labels": ["lake"]}],
            "splits": {"by": "fraction", "seed": 5},
        },
        "test",
    )  # fmt: skip
    key = readings.keep(place / "runs", root, reading).key
    at = page(data=str(root), reading=key)
    assert problems(at) == []
    kept = readings.find(place / "runs", root, key_of(at)).reading
    assert {rule.name: rule.labels for rule in kept.classes} == {"land": ("grass", "tree"), "lake": ("lake",)}
    assert (kept.background, kept.kind, kept.splits.seed) == ("land", "exclusive", 5)


def test_the_check_runs_in_its_own_process_and_its_report_is_there_afterwards(page, place):
    root = overlapping(place / "set")
    at = page(data=str(root))
    at.button(key="data_check").click().run()
    deadline = time.monotonic() + 60
    while any(job.alive() for job in jobs.list_jobs(place / "runs")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    at = page(data=str(root), reading=key_of(at))
    assert problems(at) == []
    said = text_of(at)
    assert "carry two labels or more" in said
    assert "TEST-FEW" in said or "test has 2 images" in said
    assert len(at.get("plotly_chart")) == 6
    assert jobs.list_jobs(place / "runs") == []  # the list of jobs is for what takes long


def test_an_error_that_the_check_finds_is_on_the_page(page, place):
    root = overlapping(place / "set")
    save(root / "masks" / "cell" / "im03.png", np.array([[1, 2], [3, 4]], np.uint8))
    at = page(data=str(root))
    at.button(key="data_check").click().run()
    deadline = time.monotonic() + 60
    while any(job.alive() for job in jobs.list_jobs(place / "runs")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    at = page(data=str(root), reading=key_of(at))
    assert "im03" in text_of(at)
    assert "check it first" in text_of(at)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"data": "/etc"}, "PATH"),
        ({"data": "../.."}, "PATH"),
        ({"upload": "AAAAAAAAAAAAAAAAAAAAAA"}, "UPLOAD\\-UNKNOWN"),
        ({"upload": "../../etc"}, "UPLOAD\\-UNKNOWN"),
    ],
)
def test_a_link_to_what_is_not_there_or_not_allowed_is_one_line(page, place, query, words):
    found = problems(page(**query))
    assert len(found) == 1
    assert words in found[0]


def test_a_reading_that_is_not_kept_is_one_line_and_the_page_goes_on(page, place):
    root = exclusive(place / "set")
    other = readings.keep(place / "runs", overlapping(place / "other"), DataReading()).key
    for key in (other, "../../x"):
        at = page(data=str(root), reading=key)
        assert ["READING" in one for one in problems(at)] == [True]
        assert "grass" in [one.label for one in at.get("color_picker")]


def test_a_folder_in_no_known_format_says_which_there_are(page, place):
    (place / "set").mkdir()
    (place / "set" / "readme.txt").write_text("nothing")
    found = problems(page(data=str(place / "set")))
    assert len(found) == 1
    assert "known format" in found[0]


def test_names_from_files_are_text(page, place):
    root = exclusive(place / "set")
    bad = "![x](http:--e.com) <script>alert(1)</script> **b**"
    for folder in ("images", "masks"):
        (root / folder / "im00.png").rename(root / folder / f"{bad.replace('/', '_')}.png")
    (root / "splits" / "train.txt").write_text("")
    at = page(data=str(root))
    assert not at.exception
    for one in at.get("html"):
        assert "<script>" not in one.proto.body
    for one in [*at.markdown, *at.caption, *at.error]:
        assert "![x](" not in str(one.value)


def test_pictures_that_exif_turns_are_told_and_the_option_settles_how_truth_lies(page, place):
    root = exclusive(place / "set")
    exif = Image.Exif()
    exif[0x0112] = 3
    for index in range(4):
        save(root / "images" / f"im{index:02d}.png", picture(index), exif=exif)
    at = page(data=str(root))
    assert problems(at) == []
    assert "pictures are turned by EXIF" in text_of(at)
    (field,) = (one for one in at.text_input if one.label == "orientation")
    field.set_value("stored").run()
    assert "pictures are turned by EXIF" not in text_of(at)
    assert readings.find(place / "runs", root, key_of(at)).reading.options == {"orientation": "stored"}


def test_options_of_a_format_are_used_and_kept_in_the_link(page, place):
    root = place / "set"
    soft = np.tile(np.arange(0, 256, 32, dtype=np.uint8), (6, 1))
    for index in range(8):
        save(root / "images" / f"im{index}.png", np.zeros((6, 8, 3), np.uint8))
        save(root / "masks" / f"im{index}.png", soft)
    at = page(data=str(root))
    assert problems(at) == []
    assert len(at.get("color_picker")) == 8
    (field,) = (one for one in at.text_input if one.label == "threshold")
    field.set_value("128").run()
    assert problems(at) == []
    assert [one.label for one in at.get("color_picker")] == ["foreground"]
    assert readings.find(place / "runs", root, key_of(at)).reading.options == {"threshold": "128"}
    again = page(data=str(root), reading=key_of(at))
    assert [one.label for one in again.get("color_picker")] == ["foreground"]
    assert readings.find(place / "runs", root, key_of(again)).reading.options == {"threshold": "128"}


def option(at, name):
    (field,) = (one for one in at.text_input if one.label == name)
    return field


def test_options_are_offered_where_the_format_is_known_and_something_is_missing(page, place):
    root = place / "set"
    for index in range(8):
        save(root / "images" / f"im{index}.png", picture(index))
        (root / "masks").mkdir(exist_ok=True)
        tifffile.imwrite(root / "masks" / f"im{index}.tif", np.full((6, 8), 0.5, np.float32) * (np.arange(8) > 3))
    at = page(data=str(root))
    assert "such as threshold=0.5" in problems(at)[0].replace("\\", "")
    option(at, "threshold").set_value("0.5").run()
    assert problems(at) == []
    assert [one.label for one in at.get("color_picker")] == ["foreground"]
    assert readings.find(place / "runs", root, key_of(at)).reading.options == {"threshold": "0.5"}


def test_an_image_is_left_out_and_a_name_that_none_has_is_one_line(page, place):
    root = exclusive(place / "set")
    (root / "masks" / "im03.png").write_bytes(b"")
    at = page(data=str(root))
    option(at, "leave_out").set_value("im99").run()
    assert "leave_out names 'im99', but no image is called so" in problems(at)[0].replace("\\", "")
    option(at, "leave_out").set_value("im03").run()
    assert problems(at) == []
    assert readings.find(place / "runs", root, key_of(at)).reading.options == {"leave_out": "im03"}


def test_the_format_can_be_overridden(page, place):
    root = overlapping(place / "set")
    at = page(data=str(root))
    (field,) = (one for one in at.selectbox if one.label == "Read as")
    field.select("coco").run()
    assert len(problems(at)) == 1
    assert str(place) not in problems(at)[0].replace("\\", "")
    (field,) = (one for one in at.selectbox if one.label == "Read as")
    field.select("per_class").run()
    assert problems(at) == []
    assert readings.find(place / "runs", root, key_of(at)).reading.format == "per_class"
