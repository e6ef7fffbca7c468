"""A damaged run: every page says in one line which file or run it is, and another run can be picked."""

import itertools
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzzing import sample
from opening import open_page
from synthetic import make_run

from dashboard.menu import PAGES, script

FILES = (
    "config.json",
    "dataset.json",
    "evaluation.json",
    "verdict.json",
    "metrics.parquet",
    "image_scores.parquet",
    "previews/*.parquet",
    "predictions/split=test/*/*/*",
    "predictions/split=val/*/*/*",
    "statistics/split=test/*/*/*/*",
    "statistics/split=val/*/*/*/*",
    "manifest.json",
)
ALWAYS = (("evaluation.json", "object"), ("metrics.parquet", "flipped"), ("previews/*.parquet", "missing"))


def _flipped(content):
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :]


def _other_table():
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"unlike": [1, 2, 3]}), sink)
    return sink.getvalue().to_pybytes()


WAYS = {
    "missing": None,
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "flipped": _flipped,
    "list": lambda content: b"[]",
    "object": lambda content: b"{}",
    "deep": lambda content: b"[" * 100_000,
    "no UTF-8": lambda content: b"\xff\xfe\x00" + content,
    "another table": lambda content: _other_table(),
}
DAMAGES = sample(list(itertools.product(FILES, WAYS)), 0, always=ALWAYS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    runs = tmp_path_factory.mktemp("whole")
    for name in ("bad", "good"):
        make_run(runs, name, kind="overlapping", classes=("a", "b"), images=2)
    return runs


def damage(run, files, way):
    """Damages every file of a kind; returns their names."""
    paths = [path for path in run.glob(files) if path.is_file()]
    assert paths, files
    for path in paths:
        if WAYS[way] is None:
            path.unlink()
        else:
            path.write_bytes(WAYS[way](path.read_bytes()))
    return {path.name for path in paths}


def texts(at):
    return [one.value.replace("\\", "") for one in at.error]


@pytest.mark.parametrize(("files", "way"), DAMAGES)
def test_a_damaged_run_is_named_and_another_can_be_picked(monkeypatch, tmp_path, whole, files, way):
    runs = tmp_path / "runs"
    shutil.copytree(whole, runs)
    names = damage(runs / "bad", files, way) | {"bad"}
    at = open_page(monkeypatch, runs, "verdict", run="bad")
    for page in (name for name, page in PAGES.items() if page.evidence or name == "runs"):
        at = at.switch_page(script(page)).run()
        assert not at.exception, (page, [one.stack_trace for one in at.exception])
        for text in texts(at):
            assert any(name in text for name in names), (page, text)
            assert "\n" not in text, (page, text)
            assert "fault of the app" not in text, (page, text)
        assert "good" in at.sidebar.selectbox(key="run").options, page
    assert not at.sidebar.selectbox(key="run").select("good").run().exception
    assert at.session_state["run"] == "good"


def test_a_link_to_a_run_without_a_readable_manifest_says_why(monkeypatch, tmp_path, whole):
    runs = tmp_path / "runs"
    shutil.copytree(whole, runs)
    damage(runs / "bad", "manifest.json", "cut")
    at = open_page(monkeypatch, runs, "verdict", run="bad")
    (text,) = texts(at)
    assert "manifest" in text.lower()
    assert "bad" in text
    assert text.endswith(". This is good instead.")
