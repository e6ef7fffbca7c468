"""Runs renamed, deleted, taken back and removed: nothing is lost, nothing outside the runs folder can be reached."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import REPO

from pipelines import cli
from pipelines.errors import NoSuchRun, RunError
from pipelines.sentences import size_in_words
from pipelines.store import files
from pipelines.store.manage import RunWriter, delete_run, empty_trash, list_trash, rename_run, restore_run, trash_bytes
from pipelines.store.runs import Run, list_runs, run_bytes

OUTSIDE = ("../x", "..", ".", "", "/etc", "a/b", ".hidden", ".trash", "a\n", "x" * 65, "a\0b")


def make(runs, name, *, content="content", size=1000):
    """A whole run of two files."""
    with RunWriter.open(runs, name) as writer:
        (writer.folder / "note.txt").write_text(content)
        (writer.folder / "models").mkdir()
        (writer.folder / "models" / "weights.bin").write_bytes(b"w" * size)
        return Run(writer.commit())


def content(run):
    return (run.folder / "note.txt").read_text()


def names(runs):
    return sorted(run.name for run in list_runs(runs))


@contextlib.contextmanager
def locked_elsewhere(runs, name):
    """Another process that is writing a run of this name."""
    script = (
        "import sys; from pathlib import Path; from pipelines.store.manage import RunWriter\n"
        "runs, name = Path(sys.argv[1]), sys.argv[2]; there = runs / name\n"
        "with RunWriter.open(runs, name, copy_of=there if there.is_dir() else None): print('held', flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(runs), name],
        cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    try:
        yield
    finally:
        process.communicate("\n", timeout=20)


# Rename ------------------------------------------------------------------------------------------------------------


def test_renamed_run_is_the_same_run_under_the_other_name(tmp_path):
    before = make(tmp_path, "old")
    rename_run(tmp_path, "old", "new")
    after = Run(tmp_path / "new")
    assert names(tmp_path) == ["new"]
    assert after.name == "new"
    assert after.manifest == before.manifest  # not one file was written: a crash leaves the old name or the new
    assert after.verify() == []


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_are_none_are_refused_on_both_sides(tmp_path, name):
    make(tmp_path, "run")
    for call in (
        lambda: rename_run(tmp_path, "run", name),
        lambda: rename_run(tmp_path, name, "other"),
        lambda: delete_run(tmp_path, name),
    ):
        with pytest.raises(RunError, match="a run's name is 1 to 64"):
            call()
    assert names(tmp_path) == ["run"]


def test_rename_takes_no_name_that_is_in_use(tmp_path):
    make(tmp_path, "one", content="1")
    make(tmp_path, "two", content="2")
    (tmp_path / "folder").mkdir()  # os.rename would replace an empty folder without a word
    (tmp_path / "file").touch()
    with contextlib.suppress(ZeroDivisionError), RunWriter.open(tmp_path, "unfinished"):
        raise ZeroDivisionError
    for new, said in (
        ("two", "there is a two"), ("folder", "there is a folder"), ("file", "there is a file"),
        ("unfinished", "an unfinished run is called unfinished"), ("one", "has that name already"),
    ):  # fmt: skip
        with pytest.raises(RunError, match=said):
            rename_run(tmp_path, "one", new)
    assert [content(Run(tmp_path / name)) for name in ("one", "two")] == ["1", "2"]


def test_what_is_no_run_cannot_be_renamed_or_deleted(tmp_path):
    (tmp_path / "notes").mkdir()
    for name in ("notes", "nothing"):
        with pytest.raises(NoSuchRun, match=f"there is no run {name}"):
            rename_run(tmp_path, name, "other")
        with pytest.raises(NoSuchRun, match=f"there is no run {name}"):
            delete_run(tmp_path, name)


def test_run_that_another_process_works_on_is_refused_until_it_is_done(tmp_path):
    make(tmp_path, "run")
    make(tmp_path, "other")
    with locked_elsewhere(tmp_path, "run"):
        for call in (
            lambda: rename_run(tmp_path, "run", "new"),
            lambda: rename_run(tmp_path, "other", "run"),
            lambda: delete_run(tmp_path, "run"),
        ):
            with pytest.raises(RunError, match="another process is working on run"):
                call()
    assert names(tmp_path) == ["other", "run"]
    delete_run(tmp_path, "run")
    assert names(tmp_path) == ["other"]


def test_restore_waits_for_nobody_who_writes_the_name(tmp_path):
    make(tmp_path, "run")
    entry = delete_run(tmp_path, "run")
    with locked_elsewhere(tmp_path, "run"):  # its staging folder holds the name: another one is given
        assert restore_run(tmp_path, entry) == "run-2"


def test_lock_on_a_removed_file_keeps_nobody_out_and_is_refused(tmp_path, monkeypatch):
    import fcntl

    make(tmp_path, "run")
    lock = fcntl.flock

    def commits_meanwhile(file, how):
        (tmp_path / ".staging" / "run.lock").unlink(missing_ok=True)  # as the commit of another process does
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", commits_meanwhile)
    with pytest.raises(RunError, match="another process is working on run"):
        delete_run(tmp_path, "run")


# Trash -------------------------------------------------------------------------------------------------------------


def test_deleted_run_is_in_the_trash_and_comes_back_unchanged(tmp_path):
    run = make(tmp_path, "run", size=5000)
    size = run_bytes(run)
    entry = delete_run(tmp_path, "run")
    assert re.fullmatch(r"run\.\d+", entry)
    assert names(tmp_path) == []
    (found,) = list_trash(tmp_path)
    assert (found.entry, found.name, found.bytes, found.frees, found.whole) == (entry, "run", size, size, True)
    # note.txt has 7 bytes, weights.bin 5,000; the manifest's own size comes on top
    assert size == 7 + 5000 + (tmp_path / ".trash" / entry / "manifest.json").stat().st_size
    assert abs(found.deleted - datetime.now(UTC)) < timedelta(seconds=60)
    assert restore_run(tmp_path, entry) == "run"
    assert Run(tmp_path / "run").manifest == run.manifest
    assert Run(tmp_path / "run").verify() == []
    assert list_trash(tmp_path) == []


def test_restored_run_gets_a_free_name_when_its_own_is_taken(tmp_path):
    entries = []
    for number in range(3):
        make(tmp_path, "run", content=str(number))
        entries.append(delete_run(tmp_path, "run"))
    assert [one.entry for one in list_trash(tmp_path)] == entries[::-1]  # last deleted first
    assert [restore_run(tmp_path, entry) for entry in entries] == ["run", "run-2", "run-3"]
    assert [content(Run(tmp_path / name)) for name in names(tmp_path)] == ["0", "1", "2"]


def test_free_name_of_the_longest_name_is_a_name(tmp_path):
    long = "n" * 64
    make(tmp_path, long)
    entry = delete_run(tmp_path, long)
    make(tmp_path, long)
    assert restore_run(tmp_path, entry) == "n" * 62 + "-2"


def test_restore_under_a_name_that_was_asked_for(tmp_path):
    make(tmp_path, "run")
    entry = delete_run(tmp_path, "run")
    make(tmp_path, "taken")
    with pytest.raises(RunError, match="there is a taken"):
        restore_run(tmp_path, entry, "taken")
    with pytest.raises(RunError, match="a run's name is"):
        restore_run(tmp_path, entry, "../out")
    assert restore_run(tmp_path, entry, "free") == "free"


@pytest.mark.parametrize("entry", [*OUTSIDE, "../run", "run", "run.", "run.1", "run.x", "run.-1", "/tmp/run.1"])
def test_only_entries_of_the_trash_can_be_restored_or_removed(tmp_path, entry):
    make(tmp_path, "run")
    delete_run(tmp_path, "run")
    make(tmp_path, "run")
    for call in (restore_run, empty_trash):
        with pytest.raises(NoSuchRun, match=r"there is no .* in the trash"):
            call(tmp_path, entry)
    assert names(tmp_path) == ["run"]
    assert len(list_trash(tmp_path)) == 1


def test_links_are_never_followed(tmp_path):
    runs, outside = tmp_path / "runs", tmp_path / "outside"
    make(outside, "kept")
    runs.mkdir()
    (runs / "linked").symlink_to(outside / "kept")
    (runs / ".trash").mkdir()
    (runs / ".trash" / "linked.1").symlink_to(outside / "kept")
    for call in (lambda: delete_run(runs, "linked"), lambda: rename_run(runs, "linked", "new")):
        with pytest.raises(RunError, match="is a link"):
            call()
    assert list_trash(runs) == []
    assert empty_trash(runs) == 0
    with pytest.raises(NoSuchRun):
        empty_trash(runs, "linked.1")
    make(runs, "inside")
    entry = delete_run(runs, "inside")
    (runs / ".trash" / entry / "way-out").symlink_to(outside)
    empty_trash(runs)
    assert Run(outside / "kept").verify() == []


def test_trash_that_is_itself_a_link_is_refused(tmp_path):
    runs, outside = tmp_path / "runs", tmp_path / "outside"
    make(outside, "run")
    delete_run(outside, "run")
    make(runs, "run")
    (runs / ".trash").symlink_to(outside / ".trash")
    for call in (lambda: delete_run(runs, "run"), lambda: empty_trash(runs), lambda: list_trash(runs)):
        with pytest.raises(RunError, match="is a link to another place"):
            call()
    assert len(list_trash(outside)) == 1


def test_emptying_gives_back_what_nobody_else_uses(tmp_path):
    # A recount keeps weights.bin (1,000 bytes) by a hard link and writes note.txt anew: the old run in the trash holds
    # its manifest and its note.txt (3 bytes) alone. Twice recounted, weights.bin is still in use by the run itself.
    size = run_bytes(make(tmp_path, "run", content="old", size=1000))
    for text in ("new", "newer"):
        with RunWriter.open(tmp_path, "run", copy_of=tmp_path / "run") as writer:
            files.write_text(writer.folder / "note.txt", text)
            writer.commit()
    old = list_trash(tmp_path)[-1]
    assert old.bytes == size
    assert old.frees == old.bytes - 1000
    assert trash_bytes(tmp_path) == sum(one.bytes - 1000 for one in list_trash(tmp_path))
    delete_run(tmp_path, "run")  # now all three are in the trash, and weights.bin goes with the last of them
    every = list_trash(tmp_path)
    assert trash_bytes(tmp_path) == sum(one.bytes - 1000 for one in every) + 1000
    assert empty_trash(tmp_path, every[-1].entry) == every[-1].bytes - 1000
    assert empty_trash(tmp_path) == sum(one.bytes - 1000 for one in every[:-1]) + 1000
    assert list_trash(tmp_path) == []
    assert empty_trash(tmp_path) == 0


def test_half_removed_run_is_no_run_and_goes_the_next_time(tmp_path, monkeypatch):
    run = make(tmp_path, "run")
    entry = delete_run(tmp_path, "run")
    with monkeypatch.context() as patch:

        def dies(folder):
            (folder / "note.txt").unlink()
            raise KeyboardInterrupt

        patch.setattr(shutil, "rmtree", dies)
        with pytest.raises(KeyboardInterrupt):
            empty_trash(tmp_path)
    (left,) = list_trash(tmp_path)
    assert (left.entry, left.whole) == (entry, False)
    with pytest.raises(RunError, match="half removed"):
        restore_run(tmp_path, entry)
    assert empty_trash(tmp_path) == run.manifest["files"][0]["bytes"] == 1000  # models/weights.bin
    assert list_trash(tmp_path) == []


@pytest.mark.parametrize("damage", ["manifest", "missing", "short"])
def test_damaged_run_can_be_deleted_but_not_taken_back(tmp_path, damage):
    run = make(tmp_path, "run")
    if damage == "manifest":
        (run.folder / "manifest.json").write_text("{}")
    elif damage == "missing":
        (run.folder / "note.txt").unlink()
    else:
        (run.folder / "models" / "weights.bin").write_bytes(b"")
    entry = delete_run(tmp_path, "run")
    assert [one.whole for one in list_trash(tmp_path)] == [False]
    with pytest.raises(RunError, match="cannot be a run again"):
        restore_run(tmp_path, entry)


def test_folder_that_may_not_be_written_is_one_clear_line(tmp_path, monkeypatch):
    make(tmp_path, "run")

    def refuses(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", refuses)
    with pytest.raises(RunError, match=r"run could not be moved \(Permission denied\); see who may write"):
        rename_run(tmp_path, "run", "new")


class Ledger:
    """What should be where: name to content of the runs, contents of the trash by entry."""

    def __init__(self):
        self.runs, self.trash = {}, {}


STEPS = st.lists(
    st.tuples(st.sampled_from(["make", "rename", "delete", "restore"]), st.sampled_from("abc"), st.sampled_from("abc")),
    max_size=14,
)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_nothing_is_lost_whatever_the_order_of_steps(tmp_path_factory, steps):
    runs, ledger = tmp_path_factory.mktemp("walk"), Ledger()
    for number, (step, one, two) in enumerate(steps):
        try:
            if step == "make":
                make(runs, one, content=str(number), size=1)
                ledger.runs[one] = str(number)
            elif step == "rename":
                rename_run(runs, one, two)
                ledger.runs[two] = ledger.runs.pop(one)
            elif step == "delete":
                entry = delete_run(runs, one)
                ledger.trash[entry] = ledger.runs.pop(one)
            elif ledger.trash:
                entry = sorted(ledger.trash)[-1]
                ledger.runs[restore_run(runs, entry)] = ledger.trash.pop(entry)
        except RunError:
            pass  # refused: nothing may have changed
        assert {run.name: content(run) for run in list_runs(runs)} == ledger.runs
        assert {one.entry for one in list_trash(runs) if one.whole} == set(ledger.trash)


# Words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_940, "9.9 kB"), (9_960, "10 kB"), (77_422_735, "77 MB"),
        (999_499_999, "999 MB"), (999_500_000, "1.0 GB"), (3_200_000_000_000, "3.2 TB"), (5 * 10**15, "5000 TB"),
    ],
)  # fmt: skip
def test_sizes_have_two_or_three_digits(size, words):
    assert size_in_words(size) == words


# Command line ------------------------------------------------------------------------------------------------------


def call(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pipelines", *map(str, arguments)], cwd=REPO, capture_output=True, text=True, check=False
    )


def test_commands_rename_delete_list_restore_and_empty(tmp_path, monkeypatch, capsys):
    make(tmp_path, "first", size=2_000_000)
    done = call("rename", "first", "second", "--runs", tmp_path)
    assert (done.returncode, done.stdout) == (0, "first is called second now\n"), done.stderr
    monkeypatch.setenv("PIPELINES_RUNS", str(tmp_path))
    entry = re.search(r"restore (second\.\d+)`", told(monkeypatch, capsys, "delete", "second")[0])[1]
    listed, hint = told(monkeypatch, capsys, "trash")
    assert re.fullmatch(rf"{re.escape(entry)}  \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ +2\.0 MB\n", listed)
    assert "gives back 2.0 MB" in hint
    assert told(monkeypatch, capsys, "restore", entry, "--name", "third")[0] == f"third is back in {tmp_path}\n"
    assert names(tmp_path) == ["third"]
    told(monkeypatch, capsys, "delete", "third")
    freed = f"the trash of {tmp_path} is empty; 2.0 MB are free again\n"
    assert told(monkeypatch, capsys, "trash", "--empty")[0] == freed
    assert (names(tmp_path), list_trash(tmp_path)) == ([], [])


def told(monkeypatch, capsys, *arguments, status=0):
    """What the command line says, standard output and error, in this process."""
    monkeypatch.setattr(sys, "argv", ["pipelines", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code or 0) == status
    return capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rename", "nothing", "new"), "there is no run nothing"),
        (("rename", "../x", "new"), "a run's name is"),
        (("rename", "run", "/tmp/new"), "a run's name is"),
        (("delete", "nothing"), "there is no run nothing"),
        (("restore", "nothing.1"), "there is no 'nothing.1' in the trash"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path, monkeypatch, capsys, arguments, said):
    make(tmp_path, "run")
    out, error = told(monkeypatch, capsys, *arguments, "--runs", tmp_path, status=2)
    assert out == ""
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said in error
    assert names(tmp_path) == ["run"]
