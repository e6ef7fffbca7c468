"""Every page on real runs of each kind, each control at its ends, and on small and hostile ones."""

import ast
import json
import os
import subprocess
import sys
from functools import partial

import pytest
from fuzzing import FULL
from opening import APP, open_page
from places import REPO, UNCHANGED
from synthetic import make_run

from dashboard import charts, components
from dashboard.menu import PAGES, script
from pipelines import jobs
from pipelines.judgement import Verdict

HOSTILE = "![x](https://example.org/x.png) <img src=x onerror=alert(1)> :material/home: $a$"


CHANGES_RUNS = ("runs", "train", "import_outputs")  # their buttons delete and start things; their own tests press them


@pytest.fixture(scope="module")
def edge_runs(tmp_path_factory):
    runs = tmp_path_factory.mktemp("edge")
    make_run(runs, "one-image", kind="exclusive", classes=("a", "b", "c"), images=1)
    make_run(runs, "one-class", kind="overlapping", classes=("thing",), images=2)
    make_run(
        runs,
        "hostile",
        kind="exclusive",
        classes=("_a_", "b", "unseen"),
        empty=("unseen",),
        title=HOSTILE,
        images=2,
    )
    UNCHANGED.add(str(runs))
    return runs


@pytest.fixture
def app(monkeypatch, fragments):
    """Opens a page of the app on a run, as a link would; none may have a fragment in another (dashboard/parts.py).

    Its figures are checked by Plotly, which the app leaves out, for speed.
    """
    monkeypatch.setenv(charts.VALIDATE, "1")
    yield partial(open_page, monkeypatch)
    assert set(fragments) <= {None}


def alts(at):
    """Figures, as what has their alt text."""
    small = [one.proto for one in at.get("bidi_component") if one.proto.component_name == "forest_plot"]
    return [*(one.proto.alt for one in at.get("plotly_chart")), *(json.loads(one.json)["alt"] for one in small)]


def with_tables_open(at):
    """The page with its tables, which it makes when they are opened."""
    for one in at.expander:
        if one.label == "Table and download":
            at.session_state[one.key] = True
    return at.run()


def healthy(at):
    return not at.exception and not at.error


def check_figures_and_tables(at):
    """A text for every figure; every table can be looked at and saved."""
    assert alts(at)
    assert all(alts(at))
    at = with_tables_open(at)
    tables = [one for one in at.get("download_button") if one.label == "Download CSV"]
    assert tables
    written = sum("<table" in one.proto.body for one in at.get("html"))
    assert len(at.dataframe) + written >= len(tables)


def among(options, place):
    """The option at a place from 0 to 1 of a sequence."""
    return options[round(place * (len(options) - 1))]


def move_all(at, place):
    """Set every control of the page, place: 0 for its first value to 1 for its last. Returns what was set, by key."""
    done = {}
    for kind in ("selectbox", "select_slider", "radio", "segmented_control", "pills"):
        for one in at.main.get(kind):
            if one.disabled or not one.options or not isinstance(one.value, str | float | int):
                continue  # such as a size: what is written says nothing of the value
            value = among(one.options, place)  # as it is written; the page may mean a number
            if isinstance(one.value, float):
                value = float(value)
            elif isinstance(one.value, int):
                start = one.value - one.options.index(one.format_func(one.value))  # numbers in a row, each with a name
                value = start + round(place * (len(one.options) - 1))
            done[one.key] = value
            one.select(value) if hasattr(one, "select") else one.set_value(value)
    for kind in ("slider", "number_input"):
        for one in at.main.get(kind):
            if not one.disabled and one.min is not None and one.max is not None and not isinstance(one.value, tuple):
                steps = round((one.max - one.min) / one.step)
                value = type(one.value)(one.min + round(place * steps) * one.step)
                done[one.key] = min(value, one.max)
                one.set_value(done[one.key])
    for kind in ("checkbox", "toggle"):
        for one in at.main.get(kind):
            if not one.disabled:
                done[one.key] = place > 0
                one.set_value(place > 0)
    return done


def move_and_draw(at, place):
    done = move_all(at, place)
    at.run()
    assert healthy(at), (done, at.exception, [one.value for one in at.error])


def press_all(at):
    for label in [button.label for button in at.main.button if not button.disabled]:
        found = [button for button in at.main.button if button.label == label and not button.disabled]
        if found:  # a button may have done away with another
            found[0].click().run()
            assert healthy(at), (label, at.exception, [one.value for one in at.error])


@pytest.mark.parametrize("run", ["cells", "vessels"])  # overlapping with three heads and two seeds; binary
@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_its_run_and_heeds_every_control(app, real_runs, page, run):
    at = app(real_runs, page, run=run)
    assert healthy(at), (at.exception, at.error)
    assert at.session_state["run"] == run
    assert at.query_params["run"] in (run, [run])
    if PAGES[page].figures:
        check_figures_and_tables(at)
    for place in (0.0, 0.5, 1.0) if FULL or run == "cells" else (1.0,):
        move_and_draw(at, place)
    if page not in CHANGES_RUNS:
        press_all(at)


@pytest.mark.parametrize("run", ["one-image", "one-class", "hostile"])
def test_pages_show_a_run_at_the_edge(app, edge_runs, run):
    at = app(edge_runs, "verdict", run=run)
    for page in PAGES:
        at = at.switch_page(script(page)).run()
        assert healthy(at), (page, at.exception, at.error)
        if FULL or run == "hostile":
            move_and_draw(at, 1.0)


def test_pages_show_an_exclusive_run(app, real_runs):
    at = app(real_runs, "verdict", run="landcover")
    for page in PAGES:
        at = at.switch_page(script(page)).run()
        assert healthy(at), (page, at.exception, at.error)
        if PAGES[page].figures:
            assert all(alts(at)), page
            assert alts(at), page


def test_margin_slider_changes_the_verdict_at_once(app, edge_runs):
    # A margin of 0.1 swallows any difference of the made-up heads; one of 0.001 swallows none.
    headlines = set()
    for margin in ("0.1", "0.001"):
        at = app(edge_runs, "verdict", run="hostile", margin=margin)
        assert healthy(at)
        assert at.select_slider(key="margin").value == float(margin)
        headlines.add("".join(block.body for block in at.get("html") if 'role="heading"' in block.body))
    assert len(headlines) == 2


def test_link_opens_the_same_controls(app, real_runs):
    at = app(real_runs, "verdict", run="cells", bins="30", threshold="0.3", split="Validation")
    at.switch_page("app_pages/calibration.py").run()
    assert at.select_slider(key="bins").value == 30
    assert at.segmented_control(key="split").value == "val"
    at.switch_page("app_pages/overlap.py").run()
    assert at.slider(key="threshold").value == 0.3


def test_link_to_a_run_that_is_gone_says_so_and_shows_another(app, real_runs):
    at = app(real_runs, "verdict", run="gone")
    assert not at.exception
    assert "gone" in at.error[0].value
    at.run()
    assert not at.error


def test_choice_that_the_next_run_lacks_is_forgotten(app, real_runs):
    at = app(real_runs, "calibration", run="cells")
    at.selectbox(key="class").select("nucleus").run()
    assert healthy(at)
    at.sidebar.selectbox[0].select("landcover").run()
    assert healthy(at), (at.exception, at.error)
    assert at.selectbox(key="class").value == "every class"


def test_confusion_can_be_counted_by_threshold_and_in_pixels(app, real_runs):
    at = app(real_runs, "confusion", run="landcover")
    at.segmented_control(key="decision").set_value("threshold").run()
    at.segmented_control(key="cells").set_value("count").run()
    at.slider(key="threshold").set_value(0.3).run()
    assert healthy(at), (at.exception, at.error)


def test_names_from_files_never_become_markup(app, edge_runs):
    for page in ("verdict", "labels"):
        at = app(edge_runs, page, run="hostile")
        bodies = "".join(block.body for block in at.get("html"))
        assert "&lt;img src=x" in bodies
        assert "<img" not in bodies
        assert all("example.org" not in one.value for one in [*at.markdown, *at.caption, *at.title])


def test_escaped_markdown_leaves_no_special_character_alone():
    assert components.plain("![x](http://a.b)") == r"\!\[x\]\(http\:\/\/a\.b\)"
    assert components.plain("plain name") == "plain name"


def test_damaged_run_gives_one_clear_line(app, tmp_path):
    run = make_run(tmp_path, "broken", kind="exclusive", classes=("a", "b"), images=2)
    (run.folder / "metrics.parquet").write_bytes(b"not parquet")
    at = app(tmp_path, "verdict", run="broken")
    assert not at.exception
    assert "metrics.parquet of broken has changed since the run was made" in at.error[0].value.replace("\\", "")


def test_without_a_run_every_link_leads_to_the_offer_to_train(app, tmp_path):
    at = app(tmp_path, "verdict", run="x")
    assert healthy(at)
    assert at.title[0].value == "No run yet"
    assert "Train the sample pair" in [button.label for button in at.button]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [("failed", "no space left"), ("cancelled", "Nothing was done"), (None, "process is gone")],
)
def test_job_that_ended_early_says_so_and_offers_to_go_on(app, tmp_path, outcome, said):
    folder = tmp_path / jobs.JOBS / "1"
    (folder / "1").mkdir(parents=True)
    arguments = ["run", "x", "--name", "sample"]
    (folder / "job.json").write_text(json.dumps({"arguments": arguments, "created": 1.0, "folder": "/"}))
    (folder / "1" / "attempt.json").write_text(json.dumps({"arguments": arguments, "queued": 1}))
    os.utime(folder / "1" / "attempt.json", (1, 1))  # a process would have taken its lock by now
    if outcome:
        told = {"state": outcome, "message": "no space left; free some"}
        (folder / "1" / "outcome.json").write_text(json.dumps(told))
    at = app(tmp_path, "train")
    assert healthy(at)
    shown = at.warning[0]
    assert said in (shown.value + shown.proto.title).replace("\\", "")
    labels = [button.label for button in at.button]
    assert "Start over" in labels
    assert "Go on" not in labels, "nothing is there to go on from"
    (tmp_path / ".staging" / "sample.1").mkdir(parents=True)
    assert "Go on" in [button.label for button in at.run().button]


def test_looking_at_results_never_imports_torch(real_runs):
    script = (
        "import os, sys; from streamlit.testing.v1 import AppTest\n"
        f"at = AppTest.from_file({str(APP)!r}, default_timeout=60).run()\n"
        "for page in ('accuracy', 'images', 'import_outputs'):\n"
        "    at.switch_page(f'app_pages/{page}.py').run()\n    assert not at.exception, page\n"
        "print(sorted({'torch', 'torchvision', 'segmentation_models_pytorch'} & set(sys.modules)))"
    )
    environment = {"PIPELINES_RUNS": str(real_runs), "PYTHONPATH": str(REPO), "PATH": "/usr/bin:/bin", "HOME": "/tmp"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_no_file_of_the_dashboard_hides_a_module_of_the_standard_library():
    # `streamlit run` puts dashboard/ first on sys.path.
    names = {path.stem for path in (REPO / "dashboard").iterdir()}
    assert not names & set(sys.stdlib_module_names)


def test_only_queries_and_finished_files_are_cached():
    for path in (REPO / "dashboard").rglob("*.py"):
        found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
        if path.parent.name != "queries" and path.name != "manage.py":  # which keeps reports for whoever asks next
            assert not [node.attr for node in found if node.attr.startswith("cache_")], path.name


def test_verdict_model_is_what_the_page_reads():
    assert {"headline", "reasons", "would_change", "margin", "contender"} <= set(Verdict.model_fields)
