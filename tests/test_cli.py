import json
import os
import re
import signal
import subprocess
import sys
import time

import make_dataset
import pytest
from asking import call
from places import REPO

from pipelines import cli
from pipelines.errors import ConfigError
from pipelines.options import parse
from pipelines.store.runs import Run, list_runs

SMALL = ["--encoder", "tu-mobilenetv3_small_050", "--size", "32x32", "--replicates", "100", "--epochs", "1"]


# Bad input: one line, exit 2, no traceback -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "nowhere"], "is not a folder"),
        (["check", "benchmarks"], "in no known format"),
        (["run", "sample_data/cells", "--size", "big"], "--size must be HxW"),
        (["run", "sample_data/cells", "--seeds", "a,b"], "--seeds must be whole numbers"),
        (["run", "sample_data/cells", "--seeds", "1,1"], "seeds must differ"),
        (["run", "sample_data/cells", "--lr", "fast"], "--lr must be a number"),
        (["run", "sample_data/cells", "--splits", "dev"], "splits"),
        (["run", "sample_data/cells", "--epochs", "0"], "epochs"),
        (["run", "sample_data/cells", "--encoder", "resnet19"], "did you mean resnet18"),
        (["run", "sample_data/cells", "--name", "../x"], "a run's name is"),
        (["run", "sample_data/cells", "--name", "x", "--resume"], "nothing to resume"),
        (["run", "sample_data/cells", "--models", "benchmarks"], "head=sigmoid"),
        (["verdict", "nothing"], "there is no run nothing"),
        (["evaluate", "nothing"], "nothing to resume"),
        (["verify", "nothing"], "there is no run nothing"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_2(arguments, said, tmp_path):
    done = call(*arguments, *([] if arguments[0] == "check" else ["--runs", tmp_path]))
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last
    assert list_runs(tmp_path) == []


def test_bad_input_shows_no_traceback_in_a_process_of_its_own():
    command = [sys.executable, "-m", "pipelines", "run", "nowhere"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.match(r"error: .*nowhere is not a folder; give the folder of a data set", done.stderr)
    assert done.stderr.count("\n") == 1


def test_sizes_seeds_and_rates_are_parsed():
    def training(*words):
        return parse(["run", "x", *words])[0].training

    assert training("--size", "256x320").size == (256, 320)
    assert training("--size", "256×320").size == (256, 320)
    assert training().size is None
    assert training("--seeds", "0,1,2").seeds == (0, 1, 2)
    assert (training("--lr", "0.01").learning_rate, training("--lr", "0.01").learning_rates) == (0.01, {})
    both = {"sigmoid": 0.002, "softmax": 0.003, "softmax-powerset": 0.003}
    for text in ("sigmoid=0.002,softmax=0.003", "softmax=0.003,sigmoid=0.002"):
        assert training("--lr", text).learning_rates == both
        assert training("--lr", text).learning_rate == 0.001
    own = training("--lr", "softmax-powerset=0.1,softmax=0.2").learning_rates
    assert own == {"softmax-powerset": 0.1, "softmax": 0.2}
    with pytest.raises(ConfigError):
        training("--lr", "sigmoid=")


@pytest.mark.parametrize("command", ["--help", "list", "jobs"])
def test_help_and_lists_come_without_the_libraries_that_compute(command, real_runs):
    script = (
        f"import sys; sys.argv = ['x', '{command}']\nfrom pipelines.cli import main\ntry: main()\n"
        "finally: print({'pandas', 'pyarrow', 'numba', 'torch', 'numpy', 'streamlit'} & set(sys.modules))"
    )
    surroundings = os.environ | {"PIPELINES_RUNS": str(real_runs)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True, check=False, env=surroundings
    )
    assert done.stdout.splitlines()[-1] == "set()", done.stdout + done.stderr


def test_every_command_is_on_the_page_and_every_option_explains_itself():
    text = (REPO / "docs" / "command-line.md").read_text()
    for name, command in __import__("typer").main.get_command(cli.app).commands.items():
        assert re.search(rf"(`|python -m pipelines ){name}\b", text), name
        for parameter in command.make_context(name, [], resilient_parsing=True).command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert len(parameter.help or "") > 10, (name, parameter.opts)


# A real run --------------------------------------------------------------------------------------------------------


def test_check_says_what_the_truth_alone_says_and_gives_json():
    done = call("check", "sample_data/cells")
    assert done.returncode == 0
    assert "nucleus lies inside cell" in done.stdout
    assert "can reach" in done.stdout
    report = json.loads(call("check", "sample_data/cells", "--json").stdout)
    assert report["kind"] == "overlapping"
    assert 0 < report["overlap_share"] < 1


def test_verdict_list_and_verify_of_a_real_run(real_runs):
    shown = call("verdict", "cells", "--runs", real_runs)
    assert shown.returncode == 0
    stored = Run(real_runs / "cells").verdict
    assert stored["headline"] in shown.stdout
    assert json.loads(call("verdict", "cells", "--json", "--runs", real_runs).stdout) == stored
    wide = call("verdict", "vessels", "--margin", "0.9", "--json", "--runs", real_runs)
    assert json.loads(wide.stdout)["answer"] == "no practical difference"
    listed = call("list", "--runs", real_runs).stdout
    assert {line.split()[0] for line in listed.splitlines()} == {"cells", "landcover", "vessels"}
    assert "is whole" in call("verify", "cells", "--runs", real_runs).stdout


def test_saved_networks_give_the_same_numbers_as_the_run_they_come_from(real_runs, tmp_path):
    done = call(
        "run", "sample_data/vessels", "--runs", tmp_path, "--name", "again", "--models", real_runs / "vessels",
        "--replicates", "100",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    old, new = Run(real_runs / "vessels"), Run(tmp_path / "again")
    keys = ["head", "seed", "split", "variant", "region", "class", "metric"]
    joined = old.metrics().merge(new.metrics(), on=keys, validate="one_to_one")
    assert len(joined) == len(old.metrics())
    both = joined[["value_x", "value_y"]].dropna()
    assert (both["value_x"] - both["value_y"]).abs().max() < 1e-9
    assert new.training() is None
    source = json.loads((new.folder / "models_from.json").read_text())
    assert source["run"]["checksum"] == old.checksum
    assert source["folder"] == str(real_runs / "vessels" / "models")


def test_another_size_than_the_networks_had_is_refused(real_runs, tmp_path):
    models = ["--models", real_runs / "vessels", "--size", "32x32"]
    done = call("run", "sample_data/vessels", "--runs", tmp_path, *models)
    assert done.returncode == 2
    assert "trained at 64x64" in done.stderr


def test_a_recount_with_evaluate_keeps_the_values_and_the_run_whole(real_runs, tmp_path):
    import shutil

    shutil.copytree(real_runs / "vessels", tmp_path / "vessels")
    before = Run(tmp_path / "vessels").metrics()
    assert call("evaluate", "vessels", "--runs", tmp_path).returncode == 0
    after = Run(tmp_path / "vessels")
    assert after.verify() == []
    assert after.metrics()["value"].equals(before["value"])


# Stop and go on ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set so small that the time goes to the starts and stops, which are what is tested."""
    return make_dataset.exclusive(tmp_path_factory.mktemp("data") / "tiny")


def wait_for(condition, *, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def test_ctrl_c_leaves_a_resumable_run_and_resume_completes_it(data, tmp_path):
    arguments = ["run", data, "--runs", tmp_path, "--name", "stopped", *SMALL, "--epochs", "6"]
    record = tmp_path / ".jobs" / "1" / "1" / "progress.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", *map(str, arguments)],
        cwd=REPO, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: record.exists() and re.search(r'"stage": "train seed 0", "done": [1-9]', record.read_text()))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "--resume" in said
    assert list_runs(tmp_path) == []
    other = call(*arguments[:-1], "7", "--resume")  # not the settings it was begun with
    assert other.returncode == 2
    assert "other settings" in other.stderr
    done = call(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert Run(tmp_path / "stopped").verify() == []
    assert Run(tmp_path / "stopped").training()["epoch"].max() == 6


# Another system -----------------------------------------------------------------------------------------------------

WITHOUT_POSIX = """
import ast, builtins, pathlib, sys
known = builtins.__import__
def hiding(name, globals=None, *rest):
    if name in ("fcntl", "resource") and str((globals or {}).get("__name__")).startswith(("pipelines", "dashboard")):
        raise ModuleNotFoundError(name)
    return known(name, globals, *rest)
builtins.__import__ = hiding
import pipelines.cli, pipelines.execute, pipelines.imports.trial, pipelines.sandbox, pipelines.worker
for page in [pathlib.Path("dashboard/app.py"), *pathlib.Path("dashboard/app_pages").glob("*.py")]:
    for node in ast.parse(page.read_text()).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(ast.unparse(node))
print(pipelines.sandbox.resource, pipelines.locks.fcntl)
sys.argv = ["x", "--help"]
pipelines.cli.main()
"""


def test_command_line_and_pages_import_where_there_are_no_locks_and_limits_of_posix():
    """Windows has neither fcntl nor resource: they are hidden from our modules (psutil needs its own on Linux)."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_POSIX], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("None None")
    assert "Commands:" in done.stdout
