"""Several observers and soft truth in the formats that are no folders of masks: native, COCO, Hugging Face."""

from itertools import combinations

import numpy as np
import pytest
from make_dataset import BINARY, EXCLUSIVE, OVERLAPPING, picture, save, tables
from sklearn import metrics as sk

from pipelines.datasets.check import CheckReport, check_dataset
from pipelines.datasets.opening import open_dataset
from pipelines.errors import DatasetError
from pipelines.reading import DataReading

SHAPE = (6, 8)
NAMES = tuple(f"im{index:02d}" for index in range(12))
SPLITS = {"train": [*NAMES[:6]], "val": [*NAMES[6:9]], "test": [*NAMES[9:]]}


def messages(dataset, code):
    return [finding.message for finding in check_dataset(dataset).findings if finding.code == code]


def marks(seed, classes, share=0.5):
    return np.random.default_rng(seed).random((classes, *SHAPE)) < share


# Native ---------------------------------------------------------------------------------------------------------------


def native(root, toml, marked, *, masks=None):
    """marked: observer to image to index mask (H, W), or to layers by class."""
    for index, name in enumerate(NAMES):
        save(root / "images" / f"{name}.png", picture(index, *SHAPE))
    folders = {f"observers/{who}": by_image for who, by_image in marked.items()}
    for folder, by_image in {**folders, **({} if masks is None else {"masks": masks})}.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name, mask in by_image.items():
            for layer, values in mask.items() if isinstance(mask, dict) else [("", mask)]:
                save(root / folder / layer / f"{name}.png", np.asarray(values, np.uint8))
    return tables(root, toml, SPLITS)


def people(number, names=NAMES):
    """Vessels that nobody marks alike, 0 and 255."""
    return {
        f"p{who}": {name: 255 * marks(100 * who + index, 1)[0] for index, name in enumerate(names)}
        for who in range(number)
    }


def pooled_dice(dataset, classes):
    """Dice of pairs of observers over all images that both marked, mean over pairs and classes; by sklearn."""
    items = [dataset.read(name) for name in dataset.names()]
    everyone = sorted({who for item in items for who in item.observers})
    scores = []
    for one, other in combinations(everyone, 2):
        both = [item for item in items if {one, other} <= set(item.observers)]
        for index in range(classes) if both else ():
            sides = [np.concatenate([item.observers[who][index][item.valid] for item in both]) for who in (one, other)]
            scores.append(sk.f1_score(*sides, zero_division=np.nan))
    return np.nanmean(scores)


def test_native_observers_make_majority_share_and_agreement(tmp_path):
    marked = people(3)
    del marked["p0"]["im11"]  # and the first one has nothing of one test image
    dataset = open_dataset(native(tmp_path, BINARY, marked))
    assert dataset.images("test") == ("im09", "im10", "im11")
    for name in ("im00", "im11"):
        given = [by_image[name] > 0 for by_image in marked.values() if name in by_image]
        item = dataset.read(name)
        np.testing.assert_allclose(item.soft[0], np.mean(given, axis=0), rtol=1e-6)
        np.testing.assert_array_equal(item.truth[0], np.mean(given, axis=0) >= 0.5)
        assert len(item.observers) == len(given)
    report = check_dataset(dataset)
    assert report.ok
    assert report.agreement.observers == ("p0", "p1", "p2")
    assert report.agreement.images == 12
    assert report.agreement.macro_dice == pytest.approx(pooled_dice(dataset, 1), abs=1e-12)
    line = f"Two observers agree with Dice {report.agreement.macro_dice:.2f} (macro; 3 observers, 12 images"
    assert line in report.text()
    assert CheckReport.model_validate_json(report.model_dump_json()) == report


def test_reports_of_before_the_agreement_open(tmp_path):
    report = check_dataset(open_dataset(native(tmp_path, BINARY, {}, masks=people(1)["p0"])))
    assert report.agreement is None
    assert "observers" not in report.text()
    old = report.model_dump(mode="json")
    del old["agreement"]
    assert CheckReport.model_validate(old) == report


def test_a_truth_of_its_own_stays_the_truth_beside_observers(tmp_path):
    marked, own = people(2), people(3)["p2"]
    root = native(tmp_path, BINARY, marked, masks=own)
    item = open_dataset(root).read("im03")
    np.testing.assert_array_equal(item.truth[0], own["im03"] > 0)
    np.testing.assert_allclose(item.soft[0], np.mean([by["im03"] > 0 for by in marked.values()], axis=0))
    for truth in ("p1", "majority"):
        given = {"p1": [marked["p1"]], "majority": marked.values()}[truth]
        expected = np.mean([by["im03"] > 0 for by in given], axis=0) >= 0.5
        said = open_dataset(root, DataReading(options={"observer": truth})).read("im03")
        np.testing.assert_array_equal(said.truth[0], expected)
        (root / "dataset.toml").write_text(f'{BINARY}observer = "{truth}"\n')
        np.testing.assert_array_equal(open_dataset(root).read("im03").truth, said.truth)
        (root / "dataset.toml").write_text(BINARY)


def test_one_observer_is_the_truth_and_says_nothing_of_agreement(tmp_path):
    marked = people(1)
    dataset = open_dataset(native(tmp_path, BINARY, marked))
    assert not dataset.soft
    item = dataset.read("im00")
    assert item.soft is None
    np.testing.assert_array_equal(item.truth[0], marked["p0"]["im00"] > 0)
    report = check_dataset(dataset)
    assert report.ok
    assert report.agreement is None


def test_an_observer_without_an_image_of_a_split(tmp_path):
    marked = people(2)
    for name in SPLITS["test"]:
        del marked["p0"][name]
    root = native(tmp_path, BINARY, marked)
    dataset = open_dataset(root)  # the first of two
    assert messages(dataset, "PAIR-MISSING") == [
        "3 images that p0 did not mark are left out, such as im09; add masks, or take another observer"
    ]
    (lost,) = messages(dataset, "SPLIT-LOST")
    assert lost.startswith("p0 did not mark any of the 3 images of splits/test.txt, so there is no test split")
    other = open_dataset(root, DataReading(options={"observer": "p1"}))
    assert other.images("test") == ("im09", "im10", "im11")
    assert messages(other, "SPLIT-LOST") == []
    assert list(other.read("im09").observers) == ["p1"]
    assert list(other.read("im00").observers) == ["p0", "p1"]


def test_pixels_that_one_observer_ignores_count_for_none(tmp_path):
    one, other = np.zeros(SHAPE, np.uint8), np.ones(SHAPE, np.uint8)
    one[0], other[:, 0] = 9, 9
    marked = {who: dict.fromkeys(NAMES, mask) for who, mask in {"a": one, "b": other}.items()}
    item = open_dataset(native(tmp_path, EXCLUSIVE, marked)).read("im00")
    expected = np.ones(SHAPE, bool)
    expected[0], expected[:, 0] = False, False
    np.testing.assert_array_equal(item.valid, expected)
    np.testing.assert_array_equal(item.soft[:2], np.stack([expected, expected]) / 2)
    assert not any(layers[:, ~expected].any() for layers in item.observers.values())


def test_majority_of_exclusive_observers_puts_the_background_last(tmp_path):
    toml = 'name = "Small"\nkind = "exclusive"\nclasses = ["background", "tree", "lake"]\n'
    votes = [0, 1, 2, 1], [0, 0, 2, 2], [1, 0, 1, 2], [1, 2, 0, 1]
    expected = [1, 0, 2, 1]  # ties of 0 and 1, and of 1 and 2: the background last, else the first
    marked = {
        f"p{who}": dict.fromkeys(NAMES, np.tile(np.array(row, np.uint8), (2, 1))) for who, row in enumerate(votes)
    }
    for index, name in enumerate(NAMES):
        save(tmp_path / "images" / f"{name}.png", picture(index, 2, 4))
    root = native_masks(tmp_path, toml, marked)
    item = open_dataset(root).read("im00")
    assert item.truth.argmax(axis=0)[0].tolist() == expected
    shares = [[votes[who][at] for who in range(4)].count(c) / 4 for c in range(3) for at in range(4)]
    np.testing.assert_allclose(item.soft[:, 0].ravel(), shares)


def native_masks(root, toml, marked):
    for who, by_image in marked.items():
        for name, mask in by_image.items():
            save(root / "observers" / who / f"{name}.png", mask)
    return tables(root, toml, SPLITS)


def test_overlapping_observers_one_folder_a_class(tmp_path):
    def layered(seed):
        cell, nucleus = 255 * marks(seed, 2)
        return {"cell": cell, "nucleus": nucleus}

    marked = {who: {name: layered(index + seed) for index, name in enumerate(NAMES)} for who, seed in
              {"anna": 0, "ben": 50, "cleo": 90}.items()}  # fmt: skip
    dataset = open_dataset(native(tmp_path, OVERLAPPING, marked))
    item = dataset.read("im05")
    layers = [np.stack([by["im05"]["cell"], by["im05"]["nucleus"]]) > 0 for by in marked.values()]
    np.testing.assert_allclose(item.soft, np.mean(layers, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(item.truth, np.sum(layers, axis=0) >= 2)
    assert check_dataset(dataset).agreement.macro_dice == pytest.approx(pooled_dice(dataset, 2), abs=1e-12)


def test_what_is_wrong_with_masks_of_observers_is_told_file_by_file(tmp_path):
    marked = people(2)
    marked["p0"]["im00"] = np.full(SHAPE, 7)
    marked["p1"]["im00"] = np.full(SHAPE, 8)
    marked["p1"]["im01"] = np.zeros((5, 8))
    marked["p0"]["im02"] = marked["p1"]["im02"] = np.zeros((5, 8))
    marked["p1"]["nobody"] = np.zeros(SHAPE)
    root = native(tmp_path, BINARY, marked)
    (root / "observers/p0/im03.png").write_bytes(b"no picture")
    found = [(one.code, one.message.split(";")[0]) for one in check_dataset(open_dataset(root)).findings]
    assert {
        ("MASK-VALUES", "observers/p0/im00.png holds 7, allowed are 0 (background), 1 (foreground), or 0 and 255"),
        ("MASK-VALUES", "observers/p1/im00.png holds 8, allowed are 0 (background), 1 (foreground), or 0 and 255"),
        ("PAIR-SIZE", "the masks of im01 differ in size: 8×6 by p0 and 8×5 by p1"),
        ("PAIR-SIZE", "observers/p0/im02.png is 8×5, its image im02.png is 8×6"),
        ("PAIR-SIZE", "observers/p1/im02.png is 8×5, its image im02.png is 8×6"),
        ("PAIR-MISSING", "observers/p1/nobody.png has no image of that name"),
    } <= set(found)
    assert any(code == "MASK-UNREADABLE" and "p0/im03.png" in text for code, text in found)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("zoe", "observer must be p0, p1 or majority, got 'zoe'"),
        ("", None),
    ],
)
def test_an_observer_that_is_not_there(tmp_path, said, problem):
    root = native(tmp_path, f'{BINARY}observer = "{said}"\n' if said else BINARY, people(2))
    if problem is None:
        assert open_dataset(root).soft
    else:
        with pytest.raises(DatasetError, match=problem):
            open_dataset(root)


def test_an_observer_asked_for_where_nobody_is(tmp_path):
    root = native(tmp_path, f'{BINARY}observer = "majority"\n', {}, masks=people(1)["p0"])
    with pytest.raises(DatasetError, match=r"there is no observers/<name>/ in .*'majority' is asked for as observer"):
        open_dataset(root)


def test_reserved_names_of_observers(tmp_path):
    root = native(tmp_path, BINARY, {"Majority": people(1)["p0"], "b": people(1)["p0"]})
    with pytest.raises(DatasetError, match="an observer is called 'Majority', which means something else"):
        open_dataset(root)


@pytest.mark.parametrize("depth", [8, 16])
def test_soft_masks_are_soft_truth_beside_masks(tmp_path, depth):
    largest, kind = 2**depth - 1, f"uint{depth}"
    grey = np.random.default_rng(0).integers(0, largest + 1, SHAPE).astype(kind)
    root = native(tmp_path, BINARY, people(2), masks=people(1)["p0"])
    for name in NAMES:
        save(root / "soft" / "vessel" / f"{name}.png", grey)
    before = open_dataset(root).fingerprint()
    dataset = open_dataset(root)
    item = dataset.read("im00")
    np.testing.assert_allclose(item.soft[0], grey / largest, atol=1e-7)  # what is said before who marked it
    assert set(item.observers) == {"p0", "p1"}
    without = open_dataset(root, DataReading(options={"soft": "none"})).read("im00")
    assert set(np.unique(without.soft)) <= {0, 0.5, 1}
    save(root / "soft" / "vessel" / "im00.png", grey // 2)
    assert open_dataset(root).fingerprint() != before
    masks = np.asarray(people(2)["p1"]["im04"], np.uint8)
    changed = open_dataset(root).fingerprint()
    save(root / "observers" / "p1" / "im04.png", 255 - masks)
    assert open_dataset(root).fingerprint() != changed


def test_soft_exclusive_truth_leaves_the_background_the_rest(tmp_path):
    toml = 'name = "Small"\nkind = "exclusive"\nclasses = ["background", "tree", "lake"]\n'
    root = native(tmp_path, toml, {}, masks={name: np.ones(SHAPE) for name in NAMES})
    for name in NAMES:
        save(root / "soft" / "tree" / f"{name}.png", np.full(SHAPE, 153, np.uint8))  # 0.6
        save(root / "soft" / "lake" / f"{name}.png", np.full(SHAPE, 51, np.uint8))  # 0.2
    item = open_dataset(root).read("im00")
    np.testing.assert_allclose(item.soft[:, 0, 0], [0.2, 0.6, 0.2], atol=1e-6)


def test_what_is_wrong_with_soft_masks_is_told_file_by_file(tmp_path):
    toml = 'name = "Small"\nkind = "exclusive"\nclasses = ["background", "tree", "lake"]\n'
    root = native(tmp_path, toml, {}, masks={name: np.ones(SHAPE) for name in NAMES})
    for name in NAMES:
        for label in ("tree", "lake"):
            save(root / "soft" / label / f"{name}.png", np.full(SHAPE, 100, np.uint8))
    save(root / "soft/lake/im00.png", np.full(SHAPE, 255, np.uint8))
    save(root / "soft/lake/im01.png", np.zeros((5, 8), np.uint8))
    save(root / "soft/lake/im02.png", np.eye(6, 8, dtype=np.uint8))
    (root / "soft/lake/im03.png").unlink()
    save(root / "soft/lake/other.png", np.zeros(SHAPE, np.uint8))
    save(root / "soft/sky/im00.png", np.zeros(SHAPE, np.uint8))
    found = [f"{one.code}: {one.message}" for one in check_dataset(open_dataset(root)).findings]
    for expected in (
        "MASK-VALUES: the soft masks of im00 add up to 1.39 to 1.39, but classes that exclude each other add up to 1",
        "PAIR-SIZE: soft/lake/im01.png is 8×5, the mask of its image is 8×6",
        "MASK-UNREADABLE: soft/lake/im02.png holds 0 and 1, where grey says how probable a class is",
        "PAIR-MISSING: image im03 has no soft mask soft/lake/im03.png; add it, or leave soft/ out with soft=none",
        "PAIR-MISSING: soft/lake/other.png has no image of that name",
        "MASK-LAYOUT: soft/sky belongs to no class and is passed over",
    ):
        assert any(line.startswith(expected) for line in found), (expected, found)
    (root / "soft/tree").rename(root / "soft/trees")
    found = [f"{one.code}: {one.message}" for one in check_dataset(open_dataset(root)).findings]
    assert any(line.startswith("MASK-LAYOUT: soft/tree is missing") for line in found)
