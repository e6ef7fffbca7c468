"""A data set that changes while a run is made: nothing is measured on it, and put back it is gone on with."""

import shutil

import make_dataset
import numpy as np
import pytest
from PIL import Image

from pipelines.config import EvaluationConfig, RunConfig, TrainingConfig
from pipelines.errors import Cancelled, DatasetError
from pipelines.progress import Progress
from pipelines.run import make_run
from pipelines.stages import Plan
from pipelines.store.manage import staged_attempts
from pipelines.store.runs import list_runs


class Meddler(Progress):
    """Does something once when a stage begins."""

    def __init__(self, stage, change):
        super().__init__()
        self._at, self._change = stage, change

    def stage(self, name, total, *, done=0):
        if name == self._at:
            self._at = None
            self._change()
        return super().stage(name, total, done=done)


def invert(path):
    Image.fromarray(np.where(np.asarray(Image.open(path)) == 0, 1, 0).astype(np.uint8)).save(path)


CHANGES = {
    "training images in the test list": lambda root: (root / "splits" / "test.txt").write_text("im00\nim01\n"),
    "another test image": lambda root: make_dataset.save(root / "images" / "im11.png", make_dataset.picture(99)),
    "an inverted mask of training": lambda root: invert(root / "masks" / "im00.png"),
    "a test image that is gone": lambda root: (root / "images" / "im11.png").unlink(),
    "another class's name": lambda root: (root / "dataset.toml").write_text(
        make_dataset.EXCLUSIVE.replace("lake", "river")
    ),
}


@pytest.fixture
def data(tmp_path):
    return make_dataset.exclusive(tmp_path / "data")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data set and a run that was made of it, not to be changed for good."""
    folder = tmp_path_factory.mktemp("made")
    data = make_dataset.exclusive(folder / "data")
    return data, make(data, folder / "runs", Progress())


def make(data, runs, progress, **options):
    config = RunConfig(
        dataset=str(data),
        training=TrainingConfig(encoder="tu-mobilenetv3_small_050", epochs=1, size=(32, 32)),
        evaluation=EvaluationConfig(replicates=100),
    )
    return make_run(config, runs=runs, name="one", progress=progress, **options)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_is_noticed_and_may_be_put_back(made, tmp_path, change):
    data, run = made
    shutil.copytree(data, tmp_path / "before")
    change(data)
    with pytest.raises(DatasetError, match=r"data set|has no image|im11"):
        Plan(run.folder).check_unchanged()
    shutil.copytree(tmp_path / "before", data, dirs_exist_ok=True)
    Plan(run.folder).check_unchanged()


@pytest.mark.parametrize(
    ("stage", "change"), [("train seed 0", "an inverted mask of training"), ("check", "another test image")]
)
def test_what_changes_before_the_networks_predict_is_noticed_before_they_do(data, tmp_path, stage, change):
    with pytest.raises(DatasetError, match=r"data set|has no image|im11"):
        make(data, tmp_path / "runs", Meddler(stage, lambda: CHANGES[change](data)))
    assert list_runs(tmp_path / "runs") == []
    (attempt,) = staged_attempts(tmp_path / "runs", "one")
    assert not (attempt / "predictions").exists()


def test_what_changes_later_is_noticed_before_the_run_is_shown_and_for_good(data, tmp_path):
    shutil.copytree(data, tmp_path / "before")
    meddler = Meddler("measure test", lambda: CHANGES["an inverted mask of training"](data))
    with pytest.raises(DatasetError, match=r"written since: masks/im00\.png\). Nothing of it is shown"):
        make(data, tmp_path / "runs", meddler)
    shutil.copytree(tmp_path / "before", data, dirs_exist_ok=True)
    with pytest.raises(DatasetError, match=r"changed while this run was made.*Start a new run"):
        make(data, tmp_path / "runs", Progress(), resume=True)
    assert list_runs(tmp_path / "runs") == []


def test_what_changes_between_two_attempts_can_be_put_back(data, tmp_path):
    stopped = Meddler("predict val 0", lambda: stopped.cancel())
    with pytest.raises(Cancelled):
        make(data, tmp_path / "runs", stopped)
    shutil.copytree(data, tmp_path / "before")
    invert(data / "masks" / "im00.png")
    with pytest.raises(DatasetError, match=r"has changed since the run was begun.*Put it back"):
        make(data, tmp_path / "runs", Progress(), resume=True)
    shutil.copytree(tmp_path / "before", data, dirs_exist_ok=True)
    run = make(data, tmp_path / "runs", Progress(), resume=True)
    assert run.verify() == []
    assert run.predictions("test", "sigmoid", 0).images == ("im10", "im11")


def test_a_plan_of_before_that_names_no_splits_still_opens(made, tmp_path):
    from pipelines.store import files

    plan = files.read_json(made[1].folder / "plan.json")
    assert plan["splits"]["val"] == ["im08", "im09"]
    for name in ("splits", "sha256", "checksum"):
        del plan[name]
    files.write_json(tmp_path / "old" / "plan.json", plan)
    assert Plan(tmp_path / "old").dataset.images("val") == ("im08", "im09")
