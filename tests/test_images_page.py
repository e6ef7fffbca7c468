"""The page Images: its orders by hand, and the page itself as a link opens it."""

import re

import numpy as np
import pandas as pd
import pytest
from opening import APP
from streamlit.testing.v1 import AppTest

from dashboard import queries
from dashboard.displays import images as displays
from dashboard.viewer import payload
from pipelines.store.runs import open_run

CONTENDER = "softmax"


@pytest.fixture
def app(monkeypatch):
    def open_page(folder, **query):
        monkeypatch.setenv(queries.runs.RUNS_VARIABLE, str(folder))
        queries.runs.forget_names()
        at = AppTest.from_file(str(APP), default_timeout=60)
        for name, value in query.items():
            at.query_params[name] = value
        at.run()
        at.switch_page("app_pages/images.py")
        for name, value in query.items():
            at.query_params[name] = value
        return at.run()

    return open_page


def blocks(at):
    """Header and parts of the viewer and of the gallery."""
    found = {one.proto.component_name: payload.unpack(one.proto.bytes) for one in at.get("bidi_component")}
    return found["image_viewer"], found["image_gallery"]


def table(**columns):
    images = [f"i{k}" for k in range(len(next(iter(columns.values()))))]
    rows = {"image": images, "disagreement": [0.0] * len(images)}
    for name in (*displays.SCORES, *displays.RATES):
        rows[f"{name}_sigmoid"] = rows[f"{name}_{CONTENDER}"] = [0.5] * len(images)
    return pd.DataFrame(rows | columns)


def order_of(frame, order, score="dice"):
    return list(displays.sorted_images(frame, contender=CONTENDER, order=order, score=score)["image"])


def test_heads_are_better_where_the_score_says_so():
    # Dice of sigmoid minus softmax: 0.1, -0.2, 0.3
    frame = table(dice_sigmoid=[0.6, 0.3, 0.8], dice_softmax=[0.5, 0.5, 0.5])
    assert order_of(frame, "sigmoid better") == ["i2", "i0", "i1"]
    assert order_of(frame, "softmax better") == ["i1", "i0", "i2"]


def test_lower_is_better_for_errors_and_the_middle_for_bias():
    # Brier: sigmoid is better by 0.1 in i1, worse by 0.2 in i0.
    frame = table(brier_sigmoid=[0.4, 0.1], brier_softmax=[0.2, 0.2])
    assert order_of(frame, "sigmoid better", "brier") == ["i1", "i0"]
    assert order_of(frame, "worst Brier score", "brier") == ["i0", "i1"]
    # Bias: sizes 0.3 and 0.1 against 0.2.
    frame = table(volume_bias_sigmoid=[-0.3, 0.1], volume_bias_softmax=[0.2, 0.2])
    assert order_of(frame, "sigmoid better", "volume_bias") == ["i1", "i0"]


def test_worst_image_is_that_of_the_worse_head():
    frame = table(dice_sigmoid=[0.9, 0.4, 0.6], dice_softmax=[0.1, 0.8, 0.6])
    assert order_of(frame, "lowest Dice") == ["i0", "i1", "i2"]


def test_rates_and_differences_sort_from_the_largest():
    frame = table(
        disagreement=[0.1, 0.3, 0.2], overlap_rate_softmax=[0.1, 0.6, 0.9], no_label_rate_sigmoid=[0.9, 0.6, 0.7]
    )
    assert order_of(frame, "most different") == ["i1", "i2", "i0"]
    assert order_of(frame, "most overlap") == ["i2", "i1", "i0"]
    assert order_of(frame, "most without label") == ["i0", "i2", "i1"]


def test_ties_go_by_name_and_images_without_a_value_come_last():
    frame = table(dice_sigmoid=[np.nan, 0.5, 0.5], dice_softmax=[0.5, 0.5, 0.5])
    assert order_of(frame, "sigmoid better") == ["i1", "i2", "i0"]
    assert order_of(frame, "softmax better") == ["i1", "i2", "i0"]


def test_table_of_a_run_is_its_image_scores(real_runs):
    run = open_run(real_runs, "cells")
    found = displays.image_table(run, split="test", seed=1, contender="softmax-powerset").set_index("image")
    stored = run.image_scores().query("split == 'test' and seed == 1").set_index(["head", "image"])
    assert len(found) == 40
    for image in found.index[:5]:
        assert found.loc[image, "brier_softmax-powerset"] == stored.loc[("softmax-powerset", image), "brier"]
        assert found.loc[image, "iou_sigmoid"] == stored.loc[("sigmoid", image), "iou"]
        assert found.loc[image, "disagreement"] == stored.loc[("softmax-powerset", image), "disagreement"]


@pytest.mark.parametrize("score", displays.SCORES)
def test_every_order_of_every_score_keeps_every_image(score):
    frame = table(dice_sigmoid=[0.1, 0.2, 0.3])
    for order in displays.orders(score):
        assert sorted(order_of(frame, order, score)) == ["i0", "i1", "i2"]


def test_page_shows_one_image_and_a_page_of_others(app, real_runs):
    at = app(real_runs, run="landcover")
    (viewer, parts), (gallery, thumbnails) = blocks(at)
    assert not at.exception
    assert viewer["image"] == at.selectbox(key="image").value
    assert viewer["classes"] == ["soil", "field", "forest", "water", "road", "building"]
    assert viewer["start"] == {"view": "", "pixel": None}
    assert len(parts) == 1
    assert len(gallery["items"]) == len(thumbnails) == 24
    assert gallery["items"][0]["name"] == viewer["image"]  # the first of the order is shown
    at.get("pagination")[0].set_value(2).run()
    (_, _), (gallery, thumbnails) = blocks(at)
    assert len(gallery["items"]) == len(thumbnails) == 16


def test_link_opens_its_image_view_and_pixel(app, real_runs):
    at = app(real_runs, run="landcover", image="test_03b", view="two.it-ie-if.t30.a80", pixel="12,7")
    (viewer, _), _ = blocks(at)
    assert viewer["image"] == "test_03b"
    assert viewer["start"] == {"view": "two.it-ie-if.t30.a80", "pixel": [12, 7]}
    stored = queries.images.prediction(open_run(real_runs, "landcover"), "test", "softmax", 0, "test_03b").log_odds[
        :, 7, 12
    ]
    shown = "".join(block.body for block in at.get("html"))
    assert all(f"{abs(float(value)):.3f}" in shown for value in stored)


@pytest.mark.parametrize(
    ("view", "pixel"),
    [("<script>", "1"), ("three.it-ia-ib.m50" * 20, "-1,3"), ("a b", "9999,9999"), ("", "999999,1"), ("é", "<b>,1")],
)
def test_hostile_or_impossible_links_open_the_page_as_if_nothing_was_asked(app, real_runs, view, pixel):
    at = app(real_runs, run="landcover", image="test_03b", view=view, pixel=pixel)
    (viewer, _), _ = blocks(at)
    assert not at.exception
    assert viewer["start"]["view"] == ""
    assert not [one for one in at.markdown if "as stored" in one.value]


def test_pixel_of_a_link_belongs_to_its_image_alone(app, real_runs):
    at = app(real_runs, run="landcover", image="test_03b", pixel="12,7")
    assert [one for one in at.markdown if "as stored" in one.value]
    at.selectbox(key="image").select("test_04a").run()
    (viewer, _), _ = blocks(at)
    assert viewer["start"]["pixel"] is None
    assert not [one for one in at.markdown if "as stored" in one.value]
    assert "pixel" not in at.query_params


@pytest.mark.parametrize("shows", ["truth", "first", "second"])
def test_thumbnails_can_show_labels(app, real_runs, shows):
    at = app(real_runs, run="landcover")
    (_, _), (_, before) = blocks(at)
    at.segmented_control(key="thumbnails").set_value(shows).run()
    (_, _), (_, after) = blocks(at)
    assert not at.exception
    assert before[0] != after[0]
    assert after[0][:2] == b"\xff\xd8"


def test_order_of_the_gallery_is_the_order_of_the_list(app, real_runs):
    at = app(real_runs, run="landcover", score="Brier score")
    at.selectbox(key="order").select("worst Brier score").run()
    assert not at.exception
    (_, _), (gallery, _) = blocks(at)
    names = at.selectbox(key="image").options
    assert [one["name"] for one in gallery["items"]] == list(names)[:24]
    values = [max(float(text.split()[-1]) for _, text in one["lines"][:2]) for one in gallery["items"]]
    assert values == sorted(values, reverse=True)
    assert re.match(r"Brier score \d", gallery["items"][0]["lines"][0][1])
