"""More seeds for a run that is whole: the same as if they had been asked for at once."""

import make_dataset
import pytest
from safetensors.numpy import load_file

from pipelines.config import EvaluationConfig, RunConfig, TrainingConfig
from pipelines.errors import Cancelled, ConfigError, DatasetError
from pipelines.progress import Progress
from pipelines.run import add_seeds, make_run
from pipelines.store.manage import list_trash, staged_attempts
from pipelines.store.runs import list_runs


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_dataset.exclusive(tmp_path_factory.mktemp("data") / "tiny")


def make(data, runs, name, seeds, **options):
    config = RunConfig(
        dataset=str(data),
        training=TrainingConfig(encoder="tu-mobilenetv3_small_050", epochs=1, size=(32, 32), seeds=seeds, threads=1),
        evaluation=EvaluationConfig(replicates=100),
    )
    return make_run(config, runs=runs, name=name, progress=Progress(), **options)


class Stopped(Progress):
    """Asks to stop when a stage begins."""

    def __init__(self, at):
        super().__init__()
        self._at = at

    def stage(self, name, total, *, done=0):
        if name == self._at:
            self.cancel()
        return super().stage(name, total, done=done)


def test_a_run_with_seeds_added_is_the_run_that_had_them_from_the_start(data, tmp_path):
    whole = make(data, tmp_path, "at-once", (0, 1))
    first = make(data, tmp_path, "later", (0,))
    with pytest.raises(Cancelled):
        add_seeds("later", [1], runs=tmp_path, progress=Stopped("predict val 1"))
    assert [run.seeds for run in list_runs(tmp_path) if run.name == "later"] == [(0,)]  # until all of it is there
    with pytest.raises(ConfigError, match="has seed 0 already; it has 0, give others"):
        add_seeds("later", [0], runs=tmp_path, progress=Progress())
    grown = add_seeds("later", [1], runs=tmp_path, progress=Progress(), resume=True)
    assert grown.verify() == []
    assert grown.seeds == (0, 1)
    assert grown.config == whole.config
    for path in ("seed=0/head=sigmoid", "seed=1/head=softmax"):
        ours, theirs = (load_file(run.folder / "models" / path / "model.safetensors") for run in (grown, whole))
        assert all((ours[name] == theirs[name]).all() for name in theirs)
    keys = ["metric", "head", "seed", "split", "variant", "region", "class"]
    tables = [run.metrics().sort_values(keys, ignore_index=True) for run in (grown, whole)]
    assert tables[0].equals(tables[1])
    assert [parent["checksum"] for parent in grown.manifest["parents"]] == [first.checksum]
    assert [entry.name for entry in list_trash(tmp_path)] == ["later"]
    assert staged_attempts(tmp_path, "later") == []


def test_seeds_are_only_added_on_the_same_data_and_to_networks_trained_here(data, tmp_path):
    root = make_dataset.exclusive(tmp_path / "own")
    make(root, tmp_path / "runs", "one", (0,))
    make(root, tmp_path / "runs", "loaded", (0,), models=tmp_path / "runs" / "one")
    with pytest.raises(ConfigError, match="trained elsewhere; import them again"):
        add_seeds("loaded", [1], runs=tmp_path / "runs", progress=Progress())
    make_dataset.save(root / "images" / "im00.png", make_dataset.picture(99))
    with pytest.raises(DatasetError, match="has changed since the run was begun"):
        add_seeds("one", [1], runs=tmp_path / "runs", progress=Progress())
