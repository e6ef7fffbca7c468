"""What the first page loads and what it leaves for later: small figures, tables when they are opened, modules ahead."""

import json
import shutil
import subprocess
import sys
import threading

import pytest
from opening import open_page
from places import REPO

from dashboard import queries, starting
from dashboard.displays import verdict as displays
from dashboard.theme import LIGHT
from pipelines.judgement import Margin
from pipelines.store.runs import open_run
from pipelines.verdict.rule import judge


def small_figures(at):
    """What the forest plots of a page are sent, by their titles."""
    found = [one.proto for one in at.get("bidi_component") if one.proto.component_name == "forest_plot"]
    sent = [json.loads(one.json) for one in found]
    return {json.loads(one["figure"])["layout"]["title"]["text"]: one for one in sent}


def test_forest_plots_are_the_figures_of_the_panel(monkeypatch, real_runs):
    at = open_page(monkeypatch, real_runs, "verdict", run="cells")
    run = open_run(real_runs, "cells")
    verdict = judge(queries.runs.evidence(run), Margin())
    pictures = displays.figures_of(run, LIGHT, split="test", verdict=verdict).pictures
    sent = small_figures(at)
    assert len(sent) == len(pictures) == 3
    for picture in pictures:
        one = sent[picture.figure.layout.title.text]
        assert one["alt"] == picture.alt
        assert one["name"] == f"cells-{picture.key}"
        assert json.loads(one["figure"]) == json.loads(picture.figure.to_json())


def test_nothing_that_needs_much_script_is_sent_until_it_is_asked_for(monkeypatch, real_runs):
    at = open_page(monkeypatch, real_runs, "verdict", run="cells")
    assert not at.get("plotly_chart")
    assert not at.dataframe
    assert not at.code
    at.session_state["forest_table"] = True
    at.run()
    (table,) = at.dataframe
    assert table.value["class"].iloc[0] == "macro"
    assert [one.label for one in at.get("download_button")].count("Download CSV") == 1


def test_code_is_sent_whole(monkeypatch, real_runs):
    at = open_page(monkeypatch, real_runs, "verdict", run="cells")
    (code,) = [one.proto for one in at.get("bidi_component") if one.proto.component_name == "python_code"]
    text = json.loads(code.json)["text"]
    compile(text, "code", "exec")
    assert "def predict(logits):" in text


def test_parts_are_loaded_once_by_whoever_comes_first():
    # In a process of its own: here they are loaded already.
    script = """
import sys, threading
from dashboard import starting
assert "dashboard.components" not in sys.modules
threads = [threading.Thread(target=starting.load_parts) for _ in range(8)]
[one.start() for one in threads]
[one.join() for one in threads]
assert "dashboard.components" in sys.modules and "dashboard.displays.verdict" in sys.modules
assert "dashboard.report.contents" not in sys.modules  # a report is made when it is asked for
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_newest_run_is_looked_up_before_anybody_comes(monkeypatch, real_runs):
    monkeypatch.setenv(queries.runs.RUNS_VARIABLE, str(real_runs))
    queries.runs.forget_runs()
    asked = []
    real = queries.runs.evidence
    monkeypatch.setattr(queries.runs, "evidence", lambda run: asked.append(run.name) or real(run))
    thread = threading.Thread(target=starting.prepare)
    thread.start()
    thread.join()
    assert asked == queries.runs.run_names()[:1]


@pytest.mark.parametrize("what", ["no folder", "no run", "a damaged run"])
def test_a_server_starts_without_a_run_to_look_up(monkeypatch, real_runs, tmp_path, what):
    folder = tmp_path / "runs"
    if what != "no folder":
        folder.mkdir()
    if what == "a damaged run":
        shutil.copytree(real_runs / "cells", folder / "cells")
        (folder / "cells" / "metrics.parquet").write_bytes(b"not parquet")
    monkeypatch.setenv(queries.runs.RUNS_VARIABLE, str(folder))
    queries.runs.forget_runs()
    starting.prepare()
    assert queries.runs.run_names() == (["cells"] if what == "a damaged run" else [])
    queries.runs.forget_runs()
