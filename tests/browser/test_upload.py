"""The upload widget in a browser: a file goes up, whatever happens on its way, and what came of it is shown."""

import os
import shutil
import zipfile

import pytest
from browser import driver

pytestmark = pytest.mark.browser
APP = driver.REPO / "tests" / "browser" / "upload_app.py"
MIB = 1024**2


@pytest.fixture(scope="module")
def upload_site(tmp_path_factory):
    """Address of a page with nothing but the widget, and the folder of its runs."""
    runs, cwd = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(driver.REPO / "dashboard" / ".streamlit", cwd / ".streamlit")
    with driver.server(runs, cwd=cwd, app=APP) as address:
        yield address, runs


@pytest.fixture
def viewer(window, upload_site):
    return window().open(upload_site[0])


def archive(path, *, files=("set/a.png", "set/b.png"), size=100):
    with zipfile.ZipFile(path, "w") as made:
        for name in files:
            made.writestr(name, os.urandom(size))
    return path


def data(viewer):
    """The first of the two widgets."""
    return viewer.page.locator(".st-key-data .upload")


def codes(viewer):
    return viewer.page.locator("[data-testid=stCode]").all_inner_texts()


def choose(viewer, path):
    data(viewer).locator("input").set_input_files(str(path))


def wait_for(viewer, state):
    viewer.page.locator(f".st-key-data .upload[data-state={state}]").wait_for()
    viewer.settle()


def test_a_zip_is_uploaded_unpacked_and_found_again_after_a_reload(viewer, tmp_path):
    name = "mein <b>Satz</b> ![x](http://example.com/x.png).zip"
    choose(viewer, archive(tmp_path / "a.zip").rename(tmp_path / name.replace("/", "_")))
    wait_for(viewer, "ready")
    assert codes(viewer)[:2] == ["ready", "a.png\nb.png"]
    assert "2 files" in data(viewer).inner_text()
    assert name.replace("/", "_") in data(viewer).inner_text()  # as text
    assert data(viewer).locator("b, img").count() == 0
    viewer.page.reload()
    viewer.settle()
    assert "Satz" in codes(viewer)[-1]


def test_another_browser_does_not_see_it(viewer, window, upload_site, tmp_path):
    choose(viewer, archive(tmp_path / "mine.zip"))
    wait_for(viewer, "ready")
    other = window().open(upload_site[0])
    assert codes(other) == ["nothing", "no model", "[]"]


def test_a_refused_archive_says_why_and_leaves_nothing(viewer, upload_site, tmp_path):
    choose(viewer, archive(tmp_path / "evil.zip", files=["../../evil.txt"]))
    wait_for(viewer, "refused")
    text = data(viewer).locator("[role=alert]").inner_text()
    assert text.startswith("ARCHIVE-PATH: ../../evil.txt leads out of the archive's folder. Nothing was stored.")
    assert codes(viewer)[0] == "refused"
    assert not list(upload_site[1].rglob("evil*"))
    data(viewer).get_by_role("button", name="Delete").click()
    wait_for(viewer, "idle")
    assert codes(viewer)[0] == "nothing"
    assert "evil" not in codes(viewer)[-1]


def test_a_file_of_another_kind_or_no_content_is_refused_before_it_is_sent(viewer, tmp_path):
    sent = []
    viewer.page.on("request", lambda request: sent.append(request.url) if "/upload" in request.url else None)
    for name, content, said in (
        ("a.png", b"x", "is none of these: a zip or tar file"),
        ("a.zip", b"", "is empty or a folder"),
    ):
        (tmp_path / name).write_bytes(content)
        choose(viewer, tmp_path / name)
        assert said in data(viewer).locator("[role=alert]").inner_text()
    assert sent == []


def test_a_broken_connection_goes_on_where_it_stopped(viewer, tmp_path):
    sent, broken = [], []

    def answer(route):
        sent.append(route.request.url.partition("offset=")[2])
        if len(sent) in (2, 3) and route.request.method == "PUT":
            broken.append(route.request.url)
            route.abort("connectionreset")
        else:
            route.continue_()

    viewer.page.route("**/upload/*?offset=*", answer)
    choose(viewer, archive(tmp_path / "large.zip", size=10 * MIB))
    data(viewer).get_by_text("The server does not answer; trying again").wait_for()
    wait_for(viewer, "ready")
    assert codes(viewer)[:2] == ["ready", "a.png\nb.png"]
    assert sent == ["0", *[str(8 * MIB)] * 3, str(16 * MIB)]
    assert len(broken) == 2
    viewer.problems = [problem for problem in viewer.problems if "ERR_CONNECTION_RESET" not in problem]


def test_an_upload_can_be_cancelled_by_keyboard(viewer, upload_site, tmp_path):
    viewer.page.route("**/upload/*?offset=8*", lambda route: None)  # never answered
    choose(viewer, archive(tmp_path / "large.zip", size=10 * MIB))
    data(viewer).get_by_role("progressbar").wait_for()
    button = data(viewer).get_by_role("button", name="Cancel")
    assert button.evaluate("one => one.getRootNode().activeElement === one")
    data(viewer).get_by_text("8 MB of 20 MB").wait_for()
    viewer.page.keyboard.press("Enter")
    wait_for(viewer, "idle")
    assert list(upload_site[1].rglob("archive")) == []


def test_a_file_can_be_dropped(viewer, tmp_path):
    path = archive(tmp_path / "dropped.zip")
    transfer = viewer.page.evaluate_handle(
        "bytes => { const made = new DataTransfer();"
        "made.items.add(new File([new Uint8Array(bytes)], 'dropped.zip', {lastModified: 1})); return made; }",
        list(path.read_bytes()),
    )
    data(viewer).dispatch_event("dragover", {"dataTransfer": transfer})
    data(viewer).dispatch_event("drop", {"dataTransfer": transfer})
    wait_for(viewer, "ready")
    assert codes(viewer)[0] == "ready"


def test_the_choice_of_a_file_is_reached_by_keyboard_and_named(viewer):
    for _ in range(12):
        viewer.page.keyboard.press("Tab")
        named = viewer.page.evaluate(
            "() => { let one = document.activeElement; while (one?.shadowRoot?.activeElement)"
            "one = one.shadowRoot.activeElement; return one?.getAttribute('aria-label'); }"
        )
        if named == "Your data set: choose a file":
            return
    pytest.fail("not reached")


def test_one_file_that_is_no_archive_keeps_a_safe_name(viewer, tmp_path):
    (tmp_path / "my <i>model</i>.onnx".replace("/", "_")).write_bytes(b"x" * 1000)
    viewer.page.locator(".st-key-model .upload input").set_input_files(str(next(tmp_path.glob("*.onnx"))))
    viewer.page.locator(".st-key-model .upload[data-state=ready]").wait_for()
    viewer.settle()
    assert codes(viewer)[1] == "my_i_model__i_.onnx 1000"
