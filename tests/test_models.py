"""Matched networks, and what a saved one needs to come back."""

import json
import shutil
import socket
import warnings

import huggingface_hub.constants
import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from pipelines.config import TrainingConfig
from pipelines.errors import ModelError
from pipelines.heads import head_specs
from pipelines.training.models import (
    build_model,
    build_pair,
    last_layer,
    load_model,
    load_pair,
    pad_to_multiple,
    required_multiple,
    save_model,
)

LIGHT = TrainingConfig(encoder="tu-tf_mobilenetv3_small_minimal_100", size=(64, 32))
NORMALISATION = ((0.4, 0.5, 0.6), (0.2, 0.2, 0.3))
COUNTS = {(): 900, (0,): 300, (0, 1): 80}
EXCLUSIVE = head_specs("exclusive", ("a", "b", "c"))
BINARY = head_specs("binary", ("a",))
OVERLAPPING = head_specs("overlapping", ("a", "b"), set_counts=COUNTS)


def save(network, spec, folder, *, config=LIGHT, seed=3):
    return save_model(
        network, spec, folder, normalisation=NORMALISATION, config=config, seed=seed, best_epoch=7, best_score=0.75
    )


def save_pair(folder, specs, *, seed=3):
    for head, network in build_pair(specs, LIGHT, seed=seed).items():
        spec = next(spec for spec in specs if spec.head == head)
        save(network, spec, folder / f"head={head}", seed=seed)


# Matched -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("specs", [EXCLUSIVE, BINARY, OVERLAPPING], ids=lambda specs: specs[0].kind)
@pytest.mark.parametrize("architecture", ["Unet", "FPN", "Segformer"])
def test_all_that_can_be_shared_is_equal_at_step_0(specs, architecture):
    networks = build_pair(specs, LIGHT.model_copy(update={"architecture": architecture}), seed=3)
    first = networks["sigmoid"].state_dict()
    last = last_layer(networks["sigmoid"])
    assert last.startswith("segmentation_head.")
    for spec in specs[1:]:
        other = networks[spec.head].state_dict()
        assert first.keys() == other.keys()
        body = [name for name in first if not name.startswith(last)]
        assert len(body) == len(first) - 2  # all but the last weight and bias
        assert all(torch.equal(first[name], other[name]) for name in body)
        weight = last + "weight"
        assert len(first[weight]) == len(specs[0].channels)
        assert len(other[weight]) == len(spec.channels)
        for index, channel in spec.shared_channels():
            assert torch.equal(first[weight][index], other[weight][channel])
            assert torch.equal(first[last + "bias"][index], other[last + "bias"][channel])
    if specs is EXCLUSIVE:
        assert torch.equal(first[last + "weight"], networks["softmax"].state_dict()[last + "weight"])


def test_label_sets_share_no_row_even_when_there_are_as_many_as_classes():
    # Classes a b c, sets {} {a} {a, b}: three channels each, with different meanings.
    specs = head_specs("overlapping", "abc", set_counts={(): 9, (0,): 5, (0, 1): 2}, softmax_rule="powerset")
    networks = build_pair(specs, LIGHT, seed=3)
    sigmoid, powerset = (network.state_dict()["segmentation_head.0.weight"] for network in networks.values())
    assert sigmoid.shape == powerset.shape
    torch.manual_seed(3)
    alone = build_model("Unet", LIGHT.encoder, channels=3).state_dict()
    assert torch.equal(powerset, alone["segmentation_head.0.weight"])  # as drawn, not copied


def test_a_seed_decides_the_weights_and_the_random_state_is_left_alone():
    torch.manual_seed(11)
    state = torch.get_rng_state()
    one, same, other = (build_pair(BINARY, LIGHT, seed=seed)["softmax"].state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    weight = "segmentation_head.0.weight"
    assert not torch.equal(one[weight], other[weight])


def test_the_network_gives_logits_and_no_probabilities():
    network = build_model("Unet", LIGHT.encoder, channels=2).eval()
    with torch.no_grad():
        network.segmentation_head[0].bias += 100
        assert network(torch.rand(1, 3, 32, 32)).min() > 50


@pytest.mark.parametrize(
    ("architecture", "multiple"), [("Unet", 32), ("PSPNet", 8), ("DeepLabV3Plus", 16), ("FPN", 32)]
)
def test_an_image_of_any_size_fits_after_padding(architecture, multiple):
    network = build_model(architecture, "resnet18", channels=2).eval()
    assert required_multiple(network) == multiple
    images = torch.rand(1, 3, 37, 70)
    padded = pad_to_multiple(images, multiple)
    assert padded.shape[-2:] == (-(-37 // multiple) * multiple, -(-70 // multiple) * multiple)
    assert torch.equal(padded[..., :37, :70], images)
    assert (padded[..., 37:, :] == 0).all()
    with torch.no_grad():
        assert network(padded).shape == (1, 2, *padded.shape[-2:])


def test_padding_to_a_multiple_leaves_a_fitting_image_alone():
    images = torch.rand(2, 3, 64, 32)
    assert torch.equal(pad_to_multiple(images, 32), images)


# Options that do not work ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "encoder", "line"),
    [
        ("Unett", "resnet18", r"unknown architecture 'Unett'; did you mean Unet"),
        ("Unet", "resnet8", r"unknown encoder 'resnet8'; did you mean .*resnet18"),
        ("Unet", "tu-resnet1888", r"unknown encoder 'tu-resnet1888'; did you mean .*tu-resnet18"),
        ("Unet", "timm-resnet1888", r"Unet with encoder timm-resnet1888 .* cannot be built: Wrong encoder name"),
        ("Unet", "", r"unknown encoder ''; available are .*resnet18"),
        ("DPT", "resnet18", r"DPT with encoder resnet18 and weights None cannot be built: .*; choose another encoder"),
        ("PAN", "vgg11", r"PAN with encoder vgg11 and weights None cannot be built"),
    ],
)
def test_unknown_names_are_answered_with_close_ones(architecture, encoder, line):
    with pytest.raises(ModelError, match=line) as caught:
        build_model(architecture, encoder, channels=2)
    assert "\n" not in str(caught.value)


def test_weights_that_cannot_be_fetched_are_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ModelError, match=r"weights 'imagenet' of encoder resnet18 could not be fetched .*HF_HOME"
    ) as caught:
        build_model("Unet", "resnet18", channels=2, encoder_weights="imagenet")
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="Wrong pretrained weights `moon`"):
        build_model("Unet", "resnet18", channels=2, encoder_weights="moon")


def test_the_old_spelling_of_timm_encoders_still_works():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_model("Unet", "timm-mobilenetv3_small_minimal_100", channels=1)


# Files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """A saved softmax network, with values in every tensor that no fresh one has."""
    spec = EXCLUSIVE[1]
    network = build_model("Unet", LIGHT.encoder, channels=3).to(memory_format=torch.channels_last).train()
    with torch.no_grad():
        network(torch.rand(2, 3, 64, 64))  # moves the running means
    folder = tmp_path / "head=softmax"
    return network.eval(), folder, save(network, spec, folder)


def test_a_saved_network_comes_back_to_the_bit(saved, monkeypatch):
    network, folder, written = saved
    monkeypatch.setattr(socket, "socket", None)  # no file may come from elsewhere
    loaded, head = load_model(folder)
    assert head == written
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "head.json", "model.safetensors"]
    assert not loaded.training
    values, expected = loaded.state_dict(), network.state_dict()
    assert values.keys() == expected.keys()
    assert all(torch.equal(values[name], expected[name]) for name in expected)
    images = torch.rand(1, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), network(images))
    assert (head.size, head.crop, head.seed, head.best_epoch, head.best_score) == ((64, 32), None, 3, 7, 0.75)
    assert head.normalisation == NORMALISATION


def test_smp_itself_reads_what_is_saved(saved):
    network, folder, _ = saved
    images = torch.rand(1, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(smp.from_pretrained(folder).eval()(images), network(images))


def test_a_saved_network_never_asks_for_its_encoders_weights_again(tmp_path):
    network = build_model("Unet", LIGHT.encoder, channels=3)
    network.config["encoder_weights"] = "imagenet"  # as if it had begun with them
    save(network, EXCLUSIVE[0], tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["encoder_weights"] is None


@pytest.mark.parametrize("name", ["head.json", "config.json", "model.safetensors"])
def test_a_missing_file_is_named(saved, name):
    _, folder, _ = saved
    (folder / name).unlink()
    with pytest.raises(ModelError, match=rf"{name} is missing; a saved model is config.json, model.safetensors"):
        load_model(folder)


@pytest.mark.parametrize(
    ("name", "damage", "line"),
    [
        ("head.json", lambda b: b[:50], r"head.json cannot be read"),
        ("head.json", lambda b: b"[1]", r"head.json must hold an object, got list"),
        ("head.json", lambda b: b.replace(b'"std"', b'"sdt"'), r"head.json: std: Field required; save the model again"),
        (
            "head.json",
            lambda b: b.replace(b'"head": "softmax"', b'"head": "tanh"'),
            r"head.json: spec.head: Input should",
        ),
        ("head.json", lambda b: b.replace(b'"Unet"', b'"FPN"'), r"damaged or of another network|cannot be built"),
        ("config.json", lambda b: b"\xff\xfe\x00", r"config.json cannot be read"),
        ("config.json", lambda b: b.replace(b'"classes": 3', b'"classes": 4'), r"has 4 channels .* head.json needs 3"),
        ("config.json", lambda b: b.replace(b"256", b"128"), r"damaged or of another network"),
        ("config.json", lambda b: b.replace(b'"in_channels"', b'"out_channels"'), r"cannot be built"),
        ("model.safetensors", lambda b: b[: len(b) // 2], r"model.safetensors is damaged or of another network"),
        ("model.safetensors", lambda b: b"", r"model.safetensors is damaged"),
        ("model.safetensors", lambda b: b"\xff" * 64, r"model.safetensors is damaged"),
    ],
)
def test_damage_is_one_clear_line_without_checksums_too(saved, name, damage, line):
    _, folder, _ = saved
    forget_checksums(folder)
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match=line) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def forget_checksums(folder):
    """As files were saved before they had checksums."""
    path = folder / "head.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in values.items() if name not in ("sha256", "checksum")}))


@pytest.mark.parametrize("name", ["head.json", "config.json", "model.safetensors"])
def test_one_flipped_bit_of_a_saved_network_is_named(saved, name):
    _, folder, _ = saved
    path = folder / name
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(whole), 12):
        content = bytearray(whole)
        content[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        with pytest.raises(ModelError, match=name) as caught:
            load_model(folder)
        assert "\n" not in str(caught.value)
    path.write_bytes(whole)
    load_model(folder)


def test_networks_saved_before_there_were_checksums_open(saved):
    _, folder, head = saved
    forget_checksums(folder)
    assert load_model(folder)[1] == head.model_copy(update={"sha256": None, "checksum": None})


def test_a_pickle_is_not_read_as_weights(saved):
    network, folder, _ = saved
    forget_checksums(folder)
    (folder / "model.safetensors").unlink()
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"model.safetensors is missing"):
        load_model(folder)
    torch.save(network.state_dict(), folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"model.safetensors is damaged"):
        load_model(folder)


# Pairs -----------------------------------------------------------------------------------------------------------


def test_a_run_gives_its_pairs_by_seed_and_a_pair_folder_the_same(tmp_path):
    for seed in (10, 2):
        save_pair(tmp_path / "models" / f"seed={seed}", OVERLAPPING, seed=seed)
    pairs = load_pair(tmp_path, kind="overlapping", classes=("a", "b"))
    assert list(pairs) == [2, 10]
    assert set(pairs[2]) == {"sigmoid", "softmax", "softmax-powerset"}
    assert pairs[10]["softmax"][1].spec == OVERLAPPING[1]
    alone = load_pair(tmp_path / "models" / "seed=2", kind="overlapping", classes=("a", "b"))
    assert list(alone) == [2]
    for head in pairs[2]:
        a, b = pairs[2][head][0].state_dict(), alone[2][head][0].state_dict()
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_pair_must_fit_the_data_set_by_kind_names_and_order(tmp_path):
    save_pair(tmp_path, EXCLUSIVE)
    load_pair(tmp_path, kind="exclusive", classes=["a", "b", "c"])
    for kind, classes in (("overlapping", "abc"), ("exclusive", "ab"), ("exclusive", "abd"), ("exclusive", "cba")):
        with pytest.raises(ModelError, match=rf"trained on exclusive classes a, b, c, the data set has {kind} classes"):
            load_pair(tmp_path, kind=kind, classes=tuple(classes))


def test_half_a_pair_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(ModelError, match="needs a folder head=sigmoid and a folder head=softmax"):
        load_pair(tmp_path, kind="binary", classes=("a",))
    save_pair(tmp_path, BINARY)
    shutil.rmtree(tmp_path / "head=softmax")
    with pytest.raises(ModelError, match="needs a folder head=sigmoid and a folder head=softmax"):
        load_pair(tmp_path, kind="binary", classes=("a",))


def test_one_seed_twice_is_refused(tmp_path):
    save_pair(tmp_path / "models" / "seed=1", BINARY, seed=1)
    shutil.copytree(tmp_path / "models" / "seed=1", tmp_path / "models" / "seed=2")
    with pytest.raises(ModelError, match=r"seed=2 holds seeds \[1\], already read \[1\]; keep one pair a seed"):
        load_pair(tmp_path, kind="binary", classes=("a",))


def test_weights_are_kept_in_float32(saved):
    _, folder, _ = saved
    loaded, _ = load_model(folder)
    kinds = {value.dtype for value in loaded.state_dict().values()}
    assert kinds == {torch.float32, torch.int64}
    assert all(np.isfinite(value.numpy()).all() for value in loaded.state_dict().values())
