"""A first look into a data set in a process of its own, and readings that are kept."""

import numpy as np
import pytest
from make_dataset import OVERLAPPING, exclusive, overlapping, save, tables

from dashboard.forms import dataset as form
from pipelines import readings
from pipelines.datasets.check import check_dataset
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.datasets.preview import IMAGES, SIDE, PreviewRequest, preview_dataset, preview_in_sandbox
from pipelines.errors import DatasetError
from pipelines.reading import DataReading, SplitRule, parse_reading


def test_a_look_tells_what_is_there_and_gives_images_to_work_with(tmp_path):
    root = overlapping(tmp_path / "set")
    looked, source = preview_in_sandbox(PreviewRequest(path=str(root)))
    assert looked.problem is None
    assert (looked.format, looked.recognised) == ("native", [("native", "it holds dataset.toml")])
    assert [(one.name, one.role) for one in looked.labels] == [("cell", "class"), ("nucleus", "class")]
    assert [one.share for one in looked.labels] == pytest.approx([32 / 48, 4 / 48])
    assert len(looked.names) == 12
    assert len(looked.shown) == IMAGES
    assert {split: len(names) for split, names in looked.splits.items()} == {"train": 8, "val": 2, "test": 2}
    native = open_dataset(root)
    for name in looked.shown:
        item = native.read(name)
        assert np.array_equal(source.truth(name).layers, item.truth)
        assert np.abs(source.picture(name).image - item.image).max() < 1e-6
    with pytest.raises(DatasetError, match="was not looked at"):
        source.truth(next(name for name in looked.names if name not in looked.shown))


def test_large_images_are_made_small_and_rare_labels_are_looked_for(tmp_path):
    root = tmp_path / "set"
    cell = np.zeros((700, 900), np.uint8)
    cell[:350] = 255
    for index in range(30):
        save(root / "images" / f"im{index:02d}.png", np.zeros((700, 900, 3), np.uint8))
        save(root / "masks" / "cell" / f"im{index:02d}.png", cell)
        save(root / "masks" / "nucleus" / f"im{index:02d}.png", cell * 0 if index != 23 else cell)
    tables(root, OVERLAPPING, None)
    looked, arrays = preview_dataset(PreviewRequest(path=str(root)))
    assert "im23" in looked.shown
    assert arrays["image0"].shape == (round(700 * SIDE / 900), SIDE, 3)
    assert looked.sizes[0] == (700, 900)
    assert looked.labels[1].share == pytest.approx(0.5 / 30, abs=0.02)


def test_files_that_cannot_be_read_are_told_and_the_others_shown(tmp_path):
    root = exclusive(tmp_path / "set")
    (root / "images" / "im00.png").write_bytes(b"broken")
    looked, _source = preview_in_sandbox(PreviewRequest(path=str(root)))
    assert looked.problem is None
    assert "im00" not in looked.shown
    assert [one.code for one in looked.unread] == ["IMAGE-UNREADABLE"]
    assert "im00.png" in looked.unread[0].message


@pytest.mark.parametrize("what", ["nothing", "empty", "format"])
def test_what_is_no_data_set_is_one_line(tmp_path, what):
    root = tmp_path / "set"
    if what != "nothing":
        root.mkdir()
    looked, source = preview_in_sandbox(PreviewRequest(path=str(root), format="nobodys" if what == "format" else None))
    assert source is None
    assert looked.problem
    assert "\n" not in looked.problem
    assert str(tmp_path) not in looked.problem or what == "nothing"


def test_a_process_without_memory_or_time_is_a_problem_and_no_crash(tmp_path):
    root = tmp_path / "set"
    save(root / "images" / "a.png", np.zeros((4000, 4000, 3), np.uint8))
    save(root / "masks" / "a.png", np.zeros((4000, 4000), np.uint8))
    tables(root, 'name = "a"\nkind = "binary"\nclasses = ["a"]\n', None)
    looked, _ = preview_in_sandbox(PreviewRequest(path=str(root)), memory=30 * 2**20)
    assert looked.problem is not None
    assert looked.problem.startswith("LOOK-DIED")
    looked, _ = preview_in_sandbox(PreviewRequest(path=str(root)), seconds=0.2)
    assert looked.problem is not None
    assert looked.problem.startswith("LOOK-TIME")


def seen(tmp_path, make):
    looked, arrays = preview_in_sandbox(PreviewRequest(path=str(make(tmp_path / "set"))))
    return looked, arrays


def table_of(rows, looked, **changes):
    said = {"options": {}, "kind": None, "unlabelled": "found", "colors": {}, "priority": (), "splits": SplitRule()}
    return form.reading_of(rows, looked=looked, **(said | changes))


@pytest.mark.parametrize("make", [exclusive, overlapping])
def test_the_table_begins_with_what_the_files_say_and_untouched_says_it_again(tmp_path, make):
    looked, source = seen(tmp_path, make)
    first = form.first_reading(looked, source)
    assert first.kind is None  # all images decide, not those that were looked at
    reading = table_of(form.rows_of(looked, first), looked)
    again, native = open_dataset(tmp_path / "set", reading), open_dataset(tmp_path / "set")
    assert (again.kind, again.classes, again.colors) == (native.kind, native.classes, native.colors)
    assert np.array_equal(again.read("im00").truth, native.read("im00").truth)


def test_the_table_merges_ignores_leaves_out_and_nests(tmp_path):
    looked, source = seen(tmp_path, exclusive)
    rows = form.rows_of(looked, form.first_reading(looked, source))
    rows["classes"] = ["plants", "plants, tall", "lake"]
    rows["use"] = ["class", "class", "ignored"]
    dataset = Dataset(source, table_of(rows, looked, colors={"tall": "#123456"}))
    assert (dataset.kind, dataset.classes) == ("overlapping", ("plants", "tall"))
    assert dataset.colors[1] == "#123456"
    item = dataset.read(looked.shown[0])
    assert item.truth[:, :, 0].tolist() == [[True] * 4 + [False] * 2, [False] * 2 + [True] * 2 + [False] * 2]
    assert item.valid[:, 0].tolist() == [True] * 4 + [False] * 2

    rows["classes"], rows["use"] = ["grass", "tree", "lake"], ["background", "class", "left out"]
    dataset = Dataset(source, table_of(rows, looked))
    assert (dataset.kind, dataset.classes) == ("binary", ("tree",))
    rows["use"] = ["background", "class", "class"]
    dataset = Dataset(source, table_of(rows, looked))
    assert (dataset.kind, dataset.classes, dataset.background) == ("exclusive", ("grass", "tree", "lake"), "grass")

    rows["use"] = ["left out", "class", "class"]
    assert Dataset(source, table_of(rows, looked, unlabelled="ignored")).classes == ("tree", "lake")
    assert Dataset(source, table_of(rows, looked)).classes == ("background", "tree", "lake")
    assert form.rows_of(looked, table_of(rows, looked))["use"].tolist() == ["left out", "class", "class"]


@pytest.mark.parametrize(
    ("uses", "names", "words"),
    [
        (["ignored"] * 3, ["a", "b", "c"], "no label is used as a class"),
        (["class"] * 3, ["a", "", "c"], "without a name"),
    ],
)
def test_a_table_that_contradicts_itself_is_one_line(tmp_path, uses, names, words):
    looked, source = seen(tmp_path, exclusive)
    rows = form.rows_of(looked, form.first_reading(looked, source))
    rows["use"], rows["classes"] = uses, names
    with pytest.raises(DatasetError, match=words):
        table_of(rows, looked)


def test_splits_and_leaks_are_told(tmp_path):
    root = exclusive(tmp_path / "set")
    lines = [f"im{index:02d},{'p' if index in (0, 11) else f'q{index}'}" for index in range(12)]
    (root / "groups.csv").write_text("image,group\n" + "\n".join(lines) + "\n")
    looked, source = preview_in_sandbox(PreviewRequest(path=str(root)))
    dataset = Dataset(source, form.first_reading(looked, source))
    assert [(one.split, one.images, one.groups, one.shared) for one in form.split_rows(dataset)] == [
        ("train", 8, 8, 1), ("val", 2, 2, 0), ("test", 2, 2, 1),
    ]  # fmt: skip
    assert "1 group in more than one split" in form.leaks(dataset)
    by_fraction = DataReading(format="native", splits=SplitRule(by="fraction"))
    assert form.leaks(Dataset(source, by_fraction)) is None


def test_readings_and_their_reports_are_kept_and_found(tmp_path):
    root = exclusive(tmp_path / "set")
    reading = parse_reading({"format": "native", "background": ""}, "test")
    kept = readings.keep(tmp_path / "runs", root, reading)
    assert readings.keep(tmp_path / "runs", root, reading).key == kept.key
    assert readings.keep(tmp_path / "runs", root, DataReading()).key != kept.key
    found = readings.find(tmp_path / "runs", root, kept.key)
    assert found.reading == reading
    assert found.report is None
    report = check_dataset(open_dataset(root, found.reading))
    found.report_file.write_text(report.model_dump_json())
    assert found.report.classes == report.classes
    found.report_file.write_text("{}")
    assert found.report is None
    for wrong in ("../../etc/passwd", "0" * 16, ""):
        with pytest.raises(DatasetError, match="READING-UNKNOWN"):
            readings.find(tmp_path / "runs", root, wrong)


def test_readings_of_an_upload_lie_in_its_folder(tmp_path):
    upload = tmp_path / "runs" / ".uploads" / "abcdefghijklmnopqrstuv"
    (upload / "data" / "set").mkdir(parents=True)
    kept = readings.keep(tmp_path / "runs", upload / "data" / "set", DataReading())
    assert kept.file.parent == upload / "readings"
