"""Soft truth, of observers or grey masks: from the files to counts, scores, temperature and the human ceiling."""

import json
import zlib
from itertools import combinations

import numpy as np
import opening
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_dataset import save
from PIL import Image
from scipy.special import expit, logit
from sklearn import metrics as sk

from dashboard.displays import calibration, labels
from dashboard.displays.base import Selection
from dashboard.queries import images
from dashboard.viewer import payload
from pipelines.config import EvaluationConfig
from pipelines.counting import grid
from pipelines.counting.counts import stack
from pipelines.counting.image import count_image
from pipelines.counting.kernels import BOUNDARY, IGNORED
from pipelines.counting.outlines import label_masks
from pipelines.datasets.base import Source
from pipelines.datasets.check import check_dataset
from pipelines.datasets.observers import OTHERS, compare, majority
from pipelines.datasets.opening import open_dataset
from pipelines.errors import DatasetError, ShapeError
from pipelines.execute import execute
from pipelines.heads import head_specs
from pipelines.metrics import METRICS, Setting
from pipelines.metrics.observers import mean_dice
from pipelines.progress import Progress
from pipelines.reading import DataReading
from pipelines.requests import HeadOutputs, ImportRequest
from pipelines.schema import ALL_SEEDS, MACRO, OBSERVERS
from pipelines.store.runs import Run
from pipelines.temperature import Sample, fit_by_class, fit_temperature

# Counts ---------------------------------------------------------------------------------------------------------------


def image_of(*, classes=2, size=(9, 13), seed=0):
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(0, 4, (classes, *size)).astype(np.float16)
    log_odds[0, 0, :4] = (np.inf, -np.inf, 512, -512)
    soft = rng.integers(0, 5, (classes, *size)).astype(np.float16) / 4
    region = rng.choice([0, BOUNDARY, IGNORED], size).astype(np.uint8)
    return log_odds, soft, region, soft >= 0.5


def counted(log_odds, soft, region, truth):
    return count_image(log_odds, label_masks(truth), region, exclusive=False, soft=soft)


@pytest.mark.parametrize("seed", range(3))
def test_sums_of_soft_truth_are_those_of_every_pixel_in_float64(seed):
    log_odds, soft, region, truth = image_of(seed=seed)
    counts = counted(log_odds, soft, region, truth)
    values = np.clip(log_odds.astype(np.float64), -65504, 65504)
    share, p = soft.astype(np.float64), expit(values)
    against = np.where(values > 0, 1 - share, share)
    nll = np.abs(values) * against + np.log1p(np.exp(-np.abs(values)))
    for c, place, there, called in np.ndindex(2, 2, 2, 2):
        chosen = (region == (BOUNDARY if place else 0)) & (truth[c] == there) & ((values[c] > 0) == called)
        found = counts.soft_squared_error[c, place, there, called] * grid.P_UNIT
        assert found == pytest.approx(((p - share) ** 2)[c][chosen].sum(), abs=1e-8)
        assert counts.soft_nll[c, place, there, called] * grid.NLL_UNIT == pytest.approx(nll[c][chosen].sum(), abs=1e-4)
        cells = np.searchsorted(grid.EDGES, values[c], side="left")
        chosen = (region == (BOUNDARY if place else 0)) & (truth[c] == there)
        by_cell = np.bincount(cells[chosen], share[c][chosen], grid.CELLS)
        np.testing.assert_array_equal(counts.soft[c, place, there] * grid.SOFT_UNIT, by_cell)  # exact: quarters


def test_hard_truth_given_as_soft_is_counted_as_hard():
    log_odds, _, region, truth = image_of(seed=5)
    counts = counted(log_odds, truth.astype(np.float16), region, truth)
    np.testing.assert_array_equal(counts.soft[:, :, 1] * grid.SOFT_UNIT, counts.score[:, :, 1])
    assert not counts.soft[:, :, 0].any()
    pixels = truth.size  # each sum is rounded once a pixel
    assert np.abs(counts.soft_nll - counts.nll).max() <= pixels
    assert np.abs(counts.soft_squared_error - counts.squared_error).max() <= 3 * pixels


def test_soft_truth_that_is_none_is_refused():
    log_odds, soft, region, truth = image_of()
    with pytest.raises(ShapeError, match=r"soft truth must be 2 classes of 117 pixels in \[0, 1\], got"):
        counted(log_odds, soft * 2, region, truth)
    with pytest.raises(ShapeError, match="soft truth must be"):
        counted(log_odds, soft[:, :2], region, truth)
    with pytest.raises(ShapeError, match="soft truth must be"):
        counted(log_odds, np.full_like(soft, np.nan), region, truth)


@pytest.mark.parametrize("region", ["all", "foreground", "boundary", "interior"])
def test_scores_against_soft_truth_by_pixels(region):
    images = [image_of(seed=seed, size=(20, 30)) for seed in range(3)]
    counts = stack(["a", "b", "c"], [counted(*one) for one in images])
    setting = Setting("overlapping", soft=True)
    for c in range(2):
        parts = []
        for log_odds, soft, regions, truth in images:
            inside = {"all": regions != IGNORED, "boundary": regions == BOUNDARY, "interior": regions == 0}
            inside["foreground"] = (regions != IGNORED) & (truth[c] | (log_odds[c] > 0))
            values = np.clip(log_odds[c].astype(np.float64), -65504, 65504)
            parts.append(np.stack([values, soft[c].astype(np.float64)])[:, inside[region]])
        values, share = np.concatenate(parts, axis=1)
        p = expit(values)
        bins = np.clip(np.ceil(p * 15) - 1, 0, 14).astype(int)
        gaps = [abs((p - share)[bins == b].sum()) for b in range(15)]
        nll = np.abs(values) * np.where(values > 0, 1 - share, share) + np.log1p(np.exp(-np.abs(values)))
        expected = {
            "soft_brier": np.mean((p - share) ** 2), "soft_nll": nll.mean(), "soft_classwise_ece": sum(gaps) / len(p)
        }  # fmt: skip
        for name, value in expected.items():
            assert METRICS[name].pooled(counts, region, setting)[c] == pytest.approx(value, abs=1e-6), name


def test_scores_against_soft_truth_are_none_where_the_truth_is_hard():
    for name in ("soft_brier", "soft_nll", "soft_classwise_ece"):
        assert not METRICS[name].applies(Setting("binary"), "all")


# Temperature ----------------------------------------------------------------------------------------------------------


def test_temperature_is_fitted_to_the_share_of_observers():
    rng = np.random.default_rng(3)
    true = rng.normal(0, 2, (2, 40_000)).astype(np.float32)
    share = rng.binomial(4, expit(true)).astype(np.float32) / 4
    spec = {one.head: one for one in head_specs("overlapping", ("a", "b"), set_counts={(0,): 1, (1,): 1})}["sigmoid"]
    sample = Sample(true * np.array([[2.0], [0.5]], np.float32), np.empty((0, 40_000), np.float32), share)
    assert fit_by_class(sample) == pytest.approx((2.0, 0.5), rel=0.03)
    # Against hard truth, the majority, a head that says the share looks under-confident.
    hard = Sample(true, sample.extra, (share >= 0.5).astype(np.float32))
    soft = Sample(true, sample.extra, share)
    assert fit_temperature(spec, soft) == pytest.approx(1.0, rel=0.03)
    assert fit_temperature(spec, hard) < 0.8


def test_categorical_temperature_is_fitted_to_the_share_of_observers():
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 2, (3, 30_000))
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    share = np.stack([rng.multinomial(4, one) for one in p.T]).T.astype(np.float32) / 4
    spec = {one.head: one for one in head_specs("exclusive", ("a", "b", "c"))}["softmax"]
    sharp = np.exp(3 * logits) / np.exp(3 * logits).sum(axis=0)  # three times too confident
    sample = Sample(logit(sharp).astype(np.float32), np.empty((0, 30_000), np.float32), share)
    assert fit_temperature(spec, sample) == pytest.approx(3.0, rel=0.03)


# Observers ------------------------------------------------------------------------------------------------------------

masks_of_several = st.integers(2, 5).flatmap(
    lambda people: st.lists(st.binary(min_size=2, max_size=2), min_size=people, max_size=people)
)


def layers_of(data: bytes):
    return np.unpackbits(np.frombuffer(data, np.uint8)).astype(bool).reshape(2, 8)


@settings(max_examples=60, deadline=None)
@given(masks_of_several)
def test_comparisons_of_observers_are_those_of_sklearn(given_masks):
    observers = {str(index + 1): layers_of(one) for index, one in enumerate(given_masks)}
    rows = compare(observers, ("a", "b"))
    assert len(rows) == 2 * len(observers) * len(observers)  # everyone with each other and with all others
    for row in rows:
        c = "ab".index(row["class"])
        own = observers[row["observer"]][c]
        others = [layers[c] for who, layers in observers.items() if who != row["observer"]]
        other = np.mean(others, axis=0) >= 0.5 if row["against"] == OTHERS else observers[row["against"]][c]
        dice = mean_dice(np.array([[row["both"], row["own"], row["other"]]], float))
        assert dice == pytest.approx(sk.f1_score(own, other, zero_division=np.nan), nan_ok=True)


def test_nobody_is_compared_with_oneself():
    assert compare({"1": layers_of(b"ab")}, ("a", "b")) == []


def test_majority_of_classes_that_exclude_each_other_by_hand():
    #            pixel:  0  1  2  3
    votes = np.array([[0, 0, 1, 2], [1, 0, 2, 2], [1, 2, 0, 1], [0, 2, 0, 1]])
    layers = [np.arange(3)[:, None] == row for row in votes]
    chosen, tied = majority(layers, one_of=(1, 2, 0))  # 0 is the background
    assert chosen.argmax(axis=0).tolist() == [1, 2, 0, 1]
    assert chosen.sum(axis=0).tolist() == [1, 1, 1, 1]
    assert tied.tolist() == [True, True, False, True]


# From files to a run --------------------------------------------------------------------------------------------------

SIDE = 24


def write_observed(root, *, people=3, images=12, seed=0):
    """Discs that several people mark with outlines of their own; the last one has only half of the images."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    for index in range(images):
        center, radius = rng.uniform(9, 15, 2), rng.uniform(4, 7)
        away = np.hypot(y - center[0], x - center[1])
        save(
            root / "images" / f"i{index:02d}.png", np.repeat((255 * (away < radius))[..., None], 3, 2).astype(np.uint8)
        )
        for person in range(people if index % 2 == 0 else people - 1):
            mask = away < radius + rng.normal(0, 0.8)
            save(root / f"masks/rater{person + 1}/i{index:02d}.png", (255 * mask).astype(np.uint8))
        for head, noise in (("sigmoid", 0.5), ("softmax", 1.0)):
            logits = (radius - away) * 1.5 + rng.normal(0, noise, away.shape)
            (root.parent / head).mkdir(exist_ok=True)
            both = np.stack([np.zeros_like(logits), logits]) if head == "softmax" else logits[None]
            np.save(root.parent / head / f"i{index:02d}.npy", both.astype(np.float32))
    return root


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("observed")
    data = write_observed(folder / "data")
    request = ImportRequest(
        name="observed",
        dataset=str(data),
        heads={
            "sigmoid": HeadOutputs(path=folder / "sigmoid", values="logits", classes=("foreground",)),
            "softmax": HeadOutputs(path=folder / "softmax", values="logits", classes=("background", "foreground")),
        },
        background="background",
        seed=0,
        evaluation=EvaluationConfig(splits=("val", "test"), replicates=200),
    )
    execute(request, Progress(), runs=folder / "runs")
    return Run(folder / "runs" / "observed"), open_dataset(data), data


def test_three_observers_make_their_majority_the_truth(observed):
    _, dataset, data = observed
    assert check_dataset(dataset).ok
    for name in ("i00", "i01"):
        masks = [np.asarray(Image.open(path)) > 0 for path in sorted(data.glob(f"masks/*/{name}.png"))]
        item = dataset.read(name)
        assert len(item.observers) == len(masks) == (3 if name == "i00" else 2)
        np.testing.assert_array_equal(item.truth[0], np.mean(masks, axis=0) >= 0.5)
        np.testing.assert_allclose(item.soft[0], np.mean(masks, axis=0), rtol=1e-6)


def test_a_run_scores_against_the_share_of_observers(observed):
    run, dataset, _ = observed
    estimates = run.estimates(class_="foreground")
    for head in run.heads:
        folder = run.folder / "predictions" / "split=test" / f"head={head}" / "seed=0"
        frame = pd.read_parquet(folder, engine="pyarrow", partitioning=None)
        share = np.concatenate([dataset.read(name).soft[0].ravel() for name in dataset.images("test")])
        np.testing.assert_allclose(frame["soft_foreground"].astype(float), share, atol=3e-4)
        s, values = frame["soft_foreground"].to_numpy(np.float64), frame["log_odds_foreground"].to_numpy(np.float64)
        expected = {
            "soft_brier": np.mean((expit(values) - s) ** 2),
            "soft_nll": np.mean(np.logaddexp(0, values) - s * values),
            "brier": np.mean((expit(values) - frame["truth_foreground"]) ** 2),
        }
        rows = estimates[estimates["head"] == head].set_index("metric")["value"]
        for name, value in expected.items():
            assert rows[name] == pytest.approx(value, abs=1e-6), name
    difference = run.estimates(head="difference", metric="soft_brier", class_=MACRO)
    assert len(difference) == 1
    assert difference["p_value"].notna().all()


def test_the_human_ceiling_is_that_of_an_independent_computation(observed):
    run, dataset, _ = observed
    items = [dataset.read(name) for name in dataset.images("test")]
    people = ("1", "2", "3")

    def pooled(pairs):
        own, other = (np.concatenate([one.ravel() for one in side]) for side in zip(*pairs, strict=True))
        return sk.f1_score(own, other)

    against = []
    for who in people:
        pairs = []
        for item in items:
            others = [layers for other, layers in item.observers.items() if other != who]
            if who in item.observers and others:
                pairs.append((item.observers[who], np.mean(others, axis=0) >= 0.5))
        against.append(pooled(pairs))
    two = [
        pooled([(i.observers[a], i.observers[b]) for i in items if {a, b} <= set(i.observers)])
        for a, b in combinations(people, 2)
    ]
    rows = run.estimates(head=OBSERVERS, class_=MACRO).set_index("metric")
    assert rows.loc["observer_dice", "value"] == pytest.approx(np.mean(against), abs=1e-9)
    assert rows.loc["observer_pair_dice", "value"] == pytest.approx(np.mean(two), abs=1e-9)
    assert (rows["seed"] == ALL_SEEDS).all()
    assert ((rows["low"] >= 0) & (rows["low"] <= rows["value"]) & (rows["high"] <= 1)).all()


def test_what_one_observers_files_say_of_pictures_is_kept(observed):
    _, dataset, _ = observed
    told, first = dataset.source, next(iter(dataset.source._observers.values()))
    merged = {"labels", "exclusive", "complete", "splits", "groups", "findings", "soft"}
    for name in set(Source.__annotations__) - merged:
        assert getattr(told, name) == getattr(first, name), name


def test_sets_without_soft_truth_keep_none(tmp_path):
    save(tmp_path / "images" / "a.png", np.zeros((4, 4, 3), np.uint8))
    save(tmp_path / "masks" / "a.png", np.eye(4, dtype=np.uint8))
    item = open_dataset(tmp_path).read("a")
    assert item.soft is None
    assert not item.observers


def test_grey_masks_declared_as_probabilities_are_truth_and_soft_truth(tmp_path):
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17
    for name in "ab":
        save(tmp_path / "images" / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
        save(tmp_path / "masks" / f"{name}.png", grey)
    for reading in (DataReading(format="indexed", options={"soft": "all"}), DataReading(options={"soft": "all"})):
        dataset = open_dataset(tmp_path, reading)
        item = dataset.read("a")
        assert dataset.kind == "binary"
        np.testing.assert_array_equal(item.soft[0], grey.astype(np.float32) / 255)
        np.testing.assert_array_equal(item.truth[0], grey >= 127.5)


def test_masks_that_are_called_soft_alone_are_both_truths(tmp_path):
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17
    for name in "ab":
        save(tmp_path / "images" / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
        save(tmp_path / "masks_soft" / "lesion" / f"{name}.png", grey)
    item = open_dataset(tmp_path).read("a")
    np.testing.assert_array_equal(item.truth[0], grey >= 127.5)
    np.testing.assert_array_equal(item.soft[0], grey.astype(np.float32) / 255)
    higher = open_dataset(tmp_path, DataReading(options={"threshold": "200"})).read("a")
    np.testing.assert_array_equal(higher.truth[0], grey >= 200)
    np.testing.assert_array_equal(higher.soft, item.soft)


@pytest.mark.parametrize(
    ("mask", "problem"),
    [
        (
            np.eye(4, dtype=np.uint8),
            "masks_soft/a.png holds 0 and 1, where grey says how probable a class is and white",
        ),
        (np.zeros((3, 4), np.uint8), "masks_soft/a.png is 4×3, but the mask of its picture is 4×4"),
    ],
)
def test_soft_masks_that_are_none_are_told(tmp_path, mask, problem):
    save(tmp_path / "images" / "a.png", np.zeros((4, 4, 3), np.uint8))
    save(tmp_path / "masks" / "a.png", 255 * np.eye(4, dtype=np.uint8))
    save(tmp_path / "masks_soft" / "a.png", mask)
    with pytest.raises(DatasetError, match=problem):
        open_dataset(tmp_path).read("a")


# Pages ----------------------------------------------------------------------------------------------------------------


def test_reliability_against_the_soft_truth_is_the_share_of_observers(observed):
    run, *_ = observed
    selection = Selection(run, "test", run.seeds, region="all", soft=True)
    table = calibration.reliability(selection, bins=10).frame()
    folder = run.folder / "predictions" / "split=test" / "head=sigmoid" / "seed=0"
    frame = pd.read_parquet(folder, engine="pyarrow", partitioning=None)
    p, s = expit(frame["log_odds_foreground"].to_numpy(np.float64)), frame["soft_foreground"].to_numpy(np.float64)
    bins = np.clip(np.ceil(p * 10) - 1, 0, 9).astype(int)
    rows = table[table["head"] == "sigmoid"].set_index("bin")
    for b in range(10):
        if (bins == b).any():
            assert rows.loc[b, "observed"] == pytest.approx(s[bins == b].mean(), abs=1e-6)
            assert rows.loc[b, "mean_p"] == pytest.approx(p[bins == b].mean(), abs=1e-6)
    pooled = calibration.by_image(selection).frame()
    stored = run.estimates(head="sigmoid", metric="soft_classwise_ece", class_="foreground")["value"].iloc[0]
    assert pooled[pooled["head"] == "sigmoid"]["pooled"].iloc[0] == pytest.approx(stored, abs=1e-9)


def test_people_stand_beside_the_heads_on_labels(observed):
    run, *_ = observed
    display = labels.observers(run)
    rows = display.frame().set_index("head")
    assert list(rows.index) == ["observers", "sigmoid", "softmax"]
    people = run.estimates(head=OBSERVERS, metric="observer_dice", class_="foreground")["value"].iloc[0]
    assert rows.loc["observers", "value"] == people
    assert f"{people:.2f}" in labels.people_in_words(display)
    assert go.Figure(json.loads(display.figure().to_json())) is not None


def test_runs_with_hard_truth_alone_have_no_people(real_runs):
    assert labels.observers(Run(real_runs / "cells")) is None


@pytest.mark.parametrize(
    ("page", "texts"),
    [
        ("labels", ["How far people agree", "Several people marked"]),
        ("calibration", ["Brier score against soft truth", "Truth"]),
        ("verdict", ["against the soft truth", "Two observers differ by"]),
    ],
)
def test_pages_show_soft_truth_and_people(observed, monkeypatch, page, texts):
    run, *_ = observed
    shown = opening.open_page(monkeypatch, run.folder.parent, page, run=run.name)
    assert not shown.exception
    said = " ".join(
        str(element.value) for element in (*shown.markdown, *shown.header, *shown.subheader, *shown.caption)
    )
    said += " ".join(str(getattr(one, "body", getattr(one, "proto", ""))) for one in shown.get("html"))
    said += " ".join(one.label for one in shown.get("button_group"))
    for text in texts:
        assert text in said, text


def test_the_viewer_gets_the_soft_truth_in_percent(observed):
    run, dataset, _ = observed
    name = dataset.images("test")[0]
    header, parts = payload.unpack(images.viewer_block(run, "test", ("sigmoid", "softmax"), 0, name).seen)
    assert header["soft"] is True
    assert len(parts) == 5  # picture, truth, soft truth and two heads
    percent = np.frombuffer(zlib.decompress(parts[2]), np.uint8).reshape(1, SIDE, SIDE)
    np.testing.assert_array_equal(percent, np.rint(100 * dataset.read(name).soft).astype(np.uint8))
