"""The page Import without a browser: what is asked, what is said at once, what is started."""

import time

import pytest
from asking import start
from opening import open_page
from outputs_on_disk import write_outputs
from synthetic import make_run

from pipelines import jobs
from pipelines.store.runs import Run


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """A folder with a data set of each kind under data/, and outputs of its heads under out/<kind>/<head>."""
    folder = tmp_path_factory.mktemp("brought")
    for kind, classes in (("overlapping", ("cell", "nucleus")), ("exclusive", ("a", "b", "c")), ("binary", ("v",))):
        run = make_run(folder / "made", kind, kind=kind, classes=classes, images=2)
        for head in run.heads:
            write_outputs(folder / "out" / kind / head, run, head, "npy")
    return folder


@pytest.fixture
def page(monkeypatch, brought, tmp_path):
    """Opens the page on an empty runs folder with the data set of a kind chosen by the link."""
    monkeypatch.setenv("PIPELINES_DATA_ROOTS", str(brought / "made" / ".data") + ":" + str(brought / "out"))
    # What is hidden is not offered: the generated sets lie in .data, which is a root of its own here.

    def opened(kind=None, **query):
        at = open_page(monkeypatch, tmp_path / "runs", "import_outputs", **query)
        if kind is not None:  # as a link of ours does
            at.query_params["data"] = str(brought / "made" / ".data" / kind)
            at.run()
        return at

    return opened


def texts(at):
    """Everything that is written on the page, without Markdown's escapes."""
    boxes = [*at.error, *at.warning, *at.info, *at.success, *at.caption, *at.markdown]
    said = [one.value for one in boxes] + [one.body for one in at.get("html")]
    return "\n".join(text.replace("\\", "") for text in said)


def test_it_begins_with_the_truth_and_asks_nothing_else(page):
    at = page()
    assert not at.exception
    assert at.title[0].value == "Import"
    assert [one.value for one in at.header] == ["1. The truth"]


def test_a_link_chooses_the_data_set_and_shows_what_it_is(page):
    at = page("overlapping")
    assert not at.exception
    assert not at.error, at.error
    for words in ("Blobs", "labels may overlap", "2 classes", "2 test"):
        assert words in texts(at)
    assert [one.value for one in at.header][-1] == "2. The outputs"


def choose_outputs(at, brought, kind, *heads):
    """Give the outputs of these heads as paths on the server."""
    for head in heads:
        at.selectbox(key=f"import_place_{head}").select("server").run()
        at.text_input(key=f"import_path_{head}").set_value(str(brought / "out" / kind / head)).run()
    assert not at.exception
    return at


def say(at, head, values, names=None):
    at.segmented_control(key=f"import_values_{head}").set_value(values).run()
    if names is None:
        at.button(key=f"import_usual_{head}").click().run()
    else:
        at.text_input(key=f"import_paste_{head}").set_value(names).run()
    assert not at.exception
    return at


def test_what_was_recognised_is_shown_and_nothing_is_filled_in(page, brought):
    at = choose_outputs(page("overlapping"), brought, "overlapping", "sigmoid", "softmax")
    assert not at.error, at.error
    assert texts(at).count("recognised: NumPy .npy and .npz") == 2
    assert "3 channels" in texts(at)
    assert at.segmented_control(key="import_values_sigmoid").value is None
    assert [one.value["Name"].tolist() for one in at.data_editor] == [["", ""], ["", "", ""]]
    assert "Sigmoid: say whether these are probabilities or logits." in texts(at)
    assert [one.value for one in at.header][-1] == "3. What they are"  # no check before all is said


def test_channels_that_do_not_match_are_said_at_once(page, brought):
    at = choose_outputs(page("overlapping"), brought, "overlapping", "softmax")
    say(at, "softmax", "logits", "nothing, Cell, nucleus")
    assert "1: no class; the data set writes cell" in at.dataframe[-1].value["Stands for"].tolist()
    assert "softmax has no channel for background, cell" in at.error[0].value.replace("\\", "")
    assert "--" not in at.error[0].value.replace("\\", "")  # the page has fields, no options
    at.text_input(key="import_paste_softmax").set_value("nothing, cell, nucleus").run()
    assert "softmax has no channel for background" in at.error[0].value.replace("\\", "")
    at.selectbox(key="import_background").select("nothing").run()
    assert not at.error
    assert at.dataframe[-1].value["Stands for"].tolist() == [
        "0: nothing is there", "1: class cell", "2: class nucleus",
    ]  # fmt: skip
    assert [one.value for one in at.header][-1] == "4. Check"


def test_what_the_values_turn_out_to_be_is_told_before_the_import(page, brought):
    at = choose_outputs(page("exclusive"), brought, "exclusive", "softmax")
    say(at, "softmax", "probabilities")
    at.button(key="import_check").click().run()
    assert "LOGITS-AS-PROBABILITIES" in texts(at)
    assert [one.value for one in at.header][-1] == "4. Check"  # an import would be refused
    at.segmented_control(key="import_values_softmax").set_value("logits").run()
    assert "Changed since" in [one.proto.title for one in at.info]
    at.button(key="import_check").click().run()
    assert "Nothing speaks against what you say. 4 images were read" in texts(at).replace("\\", "")
    assert len(at.image) == 2  # truth and softmax
    assert [one.value for one in at.header][-1] == "5. Import"


def test_one_head_alone_is_imported_by_a_job_of_its_own(page, brought, tmp_path):
    at = choose_outputs(page("binary"), brought, "binary", "sigmoid")
    at.segmented_control(key="import_values_sigmoid").set_value("logits").run()
    assert not at.data_editor  # one channel of one class needs no name
    at.pills(key="import_splits").set_value(["test"]).run()
    at.number_input(key="import_seed").set_value(7).run()
    at.button(key="import_check").click().run()
    assert "2 outputs of no image of these splits, left aside: val_00, val_01" in texts(at).replace("\\", "")
    at.text_input(key="import_name").set_value("no/name").run()
    assert at.button(key="import_start").disabled
    assert "a run's name is" in at.error[0].value.replace("\\", "")
    at.text_input(key="import_name").set_value("mine").run()
    at.button(key="import_start").click().run()
    assert not at.exception
    (job,) = jobs.list_jobs(tmp_path / "runs")
    deadline = time.monotonic() + 120
    while job.state() not in jobs.ENDED and time.monotonic() < deadline:
        time.sleep(0.5)
    assert job.state() == "done", job.log()
    assert (Run(tmp_path / "runs" / "mine").seeds, Run(tmp_path / "runs" / "mine").splits) == ((7,), ("test",))
    at.run()
    assert "The run mine is there." in texts(at)
    at.button(key="import_verdict").click().run()
    assert not at.exception
    assert at.session_state["run"] == "mine"


def test_a_refused_import_says_why_and_leaves_no_run(page, brought, tmp_path):
    job = start(
        ["import", "--name=odd", f"--dataset={brought / 'made' / '.data' / 'binary'}",
         f"--sigmoid={brought / 'out' / 'binary' / 'sigmoid'}", "--sigmoid-values=probabilities"],
        tmp_path / "runs",
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while job.state() not in jobs.ENDED and time.monotonic() < deadline:
        time.sleep(0.5)
    at = page()
    at.query_params["job"] = job.id
    at.run()
    assert not at.exception
    assert "LOGITS-AS-PROBABILITIES" in at.error[0].value.replace("\\", "")
    assert "refused" in at.error[0].proto.title
    assert not (tmp_path / "runs" / "odd").exists()
    assert at.button(key="import_resume").label == "Try again"


def test_a_job_that_is_no_import_is_not_shown(page, tmp_path):
    job = start(["check", str(tmp_path)], tmp_path / "runs", waits=False)
    at = page()
    at.query_params["job"] = job.id
    at.run()
    assert not at.exception
    assert "is no import" in at.error[0].value.replace("\\", "")


@pytest.mark.parametrize(
    ("query", "said"),
    [({"data": "/etc"}, "PATH: /etc is not"), ({"upload": "../../etc"}, "UPLOAD-UNKNOWN"), ({"job": "99"}, "no job")],
)
def test_links_that_lead_nowhere_are_one_line(page, query, said):
    at = page()
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception
    assert said in at.error[0].value.replace("\\", "")


def test_missing_images_and_other_sizes_are_told(page, brought, tmp_path):
    at = choose_outputs(page("binary"), brought, "binary", "sigmoid")
    at.segmented_control(key="import_values_sigmoid").set_value("logits").run()
    at.pills(key="import_splits").set_value(["train", "test"]).run()
    assert "SPLIT-EMPTY" not in texts(at)
    at.button(key="import_check").click().run()
    assert "sigmoid has no output for 2 images: train_00, train_01" in texts(at).replace("\\", "")
    at.pills(key="import_splits").set_value(["test"]).run()
    at.toggle(key="import_resized").set_value(True).run()
    at.number_input(key="import_height").set_value(20).run()
    at.number_input(key="import_width").set_value(28).run()
    at.button(key="import_check").click().run()
    assert "OUTPUT-SIZE" in texts(at)
    assert "is 56×40, its truth 28×20" in texts(at)
