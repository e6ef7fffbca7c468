"""A set of four modalities from its check to a run and its pages, and models of four inputs that are imported."""

import io
import shutil

import nibabel
import numpy as np
import pytest
import torch
from model_files import Net, export, save_smp
from opening import open_page
from PIL import Image
from test_bands import GREY, values_of, write_set
from test_formats_nnunet import write
from typer.testing import CliRunner

from pipelines import cli
from pipelines.config import EvaluationConfig, RunConfig, TrainingConfig
from pipelines.datasets.bands import RGB
from pipelines.datasets.check import check_dataset
from pipelines.datasets.opening import open_dataset
from pipelines.errors import DatasetError, ModelError
from pipelines.imports.models.opening import inspect_model
from pipelines.imports.models.settings import Described, Facts, network_input, resolve_inputs
from pipelines.progress import Progress
from pipelines.reading import DataReading
from pipelines.recipe import code_of, ingredients_of
from pipelines.run import add_seeds, make_run
from pipelines.store.runs import open_run, summarise

MODALITIES = ("FLAIR", "T1", "T1ce", "T2")
SIDE, SLICES, CASES = 32, 4, 8


def brats(root):
    """Regions that lie in each other, as in BraTS; whole shows in FLAIR, core in T1ce and T2, enhancing in T2 alone."""
    named = {str(number): name for number, name in enumerate(MODALITIES)}
    regions = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}
    table = {"channel_names": named, "labels": regions, "regions_class_order": [1, 2, 3], "file_ending": ".nii.gz"}
    write(root / "dataset.json", table | {"numTraining": CASES})
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir()
    x, y, _ = np.mgrid[:SIDE, :SIDE, :SLICES]
    for case in range(CASES):
        random = np.random.default_rng(case)
        away = np.hypot(x - random.uniform(12, 20), y - random.uniform(12, 20))
        labels = (away < 10).astype(np.uint8) + (away < 7) + (away < 4)
        name = f"BRATS_{case:03}"
        nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), root / "labelsTr" / f"{name}.nii.gz")
        for at, shown in enumerate((labels > 0, labels < 0, labels > 1, labels > 2)):
            values = random.normal(300, 30, labels.shape) + 400 * shown
            image = nibabel.Nifti1Image(values.astype(np.int16), np.eye(4))
            nibabel.save(image, root / "imagesTr" / f"{name}_{at:04}.nii.gz")
    return root


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of runs with one of a barely trained pair on four modalities, the last three of which are shown."""
    folder = tmp_path_factory.mktemp("runs")
    training = TrainingConfig(encoder="tu-tf_mobilenetv3_small_minimal_100", epochs=1, size=(32, 32), device="cpu")
    config = RunConfig(
        dataset=str(brats(tmp_path_factory.mktemp("data") / "brats")),
        reading=DataReading(options={"display": "4,3,2"}),
        training=training,
        evaluation=EvaluationConfig(replicates=200),
    )
    make_run(config, runs=folder, name="brats", progress=Progress())
    return folder


def test_a_run_of_four_modalities_keeps_and_tells_its_bands(runs):
    run = open_run(runs, "brats")
    dataset = open_dataset(run.config["dataset"], DataReading.model_validate(run.config["reading"]))
    assert (dataset.bands.names, dataset.bands.display) == (MODALITIES, (3, 2, 1))
    assert dataset.kind == "overlapping"
    report = check_dataset(dataset)
    assert report.ok
    told = "4 bands: FLAIR, T1, T1ce, T2; shown are T2, T1ce, T1"
    assert told in report.text()
    assert summarise(run).bands.text() == told
    assert run.head_file("softmax", 0)["bands"]["names"] == list(MODALITIES)
    assert len(run.head_file("softmax", 0)["mean"]) == 4
    code = code_of(ingredients_of(run, "sigmoid"))["Model"]
    assert "in_channels=4, classes=3)" in code
    assert "# FLAIR, T1, T1ce, T2; in 0 to 1" in code


def test_previews_show_the_chosen_bands(runs):
    run = open_run(runs, "brats")
    dataset = open_dataset(run.config["dataset"], DataReading.model_validate(run.config["reading"]))
    name = dataset.images("test")[0]
    image = dataset.read(name, size=(32, 32)).image
    buffer = io.BytesIO()
    Image.fromarray(np.rint(image[:, :, [3, 2, 1]] * 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
    assert run.preview("test", name) == buffer.getvalue()


def test_every_page_opens_on_it(runs, monkeypatch):
    from dashboard.menu import PAGES

    for page in PAGES:
        at = open_page(monkeypatch, runs, page, run="brats")
        assert not at.exception, page


@pytest.mark.parametrize("page", ["data", "train"])
def test_the_bands_of_a_data_set_are_told(runs, monkeypatch, page):
    root = open_run(runs, "brats").config["dataset"]
    monkeypatch.setenv("PIPELINES_DATA_ROOTS", root)
    at = open_page(monkeypatch, runs, page)
    at.query_params["data"] = root
    at.run()
    assert not at.exception
    html = " ".join(one.proto.body for one in at.get("html"))
    assert "4 bands: FLAIR, T1, T1ce, T2; shown are FLAIR, T1, T1ce" in html


def test_a_run_is_not_gone_on_with_where_images_have_other_bands_now(runs, tmp_path, monkeypatch):
    """As a run of before, which saw three of four modalities."""
    folder = tmp_path / "runs"
    shutil.copytree(runs, folder)
    monkeypatch.setattr("pipelines.datasets.formats.volumes.choose_bands", lambda *_, **__: RGB)
    with pytest.raises(DatasetError, match="read with 3 bands, and the run was begun with 4"):
        add_seeds("brats", (1,), runs=folder, progress=Progress())


# Models that are imported --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four bands and a mask of one class."""
    return write_set(tmp_path_factory.mktemp("data") / "set", lambda number: values_of(number, 4, np.uint8), **GREY)


def call(data, runs, *arguments):
    given = ["import-model", "one", "--dataset", data, "--runs", runs, "--replicates", 100, "--threads", 1, *arguments]
    return CliRunner().invoke(cli.app, [str(argument) for argument in given])


def test_a_model_of_four_inputs_gets_every_band(data, tmp_path):
    network = Net(1, inputs=4)
    model = export(network, tmp_path / "four.onnx", free=True, shape=(1, 4, 32, 32))
    assert inspect_model(model).facts.layout == "NCHW"
    mean, std = (0.1, 0.2, 0.3, 0.4), (0.2, 0.2, 0.3, 0.3)
    said = [f"--{name}={','.join(map(str, value))}" for name, value in (("mean", mean), ("std", std))]
    done = call(data, tmp_path, "--sigmoid", model, "--output", "logits", *said)
    assert done.exit_code == 0, (done.exception, done.output)
    run = open_run(tmp_path, "one")
    dataset = open_dataset(data)
    with run.predictions("test", "sigmoid", 0) as reader:
        found = {one.image: one.log_odds for one in reader}
    for name in dataset.images("test"):
        image = np.zeros((32, 32, 4), np.float32)  # 24 x 32, padded below
        image[:24] = (dataset.read(name).image - np.float32(mean)) / np.float32(std)
        with torch.inference_mode():
            expected = network(torch.from_numpy(image).permute(2, 0, 1)[None])[0, :, :24].numpy()
        np.testing.assert_allclose(found[name], expected, rtol=2**-10, atol=1e-3)
    assert run.config["imported"]["heads"]["sigmoid"]["notes"]["order"] == "bands (assumed)"


@pytest.mark.parametrize(
    ("inputs", "said", "wanted"),
    [
        (3, {}, "takes 3 channels; images of this data set have 4; pick the bands"),
        (1, {}, "takes 1 channel; images of this data set have 4; pick the bands"),
        (5, {}, "takes 5 channels; images of this data set have 4; pick the bands"),
        (4, {"order": "BGR"}, "the order BGR is one of colours, but images of this data set have 4 bands"),
        (4, {"mean": (0.5, 0.5, 0.5)}, "mean and std of m must be 1 or 4 numbers"),
    ],
)
def test_a_model_that_does_not_fit_the_bands_is_refused_in_one_line(inputs, said, wanted):
    facts = Facts(input_shape=(None, inputs, None, None))
    with pytest.raises(ModelError, match=wanted) as refused:
        resolve_inputs(Described.model_validate({"mean": (0.0,), "std": (1.0,)} | said), facts, "m", 4)
    assert "\n" not in str(refused.value)


def test_a_network_of_four_inputs_is_opened_from_its_folder(tmp_path):
    save_smp(tmp_path, classes=1, in_channels=4)
    found = inspect_model(tmp_path)
    assert (found.facts.axes[0], found.channels) == (4, 1)
    inputs, _ = resolve_inputs(Described(mean=(0.0,), std=(1.0,)), found.facts, "m", 4)
    image = np.random.default_rng(0).random((32, 32, 4), np.float32)
    np.testing.assert_array_equal(network_input(image, inputs)[0], np.moveaxis(image, 2, 0))
