"""Jobs in processes of their own: their order, their ends, what is left when they are killed, what is told of them."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import make_dataset
import pytest
from asking import call, start
from places import REPO

from pipelines import job_queue, jobs
from pipelines.errors import ConfigError, RunError
from pipelines.jobs.job import end, total_left
from pipelines.jobs.needs import estimate_of, needed_bytes
from pipelines.options import parse
from pipelines.requests import REQUESTS, CheckRequest, RunRequest, read_request
from pipelines.store.manage import staged_attempts
from pipelines.store.runs import Run, list_runs

SMALL = ["--encoder", "tu-mobilenetv3_small_050", "--replicates", "100", "--threads", "1"]
LONG = [*SMALL, "--epochs", "2000"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_dataset.exclusive(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A runs folder; what still runs in it at the end of a test is stopped."""
    monkeypatch.delenv("PIPELINES_JOBS", raising=False)
    folder = tmp_path / "runs"
    folder.mkdir()
    yield folder
    for job in jobs.list_jobs(folder):
        kill(job)


def kill(job):
    who = None if job.attempt is None else job_queue.holder(job.attempt)
    if who is not None and job.alive():
        os.kill(who[1], signal.SIGKILL)
        wait_for(lambda: not job.alive())


def wait_for(condition, *, seconds=120):
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def ended(job):
    wait_for(lambda: job.state() in jobs.ENDED)
    return job.state()


# In line -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def taken(runs, monkeypatch):
    """The only place to work, taken by the test until it closes it; what is started waits."""
    monkeypatch.setenv("PIPELINES_JOBS", "1")
    (runs / job_queue.JOBS).mkdir()
    place = job_queue.free_place(runs / job_queue.JOBS, 1)
    assert place is not None
    yield place
    place.close()


def test_jobs_have_their_turn_one_after_another_in_the_order_they_were_asked_for(data, runs, taken):
    first, second, third = (start(["check", str(data)], runs) for _ in range(3))
    wait_for(lambda: [job.status().place for job in (first, second, third)] == [1, 2, 3])
    assert [job.state() for job in (first, second, third)] == ["queued"] * 3
    second.cancel()
    assert ended(second) == "cancelled"
    assert third.status().place == 2
    assert not (first.attempt / job_queue.BEGAN).exists(), "one place, and it is taken"
    taken.close()
    assert [ended(job) for job in (first, third)] == ["done", "done"]
    began = [(job.attempt / job_queue.BEGAN).stat().st_mtime for job in (first, third)]
    assert began == sorted(began)
    assert not (second.attempt / job_queue.BEGAN).exists()


def test_as_many_run_at_once_as_there_are_places(data, runs, monkeypatch):
    monkeypatch.setenv("PIPELINES_JOBS", "2")
    found = [start(["run", str(data), "--name", f"r{k}", *LONG], runs) for k in range(3)]
    wait_for(lambda: sorted(job.state() for job in found) == ["queued", "running", "running"])
    aside = start(["check", str(data)], runs, waits=False)
    assert ended(aside) == "done", "what is short waits for nobody"
    assert sorted(job.state() for job in found) == ["queued", "running", "running"]


def test_a_job_killed_in_line_says_so_and_keeps_nobody_waiting(data, runs, taken):
    first, second = start(["check", str(data)], runs), start(["check", str(data)], runs)
    wait_for(lambda: second.status().place == 2 and job_queue.holder(first.attempt) is not None)
    kill(first)
    assert first.state() == "orphaned"
    assert "had not had its turn" in first.status().message
    assert second.status().place == 1
    jobs.resume(first)
    wait_for(lambda: first.status().place == 2)  # it has lost its place
    taken.close()
    assert (ended(second), ended(first)) == ("done", "done")


# How they end ------------------------------------------------------------------------------------------------------


def test_a_training_outlives_whoever_started_it_and_killed_itself_goes_on_where_it_was(data, runs):
    script = (
        "import sys; sys.path.insert(0, 'tests'); from asking import start; from pathlib import Path\n"
        "job = start(['run', sys.argv[1], '--name', 'pair', *sys.argv[3:]], Path(sys.argv[2]))\n"
        "print(job.id, flush=True); import time; time.sleep(600)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(data), str(runs), *SMALL, "--epochs", "20"], cwd=REPO, text=True,
        stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    job = jobs.find_job(runs, starter.stdout.readline().strip())
    wait_for(lambda: job_queue.holder(job.attempt) is not None)
    os.killpg(starter.pid, signal.SIGKILL)
    starter.communicate()
    wait_for(lambda: len(job.status().curves) >= 4)
    who = job_queue.holder(job.attempt)
    os.kill(who[1], signal.SIGKILL)
    wait_for(lambda: not job.alive())
    assert job.state() == "orphaned"
    assert [one.id for one in jobs.sweep(runs)] == [job.id]
    assert jobs.sweep(runs) == [], "found once"
    assert job.resumable
    reached = max(point["epoch"] for point in job.status().curves)
    assert jobs.resume(job).id == job.id
    assert ended(job) == "done", job.log()
    status = job.status()
    assert status.attempt == 2
    assert sorted(point["epoch"] for point in status.curves if point["head"] == "sigmoid") == list(range(1, 21))
    assert reached < 20
    assert Run(runs / "pair").verify() == []
    assert Run(runs / "pair").training()["epoch"].max() == 20
    shown = [path.name for path in job.example_files()]
    assert shown[0] == "seed=0-epoch=00001.parquet", "of the attempt that was killed"
    assert shown[-1] == "seed=0-epoch=00020.parquet"
    with pytest.raises(RunError, match="is done"):
        jobs.retry(job)
    job.remove()
    assert jobs.list_jobs(runs) == []
    assert [run.name for run in list_runs(runs)] == ["pair"]


def test_a_retry_begins_from_nothing_and_a_discarded_job_leaves_nothing(data, runs):
    job = start(["run", str(data), "--name", "pair", *LONG], runs)
    wait_for(lambda: staged_attempts(runs, "pair"))
    with pytest.raises(RunError, match="still at work"):
        jobs.retry(job)
    with pytest.raises(RunError, match="still at work"):
        job.remove()
    job.cancel()
    assert ended(job) == "cancelled"
    jobs.retry(job)
    wait_for(lambda: len(staged_attempts(runs, "pair")) == 2)
    assert [path.name for path in staged_attempts(runs, "pair")] == ["pair.1", "pair.2"]
    job.cancel()
    assert ended(job) == "cancelled"
    job.discard()
    assert staged_attempts(runs, "pair") == []
    assert jobs.list_jobs(runs) == []


def test_a_job_that_hears_no_request_is_killed_after_a_grace(data, runs, monkeypatch):
    job = start(["run", str(data), *LONG], runs)
    wait_for(lambda: (job.attempt / "progress.json").exists())  # from then on it stops at a safe point
    who = job_queue.holder(job.attempt)
    os.kill(who[1], signal.SIGSTOP)  # it cannot stop by itself any more
    job.cancel()
    assert job.status().state == "running"
    monkeypatch.setattr(job_queue, "GRACE_SECONDS", 0.0)
    jobs.sweep(runs)
    wait_for(lambda: not job.alive())
    assert job.state() == "cancelled"


def test_what_a_job_does_wrong_is_told_in_its_own_words(data, runs, tmp_path):
    failed = start(["run", str(tmp_path / "nowhere"), "--name", "x"], runs)
    assert ended(failed) == "failed"
    assert "is not a folder" in failed.status().message
    assert "Traceback" not in failed.log()
    with pytest.raises(ConfigError, match="--epoch"):
        start(["run", str(data), "--epoch", "3"], runs)
    refused = start(["check", str(make_dataset.exclusive(tmp_path / "few", images=4))], runs)
    assert ended(refused) == "failed"
    assert "status 2" in refused.status().message
    assert "train has no image" in refused.log()


# Starting ----------------------------------------------------------------------------------------------------------


def test_of_servers_that_start_the_same_name_at_once_one_does(data, runs):
    script = (
        "import sys; sys.path.insert(0, 'tests'); from asking import start; from pathlib import Path\n"
        "from pipelines.errors import RunError\n"
        "sys.stdin.readline()\n"
        "try: print('job', start(['run', sys.argv[1], '--name', 'same', *sys.argv[3:]], Path(sys.argv[2])).id)\n"
        "except RunError as error: print(error)"
    )
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(data), str(runs), *LONG], cwd=REPO, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    for server in servers:  # all are loaded before the first begins
        server.stdin.write("go\n")
        server.stdin.flush()
    said = sorted(server.communicate()[0].strip() for server in servers)
    assert [line.partition(" ")[0] for line in said] == ["a", "job"], said
    assert said[0].startswith("a job is making a run same already; wait for it, cancel it or choose another --name")
    assert [job.run_name for job in jobs.list_jobs(runs)] == ["same"]


def test_names_are_free_among_runs_attempts_and_jobs_and_numbers_are_not_given_again(data, runs):
    (runs / "tiny-1").mkdir()
    (runs / ".staging" / "tiny-2.1").mkdir(parents=True)
    job = start(["run", str(data), *LONG], runs)
    assert job.run_name == "tiny-3"
    other = start(["run", str(data), *LONG], runs)
    assert other.run_name == "tiny-4"
    with pytest.raises(RunError, match="there is a run tiny-1"):
        start(["run", str(data), "--name", "tiny-1"], runs)
    for one in (job, other):
        one.cancel()
        ended(one)
        one.remove()
    assert start(["check", str(data)], runs).id == "3"


def test_a_run_that_will_not_fit_on_the_disk_is_not_started(data, runs):
    huge = ["run", str(data), "--size", "16384x16384", "--seeds", ",".join(map(str, range(200)))]
    # 200 seeds × 4 images × 16384² pixels × 2 heads × 4 values × 1.7 bytes are 2.9 TB
    assert needed_bytes(parse(huge)[0]) > 2.5e12
    with pytest.raises(RunError, match=r"^DISK-FULL: .* free, and this run needs about .* Nothing was started"):
        start(huge, runs)
    assert jobs.list_jobs(runs) == []
    with pytest.raises(RunError, match="DISK-FULL"):
        start(["run", str(data), "--name", "x"], runs, needed=10**16)


def test_only_long_work_is_a_job(runs):
    with pytest.raises(ConfigError, match="a job runs one of run, sample"):
        start(["list"], runs)
    assert parse(["run", "x", "--runs", "y"])[1] == Path("y")


# Records -----------------------------------------------------------------------------------------------------------

GARBAGE = [
    b"", b"{", b"[]", b"null", b"1e999", b'{"state": 3}', b"\xff\xfe\x00", b'{"arguments": []}', b"[" * 100_000,
    b'{"stage": "train", "curves": [{"head": [], "seed": {}, "epoch": 1}]}', b'{"queued": 1e999, "waits": true}',
]  # fmt: skip


@pytest.mark.parametrize("name", ["job.json", "1/attempt.json", "1/outcome.json", "1/progress.json", "1/heartbeat"])
def test_damaged_records_are_states_never_errors(runs, name):
    for content in [*GARBAGE, None]:
        folder = runs / job_queue.JOBS / "7"
        (folder / "1" / "examples").mkdir(parents=True, exist_ok=True)
        whole = {
            "job.json": {"arguments": ["run", "x", "--name", "n"], "created": 1.0, "folder": "/"},
            "1/attempt.json": {"arguments": ["run", "x", "--name", "n"], "queued": 1},
            "1/outcome.json": {"state": "failed", "message": "so"},
            "1/progress.json": {"stage": "train seed 0", "done": 1, "total": 2},
        }
        for other, value in whole.items():
            (folder / other).write_text(json.dumps(value))
        (folder / "1" / "lock").touch()
        (folder / "1" / "heartbeat").write_text("elsewhere 1")
        for path in folder.rglob("*"):
            os.utime(path, (1, 1))
        if content is None:
            (folder / name).unlink()
            (folder / name).mkdir()  # not even a file
        else:
            (folder / name).write_bytes(content)
        job = jobs.find_job(runs, "7")
        status = job.status()
        assert status.state in jobs.ENDED, (content, status)
        assert job.log() == ""
        assert job.example_files() == []
        assert job.result() is None
        assert isinstance(job.title, str)
        assert not job.alive()
        assert [one.id for one in jobs.list_jobs(runs)] == ["7"]
        jobs.sweep(runs)
        job.cancel()
        job.remove()
        assert jobs.list_jobs(runs) == []


def test_who_comes_late_does_not_change_how_an_attempt_ended(tmp_path):
    end(tmp_path, "cancelled", "first")
    end(tmp_path, "done", "second")
    assert json.loads((tmp_path / job_queue.OUTCOME).read_text()) == {"state": "cancelled", "message": "first"}
    assert [path.name for path in tmp_path.iterdir()] == [job_queue.OUTCOME]


def test_a_job_without_a_number_or_of_another_folder_is_not_found(runs):
    for number in ("1", "../1", "", "x", "١"):
        with pytest.raises(RunError, match="there is no job"):
            jobs.find_job(runs, number)


def test_a_log_keeps_its_beginning_and_its_newest_half(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from pipelines import job_queue\n"
        "pulse = job_queue.Pulse(Path(sys.argv[1])); pulse.start()\n"
        "for k in range(60_000): print(f'line {k:08d} ' + 'x' * 40)\n"
        "sys.stdout.flush(); time.sleep(2.5); print('the end', flush=True)"
    )
    with (tmp_path / job_queue.LOG).open("ab") as log:
        subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=REPO, stdout=log, check=True)
    text = (tmp_path / job_queue.LOG).read_text()
    assert len(text) < job_queue.LOG_BYTES, "3.3 MB were written"
    assert text.startswith("line 00000000")
    assert "the middle of this log was left out" in text
    assert "line 00059999" in text
    assert text.endswith("the end\n")


def test_requests_show_the_uploads_that_they_read(tmp_path, runs):
    folder = runs / ".uploads" / ("u" * 22)
    inside = folder / "data" / "set"
    inside.mkdir(parents=True)

    def uploads_of(*words):
        place = runs / job_queue.JOBS / "1"
        place.mkdir(parents=True, exist_ok=True)
        order = {"request": parse(words)[0].model_dump(mode="json"), "created": 1.0, "folder": str(runs)}
        (place / "job.json").write_text(json.dumps(order))
        return jobs.find_job(runs, "1").upload_folders()

    assert uploads_of("run", str(inside), "--name", "x") == [folder]
    assert uploads_of("import", "n", f"--sigmoid={inside}/a", "--dataset", "sample") == [folder]
    assert uploads_of("run", f".uploads/{folder.name}/data") == [folder]
    assert uploads_of("run", "/data/set") == []


# Requests ----------------------------------------------------------------------------------------------------------

LINES = [
    ["run", "data/set", "--epochs=3", "--size=96x128", "--lr=0.002", "--no-augment", "--name=mine", "--resume"],
    ["run", "set", "--priority=a,b", "--seeds=0,1", "--lr=sigmoid=0.1,softmax=0.2,softmax-powerset=0.2"],
    ["estimate", "set", "--loss=ce+dice", "--splits=test", "--models=runs/other"],
    ["sample"],
    ["check", "set", "--size=8x16", "--reading=r.json", "--save-report=report.json", "--json"],
    ["train", "mine"],
    ["predict", "mine"],
    ["evaluate", "mine"],
    ["add-seeds", "mine", "--seeds=1,2"],
    ["export", "mine", "--out=to", "--no-csv", "--zip", "--margin=0.02"],
    ["import", "mine", "--dataset=set", "--background=none", "--sigmoid=a b", "--sigmoid-values=logits",
     "--sigmoid-classes=-a,b", "--powerset=c", "--powerset-format=arrays", "--seed=3", "--size=20x28"],
    ["import-model", "mine", "--dataset=set", "--sigmoid=a.onnx", "--sigmoid-output=logits", "--sigmoid-mean=0.5",
     "--sigmoid-std=0.25,0.25,0.5", "--softmax=owner/name", "--softmax-normalisation=-1-1", "--channels-order=BGR",
     "--trust", "--memory=2.5"],
]  # fmt: skip


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0])
def test_a_request_is_the_same_as_a_command_line_and_as_json(line):
    request, _ = parse(line)
    assert request.command_line() == line
    assert read_request(request.model_dump_json()) == request
    assert {words[0] for words in LINES} == {model.model_fields["command"].default for model in REQUESTS}


def test_no_value_of_a_request_becomes_an_option():
    for request in (RunRequest(dataset="--runs", name="--x"), CheckRequest(dataset="-x")):
        words = request.command_line()
        assert parse(words)[0].dataset == f"./{request.dataset}"
    words = parse(["import", "--name=--trust", "--dataset=d", "--softmax=--seed"])[0].command_line()
    assert words == ["import", "--name=--trust", "--dataset=d", "--softmax=--seed"]


def test_jobs_of_earlier_versions_list_show_and_go_on_or_say_why_not(runs, tmp_path):
    def old(number, arguments, state="failed"):
        folder = runs / job_queue.JOBS / str(number)
        (folder / "1").mkdir(parents=True)
        (folder / "job.json").write_text(json.dumps({"arguments": arguments, "created": 1e9, "folder": "/"}))
        attempt = {"arguments": arguments, "queued": 1, "waits": False}
        (folder / "1" / "attempt.json").write_text(json.dumps(attempt))
        (folder / "1" / "outcome.json").write_text(json.dumps({"state": state, "message": "so"}))
        return jobs.find_job(runs, str(number))

    imported = old(1, ["import", "--name=odd", f"--dataset={tmp_path / 'gone'}", "--sigmoid=x", "--splits=val"])
    assert (imported.run_name, imported.command, imported.state()) == ("odd", "import", "failed")
    assert imported.arguments[1] == "--name=odd", "as it was written"
    assert jobs.resume(imported).attempt.name == "2"
    assert ended(imported) == "failed"
    assert "is not a folder" in imported.status().message
    strange = old(2, ["run", "x", "--name", "n", "--gone-since", "3"])
    assert (strange.run_name, strange.title) == (None, "run x --name n --gone-since 3")
    assert strange.state() == "failed"
    with pytest.raises(RunError, match=r"an earlier version made it, .*--gone-since"):
        jobs.resume(strange)
    more = old(3, ["add-seeds", "pair", "--seeds", "1,2", "--name", "pair", "--resume"], state="done")
    assert (more.run_name, more.state()) == ("pair", "done")


def test_an_upload_is_in_use_while_a_job_works_on_it(runs):
    own = runs / ".uploads" / ("u" * 22)
    make_dataset.exclusive(own / "data" / "set")
    (own / ".in-use").touch()
    job = start(["run", str(own / "data" / "set"), "--name", "x", *LONG], runs)
    wait_for(lambda: job.state() == "running")

    def taken():
        with (own / ".in-use").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    wait_for(taken)
    job.cancel()
    ended(job)
    assert not taken()
    (own / ".in-use").unlink()  # deleted meanwhile
    jobs.resume(job)
    assert ended(job) == "failed"
    assert "UPLOAD-GONE" in job.status().message


# Time left ---------------------------------------------------------------------------------------------------------


def standing(stage, done, total, *, seconds, left, stages=()):
    return {"stage": stage, "done": done, "total": total, "seconds": seconds, "seconds_left": left, "stages": stages}


def test_time_left_without_an_estimate_counts_the_trainings_to_come():
    now = standing("train seed 0", 25, 100, seconds=10, left=30.0)
    # 30 s of this seed; a whole one takes 30 / 75 × 100 = 40 s, and two are to come
    assert total_left((0, 1, 2), [], now) == (110.0, True)
    assert total_left((0,), [], now) == (30.0, True)
    assert total_left((0,), [], standing("check", 0, 9, seconds=0, left=None)) == (None, True)


def test_time_left_with_an_estimate_is_corrected_by_what_was_seen():
    expected = [("check", 10.0), ("train seed 0", 100.0), ("train seed 1", 100.0), ("count val 0", 20.0)]
    now = standing("train seed 0", 50, 100, seconds=100, left=100.0, stages=[("check", 10.0)])
    # training takes 200 s and not 100: twice for seed 1 too; counting, not seen yet, by all together (210 / 110)
    left, least = total_left((0,), expected, now)
    assert left == pytest.approx(100 + 200 + 20 * 210 / 110)
    assert not least
    begun = standing("check", 0, 0, seconds=0, left=None)
    assert total_left((0,), expected, begun) == (10 + 100 + 100 + 20, False)
    slow = standing("train seed 0", 1, 100, seconds=100, left=9900.0)
    assert total_left((0,), expected, slow)[0] == pytest.approx(9900 + 4 * 100 + 4 * 20)  # bounded


def test_an_estimate_names_the_stages_of_the_run_and_bounds_its_disk(tmp_path, runs):
    data = make_dataset.overlapping(tmp_path / "tiny")
    settings = [str(data), *SMALL, "--epochs", "1", "--seeds", "3,1"]
    asked = start(["estimate", *settings], runs, waits=False)
    assert ended(asked) == "done", asked.log()
    found = estimate_of(asked)
    assert found.device == "cpu"
    assert found.steps == 1  # 8 images in one batch of 8
    assert found.parameters > 500_000
    assert "million weights" in asked.log()
    assert {path.name for path in runs.iterdir()} == {job_queue.JOBS}, "nothing stays on the disk"
    job = start(["run", *settings, "--name", "pair"], runs, stages=found.stages)
    wait_for(lambda: job.state() in jobs.ENDED or job.status().total_left is not None)
    assert ended(job) == "done", job.log()
    seen = json.loads((job.attempt / "progress.json").read_text())["stages"]
    assert [name for name, _ in seen] == [name for name, _ in found.stages]
    size = sum(path.stat().st_size for path in (runs / "pair").rglob("*") if path.is_file())
    assert size < found.needed


# In a terminal -----------------------------------------------------------------------------------------------------


def test_a_run_in_a_terminal_is_listed_can_be_cancelled_and_goes_on_as_a_job(data, runs, tmp_path, request):
    command = ["run", str(data), "--runs", str(runs), *SMALL, "--epochs", "20"]
    with (tmp_path / "said.txt").open("w") as said:
        terminal = subprocess.Popen([sys.executable, "-m", "pipelines", *command], cwd=REPO, stderr=said)
    request.addfinalizer(terminal.wait)
    request.addfinalizer(terminal.kill)
    wait_for(lambda: jobs.list_jobs(runs))
    job = jobs.find_job(runs, "1")
    wait_for(lambda: job.status().stage == "train seed 0")
    assert job.run_name == "tiny-1"
    assert "--runs" not in job.arguments
    assert job_queue.holder(job.attempt)[1] == terminal.pid
    assert "   1  running     run       tiny-1  train seed 0: " in call("jobs", "--runs", runs).stdout
    job.cancel()
    assert terminal.wait(timeout=60) == 1
    assert "--resume" in (tmp_path / "said.txt").read_text()
    assert job.state() == "cancelled"
    assert call("jobs", "resume", "1", "--runs", runs).stdout == "job 1 is in line again\n"
    assert ended(job) == "done", job.log()
    assert Run(runs / "tiny-1").training()["epoch"].max() == 20


def test_bad_input_in_a_terminal_leaves_no_job(runs):
    assert call("run", "nowhere", "--runs", runs).returncode == 2
    assert jobs.list_jobs(runs) == []


def test_the_command_line_starts_shows_follows_cancels_retries_and_removes(data, runs):
    started = call("jobs", "start", "run", data, *SMALL, "--epochs", "1", "--runs", runs)
    assert started.stdout == "job 1: tiny-1\n"
    assert started.returncode == 0
    followed = call("jobs", "show", "1", "--follow", "--runs", runs)
    assert followed.returncode == 0, followed.stdout
    assert followed.stdout.splitlines()[-1].startswith("job 1: done        run       tiny-1")
    assert "train seed 0" in followed.stdout
    call("jobs", "start", "--runs", runs, "run", data, "--name", "two", *LONG)
    job = jobs.find_job(runs, "2")
    wait_for(lambda: job.state() == "running")
    assert "still at work" in call("jobs", "remove", "2", "--runs", runs).stderr
    assert call("jobs", "cancel", "2", "--runs", runs).returncode == 0
    assert ended(job) == "cancelled"
    again = call("jobs", "cancel", "2", "--runs", runs)
    assert again.returncode == 2
    assert again.stderr.strip() == "error: job 2 is not at work and not in line: it is cancelled"
    assert call("jobs", "retry", "2", "--runs", runs).returncode == 0
    wait_for(lambda: job.status().attempt == 2)
    job.cancel()
    ended(job)
    shown = call("jobs", "show", "2", "--runs", runs)
    assert "command: python -m pipelines run" in shown.stdout
    assert call("jobs", "remove", "2", "--runs", runs).returncode == 0
    listed = call("jobs", "--runs", runs).stdout.splitlines()
    assert [line.split()[:2] for line in listed] == [["1", "done"]]
    assert "there is no job '2'" in call("jobs", "show", "2", "--runs", runs).stderr
    misplaced = call("jobs", "--runs", runs, "show", "1")
    assert misplaced.returncode == 2
    assert "--runs comes after the command" in misplaced.stderr
    assert "no jobs in" in call("jobs", "--runs", Path(runs) / "none").stderr
