"""The page "Labels": what the truth alone says, as figures, words and examples found by counting."""

import json
import math

import numpy as np
import opening
import pandas as pd
import plotly.graph_objects as go
import pytest
from synthetic import make_run

from dashboard import queries
from dashboard.displays import labels as panels
from dashboard.displays.labels import ceiling_figure, nesting_figure, split_share_figure
from dashboard.queries.images import kind_mask, spread_images
from dashboard.theme import DARK, LIGHT
from pipelines.store.runs import open_run


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """Three overlapping classes, of which one never occurs."""
    runs = tmp_path_factory.mktemp("blobs")
    return make_run(runs, "blobs", kind="overlapping", classes=("a", "b", "never"), empty=("never",))


@pytest.fixture(scope="module")
def cells(real_runs):
    return open_run(real_runs, "cells")


@pytest.fixture
def page(monkeypatch):
    """Opens the page on a run, as a link would."""

    def open_page(run):
        return opening.open_page(monkeypatch, run.folder.parent, "labels", run=run.name)

    return open_page


def truths(run, split="test"):
    """(image, truth, valid) of every image, from the pixels."""
    with run.predictions(split, run.heads[0], run.seeds[0]) as reader:
        return [(name, one.truth, one.valid) for name in reader.images for one in [reader.read(name)]]


def valid_for_plotly(figure):
    """Whether Plotly takes every option: figures are not validated when they are made."""
    return go.Figure(json.loads(figure.to_json())) is not None


def nesting_table():
    # inner: 10 pixels, all of them in the outer's 40; partial: 20 pixels, 5 of them in the outer's 40.
    return pd.DataFrame(
        {
            "inner": ["n", "p"], "outer": ["c", "c"], "share": [1.0, 0.25], "back": [0.25, 0.125], "pixels": [10, 5],
            "nested": [True, False],
        }
    )  # fmt: skip


def test_nesting_bars_lie_over_each_other_where_pixels_are_shared():
    figure = nesting_figure(nesting_table(), LIGHT, colors={"n": "#111111", "p": "#222222", "c": "#333333"})
    outer, inner = figure.data
    # Row 1: together 40 pixels; outer 0 to 1, inner from 30/40 to 1. Row 2: together 55; outer 0 to 40/55, inner from
    # 35/55 on, 20/55 long, so that 5/55 lie over each other.
    assert list(outer.base) == [0, 0]
    assert list(outer.x) == pytest.approx([1, 40 / 55])
    assert list(inner.base) == pytest.approx([30 / 40, 35 / 55])
    assert list(inner.x) == pytest.approx([10 / 40, 20 / 55])
    assert list(figure.layout.yaxis.ticktext) == ["<b>n</b> in c", "<b>p</b> in c"]
    assert [note.text for note in figure.layout.annotations] == ["100.0%", "25.0%"]
    assert [note.font.weight for note in figure.layout.annotations] == [600, 400]


def test_nesting_of_a_run_puts_the_class_that_lies_inside_first(cells):
    panel = panels.nesting(queries.runs.dataset(cells), LIGHT)
    first = panel.table.iloc[0]
    assert (first["inner"], first["outer"], first["share"], first["nested"]) == ("nucleus", "cell", 1.0, True)
    assert (panel.table["share"] >= panel.table["back"]).all()
    inside = sum((truth[1] & truth[0]).sum() for split in ("test", "val") for _, truth, _ in truths(cells, split))
    assert first["pixels"] > inside  # over all splits, and training is not predicted


def test_ceiling_is_drawn_against_one():
    table = pd.DataFrame(
        {"class": ["mean of classes", "a"], "ceiling_dice": [0.8, 0.6], "priority_dice": [0.7, math.nan]}
    )
    figure = ceiling_figure(table, DARK)
    lost, best, rule = figure.data
    assert list(lost.x) == [0.8, 1, None, 0.6, 1, None]
    assert list(best.x) == [0.8, 0.6]
    assert rule.x[0] == 0.7
    assert figure.layout.shapes[0].x0 == 1
    assert figure.layout.xaxis.range[0] < 0.6


def test_ceiling_of_a_run_is_what_the_check_found(cells):
    panel = panels.ceiling(queries.runs.dataset(cells), LIGHT)
    facts = cells.dataset
    assert panel.table["class"].tolist() == ["mean of classes", *facts["classes"]]
    assert panel.table["ceiling_dice"][0] == facts["ceiling_macro_dice"]
    assert panel.table["priority_iou"].tolist()[1:] == [one["priority_iou"] for one in facts["class_facts"]]


def test_truth_that_cannot_overlap_has_no_panels_of_overlap(real_runs):
    for name in ("landcover", "vessels"):
        run = open_run(real_runs, name)
        assert [make(queries.runs.dataset(run), LIGHT) for make in (panels.ceiling, panels.nesting, panels.pairs)] == [
            None
        ] * 3


def test_shares_of_labels_per_pixel_add_up(cells):
    panel = panels.labels_per_pixel(queries.runs.dataset(cells), LIGHT)
    assert panel.table["share"].sum() == pytest.approx(1)
    assert panel.table["pixels"].tolist() == cells.dataset["labels_per_pixel"]


def test_shares_by_split_are_of_valid_pixels_and_logarithmic_when_a_class_is_rare(cells):
    table = panels.splits(queries.runs.dataset(cells), LIGHT).table
    test = next(one for one in cells.dataset["splits"] if one["split"] == "test")
    row = table.query("`class` == 'nucleus' and split == 'test'").iloc[0]
    assert row["share"] == test["class_pixels"]["nucleus"] / test["valid_pixels"]
    assert split_share_figure(table, LIGHT).layout.xaxis.type is None
    rare = pd.DataFrame({"class": ["a", "b"], "split": "test", "share": [0.5, 0.001]})
    assert split_share_figure(rare, LIGHT).layout.xaxis.type == "log"


def test_every_figure_of_the_page_is_one_that_plotly_takes(cells, blobs, real_runs):
    for run in (cells, blobs, open_run(real_runs, "landcover")):
        made = [
            make(queries.runs.dataset(run), LIGHT)
            for make in (
                panels.class_shares, panels.labels_per_pixel, panels.pairs, panels.nesting, panels.splits,
                panels.ceiling,
            )
        ]  # fmt: skip
        assert all(valid_for_plotly(one.figure) for panel in made if panel for one in panel.pictures)


def counted_set(run, labels, members):
    """Pixels of a kind in each image, from the pixels."""
    return {name: int(kind_mask(truth, valid, labels, members).sum()) for name, truth, valid in truths(run)}


def test_example_of_a_kind_is_the_image_with_most_of_its_pixels(cells, blobs):
    for run in (cells, blobs):
        for kind in panels.kinds(run, split="test"):
            by_image = counted_set(run, kind.labels, kind.members)
            assert kind.pixels == sum(by_image.values()), kind.title
            found = queries.images.example_of(run, "test", kind.labels, kind.members)
            assert found.pixels == by_image[found.image] == max(by_image.values()), kind.title
            assert found.share == found.pixels / next(v.sum() for n, _, v in truths(run) if n == found.image)


def test_no_image_is_the_example_of_what_never_occurs(blobs):
    assert queries.images.example_of(blobs, "test", 1, (2,)) is None
    assert queries.images.example_of(blobs, "test", 3) is None


def test_masks_tell_exactly_these_classes_from_so_many_labels():
    # Five pixels with the label sets {}, {a}, {a, b}, {a, b, c} and, ignored, {a}.
    truth = np.array([[[0, 1, 1, 1, 1]], [[0, 0, 1, 1, 0]], [[0, 0, 0, 1, 0]]], bool)
    valid = np.array([[True, True, True, True, False]])
    assert kind_mask(truth, valid, 1, None).tolist() == [[False, True, False, False, False]]
    assert kind_mask(truth, valid, 2, (0, 1)).tolist() == [[False, False, True, False, False]]
    assert kind_mask(truth, valid, 3, None).tolist() == [[False, False, False, True, False]]
    assert kind_mask(truth, valid, 0, ()).tolist() == [[True, False, False, False, False]]


def test_kinds_name_each_set_once(cells, real_runs):
    titles = [kind.title for kind in panels.kinds(cells, split="test")]
    assert titles[:4] == ["No label", "1 label", "2 labels", "3 labels or more: cell + nucleus + fibre"]
    assert "cell + nucleus" in titles
    assert "cell + nucleus + fibre" not in titles
    # Where every pixel carries one label, only its classes tell pixels apart.
    run = open_run(real_runs, "landcover")
    assert {kind.title for kind in panels.kinds(run, split="test")} <= set(run.dataset["classes"])


def test_examples_come_from_all_parts_of_the_split(cells):
    names = spread_images(cells, "test", 4)
    found = [
        (name, int(truth.sum(axis=0).max()), int(truth.any(axis=(1, 2)).sum())) for name, truth, _ in truths(cells)
    ]
    for part, name in enumerate(names):
        ten = found[10 * part : 10 * part + 10]  # 40 test images in four parts
        assert (name, *max(one[1:] for one in ten)) in ten
    assert spread_images(cells, "test", 400) == [one[0] for one in found]


def test_imbalance_is_said_in_numbers():
    def facts(*shares):
        return {"class_facts": [{"name": f"c{at}", "share": one, "pixels": one > 0} for at, one in enumerate(shares)]}

    assert panels.imbalance(facts(0.6, 0.15)).startswith(
        "c0 carries 60.0% of the pixels, 4 times as many as c1 (15.0%)."
    )
    assert "Rarer than 1%: c1." in panels.imbalance(facts(0.6, 0.005))
    assert panels.imbalance(facts(0.6, 0.0)) == "c0 carries 60.0% of the pixels; the rest has no label."
    assert panels.imbalance(facts(0.0)) == ""


def test_leaks_are_counted_and_missing_groups_said():
    def facts(groups, *codes):
        return {"findings": [{"code": code} for code in codes], "splits": [{"groups": groups}]}

    assert panels.leakage(facts(3)) == "No image, group or picture stands in two splits."
    assert panels.leakage(facts(3, "TEST-FEW")) == panels.leakage(facts(3))
    said = panels.leakage(facts(None, "COPY-LEAK", "COPY-LEAK", "SPLIT-LEAK"))
    assert said.startswith("In two splits at once: 1 image, 2 pictures under two names. Scores will look too good.")
    assert "Groups (patient, video, scene) are not given" in said


@pytest.mark.parametrize("name", ["cells", "landcover", "vessels"])
def test_page_links_each_example_to_its_image(page, real_runs, name):
    at = page(open_run(real_runs, name))
    assert not at.exception
    assert not at.error
    links = [one.proto for one in at.get("page_link") if one.proto.label == "Open the image"]
    kinds = panels.kinds(open_run(real_runs, name), split="test")
    assert len(links) == len(kinds)
    assert all(f"run={name}" in one.query_string and "image=test_" in one.query_string for one in links)


def test_page_of_a_run_with_a_class_that_never_occurs(page, blobs):
    at = page(blobs)
    assert not at.exception
    assert not at.error
