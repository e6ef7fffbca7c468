"""Import in Chromium: a data set and what two networks say of it go up as archives, and the verdict comes back."""

import shutil

import pytest
from browser import driver
from browser.import_picture import choose
from outputs_on_disk import write_outputs
from synthetic import make_run

from dashboard.rounding import typeset
from pipelines import jobs
from pipelines.store.runs import list_runs

pytestmark = pytest.mark.browser
JOB_SECONDS = 180


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """Archives of a data set of each kind, and of the outputs of its networks, as somebody would send them."""
    folder = tmp_path_factory.mktemp("brought")
    for kind, classes, how in (
        ("overlapping", ("cell", "nucleus"), "npy"),
        ("exclusive", ("a", "b", "c"), "nnunet"),
    ):
        run = make_run(folder / "made", kind, kind=kind, classes=classes, images=4)
        shutil.make_archive(str(folder / f"{kind}-data"), "zip", folder / "made" / ".data", kind)
        for head in ("sigmoid", "softmax"):
            write_outputs(folder / kind / head, run, head, how)
        shutil.make_archive(str(folder / f"{kind}-outputs"), "zip", folder / kind)
        shutil.make_archive(str(folder / f"{kind}-softmax"), "zip", folder / kind / "softmax")
    return folder


@pytest.fixture(scope="module")
def import_site(tmp_path_factory):
    """Address of the app on an empty folder of runs, and that folder."""
    runs = tmp_path_factory.mktemp("runs")
    with driver.server(runs, cwd=tmp_path_factory.mktemp("elsewhere")) as address:
        yield address, runs


def send(view, key, path):
    """Upload a file and wait until it is unpacked."""
    box = view.page.locator(f".st-key-{key} .upload")
    box.locator("input").set_input_files(str(path))
    view.page.locator(f".st-key-{key} .upload[data-state=ready]").wait_for(timeout=2 * 60_000)
    view.settle()


def send_again(view, key, path):
    """Upload a file where another one was uploaded before."""
    another = view.page.locator(f".st-key-{key} .upload").get_by_role("button", name="Choose another")
    if another.count():
        with view.page.expect_file_chooser() as chooser:
            another.click()
        chooser.value.set_files(str(path))
        view.page.locator(f".st-key-{key} .upload[data-state=ready]").wait_for()
        view.page.wait_for_timeout(500)
        view.page.locator(f".st-key-{key} .upload[data-state=ready]").wait_for()
        view.settle()
    else:
        send(view, key, path)


def press(view, key):
    view.page.locator(f".st-key-{key} button >> visible=true").first.click()
    view.settle()


def say_values(view, head, label):
    view.page.locator(f".st-key-import_values_{head} button", has_text=label).click()
    view.settle()


def type_names(view, head, *names):
    """Write names into the table's second column, from the first row on, as a reader does."""
    table = view.page.locator(f"[class*=st-key-import_channels_{head}] canvas").first
    for row, name in enumerate(names):
        table.scroll_into_view_if_needed()
        view.page.wait_for_timeout(200)  # the page rolls
        box = table.bounding_box()
        x, y = box["x"] + box["width"] * 0.75, box["y"] + 35 * (row + 1.5)  # rows of 35 pixels
        view.page.mouse.click(x, y)
        view.page.wait_for_timeout(200)
        view.page.mouse.dblclick(x, y)
        cell = view.page.locator("textarea.gdg-input")
        cell.fill(name)
        cell.press("Enter")
        cell.wait_for(state="detached")
        view.settle()


def texts(view):
    return view.page.locator("[data-testid=stMain]").inner_text()


def wait_for_end(view):
    view.page.locator(".st-key-import_verdict button").wait_for(timeout=JOB_SECONDS * 1000)
    view.settle()


def read_verdict(view, runs):
    """Open the verdict of the newest run, and give that run."""
    press(view, "import_verdict")
    run = list_runs(runs)[0]
    assert f"run={run.name}" in view.page.url
    assert view.page.get_by_role("heading", level=1).first.inner_text() == typeset(run.verdict["headline"])
    return run


def test_both_heads_of_overlapping_labels_from_two_zips_to_the_verdict(window, import_site, brought):
    site, runs = import_site
    view = window().open(f"{site}/import_outputs")
    send(view, "data", brought / "overlapping-data.zip")
    assert "labels may overlap" in texts(view)
    send(view, "import_outputs", brought / "overlapping-outputs.zip")
    # Folders called after a head are taken for it, and shown.
    assert view.page.locator("[class*=st-key-import_said_]").count() == 2
    assert "2 channels" in texts(view)
    assert "3 channels" in texts(view)
    assert "say whether these are probabilities or logits" in texts(view)
    for head in ("sigmoid", "softmax"):
        say_values(view, head, "Logits")
        press(view, f"import_usual_{head}")
    press(view, "import_check")
    assert "Nothing speaks against what you say" in texts(view)
    assert view.page.get_by_test_id("stImage").count() == 3  # truth, sigmoid, softmax
    press(view, "import_start")
    wait_for_end(view)
    assert "job=" in view.page.url
    view.page.reload()
    wait_for_end(view)
    run = read_verdict(view, runs)
    assert run.heads == ("sigmoid", "softmax")
    assert run.config["imported"]["heads"]["softmax"]["channels"] == ["background", "cell", "nucleus"]
    assert [job.state() for job in jobs.list_jobs(runs)] == ["done"]


def test_channels_of_one_head_are_typed_into_the_table(window, import_site, brought):
    site, _ = import_site
    view = window().open(f"{site}/import_outputs")
    send(view, "data", brought / "exclusive-data.zip")
    send(view, "import_outputs", brought / "exclusive-softmax.zip")
    choose(view, "import_place_softmax", "exclusive-softmax.zip")
    assert "nnU-Net's exported .npz" in texts(view)
    assert "the files say: probabilities" in texts(view)
    type_names(view, "softmax", "a", "c", "b")
    press(view, "import_check")
    assert "Nothing speaks against what you say" in texts(view)  # the values cannot tell; the picture can
    type_names(view, "softmax", "a", "b", "c")
    assert "Changed since" in texts(view)
    press(view, "import_check")
    assert view.page.locator(".st-key-import_start").count() == 1
    assert view.shown_errors() == []
