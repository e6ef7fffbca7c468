"""Broken and hostile models: each costs at most its own process, and gives one line that says what to do.

Mutated files, with FUZZ=1: 2,000 ONNX files and 250 folders of save_pretrained are opened and run, 2,000 recognised.
"""

import contextlib
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
import torch
from fuzzing import trials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_files import Net, export, graph, save_smp
from onnx import TensorProto, helper
from places import REPO
from safetensors.torch import load_file, save_file
from synthetic import write_dataset
from test_import_models import call, refused
from test_import_models import given as inputs

from pipelines import sandbox
from pipelines.errors import ModelError
from pipelines.imports.models import process as process_module
from pipelines.imports.models.opening import Networks, inspect_model, recognise
from pipelines.imports.models.process import Limits, ModelProcess, OpenRequest
from pipelines.sandbox import resident_bytes

SIZE = (20, 28)
SMALL = Limits(memory=2**28, seconds=10, opening=60, threads=1)
IMAGE = np.zeros((*SIZE, 3), np.float32)
ANY = (TensorProto.FLOAT, (None, None, None, None))


def told(error):
    """The line of a ModelError, which must be one, with a code and what to do."""
    line = str(error.value if hasattr(error, "value") else error)
    assert line.startswith("MODEL-")
    assert "\n" not in line
    assert line.isprintable()
    assert ";" in line, line
    assert len(line) < 1500
    return line


def opening(path, process=None):
    """The line that opening a model, and running it once, is refused with. process: None for a new one, for ONNX."""
    if process is None:
        with ModelProcess("onnx", Path(path).name, limits=SMALL) as fresh:
            return opening(path, fresh)
    with pytest.raises(ModelError) as error:
        Networks(process, OpenRequest(path="")).outputs(path, IMAGE, inputs())
    return told(error)


# Files that are damaged, or not what their name says ---------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """One sound ONNX file and one sound folder of save_pretrained."""
    place = tmp_path_factory.mktemp("sound")
    export(Net(2), place / "net.onnx", free=True)
    save_smp(place / "smp", classes=2)
    return place


@pytest.mark.parametrize("part", [0, 1, 10, 0.5, 0.99])
def test_a_truncated_onnx_is_one_line(part, sound, tmp_path, onnx_process):
    whole = (sound / "net.onnx").read_bytes()
    cut = whole[: part if isinstance(part, int) else int(len(whole) * part)]
    (tmp_path / "net.onnx").write_bytes(cut)
    line = opening(tmp_path / "net.onnx", onnx_process())
    assert line.startswith(("MODEL-FILE: model: ", "MODEL-INPUT: model: "))


@pytest.mark.parametrize(
    "content", [b"not a model", b"\x00" * 1000, b"\xff" * 1000, pickle.dumps({"a": 1}), b"\x0a" * 10_000, "é☃".encode()]
)
def test_a_malformed_protobuf_is_one_line(content, tmp_path, onnx_process):
    (tmp_path / "net.onnx").write_bytes(content)
    assert " model" in opening(tmp_path / "net.onnx", onnx_process())


@pytest.mark.parametrize("part", [0, 4, 200, 0.5, 0.999])
def test_truncated_safetensors_are_one_line(part, sound, tmp_path, smp_process):
    (tmp_path / "config.json").write_bytes((sound / "smp/config.json").read_bytes())
    whole = (sound / "smp/model.safetensors").read_bytes()
    cut = whole[: part if isinstance(part, int) else int(len(whole) * part)]
    (tmp_path / "model.safetensors").write_bytes(cut)
    assert "model.safetensors is damaged" in opening(tmp_path, smp_process())


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ("[" * 100_000, "config.json cannot be read"),
        ("[]", "must hold an object"),
        ("{", "config.json cannot be read"),
        (" " * (2**20 + 1), "more than 1,048,576 bytes"),
        ({"_model_class": "Popen"}, "Popen"),
        ({"_model_class": None}, "names the network 'None'"),
        ({"encoder_name": "../../etc"}, "which segmentation-models-pytorch does not have"),
        ({"encoder_name": "tu-hf_hub:somebody/model"}, "which segmentation-models-pytorch does not have"),
        ({"encoder_name": 7}, "which segmentation-models-pytorch does not have"),
        ({"activation": "__import__('os')"}, "has the activation"),
        ({"activation": ["sigmoid"]}, "has the activation"),
        ({"classes": 5}, "of another network than config.json says"),
        ({"classes": 10**9}, "MODEL-"),
        ({"decoder_channels": "many"}, "MODEL-"),
        ({"decoder_channels": [10**6] * 5}, "MODEL-"),
        ({"in_channels": 4}, "of another network"),
        ({"surprise": 1}, "MODEL-"),
    ],
)
def test_a_config_that_lies_is_one_line(change, wanted, sound, tmp_path, smp_process):
    text = (sound / "smp/config.json").read_text()
    text = json.dumps(json.loads(text) | change) if isinstance(change, dict) else change
    (tmp_path / "config.json").write_text(text)
    os.symlink(sound / "smp/model.safetensors", tmp_path / "model.safetensors")
    with pytest.raises(ModelError) as error:
        Networks(smp_process(), OpenRequest(path="")).open(tmp_path)
    assert wanted in told(error)


def test_weights_of_another_network_or_none_are_one_line(sound, tmp_path, smp_process):
    (tmp_path / "config.json").write_bytes((sound / "smp/config.json").read_bytes())
    torch.save(load_file(sound / "smp/model.safetensors"), tmp_path / "pytorch_model.bin")
    assert "model.safetensors is missing" in opening(tmp_path, smp_process())
    weights = load_file(sound / "smp/model.safetensors")
    weights.pop(next(name for name in weights if name.endswith(".weight")))
    save_file(weights, tmp_path / "model.safetensors")
    assert "of another network" in opening(tmp_path, smp_process())


def test_what_is_no_model_is_refused_before_any_process_starts(sound, tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox.subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    (tmp_path / "notes.txt").write_text("no model")
    (tmp_path / "weights.safetensors").write_bytes((sound / "smp/model.safetensors").read_bytes())
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text("{}")
    (tmp_path / "run/manifest.json").write_text("{}")
    for name, wanted in (
        ("notes.txt", "is no model of a known kind; known are "), ("weights.safetensors", "weights without a network"),
        ("empty", "is no model of a known kind"), ("run", "a run that holds no networks"), ("none", "there is no "),
        ("x" * 300, "MODEL-FILE"), ("a\0b", "MODEL-FILE"), ("line\nbreak.onnx", "there is no "),
    ):  # fmt: skip
        with pytest.raises(ModelError) as error:
            inspect_model(tmp_path / name)
        assert wanted in told(error)


# Weights elsewhere -------------------------------------------------------------------------------------------------


def test_the_exporters_own_external_data_are_refused(tmp_path):
    path = export(Net(2), tmp_path / "net.onnx", external_data=True)
    assert (tmp_path / "net.onnx.data").exists()
    line = opening(path)
    assert line.startswith("MODEL-EXTERNAL: net.onnx: ")
    assert "external_data=False" in line


@pytest.mark.parametrize("place", ["weight", "constant", "branch", "function", "sparse", "flag"])
def test_external_data_are_found_wherever_they_hide(place, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(np.ones(2, np.float32).tobytes())
    outside = helper.make_tensor("w", TensorProto.FLOAT, [2], [0.0, 0.0])
    outside.ClearField("float_data")
    if place != "flag":
        outside.external_data.add(key="location", value="secret")
    outside.data_location = TensorProto.EXTERNAL
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    model = helper.make_model(
        helper.make_graph(
            nodes, "g", [helper.make_tensor_value_info("x", *ANY)], [helper.make_tensor_value_info("y", *ANY)]
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )  # fmt: skip
    constant = helper.make_node("Constant", [], ["w"], value=outside)
    if place in ("weight", "flag"):
        model.graph.initializer.append(outside)
    elif place == "constant":
        model.graph.node.insert(0, constant)
    elif place == "branch":
        branch = helper.make_graph([constant], "b", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, [2])])
        model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch))
    elif place == "function":
        model.functions.append(helper.make_function("own", "f", [], ["w"], [constant], []))
    else:
        model.graph.sparse_initializer.add().values.CopyFrom(outside)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert opening(tmp_path / "net.onnx").startswith("MODEL-EXTERNAL: net.onnx: tensor 'w'")


# Pickles -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trusting_process():
    with ModelProcess("state-dict", "net.pt", limits=SMALL, trust=True) as process:
        yield process


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("where", ["alone", "beside weights", "as a key"])
def test_a_hostile_pickle_is_never_executed_trusted_or_not(where, zipped, tmp_path, trusting_process):
    marker = tmp_path / "ran"
    bomb = Bomb(marker)
    content = {
        "alone": bomb,
        "beside weights": {"w": torch.zeros(2), "b": bomb},
        "as a key": {"state_dict": {"w": bomb}},
    }
    torch.save(content[where], tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match="MODEL-TRUST"):
        inspect_model(tmp_path / "net.pt")
    assert recognise(tmp_path / "net.pt", trust=True).name == "state-dict"
    what = {"architecture": "Unet", "encoder": "tu-mobilenetv3_small_050"}
    with pytest.raises(ModelError) as error:
        Networks(trusting_process, OpenRequest(path="", **what)).open(tmp_path / "net.pt")
    assert told(error).startswith("MODEL-TRUST: net.pt: the pickle holds more than tensors")
    assert not marker.exists()


def test_a_child_does_not_serve_what_runs_code_without_trust(tmp_path):
    for kind in ("torchscript", "state-dict"):
        with pytest.raises(ModelError, match="ended with status 2"):
            ModelProcess(kind, "net.pt", limits=SMALL)


# Limits ------------------------------------------------------------------------------------------------------------


def constant(name, values):
    return helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(np.asarray(values), name))


def filled(path, count):
    """A network that fills `count` floats, and adds their mean to its input."""
    nodes = [
        constant("n", np.array([count], np.int64)),
        helper.make_node("ConstantOfShape", ["n"], ["big"]),
        helper.make_node("ReduceMean", ["big"], ["m"], keepdims=0),
        helper.make_node("Add", ["x", "m"], ["y"]),
    ]
    return graph(path, nodes, {"y": ANY})


def looping(path, body, *, carried):
    """A network with a loop without end. body: nodes from "v" to "v_out"."""
    graph_body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_out"]), *body], "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []),
         helper.make_tensor_value_info("go", TensorProto.BOOL, []),
         helper.make_tensor_value_info("v", TensorProto.FLOAT, carried)],
        [helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
         helper.make_tensor_value_info("v_out", TensorProto.FLOAT, carried)],
    )  # fmt: skip
    nodes = [
        constant("often", np.array(2**62, np.int64)), constant("true", np.array(True)),
        constant("start", np.ones(4, np.float32)),
        helper.make_node("Loop", ["often", "true", "start"], ["end"], body=graph_body),
        helper.make_node("ReduceMean", ["end"], ["m"], keepdims=0), helper.make_node("Add", ["x", "m"], ["y"]),
    ]  # fmt: skip
    return graph(path, nodes, {"y": ANY})


@pytest.mark.parametrize("count", [2**28, 2**40])
def test_a_model_that_wants_more_memory_than_it_may_take_is_refused(count, tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    line = opening(filled(tmp_path / "net.onnx", count))
    assert line.startswith("MODEL-MEMORY: net.onnx needs more than the 0.25 GiB"), line
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert largest <= max(before, 2**30)  # nothing near the 1 GiB, 32 GiB and 4 TiB it asked for


def test_a_model_that_allocates_without_end_is_stopped(tmp_path):
    doubling = [helper.make_node("Concat", ["v", "v"], ["v_out"], axis=0)]
    line = opening(looping(tmp_path / "net.onnx", doubling, carried=[None]))
    assert line.startswith("MODEL-MEMORY: "), line


def test_a_model_that_loops_is_stopped_after_its_time(tmp_path):
    path = looping(tmp_path / "net.onnx", [helper.make_node("Add", ["v", "v"], ["v_out"])], carried=[4])
    with ModelProcess("onnx", "net.onnx", limits=SMALL.model_copy(update={"seconds": 1.5})) as process:
        began = time.monotonic()
        networks = Networks(process, OpenRequest(path=""))
        networks.open(path)
        with pytest.raises(ModelError) as error:
            networks.outputs(path, IMAGE, inputs())
        assert time.monotonic() - began < 8
        assert told(error).startswith("MODEL-TIME: net.onnx had not finished an image after 1.5 s and was stopped")
        assert not process.alive


def test_a_process_whose_parent_dies_ends_too(tmp_path):
    path = looping(tmp_path / "net.onnx", [helper.make_node("Add", ["v", "v"], ["v_out"])], carried=[4])
    code = f"""
        import os, sys, threading, time
        from pathlib import Path
        from pipelines.imports.models.process import ModelProcess
        from pipelines.imports.models.process import Limits, OpenRequest
        one = ModelProcess("onnx", "net.onnx", limits=Limits(seconds=2, threads=1))
        one.open(OpenRequest(path={str(path)!r}))
        import numpy as np
        threading.Thread(target=one.run, args=(np.zeros((1, 3, 20, 28), np.float32),), daemon=True).start()
        time.sleep(0.5)
        print(one.pid, flush=True)
        os._exit(0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=REPO, capture_output=True, text=True, check=True
    )
    child = psutil.Process(int(done.stdout))
    with contextlib.suppress(psutil.NoSuchProcess):
        while child.status() != psutil.STATUS_ZOMBIE:
            assert sum(child.cpu_times()[:2]) < 30, "the model's process goes on for ever"
            time.sleep(0.1)


# A process that behaves as no library should -----------------------------------------------------------------------

FAKES = {
    "crash": "import signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "abort": "os.abort()",
    "exit": "sys.exit(7)",
    "killed": "import signal; os.kill(os.getpid(), signal.SIGKILL)",
    "garbage": "os.write(0, b'<script>' * 100)",
    "long": "os.write(0, struct.pack('!i', 2**30))",
    "longer": "os.write(0, struct.pack('!iQ', -1, 2**60))",
    "huge": "pipe.send_bytes(b'{}'); os.write(0, struct.pack('!iQ', -1, 2**60))",
    "no json": "pipe.send_bytes(b'\\xff{{{'); pipe.send_bytes(b'')",
    "deep json": "pipe.send_bytes(b'[' * 10**6); pipe.send_bytes(b'')",
    "no object": "pipe.send_bytes(b'[]'); pipe.send_bytes(b'')",
    "pickle": "import pickle; pipe.send_bytes(pickle.dumps({'facts': {}})); pipe.send_bytes(b'')",
    "nonsense": "pipe.send_bytes(b'{\"facts\":1}'); pipe.send_bytes(b'')",
    "half": "os.write(0, struct.pack('!i', 100) + b'{'); time.sleep(60)",
    "silence": "time.sleep(60)",
    "orphan": "os.fork() or time.sleep(6); os._exit(7)",
    "shared": "import mmap; m = mmap.mmap(-1, 2**29); m.write(b'x' * 2**29); time.sleep(60)",
}


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        ("crash", "crashed (SIGSEGV)"),
        ("abort", "crashed (SIGABRT)"),
        ("exit", "ended with status 7"),
        ("killed", "most likely by the system because memory ran out"),
        ("garbage", "MODEL-ANSWER"),
        ("long", "MODEL-ANSWER"),
        ("longer", "MODEL-ANSWER"),
        ("huge", "MODEL-ANSWER"),
        ("no json", "MODEL-ANSWER"),
        ("deep json", "MODEL-ANSWER"),
        ("no object", "MODEL-ANSWER"),
        ("pickle", "MODEL-ANSWER"),
        ("nonsense", "MODEL-ANSWER"),
        ("half", "was not open after 2 s"),
        ("silence", "was not open after 2 s"),
        ("orphan", "was not open after 2 s"),  # a child of the process keeps its end of the pipe
        ("shared", "MODEL-MEMORY"),
    ],
)
def test_whatever_a_models_process_does_is_one_line(what, wanted, monkeypatch):
    code = (
        "import os, struct, sys, time\n"
        "from multiprocessing.connection import Connection\n"
        "pipe = Connection(0)\n"
        "pipe.recv_bytes(), pipe.recv_bytes()\n"
        "pipe.send_bytes(b'{\"ready\": true}'), pipe.send_bytes(b'')\n"
        "pipe.recv_bytes(), pipe.recv_bytes()\n"  # the request
        f"{FAKES[what]}\n"
    )
    monkeypatch.setattr(process_module, "_CODE", code)
    limits = SMALL.model_copy(update={"opening": 2.0 if "2 s" in wanted else 30.0})
    began = time.monotonic()
    with ModelProcess("onnx", "net.onnx", limits=limits) as process:
        with pytest.raises(ModelError) as error:
            process.open(OpenRequest(path="net.onnx"))
        assert wanted in told(error)
        assert not process.alive
        with pytest.raises(ModelError):
            process.open(OpenRequest(path="net.onnx"))  # and stays gone
    assert time.monotonic() - began < 25


def test_a_models_process_knows_no_token_and_writes_no_large_file(tmp_path, monkeypatch):
    code = """
        import json, os
        from pipelines.sandbox import stay_modest
        def answer(question, _):
            stay_modest(2**16)
            try:
                with open(os.path.join(os.environ["TMPDIR"], "large"), "wb") as file:
                    file.write(bytes(10**6))
                wrote = "all of it"
            except OSError as error:
                wrote = error.strerror
            return {"error": "missing", "message": json.dumps([sorted(os.environ), wrote, os.getcwd()])}, b""
        serve(answer)
    """
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(process_module, "_CODE", textwrap.dedent(code))
    monkeypatch.setattr(ModelProcess, "_missing", lambda self, message: message)
    with pytest.raises(ModelError) as error:
        ModelProcess("onnx", "net.onnx", limits=SMALL)
    names, wrote, where = json.loads(str(error.value))
    assert {name for name in names if "TOKEN" in name or "SECRET" in name or "PROXY" in name} == set()
    assert "PYTHONSTARTUP" not in names
    assert "HF_HUB_OFFLINE" in names
    assert (wrote, where) == ("File too large", "/")


def test_resident_memory_is_that_of_anonymous_and_shared_pages():
    assert 10**6 < resident_bytes(os.getpid()) <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert resident_bytes(2**22 + 1) is None


# Models that open, and are not what is wanted ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"kind": TensorProto.INT64}, "the network takes x tensor(int64)"),
        ({"kind": TensorProto.STRING}, "the network takes x tensor(string)"),
        ({"inputs": (1, 3, 20)}, "wanted is one input of four axes"),
        ({"inputs": ()}, "wanted is one input of four axes"),
    ],
)
def test_inputs_that_are_no_image_are_refused(options, wanted, tmp_path):
    kind = options.get("kind", TensorProto.FLOAT)
    node = helper.make_node("Identity", ["x"], ["y"])
    path = graph(tmp_path / "net.onnx", [node], {"y": (kind, options.get("inputs", (1, 3, None, None)))}, **options)
    assert wanted in opening(path)


def test_values_that_are_no_numbers_refuse_the_import(tmp_path):
    data = write_dataset(tmp_path / "data", kind="binary", classes=("thing",), images=2, size=SIZE)
    nodes = [helper.make_node("ReduceMean", ["x"], ["m"], axes=[1]), helper.make_node("Log", ["m"], ["y"])]
    path = graph(tmp_path / "net.onnx", nodes, {"y": ANY})
    words = (
        "one",
        "--dataset",
        data,
        "--runs",
        tmp_path / "runs",
        "--sigmoid",
        path,
        "--output",
        "logits",
        "--threads",
        1,
    )
    line = refused(call(*words, "--mean", "0.5", "--std", "0.1"))  # logarithms of negative numbers
    assert "NOT-FINITE: sigmoid: " in line
    assert line.endswith("Nothing was stored")
    assert not (tmp_path / "runs/one").exists()


def test_a_model_that_fails_on_an_image_names_it(tmp_path):
    data = write_dataset(tmp_path / "data", kind="binary", classes=("thing",), images=2, size=SIZE)
    nodes = [constant("n", np.array([1, 1, 7, 13], np.int64)), helper.make_node("Reshape", ["x", "n"], ["y"])]
    path = graph(tmp_path / "net.onnx", nodes, {"y": ANY})
    words = (
        "one",
        "--dataset",
        data,
        "--runs",
        tmp_path / "runs",
        "--sigmoid",
        path,
        "--output",
        "logits",
        "--threads",
        1,
    )
    assert refused(call(*words, "--normalisation", "0-1")).startswith(
        "MODEL-FILE: net.onnx: the network cannot be run on"
    )


# Generated -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smp_process():
    """Gives the one process for folders of save_pretrained, a new one where a model ended the last."""
    yield from _renewed("smp", Limits(memory=2**29, seconds=20, opening=60, threads=1))


@pytest.fixture(scope="module")
def onnx_process():
    yield from _renewed("onnx", Limits(memory=2**29, seconds=5, opening=10, threads=1))


def _renewed(kind, limits):
    kept = []

    def current():
        if not kept or not kept[-1].alive:
            kept.append(ModelProcess(kind, "model", limits=limits))
        return kept[-1]

    yield current
    for process in kept:
        process.close()


@st.composite
def changes(draw):
    """Edits of bytes: at a fraction of the length, take out some, put in others."""
    edit = st.tuples(
        st.floats(0, 1), st.integers(0, 12) | st.sampled_from([100, 10**6]), st.binary(max_size=12)
    )  # fmt: skip
    return draw(st.lists(edit, min_size=1, max_size=4))


def changed(content, edits):
    for place, out, put in edits:
        at = int(place * len(content))
        content = content[:at] + put + content[at + out :]
    return content


def outcome(process, path):
    """Opens and runs what lies there: None if it can be, else the line it is refused with."""
    try:
        Networks(process, OpenRequest(path="")).outputs(path, np.zeros((32, 32, 3), np.float32), inputs())
    except ModelError as error:
        return told(error)
    return None


FUZZ = {"deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


def test_mutated_onnx_is_opened_or_refused_in_one_line(sound, onnx_process, tmp_path):
    path, whole, seen = tmp_path / "net.onnx", (sound / "net.onnx").read_bytes(), []

    @settings(max_examples=trials(2000, 100), **FUZZ)
    @given(changes())
    def each(edits):
        path.write_bytes(changed(whole, edits))
        seen.append(outcome(onnx_process(), path))

    each()
    codes = {line.partition(":")[0] for line in seen if line}
    assert len(seen) >= trials(2000, 100)
    assert "MODEL-FILE" in codes
    assert sorted(one.name for one in tmp_path.iterdir()) == ["net.onnx"]
    assert sum("MODEL-DIED" in (line or "") for line in seen) <= max(1, len(seen) / 100)


def test_mutated_save_pretrained_is_opened_or_refused_in_one_line(sound, smp_process, tmp_path):
    parts = {name: (sound / "smp" / name).read_bytes() for name in ("config.json", "model.safetensors")}
    header = int.from_bytes(parts["model.safetensors"][:8], "little") + 8
    seen = []

    @settings(max_examples=trials(250), **FUZZ)
    @given(changes(), st.sampled_from(["config.json", "header", "model.safetensors"]))
    def each(edits, what):
        now = dict(parts)
        if what == "header":  # where nearly every byte counts
            whole = now["model.safetensors"]
            now["model.safetensors"] = changed(whole[:header], edits) + whole[header:]
        else:
            now[what] = changed(now[what], edits)
        for name, content in now.items():
            (tmp_path / name).write_bytes(content)
        seen.append(outcome(smp_process(), tmp_path))

    each()
    assert len(seen) >= trials(250)
    assert any(line and line.startswith("MODEL-FILE") for line in seen)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_whatever_a_file_holds_it_is_recognised_or_refused_in_one_line(tmp_path):
    seen = []

    @settings(max_examples=trials(2000), **FUZZ)
    @given(
        st.binary(max_size=200) | st.sampled_from([b"PK\x03\x04", b"\x80\x02", b""]).flatmap(
            lambda start: st.binary(max_size=100).map(lambda rest: start + rest)
        ),
        st.sampled_from([".onnx", ".pt", ".pth", ".safetensors", ".zip", "", ".txt"]), st.booleans(),
    )  # fmt: skip
    def each(content, suffix, trust):
        path = tmp_path / f"model{suffix}"
        path.write_bytes(content)
        try:
            kind = recognise(path, trust=trust)
            seen.append(kind.name)
            assert trust or not kind.runs_code
        except ModelError as error:
            seen.append(told(error).partition(":")[0])
        path.unlink()

    each()
    assert {"onnx", "state-dict", "MODEL-TRUST", "MODEL-KIND"} <= set(seen)
    assert len(seen) >= trials(2000)


def test_mutated_metadata_of_onnx_never_become_more_than_settings(onnx_process, tmp_path):
    path = tmp_path / "net.onnx"
    node = helper.make_node("Identity", ["x"], ["y"])
    keys = [
        "mean",
        "std",
        "scale",
        "order",
        "layout",
        "size",
        "multiple",
        "head",
        "values",
        "classes",
        "background",
        "x",
    ]

    @settings(max_examples=trials(300), **FUZZ)
    @given(st.dictionaries(st.sampled_from(keys), st.text(max_size=30), min_size=1, max_size=4))
    def each(props):
        named = {f"segmentation.{key}": value for key, value in props.items()}
        graph(path, [node], {"y": ANY}, props={k: v.encode("utf-8", "replace").decode() for k, v in named.items()})
        line = outcome(onnx_process(), path)
        assert line is None or line.startswith("MODEL-METADATA: ")
        assert line is not None or "x" not in props

    each()


def test_signals_meant_for_the_command_do_not_reach_the_model():
    with ModelProcess("onnx", "net.onnx", limits=SMALL) as process:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(process.pid, number)
        time.sleep(0.3)
        assert process.alive
    assert not process.alive
