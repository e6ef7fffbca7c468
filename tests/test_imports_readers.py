"""Every format of outputs against its own writer, in another order of files, and at its edges."""

from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from listed import Listed, item
from outputs_on_disk import WRITERS, all_logits, probabilities_of, write_outputs
from PIL import Image, ImageOps
from safetensors.numpy import save_file
from scipy.special import expit, softmax
from synthetic import make_run, write_dataset

from pipelines import heads
from pipelines.channels import align
from pipelines.datasets.opening import open_dataset
from pipelines.errors import ConfigError, DatasetError, PipelineError, ShapeError
from pipelines.imports.readers import FORMATS, arrays, open_outputs, parquet
from pipelines.imports.readers.maps import read_map
from pipelines.imports.sources import Said
from pipelines.store.runs import Run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    runs = tmp_path_factory.mktemp("made")
    make_run(runs, "overlapping", kind="overlapping", classes=("cell", "nucleus"), images=2, size=(20, 28))
    make_run(runs, "exclusive", kind="exclusive", classes=("a", "b", "c"), images=2, size=(20, 28))
    make_run(runs, "binary", kind="binary", classes=("v",), images=2, size=(20, 28), seeds=(0, 1))
    return runs


def said(head="sigmoid", values="logits", classes=("a", "b"), **more):
    return Said(head, values, classes, **more)


VALUES = np.arange(48, dtype=np.float32).reshape(2, 4, 6)


# Round trips -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["overlapping", "exclusive", "binary"])
@pytest.mark.parametrize("how", WRITERS)
def test_what_a_format_holds_comes_back(kind, how, made, tmp_path):
    run = Run(made / kind)
    dataset = open_dataset(run.config["dataset"])
    _, values, form, named = WRITERS[how]
    step = {"png8": 1 / 255, "png16": 1 / 65535}.get(how, 0.0)
    for head in run.heads:
        spec = write_outputs(tmp_path / head, run, head, how)
        one = Said(head, None if form == "nnunet" else values, None if named else spec.channels, "background")
        opened = open_outputs(tmp_path / head, one, dataset)
        assert opened.format == form
        (source,) = opened.sources.values()
        mapped = align(source.declaration, head, kind=kind, classes=dataset.classes)
        assert set(mapped.spec.channels) == set(spec.channels)  # folders come in the order of the alphabet
        assert source.absent(dataset.images("test")) == ()
        _, logits = all_logits(run, head)
        for name in dataset.images("test"):
            truth = dataset.read(name)
            found = mapped.logits(source.read(truth), step=source.step)
            assert source.step == pytest.approx(step)
            p = expit(heads.log_odds(mapped.spec, found).astype(float))
            q = expit(heads.log_odds(spec, logits[name]).astype(float))
            # a probability is off by half a step, and a softmax's sum by half a step a channel
            assert np.abs(p - q).max() <= 1e-6 + step / 2 * (1 + len(spec.channels))
        source.close()


@pytest.mark.parametrize("kind", ["overlapping", "exclusive", "binary"])
def test_a_run_comes_back_with_every_seed_and_its_own_log_odds(kind, made):
    run = Run(made / kind)
    dataset = open_dataset(run.config["dataset"])
    for head in run.heads:
        opened = open_outputs(run.folder, Said(head), dataset)
        assert (opened.format, tuple(opened.sources)) == ("parquet", run.seeds)
        for seed, source in opened.sources.items():
            mapped = align(source.declaration, head, kind=kind, classes=dataset.classes)
            with run.predictions("test", head, seed) as reader:
                for old in reader:
                    found = heads.log_odds(mapped.spec, mapped.logits(source.read(dataset.read(old.image))))
                    gap = np.abs(found - old.log_odds.astype(np.float32))
                    # each channel was rounded to 11 bits on its own, of log-odds of up to 32
                    assert gap.max() <= (0 if head == "sigmoid" else 0.032)
            assert source.findings() == ()
            source.close()


def test_another_truth_in_the_files_is_told(made, tmp_path):
    run = Run(made / "binary")
    other = open_dataset(
        write_dataset(tmp_path / "set", kind="binary", classes=("v",), images=2, size=(20, 28), seed=5)
    )
    place = run.folder / "predictions" / "split=test" / "head=sigmoid" / "seed=0"
    (source,) = open_outputs(place, Said("sigmoid"), other).sources.values()
    for name in other.images("test"):
        source.read(other.read(name))
    (finding,) = source.findings()
    assert finding["code"] == "TRUTH-DIFFERS"
    assert "2 images carry another truth" in finding["message"]
    assert source.findings() == ()
    source.close()


# Names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "called", ["x.npy", "deep/er/x.npy", "x.png.npy", "seed=0/x.npy", "split=test/head=sigmoid/x.npy"]
)
def test_outputs_are_found_under_the_name_of_their_image(called, tmp_path):
    (tmp_path / called).parent.mkdir(parents=True, exist_ok=True)
    np.save(tmp_path / called, VALUES)
    (source,) = open_outputs(tmp_path, said(), Listed("x")).sources.values()
    assert np.array_equal(source.read(item("x")), VALUES)


def test_files_of_another_head_are_not_looked_at(tmp_path):
    for head in ("sigmoid", "softmax"):
        (tmp_path / f"head={head}").mkdir()
        np.save(tmp_path / f"head={head}" / "x.npy", VALUES + (head == "softmax"))
    (source,) = open_outputs(tmp_path, said("softmax"), Listed("x")).sources.values()
    assert source.read(item("x"))[0, 0, 0] == 1


def test_an_image_without_its_own_name_in_two_folders_is_not_guessed(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    (source,) = open_outputs(tmp_path, said(), Listed("one/x", "two/x")).sources.values()
    assert source.absent(("one/x", "two/x")) == ("one/x", "two/x")
    assert source.surplus(("one/x", "two/x")) == ("x",)


def test_two_outputs_of_one_image_are_refused(tmp_path):
    for name in ("x.npy", "more/x.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / name, VALUES)
    with pytest.raises(DatasetError, match="OUTPUT-TWICE: there are two outputs for x"):
        open_outputs(tmp_path, said(), Listed("x"))


def test_seeds_are_folders_or_said(tmp_path):
    for seed in (3, 11):
        (tmp_path / f"seed={seed}").mkdir()
        np.save(tmp_path / f"seed={seed}" / "x.npy", VALUES + seed)
    opened = open_outputs(tmp_path, said(), Listed("x"))
    assert {seed: float(one.read(item("x"))[0, 0, 0]) for seed, one in opened.sources.items()} == {3: 3.0, 11: 11.0}
    assert tuple(open_outputs(tmp_path / "seed=3", said(), Listed("x"), seed=5).sources) == (5,)
    with pytest.raises(ConfigError, match="leave it out"):
        open_outputs(tmp_path, said(), Listed("x"), seed=5)
    np.save(tmp_path / "x.npy", VALUES)
    with pytest.raises(ConfigError, match="beside its folders"):
        open_outputs(tmp_path, said(), Listed("x"))


def test_a_format_is_recognised_or_chosen(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    save_file({"t": VALUES}, tmp_path / "x.safetensors")
    with pytest.raises(ConfigError, match="could be safetensors or arrays; choose with --format"):
        open_outputs(tmp_path, said(), Listed("x"))
    assert open_outputs(tmp_path, said(), Listed("x"), format="arrays").format == "arrays"
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "x.tex").write_text("x")
    with pytest.raises(ConfigError, match=", ".join(FORMATS)):
        open_outputs(tmp_path / "none", said(), Listed("x"))


# One format after the other ----------------------------------------------------------------------------------------


def test_a_stack_needs_one_name_for_each_image(tmp_path):
    np.save(tmp_path / "all.npy", np.stack([VALUES, VALUES + 1, VALUES + 2]))
    with pytest.raises(DatasetError, match=r"write their names, in order and one a line, into all\.txt"):
        open_outputs(tmp_path, said(), Listed("x", "y"))
    (tmp_path / "all.txt").write_text("x\ny\n")
    with pytest.raises(DatasetError, match=r"holds 3 images in its shape \(3, 2, 4, 6\), all\.txt has 2 names"):
        open_outputs(tmp_path, said(), Listed("x", "y"))
    (tmp_path / "all.txt").write_text("y.png\n\nother\nx.png\n")
    (source,) = open_outputs(tmp_path, said(), Listed("x", "y")).sources.values()
    assert [source.read(item(name))[0, 0, 0] for name in "xy"] == [2.0, 0.0]
    assert source.surplus(("x", "y")) == ("other",)


@pytest.mark.parametrize("order", ["C", "F"])
def test_one_image_of_a_stack_is_read_alone_in_either_order(order, tmp_path):
    stack = np.random.default_rng(0).normal(size=(3, 2, 4, 6))
    np.save(tmp_path / "s.npy", np.asarray(stack, order=order))
    for number in range(3):
        (one,) = arrays.read_outputs(tmp_path / "s.npy", image=number)
        assert np.array_equal(one, stack[number])
    with pytest.raises(DatasetError, match="there is no number 3"):
        list(arrays.read_outputs(tmp_path / "s.npy", image=3))


@pytest.mark.parametrize(
    "write", [lambda path, **named: np.savez(path, **named), lambda path, **named: save_file(named, path)]
)
def test_of_several_arrays_the_one_called_after_the_head_is_taken(write, tmp_path):
    suffix = "npz" if "savez" in write.__code__.co_names else "safetensors"
    write(tmp_path / f"x.{suffix}", sigmoid=VALUES, softmax=VALUES + 1)
    (source,) = open_outputs(tmp_path, said("softmax"), Listed("x")).sources.values()
    assert source.read(item("x"))[0, 0, 0] == 1
    with pytest.raises(DatasetError, match="none of them called softmax-powerset"):
        open_outputs(tmp_path, said("softmax-powerset"), Listed("x"))


@pytest.mark.parametrize("key", ["probabilities", "softmax"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_volumes_of_nnunet_are_cut_along_their_first_axis(key, dtype, tmp_path):
    volume = np.random.default_rng(1).random((2, 3, 4, 6)).astype(dtype)  # (C, Z, Y, X)
    np.savez_compressed(tmp_path / "case_7.npz", **{key: volume})
    names = tuple(f"case_7_z{z:04d}" for z in range(3))
    (source,) = open_outputs(tmp_path, Said("softmax", None, ("a", "b")), Listed(*names)).sources.values()
    assert source.declaration.values == "probabilities"
    assert source.absent(names) == ()
    for z in (2, 0, 1):
        assert np.array_equal(source.read(item(names[z])), volume[:, z])
    source.close()


def test_a_slice_that_a_volume_lacks_is_absent_and_one_too_many_is_surplus(tmp_path):
    np.savez_compressed(tmp_path / "k.npz", probabilities=np.zeros((2, 2, 4, 6)))
    (source,) = open_outputs(tmp_path, Said("softmax", None, ("a", "b")), Listed("k_z0001", "k_z0002")).sources.values()
    assert source.absent(("k_z0001", "k_z0002")) == ("k_z0002",)
    assert source.surplus(("k_z0001", "k_z0002")) == ("k_z0000",)


def test_nnunet_holds_probabilities_whatever_is_said(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", probabilities=VALUES[:, None])
    with pytest.raises(ConfigError, match="hold probabilities, but --values says logits"):
        open_outputs(tmp_path, said("softmax"), Listed("x"))
    np.savez_compressed(tmp_path / "x.npz", logits=VALUES)
    with pytest.raises(DatasetError, match="--save_probabilities"):
        open_outputs(tmp_path, said("softmax"), Listed("x"), format="nnunet")


def test_maps_are_put_in_the_order_of_the_classes(tmp_path):
    for number, name in enumerate("ba"):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "x.tif", np.full((4, 6), number / 4, np.float32))
    for classes, order in ((("a", "b"), [0.25, 0.0]), (("b", "a"), [0.0, 0.25])):
        (source,) = open_outputs(tmp_path, said("sigmoid", "probabilities", classes), Listed("x")).sources.values()
        assert source.declaration.classes == classes
        assert source.read(item("x"))[:, 0, 0].tolist() == order
    with pytest.raises(ConfigError, match="leave --classes out"):
        open_outputs(tmp_path, said("sigmoid", "probabilities", ("a", "c")), Listed("x"))


def test_maps_that_are_missing_or_of_another_size_are_told(tmp_path):
    for name, size in (("a", (4, 6)), ("b", (4, 5))):
        (tmp_path / name).mkdir()
        for image in "xy" if name == "a" else "x":
            Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / name / f"{image}.png")
    with pytest.raises(DatasetError, match="there is no map b/y"):
        open_outputs(tmp_path, said("sigmoid", "probabilities"), Listed("x", "y"))
    (tmp_path / "a" / "y.png").unlink()
    (source,) = open_outputs(tmp_path, said("sigmoid", "probabilities"), Listed("x")).sources.values()
    with pytest.raises(ShapeError, match="a 6×4, b 5×4"):
        source.read(item("x"))


def test_eight_bits_are_said_to_be_few(tmp_path):
    (tmp_path / "a").mkdir()
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "a" / "x.png")
    (source,) = open_outputs(tmp_path, said("sigmoid", "probabilities", None), Listed("x")).sources.values()
    source.read(item("x"))
    assert source.findings()[0]["code"] == "COARSE"
    assert "256 grey values" in source.findings()[0]["message"]
    with pytest.raises(DatasetError, match="whole numbers, but is said to hold logits"):
        read_map(tmp_path / "a" / "x.png", logits=True)


@pytest.mark.parametrize(
    ("values", "mode", "suffix", "said"),
    [
        (np.zeros((4, 6, 3), np.uint8), None, "png", "colour image"),
        (np.zeros((4, 6), np.uint8), "P", "png", "palette"),
        (np.zeros((4, 6), np.uint8), "1", "png", "fewer than 8 bits"),
        (np.zeros((2, 4, 6), np.float32), None, "tif", "pages|one grey channel"),
        (np.zeros((4, 6), np.int32), None, "tif", "int32 values"),
        (np.zeros((4, 6), np.complex64), None, "tif", "complex64"),
    ],
)
def test_images_that_are_no_grey_maps_are_refused(values, mode, suffix, said, tmp_path):
    path = tmp_path / f"x.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(path, values)
    else:
        (Image.fromarray(values).convert(mode) if mode else Image.fromarray(values)).save(path)
    with pytest.raises(DatasetError, match=said):
        read_map(path)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_safetensors_of_every_precision_come_back(dtype, tmp_path):
    save_file({"any": VALUES.astype(dtype)}, tmp_path / "x.safetensors")
    (source,) = open_outputs(tmp_path, said(), Listed("x")).sources.values()
    assert source.read(item("x")).dtype == dtype
    assert np.array_equal(source.read(item("x")), VALUES)


def test_bfloat16_is_read_without_torch_as_torch_wrote_it(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save

    tensor = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    save({"t": tensor}, tmp_path / "x.safetensors")
    (source,) = open_outputs(tmp_path, said(), Listed("x")).sources.values()
    assert np.array_equal(source.read(item("x")), tensor.float().numpy())


def test_outputs_of_another_head_are_sent_to_its_option(made):
    run = Run(made / "overlapping")
    dataset = open_dataset(run.config["dataset"])
    folder = run.folder / "predictions" / "split=test" / "head=softmax-powerset" / "seed=0"
    with pytest.raises(ConfigError, match="not of softmax; give it with --powerset"):
        open_outputs(folder, Said("softmax"), dataset)
    with pytest.raises(PipelineError, match="hold logits, but --values says probabilities"):
        open_outputs(run.folder, Said("softmax", "probabilities"), dataset)


def test_probabilities_are_the_same_as_those_the_writers_wrote(made):
    spec, logits = all_logits(Run(made / "exclusive"), "softmax")
    assert probabilities_of(logits["test_00"], spec).sum(axis=0) == pytest.approx(1.0)


# Files that nnU-Net itself wrote -------------------------------------------------------------------------------------

EXPORTS = Path(__file__).parent / "fixtures" / "nnunet"


def exported(folder, head, channels, names):
    """Source of an export, and the logits that its network gave."""
    dataset = Listed(*names, classes=channels)
    opened = open_outputs(EXPORTS / folder, Said(head, None, channels), dataset)
    assert opened.format == "nnunet"
    with np.load(EXPORTS / f"{folder}-logits.npz") as logits:
        return opened.sources[0], dict(logits)


def test_an_export_of_labels_is_the_softmax_of_its_network():
    source, logits = exported("labels", "softmax", ("background", "a", "b"), ("img_01", "img_02"))
    with source:
        for name in ("img_02", "img_01"):
            found = source.read(item(name, size=(8, 10), classes=3))
            assert np.abs(found - softmax(logits[name][:, 0].astype(float), axis=0)).max() < 1e-6


def test_an_export_of_regions_is_the_sigmoid_of_its_network():
    source, logits = exported("regions", "sigmoid", ("whole", "core"), ("img_01",))
    with source:
        found = source.read(item("img_01", size=(8, 10)))
        assert np.abs(found - expit(logits["img_01"][:, 0].astype(float))).max() < 1e-6


def test_an_exported_volume_is_cut_into_slices_with_its_crop_undone():
    names = tuple(f"case_7_z{z:04d}" for z in range(3))
    source, logits = exported("volume", "softmax", ("background", "a", "b"), names)
    with source:
        for z, name in enumerate(names):
            found = source.read(item(name, size=(8, 10), classes=3))
            inside = softmax(logits["case_7"][:, z].astype(float), axis=0)  # of rows 1 to 6 and columns 2 to 9
            assert np.abs(found[:, 1:7, 2:] - inside).max() < 1e-6
            outside = np.ones((8, 10), bool)
            outside[1:7, 2:] = False
            assert (found[:, outside] == np.array([[1], [0], [0]])).all()  # nothing but background


def test_a_footer_that_would_end_the_process_is_refused_in_one_line(tmp_path, made):
    run = Run(made / "overlapping")
    bad = Path(__file__).parent / "fixtures" / "parquet" / "level_histograms.parquet"
    assert not parquet.can_be_read(bad)
    (tmp_path / "part-0.parquet").write_bytes(bad.read_bytes())
    with pytest.raises(DatasetError, match="damaged footer"):
        open_outputs(tmp_path, Said("sigmoid"), open_dataset(run.config["dataset"]))
    good = next((run.folder / "predictions").rglob("*.parquet"))
    assert parquet.can_be_read(good), "the process is started anew"
    (tmp_path / "nothing.parquet").write_bytes(b"PAR1")
    assert parquet.can_be_read(tmp_path / "nothing.parquet"), "damage that can be told is told by the reader"


# Pictures that EXIF turns ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_outputs_of_the_stored_size_are_turned_with_their_picture(orientation, tmp_path):
    stored = np.arange(48, dtype=np.float32).reshape(2, 4, 6)
    np.save(tmp_path / "x.npy", stored)
    (source,) = open_outputs(tmp_path, said(), Listed("x")).sources.values()
    turned = replace(item("x", size=(6, 4)), orientation=orientation)
    layers = [Image.fromarray(layer) for layer in stored]
    for layer in layers:
        layer.getexif()[0x0112] = orientation
    expected = np.stack([np.asarray(ImageOps.exif_transpose(layer)) for layer in layers])
    np.testing.assert_array_equal(source.read(turned), expected)
    assert source.findings() == ()


def test_outputs_of_the_upright_size_stay_and_those_without_a_telling_size_are_told(tmp_path):
    for name, shape in (("a", (2, 6, 4)), ("b", (2, 4, 6)), ("c", (2, 5, 5))):
        np.save(tmp_path / f"{name}.npy", np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    (source,) = open_outputs(tmp_path, said(), Listed("a", "b", "c")).sources.values()
    upright = np.load(tmp_path / "a.npy")
    np.testing.assert_array_equal(source.read(replace(item("a", size=(6, 4)), orientation=6)), upright)
    assert source.findings() == ()
    source.read(replace(item("b", size=(4, 6)), orientation=3))
    source.read(replace(item("c", size=(5, 5)), orientation=8))
    (told,) = source.findings()
    assert (told["code"], told["severity"]) == ("EXIF-UNDECIDED", "warning")
    assert told["message"].startswith("2 outputs (b and c)") or told["message"].startswith("2 outputs (b, c)")


def test_maps_of_16_bit_colours_are_refused_rather_than_read_with_8_bits(tmp_path):
    (tmp_path / "a").mkdir()
    values = np.full((4, 6, 3), 300, np.uint16)
    (tmp_path / "a" / "x.png").write_bytes(imagecodecs.png_encode(values))
    with pytest.raises(DatasetError, match="is a colour image"):
        read_map(tmp_path / "a" / "x.png")
