"""The page "Losses", its figures and its commands: what is drawn is what the comparison says."""

import json
import re
import shlex
import sys
from types import SimpleNamespace

import numpy as np
import opening
import pandas as pd
import pytest
from counted_runs import HEADS, outputs_of, tuned, two_runs, write_run

from dashboard.displays.comparison import cells_figure, effects_figure
from dashboard.theme import DARK, LIGHT
from pipelines import cli
from pipelines.comparison.compare import compare, run_command
from pipelines.comparison.effects import MEAN, before_after, conclude, effect_rows
from pipelines.config import LOSSES, EvaluationConfig, RunConfig, TrainingConfig
from pipelines.errors import ConfigError, PipelineError
from pipelines.judgement import Margin


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs of one data set with losses ce and dice, and one of another that is alone."""
    runs = tmp_path_factory.mktemp("runs")
    two_runs(runs, seeds=(0,))
    outputs = outputs_of("exclusive", seed=3)
    write_run(runs, "alone", outputs, kind="exclusive", loss="focal", thresholds=tuned("exclusive", outputs))
    return runs


@pytest.fixture(scope="module")
def found(folder):
    return compare(two_runs(folder, seeds=(0,)), replicates=200)


@pytest.fixture
def page(monkeypatch, folder):
    """Opens the page on a run, as a link would."""

    def open_page(run, **query):
        return opening.open_page(monkeypatch, folder, "losses", run=run, **query)

    return open_page


def shown(at):
    return "".join(block.body for block in at.get("html"))


# Tables and figures ------------------------------------------------------------------------------------------------


def test_cells_before_and_after_are_rows_of_the_grid(found):
    table = before_after(found, "dice")
    assert list(dict.fromkeys(table["setting"])) == ["p > 0.5", "tuned"]
    grid = found.table.set_index(["run", "head", "threshold", "temperature"])
    for row in table.to_dict("records"):
        cell = grid.loc[row["run"], row["head"], row["setting"], "as trained"]
        assert [row["value"], row["low"], row["high"]] == [cell["dice"], cell["dice_low"], cell["dice_high"]]
    heat = before_after(found, "brier")
    assert list(dict.fromkeys(heat["setting"])) == ["as trained", "fitted"]
    assert len(heat) == len(table) == 8


def test_effect_rows_hold_every_part_of_loss_and_head(found):
    rows = effect_rows(found, "dice")
    assert list(rows[rows["part"] == ""]["factor"]) == list(found.effects.query("measure == 'dice'")["factor"])
    assert list(rows.query("factor == 'head'")["part"]) == ["", "ce", "dice", "tuned thresholds"]
    assert list(rows.query("factor == 'loss'")["part"]) == ["", *HEADS, "tuned thresholds"]
    heads = rows.query("factor == 'head'")
    assert heads[heads["part"].isin(["ce", "dice"])]["gain"].mean() == pytest.approx(heads.iloc[0]["gain"])
    contrast = found.contrasts.query("measure == 'dice' and factor == 'head' and at == 'tuned thresholds'")
    assert heads.iloc[-1]["gain"] == contrast[contrast["run"] == MEAN]["gain"].item()


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_cells_are_drawn_hollow_before_and_filled_after_in_the_colour_of_the_head(found, theme):
    table = before_after(found, "dice")
    figure = cells_figure(table, theme, title="t", subtitle="s")
    by_name = {trace.name: trace for trace in figure.data}
    assert set(by_name) == {f"{head}, {setting}" for head in ("Sigmoid", "Softmax") for setting in ("p > 0.5", "tuned")}
    for head, name in (("sigmoid", "Sigmoid"), ("softmax", "Softmax")):
        before, after = by_name[f"{name}, p > 0.5"], by_name[f"{name}, tuned"]
        assert (before.marker.color, after.marker.color) == (theme.surface, theme.heads[head])
        assert before.marker.line.color == after.marker.line.color == theme.heads[head]
        rows = table[(table["head"] == head) & (table["setting"] == "tuned")]
        assert list(after.x) == list(rows["value"])
        assert np.allclose(np.add(after.x, after.error_x.array), rows["high"])
        assert np.allclose(np.subtract(after.x, after.error_x.arrayminus), rows["low"])
    # No two points of the figure stand on the same line.
    heights = [y for trace in figure.data for y in trace.y]
    assert len(set(heights)) == len(table)
    assert list(figure.layout.yaxis.ticktext) == ["ce", "dice"]


def test_cells_without_a_remedy_are_filled(found):
    table = before_after(found, "dice").query("setting == 'p > 0.5'")
    figure = cells_figure(table, LIGHT, title="t", subtitle="s")
    assert {trace.marker.color for trace in figure.data} == {LIGHT.heads[head] for head in HEADS}


def effects(*rows):
    return pd.DataFrame(rows, columns=["factor", "first", "second", "part", "gain", "low", "high"])


def test_effects_are_strong_only_where_the_whole_interval_lies_beyond_the_margin():
    table = effects(
        ("loss", "dice", "ce", "", 0.05, 0.03, 0.07), ("loss", "dice", "ce", "sigmoid", 0.04, 0.005, 0.08),
        ("head", "sigmoid", "softmax", "", -0.02, -0.03, -0.011),
        ("threshold", "tuned", "p > 0.5", "", 0.0, -0.001, 0.001),
    )  # fmt: skip
    figure = effects_figure(table, LIGHT, title="t", margin=0.01)
    *lines, points = figure.data
    strong, quiet = LIGHT.text, LIGHT.muted
    assert list(points.marker.color) == [strong, quiet, strong, quiet]
    assert [line.line.color for line in lines] == [strong, quiet, strong, quiet]
    assert list(points.x) == list(table["gain"])
    assert [list(line.x) for line in lines] == table[["low", "high"]].to_numpy().tolist()
    low, high = figure.layout.xaxis.range
    assert low < -0.03
    assert high > 0.08
    names = list(figure.layout.yaxis.ticktext)
    assert names[0] == "<b>Loss</b><br>dice against ce"
    assert names[1] == "with sigmoid"
    band = figure.layout.shapes[0]
    assert (band.x0, band.x1) == (-0.01, 0.01)


def test_effects_without_interval_or_size_are_still_drawn():
    nan = float("nan")
    figure = effects_figure(effects(("loss", "b", "a", "", 0.0, nan, nan)), LIGHT, title="t", margin=nan)
    assert list(figure.data[-1].x) == [0.0]
    low, high = figure.layout.xaxis.range
    assert low < 0 < high
    assert len(figure.layout.shapes) == 1  # zero, no band


# Page --------------------------------------------------------------------------------------------------------------


def test_page_compares_the_newest_run_of_each_loss(page, folder):
    at = page("run-ce")
    assert not at.exception
    assert not at.error
    assert set(at.multiselect(key="runs").value) == {"run-ce", "run-dice"}
    charts = [one.proto for one in at.get("plotly_chart")]
    assert len(charts) == 4
    assert all(chart.alt for chart in charts)
    assert [one.label for one in at.expander].count("Table and download") == 2
    said = conclude(compare(two_runs(folder, seeds=(0,))), "dice", Margin()).sentences[0]
    assert said.replace("-", "−").split(":")[0] in shown(at).replace("-", "−").replace("&gt;", ">")


def test_link_brings_back_runs_margin_and_measures(page):
    at = page("run-ce", runs="run-dice (dice)", margin="0.05", labels_by="IoU", probabilities_by="Classwise ECE")
    assert not at.exception
    assert at.multiselect(key="runs").value == ["run-dice"]
    assert at.select_slider(key="margin").value == 0.05
    assert at.segmented_control(key="labels_by").value == "iou"
    assert at.segmented_control(key="probabilities_by").value == "classwise_ece"


def test_margin_changes_what_the_page_concludes(page):
    narrow, wide = (shown(page("run-ce", margin=margin)) for margin in ("0.001", "0.1"))
    assert "None of it matters in practice" in wide
    assert "None of it matters in practice" not in narrow.split("Probabilities")[0]


def test_one_run_is_told_from_itself_with_the_commands_for_the_others(page):
    at = page("alone")
    assert not at.exception
    assert "One run of this data set" in at.info[0].proto.title
    assert at.multiselect(key="runs").value == ["alone"]
    commands = at.code[0].value.splitlines()
    assert [re.search(r"--loss (\S+)", line)[1] for line in commands] == [one for one in LOSSES if one != "focal"]
    assert len(at.get("plotly_chart")) == 4


def test_without_a_choice_the_picked_run_is_shown_alone(page):
    at = page("run-ce")
    at.multiselect(key="runs").set_value([]).run()
    assert not at.exception
    assert at.get("plotly_chart")
    assert "loss by" not in shown(at)


def test_choice_of_runs_is_forgotten_with_the_data_set(page):
    at = page("run-ce")
    at.sidebar.selectbox[0].select("alone").run()
    assert not at.exception
    assert not at.error
    assert at.multiselect(key="runs").value == ["alone"]


# Commands ----------------------------------------------------------------------------------------------------------


def parsed(command, monkeypatch):
    """The settings that the command line makes of a command, without running it."""
    seen = {}

    def make_run(config, **options):
        seen.update(options, config=config)
        raise PipelineError("enough")

    monkeypatch.setitem(sys.modules, "pipelines.run", SimpleNamespace(make_run=make_run))
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "pipelines"]
    monkeypatch.setattr(sys, "argv", ["pipelines", *words[3:]])
    with pytest.raises(SystemExit):
        cli.main()
    return seen["config"]


@pytest.mark.parametrize(
    "training",
    [
        {},
        {"seeds": (0, 1, 2), "epochs": 5, "size": (96, 64), "learning_rate": 0.002, "encoder": "tu-resnet10t"},
        {"learning_rates": {"sigmoid": 0.002, "softmax": 0.003, "softmax-powerset": 0.003}, "augment": False},
        {"crop": (64, 32), "priority": ("a", "b"), "softmax_rule": "priority", "batch_size": 3, "precision": "fp32"},
        {"architecture": "FPN", "encoder_weights": "imagenet"},
    ],
)
def test_command_for_another_loss_changes_the_loss_and_nothing_else(training, monkeypatch, tmp_path):
    evaluation = EvaluationConfig(splits=("test",), boundary_width=2, replicates=300)
    config = RunConfig(
        dataset=str(tmp_path / "my data"), training=TrainingConfig(loss="ce", **training), evaluation=evaluation
    )
    command = run_command(json.loads(config.model_dump_json()), "ce+dice")
    expected = config.model_copy(update={"training": config.training.model_copy(update={"loss": "ce+dice"})})
    assert parsed(command, monkeypatch) == expected


def test_command_of_no_settings_is_refused():
    with pytest.raises(ConfigError, match="dataset"):
        run_command({}, "dice")
