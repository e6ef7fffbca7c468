"""Every control of every page moved to its ends and its middle, on runs of each kind and at the edge."""

import pytest
from opening import open_page
from synthetic import make_run
from test_pages import PAGES

RUNS = ("landcover", "cells", "vessels", "one-image", "one-class")
CHANGES_RUNS = ("runs", "train", "import_outputs")  # their buttons delete and start things; their own tests press them
PLACES = {"first": 0.0, "middle": 0.5, "last": 1.0}


@pytest.fixture(scope="module")
def runs(real_runs, tmp_path_factory):
    """The real runs, and made-up ones with one image and one class, in one folder."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("landcover", "cells", "vessels"):
        (folder / name).symlink_to(real_runs / name)
    make_run(folder, "one-image", kind="exclusive", classes=("a", "b", "c"), images=1)
    make_run(folder, "one-class", kind="overlapping", classes=("thing",))
    return folder


def among(options, place):
    """The option at a place from 0 to 1 of a sequence."""
    return options[round(place * (len(options) - 1))]


def move_all(at, place):
    """Set every control of the page; returns what was set, by key."""
    done = {}
    for kind in ("selectbox", "select_slider", "radio", "segmented_control", "pills"):
        for one in at.main.get(kind):
            if one.disabled or not one.options:
                continue
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


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("page", PAGES)
def test_no_choice_breaks_a_page(runs, monkeypatch, page, name):
    at = open_page(monkeypatch, runs, page, run=name)
    for place in PLACES.values():
        done = move_all(at, place)
        at.run()
        assert not at.exception, (done, at.exception)
        assert not at.error, (done, [one.value for one in at.error])
    for label in [button.label for button in at.main.button if not button.disabled and page not in CHANGES_RUNS]:
        found = [button for button in at.main.button if button.label == label and not button.disabled]
        if found:  # a button may have done away with another
            found[0].click().run()
            assert not at.exception, (label, at.exception)
            assert not at.error, (label, [one.value for one in at.error])
