"""What the loaders share between sessions stays as it is."""

import gc

import pytest

from dashboard import queries
from dashboard.queries import runs as process
from pipelines.store.runs import open_run


@pytest.mark.parametrize("load", [queries.runs.metrics, queries.runs.image_scores])
def test_a_page_that_writes_to_a_shared_table_changes_its_own_only(real_runs, load):
    run = open_run(real_runs, "cells")
    mine, before = load(run), load(run).copy(deep=True)
    column = mine.select_dtypes("float").columns[0]
    mine.loc[mine.index[0], column] = 17.0
    mine["more"] = 1
    mine[column] *= 2
    assert load(run).equals(before)
    assert list(load(run).columns) == list(before.columns)


@pytest.fixture
def nothing_frozen(monkeypatch):
    monkeypatch.setattr(process, "_times", 0)
    yield
    gc.unfreeze()


def test_what_pages_load_later_is_kept_out_of_collections_too(nothing_frozen):
    queries.runs.freeze_once()
    imported = gc.get_freeze_count()
    assert imported > process.MANY
    queries.runs.freeze_once()
    assert gc.get_freeze_count() <= imported
    loaded = [[] for _ in range(2 * process.MANY)]
    queries.runs.freeze_once()
    assert gc.get_freeze_count() > imported + process.MANY
    assert len(gc.get_objects()) < process.MANY
    del loaded  # frozen objects are freed as ever when nothing refers to them
    assert gc.get_freeze_count() < imported + process.MANY


def test_sessions_that_come_and_go_do_not_pile_up(nothing_frozen):
    kept = []
    for _ in range(process.MOST + 3):
        kept.append([[] for _ in range(2 * process.MANY)])
        queries.runs.freeze_once()
    assert len(gc.get_objects()) > 2 * process.MANY  # the last ones are collected as ever
    assert process._times == process.MOST
