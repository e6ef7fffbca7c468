"""Every field of the pages Data and Train is changed in Chromium, and what is kept of it is looked up on the disk."""

import re
import time
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from browser import driver
from make_dataset import OVERLAPPING, exclusive, overlapping, picture, save, tables
from PIL import Image

from pipelines import job_queue, jobs, readings
from pipelines.reading import NO_BACKGROUND, SplitRule

pytestmark = pytest.mark.browser
ROW = 35  # pixels of a table's row, and of its heading
NAMES = [f"p{index // 3}-{'ab'[index % 2]}_{index:02d}" for index in range(18)]
MASKS = {"cell": slice(0, 4), "dirt": slice(3, 6), "nucleus": slice(1, 3)}  # rows of 6


def three_labels(root):
    """A native set that reads as masks in folders of classes too; 6 patients p0 to p5, each in both groups a and b."""
    for index, name in enumerate(NAMES):
        save(root / "images" / f"{name}.png", picture(index))
        for label, rows in MASKS.items():
            mask = np.zeros((6, 8), np.uint8)
            mask[rows] = 255
            save(root / "masks" / label / f"{name}.png", mask)
    toml = OVERLAPPING.replace('"nucleus"', '"nucleus", "dirt"')
    return tables(root, toml, {"train": NAMES[:9], "val": NAMES[9:14], "test": NAMES[14:]})


def enlarged(root, factor):
    """The same set with each pixel so many wide and high."""
    for path in root.rglob("*.png"):
        with Image.open(path) as opened:
            values = np.asarray(opened)
        save(path, values.repeat(factor, axis=0).repeat(factor, axis=1))
    return root


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with three data sets and an empty runs folder, and the address of the app on it."""
    folder = tmp_path_factory.mktemp("fields")
    enlarged(overlapping(folder / "cells"), 16)
    exclusive(folder / "land")
    three_labels(folder / "three")
    (folder / "runs").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(job_queue.SLOTS_VARIABLE, "1")
        with driver.server(folder / "runs", cwd=folder) as address:
            yield folder, address


@pytest.fixture
def line(place):
    """The runs folder with its only place to work taken: a job that is started waits, and is gone at the end."""
    runs = place[0] / "runs"
    (runs / job_queue.JOBS).mkdir(exist_ok=True)
    taken = job_queue.free_place(runs / job_queue.JOBS, 1)
    assert taken is not None
    yield runs
    for job in jobs.list_jobs(runs):
        job.cancel()
    deadline = time.monotonic() + job_queue.GRACE_SECONDS + 15
    while any(job.alive() for job in jobs.list_jobs(runs)):
        assert time.monotonic() < deadline, "a job is left"
        for job in jobs.list_jobs(runs):
            job.status()  # kills what does not obey
        time.sleep(0.2)
    taken.close()
    for job in jobs.list_jobs(runs):
        job.discard()


class Form:
    """Fields of a page by their labels."""

    def __init__(self, view):
        self.view, self.page = view, view.page

    def of(self, kind, label):
        return self.page.get_by_test_id(kind).filter(has=self.page.get_by_text(label, exact=True))

    def type(self, label, text, *, kind="stNumberInput"):
        field = self.of(kind, label).locator("input")
        field.fill(str(text))
        field.press("Enter")
        self.view.settle()

    def choose(self, label, entry):
        """An entry of a list; returns all that it offers."""
        self.of("stSelectbox", label).locator("input").click()
        options = self.page.get_by_role("option")
        options.first.wait_for()
        offered = options.all_inner_texts()
        options.filter(has_text=re.compile(f"^{re.escape(entry)}")).first.click()
        self.view.settle()
        return offered

    def choose_also(self, label, entry):
        """One more entry of a list of which several may be chosen."""
        self.of("stMultiSelect", label).locator("input").click()
        self.page.get_by_role("option", name=entry, exact=True).click()
        self.page.keyboard.press("Escape")
        self.view.settle()

    def pick(self, label, color):
        self.of("stColorPicker", label).get_by_test_id("stColorPickerBlock").click()
        field = self.page.get_by_test_id("stColorPickerPopover").locator("input")
        field.fill(color)
        field.press("Enter")
        self.page.keyboard.press("Escape")
        self.view.settle()

    def shown(self, label, *, kind="stNumberInput"):
        return self.of(kind, label).locator("input").input_value()

    def segment(self, entry):
        self.page.get_by_test_id("stButtonGroup").get_by_text(entry, exact=True).click()
        self.view.settle()

    def switch(self, label):
        self.page.get_by_test_id("stCheckbox").filter(has_text=label).locator("label").first.click()
        self.view.settle()

    def unfold(self, label):
        self.page.locator("summary").filter(has_text=label).click()
        self.page.wait_for_timeout(600)  # what is below slides down
        self.view.settle()

    def press(self, label):
        self.page.get_by_role("button", name=label, exact=True).click()

    def cell(self, table, row, column, text):
        """Write into a cell of one of the tables; the column is counted from 0."""
        place = self.page.get_by_test_id("stDataFrame").nth(table)
        grid = place.locator("canvas").first
        grid.scroll_into_view_if_needed()
        for _ in range(5):  # the first click into a table may only give it the focus
            box = grid.bounding_box()
            self.page.mouse.click(box["x"] + 60, box["y"] + ROW + row * ROW + ROW / 2)
            self.page.wait_for_timeout(300)
            if place.locator(f"#glide-cell-0-{row}[aria-selected=true]").count():
                break
        for _ in range(column):
            self.page.keyboard.press("ArrowRight")
        place.locator(f"#glide-cell-{column}-{row}[aria-selected=true]").wait_for(state="attached")
        self.page.keyboard.press("Enter")
        editor = self.page.locator("#portal :is(input, textarea)").first
        editor.wait_for()
        editor.fill(text)
        self.page.keyboard.press("Enter")
        self.view.settle()


def settings_of(job):
    """The command line of a job as options and their values; what is as usual is left out."""
    said = [part.partition("=") for part in job.arguments[2:]]
    return {name: value for name, _, value in said}


def open_form(view, address, data):
    view.open(f"{address}/train?data={data}")
    view.page.get_by_role("button", name="Start without an estimate").wait_for()
    view.settle()
    return Form(view)


def cancelled(form, job):
    """Cancel the job that is shown, by its button."""
    form.press("Cancel")
    form.page.get_by_text("Training was cancelled").wait_for(timeout=60_000)
    form.view.settle()
    assert job.state() == "cancelled"


def test_every_field_of_the_form_goes_to_the_job_of_each_loss(window, place, line):
    folder, address = place
    form = open_form(window(height=1400), address, folder / "cells")
    assert form.choose("Image size", "96 × 64") == ["64 × 64", "96 × 64", "their own, 128 × 96"]
    form.type("Encoder", "tu-resnet14t", kind="stSelectbox")
    for label, value in (("Epochs", 7), ("Batch size", 3), ("Seeds", 2), ("Learning rate", 0.0125)):
        form.type(label, value)
    form.choose_also("Losses", "Focal")
    form.segment("Label sets")
    form.unfold("More settings")
    form.choose("Architecture", "FPN")
    assert form.choose("Encoder weights", "pretrained") == ["from scratch", "pretrained on ImageNet"]
    form.switch("Augmentation")
    form.type("Name of the run", "my run", kind="stTextInput")
    form.page.get_by_text("2 runs, each with 2 networks on the same batches, 2 seeds, 21 steps each").wait_for()
    form.press("Start without an estimate")
    form.page.wait_for_url(re.compile("job=[0-9]"))
    form.page.get_by_text("Waiting for its turn: it is next").wait_for()
    form.view.settle()
    assert form.view.shown_errors() == []

    second, first = jobs.list_jobs(line)  # newest first
    assert form.page.url.endswith(f"job={first.id}")
    expected = {
        "--size": "64x96", "--epochs": "7", "--batch-size": "3", "--seeds": "0,1", "--lr": "0.0125",
        "--encoder": "tu-resnet14t", "--architecture": "FPN", "--encoder-weights": "imagenet",
        "--softmax-rule": "powerset", "--no-augment": "", "--threads": "1",
    }  # fmt: skip
    assert first.arguments[:2] == second.arguments[:2] == ["run", str(folder / "cells")]
    assert settings_of(first) == expected | {"--name": "my-run-ce"}
    assert settings_of(second) == expected | {"--loss": "focal", "--name": "my-run-focal"}

    said = [form.shown(label) for label in ("Epochs", "Batch size", "Seeds", "Learning rate")]
    assert said == ["7", "3", "2", "0.01250"], "the form is as it was left"
    cancelled(form, first)
    form.choose("Job", second.id)
    form.page.wait_for_url(re.compile(f"job={second.id}$"))
    cancelled(form, second)
    assert form.view.shown_errors() == []


def test_labels_that_do_not_overlap_are_not_asked_about_and_loss_and_name_have_to_be_right(window, place, line):
    folder, address = place
    form = open_form(window(height=1400), address, folder / "land")
    assert form.page.get_by_text("one label a pixel").count() == 1
    assert form.page.get_by_text("Softmax on overlapping labels").count() == 0
    form.of("stMultiSelect", "Losses").get_by_role("button", name="Clear all").click()
    form.page.get_by_text("Choose a loss at least.").wait_for()
    form.view.settle()
    assert form.page.get_by_role("button", name=re.compile("Start|Estimate")).count() == 0
    form.choose_also("Losses", "Dice")
    assert form.page.get_by_text("Choose a loss at least.").count() == 0
    form.choose("Encoder", "resnet34")
    form.type("Name of the run", "a/b", kind="stTextInput")
    form.page.get_by_text("a run's name is").wait_for()
    form.view.settle()
    (error,) = form.view.shown_errors()
    assert "a run's name is 1 to 64 letters, digits" in error
    assert form.page.get_by_role("button", name=re.compile("Start|Estimate")).count() == 0
    form.type("Name of the run", "", kind="stTextInput")
    form.press("Start without an estimate")
    form.page.get_by_text("Waiting for its turn: it is next").wait_for()
    form.view.settle()
    (job,) = jobs.list_jobs(line)
    said = settings_of(job)
    assert (said["--loss"], said["--encoder"], said["--name"]) == ("dice", "resnet34", "Small-1")
    assert not {"--softmax-rule", "--encoder-weights", "--no-augment", "--size"} & set(said), "as the form began"
    assert form.view.shown_errors() == []


def open_data(view, address, data):
    view.open(f"{address}/data?data={data}")
    view.page.get_by_text("A first look").wait_for()
    view.settle()
    return Form(view)


def kept_reading(form, folder, data, until=lambda reading: True):
    """What is kept of the reading that the address names; a busy machine has a while until it is what is waited for."""
    for _ in range(50):
        form.page.wait_for_url(re.compile("reading="))
        (key,) = parse_qs(urlsplit(form.page.url).query)["reading"]
        reading = readings.find(folder / "runs", data, key).reading
        if until(reading):
            break
        form.page.wait_for_timeout(200)
    form.view.settle()
    return reading


def test_every_field_of_the_classes_is_in_the_reading(window, place):
    folder, address = place
    data = folder / "three"
    form = open_data(window(height=1400), address, data)
    form.choose("Read as", "pictures with one mask a class")
    form.unfold("Options of this format")
    form.type("threshold", "128", kind="stTextInput")
    form.pick("dirt", "#123456")
    form.cell(0, 1, 3, "mud")  # keeps the colour
    form.choose("Kind of truth", "Labels may overlap")
    form.choose("Pixels without a class", "Ignored")
    form.cell(0, 2, 2, "ignored")  # nucleus
    form.switch("Choose who wins a pixel of several classes")
    form.cell(1, 0, 1, "2")  # cell gives way to mud
    reading = kept_reading(form, folder, data, lambda said: said.priority == ("mud", "cell"))
    assert (reading.format, reading.options) == ("per_class", {"threshold": "128"})
    assert [(rule.name, rule.labels) for rule in reading.classes] == [("cell", ("cell",)), ("mud", ("dirt",))]
    assert [rule.color for rule in reading.classes] == [None, "#123456"]
    assert reading.ignore == ("nucleus",)
    assert (reading.kind, reading.background) == ("overlapping", NO_BACKGROUND)
    assert reading.priority == ("mud", "cell")
    assert form.view.shown_errors() == []

    before = form.page.url
    form.page.get_by_role("link", name="Train a pair on it").click()
    form.page.get_by_role("link", name="Look at it, check it, or change its classes").click()
    form.page.get_by_text("A first look").wait_for()
    form.view.settle()
    assert form.page.url == before, "nothing is lost on the way to Train and back"
    assert kept_reading(form, folder, data) == reading
    assert form.view.shown_errors() == []


def test_every_field_of_splits_and_groups_is_in_the_reading(window, place):
    folder, address = place
    data = folder / "three"
    form = open_data(window(height=1400), address, data)
    form.unfold("Splits and groups")
    assert kept_reading(form, folder, data).splits == SplitRule()
    form.segment("By fraction")
    form.choose("Groups that stay together", "From the names of images")
    form.type("Cut names at", "-", kind="stTextInput")
    form.type("Parts that name the group", 2)
    for label, value in (("train %", 50), ("val %", 30), ("Seed", 11)):
        form.type(label, value)
    form.pick("nucleus", "#654321")
    said = SplitRule(by="fraction", shares=(0.5, 0.3, 0.2), seed=11, groups="name", separator="-", parts=2)
    reading = kept_reading(form, folder, data, lambda one: "#654321" in [rule.color for rule in one.classes])
    assert reading.splits == said
    assert {rule.name: rule.color for rule in reading.classes}["nucleus"] == "#654321"
    assert form.of("stMetric", "test %").get_by_test_id("stMetricValue").inner_text() == "20"
    other = window(height=1400).open(form.page.url)
    other.page.get_by_text("A first look").wait_for()
    other.settle()
    assert other.page.url == form.page.url, "the address says all of it"
    assert kept_reading(Form(other), folder, data) == reading
    assert other.shown_errors() == []

    form.type("train %", 80)
    warning = form.page.get_by_text("Training and validation leave nothing for test; make them smaller.")
    warning.wait_for()
    form.type("val %", 10)
    warning.wait_for(state="hidden")
    shares = (0.8, 0.1, 0.1)
    assert kept_reading(form, folder, data, lambda one: one.splits.shares == shares).splits.shares == shares
    assert form.view.shown_errors() == []


def test_an_upload_a_folder_and_each_sample_can_be_turned_to(window, place):
    folder, address = place
    form = Form(window().open(f"{address}/data"))
    assert form.page.locator(".st-key-data .upload input").count() == 1
    form.segment("A folder on the server")
    form.type("Folder of the data set", folder / "land", kind="stTextInput")
    form.page.get_by_text("A first look").wait_for()
    form.view.settle()
    assert parse_qs(urlsplit(form.page.url).query)["data"] == [str(folder / "land")]
    form.page.get_by_role("link", name="How to read this").click()
    form.page.wait_for_url(re.compile("/guide"))
    form.view.settle()
    form.page.go_back()
    form.page.get_by_text("A first look").wait_for()
    form.view.settle()
    assert form.shown("Folder of the data set", kind="stTextInput") == str(folder / "land")
    assert form.view.shown_errors() == []

    form.segment("A sample")
    row = form.of("stButtonGroup", "Sample")
    row.wait_for()
    samples = row.locator("button").all_inner_texts()
    assert len(samples) >= 2
    for name in samples:
        form.segment(name)
        form.page.wait_for_url(re.compile(rf"sample_data%2F{name}&reading="))
        form.page.get_by_text("A first look").wait_for()
        form.view.settle()
        assert form.page.get_by_role("img", name=re.compile("^Classes of ")).count() == 8
        assert form.view.shown_errors() == []
    form.segment("An upload")
    assert form.page.locator(".st-key-data .upload input").count() == 1
    assert form.page.get_by_text("A first look").count() == 0
    assert form.view.shown_errors() == []
