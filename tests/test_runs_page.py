"""The page "Runs", its table, figures and steps: what is shown is what the runs hold, and no step breaks a page."""

import math
import re
import shutil

import numpy as np
import opening
import pandas as pd
import pytest
from synthetic import make_run

from dashboard import queries
from dashboard.charts import Lanes
from dashboard.displays import runs as displays
from dashboard.displays.runs import differences_figure, lanes_of, values_figure
from dashboard.displays.training import curve_figure, learning, loss_figure, training
from dashboard.theme import DARK, LIGHT
from pipelines.layouts import TRAINING_SCHEMA
from pipelines.store import files
from pipelines.store.manage import RunWriter, delete_run, list_trash
from pipelines.store.runs import Run, Summary, learning_curves, list_runs, run_bytes, summarise

HOSTILE = "![x](https://example.org/x.png) <img src=x onerror=alert(1)> $a$"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Two runs of one data set that differ in loss and epochs, and one of other data with a hostile name."""
    runs = tmp_path_factory.mktemp("base")
    make_run(runs, "one", kind="overlapping", classes=("a", "b"), images=2)
    with RunWriter.open(runs, "two", copy_of=runs / "one") as writer:
        config = files.read_json(writer.folder / "config.json")
        config["training"] |= {"loss": "dice", "epochs": 7}
        files.write_json(writer.folder / "config.json", config)
        files.write_table(writer.folder / "training.parquet", training_table())
        writer.commit()
    make_run(runs, "other", kind="binary", classes=("vessel",), images=3, title=HOSTILE)
    return runs


@pytest.fixture
def folder(base, tmp_path):
    """A copy that a test may change."""
    for name in ("one", "two", "other"):
        shutil.copytree(base / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def page(monkeypatch):
    """Opens the page on a run, as a link would."""

    def open_page(runs, run, **query):
        return opening.open_page(monkeypatch, runs, "runs", run=run, **query)

    return open_page


def training_table():
    import pyarrow as pa

    return pa.Table.from_pylist(training_rows(), schema=TRAINING_SCHEMA)


def training_rows():
    """Two epochs of four steps, two heads; sigmoid is best in the first epoch, softmax in the second."""
    rows = []
    for head, scores in (("sigmoid", (0.6, 0.5)), ("softmax", (0.3, 0.4))):
        for step in range(1, 9):
            epoch = (step + 3) // 4
            rows.append(row(head, epoch, step, "train", loss=10.0 - step))
            if step % 4 == 0:
                rows.append(row(head, epoch, step, "val", score=scores[epoch - 1]))
    return rows


def row(head, epoch, step, split, **values):
    nothing = dict.fromkeys(("loss", "score", "learning_rate", "seconds"))
    return {"head": head, "seed": 0, "epoch": epoch, "step": step, "split": split} | nothing | values


def summary(name="run", *, data="Blobs", heads=("sigmoid", "softmax"), scores=None, settings=None, **more):
    known = {
        "created": "2026-01-02T03:04:05Z", "bytes": 1234, "kind": "exclusive", "classes": ("a", "b"), "images": 5,
        "split": "test", "seeds": (0,), "origin": "trained", "declared": {}, "answer": "sigmoid",
        "confidence": "strong", "contender": "softmax", "problem": "",
    }  # fmt: skip
    return Summary(name=name, data=data, heads=heads, scores=scores or {}, settings=settings or {}, **(known | more))


def html_of(at):
    return "".join(block.body for block in at.get("html"))


def healthy(at):
    return not at.exception and not at.error


# A run in short ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["one", "other"])
def test_summary_holds_the_numbers_of_the_run(base, name):
    run = Run(base / name)
    short, frame = summarise(run), run.metrics()
    assert short.problem == ""
    assert (short.name, short.data, short.classes) == (name, run.dataset["name"], tuple(run.dataset["classes"]))
    assert short.bytes == run_bytes(run)
    assert (short.answer, short.split) == (run.verdict["answer"], "test")
    for metric, head in (("dice", "sigmoid"), ("brier", "difference"), ("overlap_rate", "softmax")):
        rows = frame[
            (frame["metric"] == metric) & (frame["head"] == head) & (frame["seed"] == -1) & (frame["split"] == "test")
            & (frame["variant"] == "raw") & (frame["region"] == "all") & frame["class"].isin(["macro", "all"])
        ]  # fmt: skip
        assert len(rows) == 1
        np.testing.assert_array_equal(short.scores[metric, head], rows[["value", "low", "high"]].to_numpy()[0])
    assert {head for _, head in short.scores} <= {*run.heads, "difference", "difference-powerset"}


def test_summary_tells_trained_networks_from_loaded_ones(base):
    trained, loaded = summarise(Run(base / "two")), summarise(Run(base / "one"))
    assert (trained.origin, trained.declared) == ("trained", {})
    assert (trained.settings["loss"], trained.settings["epochs"]) == ("dice", 7)
    assert loaded.origin == "loaded"
    assert "epochs" not in loaded.settings  # settings of a run that trained nothing say nothing of its networks
    assert loaded.settings["loss"] is None


def test_summary_of_a_damaged_run_says_what_is_wrong_and_keeps_the_rest(base, tmp_path):
    shutil.copytree(base / "one", tmp_path / "one")
    (tmp_path / "one" / "metrics.parquet").write_bytes(b"not parquet")
    short = summarise(Run(tmp_path / "one"))
    assert "metrics.parquet" in short.problem
    assert (short.scores, short.data, short.images) == ({}, "Blobs", 2)


def test_losses_are_averaged_over_blocks_and_the_first_best_epoch_is_marked():
    losses, scores = learning_curves(pd.DataFrame(training_rows()), points=4)
    mine = losses[losses["head"] == "sigmoid"]
    # steps 1..8 in 4 blocks: middles 1.5, 3.5, 5.5, 7.5 steps of 4 an epoch; losses 10 − step
    assert list(mine["epoch"]) == [0.375, 0.875, 1.375, 1.875]
    assert list(mine["loss"]) == [8.5, 6.5, 4.5, 2.5]
    assert scores.to_dict("list") == {
        "head": ["sigmoid", "sigmoid", "softmax", "softmax"], "seed": [0] * 4, "epoch": [1, 2, 1, 2],
        "score": [0.6, 0.5, 0.3, 0.4], "best": [True, False, False, True],
    }  # fmt: skip
    ties = pd.DataFrame([row("sigmoid", epoch, epoch, "val", score=0.5) for epoch in (1, 2)])
    assert list(learning_curves(ties)[1]["best"]) == [True, False]


def test_every_step_is_a_point_of_a_short_training_and_means_keep_the_mean():
    losses, _ = learning_curves(pd.DataFrame(training_rows()), points=80)
    assert len(losses) == 16
    rng = np.random.default_rng(0)
    long = pd.DataFrame([row("softmax", 1 + step // 500, step + 1, "train", loss=rng.random()) for step in range(1000)])
    some, none = learning_curves(long, points=50)
    assert len(some) == 50  # 20 steps each
    assert some["loss"].mean() == pytest.approx(long["loss"].mean())
    assert none.empty


def test_training_without_validation_has_losses_alone():
    rows = [one for one in training_rows() if one["split"] == "train"]
    rows += [row("sigmoid", 1, 4, "val", score=math.nan)]
    losses, scores = learning_curves(pd.DataFrame(rows))
    assert len(losses) == 16
    assert scores.empty
    empty = learning_curves(pd.DataFrame(columns=TRAINING_SCHEMA.names))
    assert [len(one) for one in empty] == [0, 0]


# Table -------------------------------------------------------------------------------------------------------------


def test_table_sorts_by_numbers_and_shows_them_with_their_intervals():
    scores = {
        ("dice", "sigmoid"): (0.8123, 0.78, 0.84), ("dice", "softmax"): (0.9, math.nan, math.nan),
        ("dice", "difference"): (-0.0877, -0.1, -0.07), ("overlap_rate", "sigmoid"): (0.12, 0.09, 0.15),
    }  # fmt: skip
    settings = {"loss": "ce", "size": [64, 96], "epochs": 3, "architecture": "Unet", "encoder": "resnet18"}
    frame, texts = displays.catalogue([summary(scores=scores, settings=settings), summary("bare", answer="")])
    first = frame.iloc[0]
    assert first["Dice, sigmoid"] == 0.8123
    assert displays.shown_text(texts["Dice, sigmoid"], 0.8123) == "0.81 [0.78, 0.84]"
    assert displays.shown_text(texts["Dice, softmax"], 0.9) == "0.900"
    assert displays.shown_text(texts["Dice, sigmoid − other"], -0.0877) == "−0.088 [−0.100, −0.070]"
    assert displays.shown_text(texts["Overlap, sigmoid"], 0.12) == "12% [9, 15]"
    assert displays.shown_text(texts["On disk"], 1234.0) == "1.2 kB"
    assert list(first[["Verdict", "Loss", "Network", "Size", "Epochs"]]) == [
        "sigmoid, strong", "ce", "Unet, resnet18", "64×96", 3
    ]  # fmt: skip
    bare = frame.iloc[1]
    assert displays.shown_text(texts["Dice, sigmoid"], bare["Dice, sigmoid"]) == "–"
    assert list(bare[["Verdict", "Loss", "Network", "Size"]]) == ["–", "not known", "not known", "own size"]
    assert pd.isna(bare["Epochs"])
    assert "Dice, label sets" not in frame


def test_table_of_no_run_is_empty():
    frame, _ = displays.catalogue([])
    assert len(frame) == 0


def test_settings_that_differ_come_first():
    one = summary("one", settings={"loss": "ce", "epochs": 3, "size": None, "learning_rates": {}})
    two = summary("two", data="Other", settings={"loss": "dice", "epochs": 3, "size": [8, 9], "learning_rates": {}})
    loaded = summary("three", origin="loaded", settings={"loss": None})
    differ, same = displays.settings([one, two])
    assert differ == [["Data set", "Blobs", "Other"], ["Loss", "ce", "dice"], ["Image size", "own size", "8×9"]]
    assert ["Epochs", "3", "3"] in same
    assert ["Learning rate by head", "the same for all", "the same for all"] in same
    differ, _ = displays.settings([one, loaded])
    assert ["Networks", "trained", "loaded"] in differ
    assert ["Epochs", "3", "not known"] in differ
    assert ["Loss", "ce", "not known"] in differ


def test_numbers_of_one_run_are_rows_of_metrics_and_of_several_rows_of_runs():
    scores = {("dice", "sigmoid"): (0.8, 0.7, 0.9), ("dice", "difference"): (-0.1, -0.2, 0.0)}
    titles, rows = displays.numbers([summary(scores=scores)], metrics=("dice",))
    assert titles == ["Sigmoid", "Sigmoid − softmax"]
    assert rows == [["Dice ↑", "0.80 [0.70, 0.90]", "−0.10 [−0.20, +0.00]"]]
    _, rows = displays.numbers([summary("p", scores=scores), summary("q")], metrics=("dice",))
    assert [line[0] for line in rows] == ["Dice ↑", "\u2003p", "\u2003q"]
    assert rows[2][1:] == ["–", "–"]


# Figures -----------------------------------------------------------------------------------------------------------


def scores_table(*rows):
    return pd.DataFrame(rows, columns=["run", "data", "head", "value", "low", "high"])


VALUES = scores_table(
    ("p", "A", "sigmoid", 0.8, 0.7, 0.9), ("p", "A", "softmax", 0.6, 0.5, 0.8), ("q", "A", "softmax", 0.4, 0.4, 0.4)
)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_values_have_a_lane_a_head_and_their_interval(theme):
    figure = values_figure(VALUES, theme, title="Dice", subtitle="")
    lanes = lanes_of(VALUES)
    assert lanes.of(VALUES["run"], VALUES["head"]) == [0.0, 1.0, 2.7]
    softmax = figure.data[1]
    assert (list(softmax.x), list(softmax.y)) == ([0.6, 0.4], [1.0, 2.7])
    np.testing.assert_allclose(softmax.error_x.array, [0.2, 0.0])
    np.testing.assert_allclose(softmax.error_x.arrayminus, [0.1, 0.0])
    assert softmax.marker.color == theme.heads["softmax"]
    assert list(figure.layout.yaxis.tickvals) == [0.5, 2.7]
    assert list(figure.layout.yaxis.ticktext) == ["p", "q"]  # one data set: not said again


def test_names_of_data_are_said_where_they_differ_and_never_become_markup():
    table = VALUES.assign(data=["A", "A", "<a href=x>B</a>"])
    figure = values_figure(table, LIGHT, title="Dice", subtitle="")
    assert 'font-size:11px">A<' in figure.layout.yaxis.ticktext[0]
    assert "&lt;a href=x&gt;B" in figure.layout.yaxis.ticktext[1]
    assert figure.data[1].customdata[1][1] == "&lt;a href=x&gt;B&lt;/a&gt;"


def test_differences_stand_in_the_lane_of_the_other_head_and_take_a_colour_beyond_the_margin():
    gaps = scores_table(
        ("p", "A", "softmax", 0.2, 0.1, 0.3), ("q", "A", "softmax", -0.02, -0.03, -0.005),
        ("r", "A", "softmax", -0.2, -0.3, -0.02),
    )  # fmt: skip
    pairs = [("p", "sigmoid"), ("p", "softmax"), ("q", "softmax"), ("r", "softmax")]
    lanes = Lanes(pairs, between=0.7, air=0.7)
    figure = differences_figure(gaps, LIGHT, lanes=lanes, title="", subtitle="", margin=0.01, named=True)
    assert [(one.x[0], one.y[0]) for one in figure.data] == [(0.2, 1.0), (-0.02, 2.7), (-0.2, 4.4)]
    colors = [one.marker.color for one in figure.data]
    assert colors == [LIGHT.heads["sigmoid"], LIGHT.muted, LIGHT.heads["softmax"]]
    assert figure.layout.xaxis.range == pytest.approx((-0.324, 0.324))  # 1.08 times the widest end, 0.3
    assert figure.layout.shapes[0].x1 == 0.01
    assert [note.text for note in figure.layout.annotations] == ["← Softmax better", "Sigmoid better →"]
    neither = differences_figure(gaps, LIGHT, lanes=lanes, title="", subtitle="", margin=0.0, named=False)
    assert not neither.layout.annotations
    assert {one.marker.color for one in neither.data} == {LIGHT.text}


def test_one_image_has_no_interval_and_is_drawn():
    nothing = math.nan
    only = scores_table(("p", "A", "softmax", 0.2, nothing, nothing))
    figure = differences_figure(only, LIGHT, lanes=lanes_of(only), title="", subtitle="", margin=0.0, named=True)
    assert figure.data[0].marker.color == LIGHT.muted
    assert figure.data[0].customdata[0][2] == "no interval"


def test_curves_ring_the_epoch_whose_weights_were_kept():
    losses, scores = learning_curves(pd.DataFrame(training_rows()))
    figure = curve_figure(scores.to_dict("records"), LIGHT, top=0.8)
    rings = [(one.x[0], one.y[0], one.marker.color) for one in figure.data if one.mode == "markers"]
    assert rings == [(1, 0.6, LIGHT.heads["sigmoid"]), (2, 0.4, LIGHT.heads["softmax"])]
    assert figure.layout.yaxis.range == pytest.approx((0, 0.84))
    drawn = loss_figure(losses.to_dict("records"), LIGHT)
    assert [one.name for one in drawn.data] == ["Sigmoid", "Softmax"]
    assert list(drawn.data[0].x)[-1] == 2.0  # step 8 of 8 in two epochs
    assert drawn.layout.xaxis.range == (0.0, 2.0)
    unknown = [{"head": "sigmoid", "seed": 0, "epoch": 1, "score": None}]
    assert len(curve_figure(unknown, LIGHT).data) == 0


def test_panel_turns_round_what_is_better_when_lower(base):
    runs = [Run(base / name) for name in ("one", "other")]
    panel = displays.comparison(runs, LIGHT, metric="brier")
    drawn = panel.pictures[1].figure.data
    stored = summarise(runs[0]).scores["brier", "difference"]
    assert drawn[0].x[0] == -stored[0]
    table = panel.table.query("run == 'one' and metric == 'brier' and head == 'difference'")
    assert table["value"].item() == stored[0]  # sigmoid minus softmax, as it is stored
    assert set(panel.table["run"]) == {"one", "other"}
    assert displays.comparison(runs, LIGHT, metric="top_label_ece") is None  # for exclusive truth only


def test_panel_of_training_is_there_for_trained_runs_alone(base):
    assert learning(Run(base / "one"), LIGHT) is None
    panel = learning(Run(base / "two"), LIGHT)
    assert [picture.key for picture in panel.pictures] == ["loss_two", "score_two"]
    assert "sigmoid, seed 0: 0.600 in epoch 1" in panel.pictures[1].alt
    together = training([Run(base / "one"), Run(base / "two")], LIGHT)
    assert set(together.table["run"]) == {"two"}
    assert training([Run(base / "one")], LIGHT) is None


# Page --------------------------------------------------------------------------------------------------------------


def test_page_lists_every_run_and_compares_those_of_the_same_data(page, base):
    at = page(base, "one")
    assert healthy(at), (at.exception, at.error)
    assert set(at.dataframe[0].value["Run"]) == {"one", "two", "other"}
    assert at.multiselect(key="compare").value == ["one", "two"]
    body = html_of(at)
    assert "What differs" in body
    assert re.search(r"Loss</td>.*?not known</td>.*?dice</td>", body)
    assert not at.warning
    (link,) = [one.proto for one in at.get("page_link") if "What moves" in one.proto.label]
    assert link.query_string == "run=one&runs=one&runs=two"


def test_other_data_is_said_and_its_name_stays_text(page, base):
    at = page(base, "one")
    at.multiselect(key="compare").set_value(["one", "other"]).run()
    assert healthy(at)
    assert at.warning[0].proto.title == "Different data"
    assert "](" not in at.warning[0].value
    assert r"\]\(" in at.warning[0].value
    assert "&lt;img src=x" in html_of(at)
    assert "<img" not in html_of(at)


def test_link_opens_the_same_comparison(page, base):
    at = page(base, "other", compare=["other", "two"], score="Brier score")
    assert at.multiselect(key="compare").value == ["other", "two"]
    assert at.selectbox(key="score").value == "brier"
    assert any(one.proto.alt.startswith("Brier score: ") for one in at.get("plotly_chart"))
    gone = page(base, "one", compare=["gone", "two"])
    assert healthy(gone)


def test_nothing_chosen_is_the_run_that_was_picked(page, base):
    at = page(base, "one")
    at.multiselect(key="compare").set_value([]).run()
    assert healthy(at)
    assert any("--models" in one.value.replace("\\", "") for one in at.info)  # "one" was not trained
    assert at.get("plotly_chart")[0].proto.alt.startswith("Dice: one, sigmoid")


def test_rename_is_followed_by_picker_link_and_choice(page, folder):
    at = page(folder, "one", compare=["one", "two"])
    at.text_input(key="new_name_one").set_value("better")
    at.button(key="FormSubmitter:rename-Rename").click().run()
    assert healthy(at), (at.exception, at.error)
    assert at.session_state["run"] == "better"
    assert at.query_params["run"] in ("better", ["better"])
    assert at.multiselect(key="compare").value == ["better", "two"]
    assert "one is called better now" in at.success[0].value.replace("\\", "")
    assert sorted(run.name for run in list_runs(folder)) == ["better", "other", "two"]
    assert not at.run().success  # told once


@pytest.mark.parametrize(("name", "said"), [("../x", "a run's name is"), ("two", "there is a two"), ("", "a run's")])
def test_rename_that_cannot_be_says_why_and_changes_nothing(page, folder, name, said):
    at = page(folder, "one")
    at.text_input(key="new_name_one").set_value(name)
    at.button(key="FormSubmitter:rename-Rename").click().run()
    assert not at.exception
    assert said in at.error[0].value.replace("\\", "")
    assert sorted(run.name for run in list_runs(folder)) == ["one", "other", "two"]


def test_run_deleted_elsewhere_is_said_and_another_one_is_shown(page, folder):
    at = page(folder, "one")
    delete_run(folder, "one")
    queries.runs.forget_runs()
    at.run()
    assert not at.exception
    assert "There is no run one here" in at.error[0].value.replace("\\", "")
    assert at.session_state["run"] in ("other", "two")
    assert "one" not in at.multiselect(key="compare").value


def test_trash_is_listed_and_restored(page, folder):
    delete_run(folder, "one")
    (entry,) = list_trash(folder)
    at = page(folder, "two")
    assert "one" in [text.value for text in at.text]
    at.button(key=f"restore_{entry.entry}").click().run()
    assert healthy(at)
    assert "one is back" in at.success[0].value
    assert sorted(run.name for run in list_runs(folder)) == ["one", "other", "two"]
    assert list_trash(folder) == []


def test_trash_that_leads_out_of_the_folder_is_one_line(page, folder, tmp_path_factory):
    (folder / ".trash").symlink_to(tmp_path_factory.mktemp("outside"))
    at = page(folder, "two")
    assert not at.exception
    assert "is a link to another place" in at.error[0].value.replace("\\", "")


def test_damaged_run_leaves_the_page_standing(page, folder):
    (folder / "other" / "metrics.parquet").write_bytes(b"not parquet")
    at = page(folder, "one")
    assert healthy(at), (at.exception, at.error)
    verdicts = dict(zip(at.dataframe[0].value["Run"], at.dataframe[0].value["Verdict"], strict=True))
    changed = "metrics.parquet of other has changed since the run was made"
    assert verdicts["other"] == f"{changed}; `python -m pipelines evaluate other` makes it anew"


@pytest.mark.parametrize("content", ["[]", "[" * 5000, "{", None])
def test_run_that_cannot_be_opened_is_named_and_the_others_are_shown(page, folder, content):
    manifest = folder / "other" / "manifest.json"
    manifest.unlink()
    if content is not None:
        manifest.write_text(content)
    at = page(folder, "other")
    assert not at.exception
    assert list(at.dataframe[0].value["Run"]) == ["two", "one"]
    texts = [one.value.replace("\\", "") for one in [*at.error, *at.caption]]
    assert any("manifest.json of other is" in text and "restore it from a copy" in text for text in texts)
    assert "Damaged and not in this list: other. The page Runs says what to do." in texts
