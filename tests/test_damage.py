"""Files of a run damaged one at a time: every command says so in one line, no number changes, other runs stay listed.

FUZZ=1 goes through every file and damage instead of a seeded choice of them.
"""

import json
import os
import shutil
import sys
from functools import partial

import fuzzing
import numpy as np
import pyarrow as pa
import pytest
from fuzzing import FULL
from imported_runs import import_heads
from synthetic import make_run

from pipelines import cli
from pipelines.config import TrainingConfig
from pipelines.counting.counts import PER_IMAGE, POOLED
from pipelines.datasets.opening import open_dataset
from pipelines.errors import RunError
from pipelines.imports.readers import open_outputs
from pipelines.imports.sources import Said
from pipelines.layouts import TRAINING_SCHEMA
from pipelines.schema import VARIANTS
from pipelines.store import files, manifest
from pipelines.store.files import EVALUATED, MANIFEST, counts_folder, predictions_folder, previews_file
from pipelines.store.manage import RunWriter
from pipelines.store.runs import Run, list_runs, open_run, scan_runs, summarise
from pipelines.training.models import build_model, save_model

TRIALS = 20


def flipped(content, seed):
    rng = np.random.default_rng(seed)
    changed = bytearray(content)
    changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


DAMAGES = {
    "missing": None,
    "emptied": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    **{f"bit {seed}": partial(flipped, seed=seed) for seed in range(4)},
    "a list": lambda content: b"[]",
    "an object": lambda content: b"{}",
    "a number": lambda content: b"1e999",
    "nested": lambda content: b"[" * 100_000,
    "not UTF-8": lambda content: b"\xff\xfe" + content,
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A runs folder with `run`, which has every kind of file, and `other`, of the same data."""
    runs = tmp_path_factory.mktemp("sound")
    pair = make_run(runs, "other", kind="overlapping", classes=("a", "b"), images=2, size=(24, 32))
    import_heads(runs, "run", pair, ("sigmoid", "softmax"))
    spec = pair.spec("test", "sigmoid", 0)
    with RunWriter.open(runs, "run", copy_of=runs / "run") as writer:
        training = TrainingConfig(encoder="tu-mobilenetv3_small_050")
        network = build_model("Unet", training.encoder, channels=len(spec.channels))
        save_model(
            network,
            spec,
            writer.folder / "models" / "seed=0" / "head=sigmoid",
            normalisation=((0.5,) * 3, (0.2,) * 3),
            config=training,
            seed=0,
            best_epoch=1,
            best_score=None,
        )
        row = {"head": "sigmoid", "seed": 0, "epoch": 1, "step": 1, "split": "train", "loss": 0.5, "score": None}
        table = pa.Table.from_pylist([row | {"learning_rate": 0.1, "seconds": 1.0}], schema=TRAINING_SCHEMA)
        files.write_table(writer.folder / "training.parquet", table)
        writer.commit(data_fingerprint="f")
    shutil.rmtree(runs / ".trash")
    return runs


@pytest.fixture(scope="module")
def values(sound):
    return {place: read() for place, read in readers(Run(sound / "run"))}


def readers(run, path=""):
    """What can be read from a run, as bytes or text that can be compared, by the file or folder it is read from.

    path: of a file; only what is read from there, unless everything is tried.
    """
    for place, read in every_reader(run):
        if FULL or is_read(path, place) or not path:
            yield place, read


def is_read(path, place):
    return f"{path}/".startswith(f"{place}/")


def every_reader(run):
    yield "config.json", lambda: json.dumps(run.config)
    yield "dataset.json", lambda: json.dumps(run.dataset)
    yield "verdict.json", lambda: json.dumps(run.verdict)
    yield "evaluation.json", lambda: json.dumps(run.facts)
    yield "models/seed=0/head=sigmoid/head.json", lambda: json.dumps(run.head_file("sigmoid", 0))
    yield "metrics.parquet", lambda: run.metrics().to_csv()
    yield "image_scores.parquet", lambda: run.image_scores().to_csv()
    yield "training.parquet", lambda: run.training().to_csv()
    for split in ("test", "val"):
        for head in ("sigmoid", "softmax"):
            yield predictions_folder(split, head, 0).as_posix(), partial(predictions, run, split, head)
            for variant in VARIANTS[:2]:
                yield counts_folder(split, head, 0, variant).as_posix(), partial(counts, run, split, head, variant)
        yield previews_file(split).as_posix(), partial(run.preview, split, f"{split}_01")


def counts(run, split, head, variant):
    read = run.counts(split, head, 0, variant=variant)
    whole = run.counts(split, head, 0, variant=variant, whole=True)
    arrays = [getattr(one, name) for one in (read, whole) for name in (*PER_IMAGE, *POOLED)]
    arrays.append(run.image_bins(split, head, (0,), bins=15, variant=variant))
    return b"".join(array.tobytes() for array in arrays)


def predictions(run, split, head):
    with run.predictions(split, head, 0) as reader:
        arrays = [array for one in reader for array in one[1:] if array is not None]
        arrays += [reader.valid(image) for image in reader.images]
        about = reader.images, reader.spec, run.spec(split, head, 0), reader.findings
        return repr(about).encode() + b"".join(one.tobytes() for one in arrays)


def copied(sound, folder):
    """A runs folder that shares its files with the sound one."""
    for name in ("run", "other"):
        shutil.copytree(sound / name, folder / name, copy_function=os.link)
    return folder


def damage(path, how):
    """Replace a file, which other folders may share, by its damage; returns whether anything changed."""
    content = path.read_bytes()
    path.unlink()
    changed = None if DAMAGES[how] is None else DAMAGES[how](content)
    if changed is not None:
        path.write_bytes(changed)
    return changed != content


def every_trial(run):
    paths = [MANIFEST, *(entry["path"] for entry in run.manifest["files"])]
    return [(path, how) for path in paths for how in DAMAGES]


def call(capsys, *arguments):
    """Exit status, standard output and the lines of standard error of a command, in this process."""
    before, sys.argv = sys.argv, ["pipelines", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        sys.argv = before
    out, error = capsys.readouterr()
    return ended.value.code or 0, out, error.splitlines()


def check_refusal(status, lines, path, how):
    """Exit 2 and one line that says which file, and what to do."""
    assert status == 2, (path, how, lines)
    assert len(lines) == 1, (path, how, lines)
    assert lines[0].startswith("error: "), (path, how, lines)
    named = path if path != MANIFEST else "manifest"
    assert named in lines[0] or "there is no run run" in lines[0], (path, how, lines)
    assert ";" in lines[0], (path, how, lines)


def test_no_damage_changes_a_number_or_hides_another_run(sound, values, tmp_path, capsys):
    whole = {name: call(capsys, *words, "--runs", sound) for name, words in COMMANDS.items()}
    assert [status for status, _, _ in whole.values()] == [0, 0, 0]
    for number, (path, how) in enumerate(fuzzing.sample(every_trial(Run(sound / "run")), TRIALS)):
        runs = copied(sound, tmp_path / str(number))
        if not damage(runs / "run" / path, how):
            continue
        check_listing(runs, path, how, capsys)
        for name, words in COMMANDS.items():
            if name == "compare" and number % 8 and not FULL:
                continue
            status, out, lines = call(capsys, *words, "--runs", runs)
            if status == 0:
                assert (out, lines) == whole[name][1:], (path, how, name)
            else:
                check_refusal(status, lines, path, how)
        status, out, lines = call(capsys, "verify", "run", "--runs", runs)
        if path == MANIFEST:
            check_refusal(status, lines, path, how)
            continue
        assert (status, out, len(lines)) == (1, "", 1), (path, how, lines)
        assert lines[0].startswith(f"{path} ")
        texts = []
        run = Run(runs / "run")
        for place, read in readers(run, path):
            try:
                assert read() == values[place], (path, how, place)
            except RunError as error:
                texts.append(str(error))
        assert all(path in text and "\n" not in text and len(text) < 400 for text in texts), (path, how, texts)
        expected = [place for place in values if is_read(path, place)]
        assert bool(texts) == bool(expected), (path, how, texts)  # weights, plans and some variants have no reader here
        assert summarise(run).name == "run"


COMMANDS = {
    "verdict": ("verdict", "run"),
    "judged anew": ("verdict", "run", "--margin", "0.02"),
    "compare": ("compare", "run", "other"),
}


def check_listing(runs, path, how, capsys):
    status, out, lines = call(capsys, "list", "--runs", runs)
    assert status == 0
    rows = [line.split()[0] for line in out.splitlines()]
    assert "other" in rows
    if path == MANIFEST:
        assert rows == ["other"]
        assert [one.name for one in scan_runs(runs)[1]] == ["run"]
    if path in (MANIFEST, "dataset.json", "verdict.json"):
        assert len(lines) == 1, (path, how, lines)
        assert path in lines[0] or "manifest" in lines[0]
        assert ";" in lines[0]
        assert lines[0].startswith("warning: ")


def test_a_recount_takes_over_no_damage_and_mends_what_it_makes(sound, tmp_path, capsys):
    every = every_trial(Run(sound / "run"))
    taken_over = [(path, how) for path, how in every if path.split("/")[0] not in EVALUATED]
    made_anew = [(path, how) for path, how in every if path.split("/")[0] in EVALUATED]
    before = json.dumps(Run(sound / "run").verdict)
    for number, (path, how) in enumerate(fuzzing.sample(taken_over, 12) + fuzzing.sample(made_anew, 1)):
        runs = copied(sound, tmp_path / str(number))
        if not damage(runs / "run" / path, how):
            continue
        status, out, lines = call(capsys, "evaluate", "run", "--runs", runs)
        if (path, how) in taken_over:
            assert out == ""
            check_refusal(status, lines, path, how)
            assert not list((runs / ".staging").glob("run.*[0-9]"))
        else:
            assert status == 0, (path, how, lines)
            assert Run(runs / "run").verify() == []
            assert json.dumps(Run(runs / "run").verdict) == before


def test_a_recount_names_the_run_that_it_was_made_from(sound, tmp_path, capsys):
    runs = copied(sound, tmp_path)
    first = Run(runs / "run")
    (runs / "run" / "stray.json").write_text("{}")
    assert call(capsys, "evaluate", "run", "--runs", runs)[0] == 0
    again = Run(runs / "run")
    newest = {"name": "run", "created": first.manifest["created"], "checksum": first.checksum}
    assert again.manifest["parents"] == [newest, *first.manifest["parents"]]  # the fixture recounted it once
    assert len(first.manifest["parents"]) == 1
    assert not again.has("stray.json")
    assert not (again.folder / "stray.json").exists()


@pytest.mark.parametrize("kind", ["predictions", "statistics", "previews", "metrics.parquet"])
def test_large_files_are_known_by_their_footer_and_pages(sound, values, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(manifest, "WHOLE_BYTES", 0)  # as if all were large
    runs = copied(sound, tmp_path)
    run = Run(runs / "run")
    parquet = [entry["path"] for entry in run.manifest["files"] if entry["path"].startswith(kind)]
    file = runs / "run" / parquet[0]
    content = file.read_bytes()
    footer = 8 + int.from_bytes(content[-8:-4], "little")
    rng = np.random.default_rng(3)
    trials = fuzzing.trials(400, 12)
    refused = 0
    for at in [
        *rng.integers(0, len(content) - footer, trials),
        *rng.integers(len(content) - footer, len(content), trials),
    ]:
        changed = bytearray(content)
        changed[at] ^= 1 << int(rng.integers(8))
        file.unlink()
        file.write_bytes(changed)
        found = []
        for place, read in readers(Run(runs / "run"), parquet[0]):
            try:
                assert read() == values[place], (at, len(content), footer, place)
            except RunError as error:
                found.append(str(error))
        assert all(parquet[0] in text for text in found), found
        assert found or at < len(content) - footer, at  # every flip in a footer is noticed
        refused += bool(found)
    assert refused >= trials


@pytest.mark.parametrize(
    "change",
    [
        lambda values: {**values, "files": {}},
        lambda values: {**values, "created": 5},
        lambda values: {**values, "created": "yesterday"},
        lambda values: {name: value for name, value in values.items() if name != "files"},
        lambda values: {name: value for name, value in values.items() if name != "created"},
        lambda values: {**values, "files": [{"path": "../other/config.json", "bytes": 1, "sha256": "0" * 64}]},
        lambda values: {**values, "files": [*values["files"], {"path": "x", "bytes": "1", "sha256": "0" * 64}]},
        lambda values: {**values, "schema_version": "one"},
        lambda values: [values],
    ],
)
def test_manifest_of_another_form_is_one_line_even_with_a_right_checksum(sound, tmp_path, change):
    runs = copied(sound, tmp_path)
    place = runs / "run" / MANIFEST
    changed = change(json.loads(place.read_text()))
    if isinstance(changed, dict):
        changed["checksum"] = files.checksum(changed)
    place.unlink()
    place.write_text(json.dumps(changed))
    with pytest.raises(RunError) as caught:
        open_run(runs, "run")
    assert "\n" not in str(caught.value)
    assert [one.name for one in list_runs(runs)] == ["other"]
    assert [one.name for one in scan_runs(runs)[1]] == ["run"]


def test_runs_of_before_footers_were_kept_open(sound, values, tmp_path, monkeypatch):
    runs = copied(sound, tmp_path)
    place = runs / "run" / MANIFEST
    old = json.loads(place.read_text())
    for entry in old["files"]:
        entry.pop("footer_sha256", None)
    del old["parents"]
    old["checksum"] = files.checksum(old)
    place.unlink()
    place.write_text(json.dumps(old))
    monkeypatch.setattr(manifest, "WHOLE_BYTES", 0)
    assert {place: read() for place, read in readers(Run(runs / "run"))} == values


def test_stray_part_beside_predictions_is_not_read(sound, values, tmp_path):
    run = Run(copied(sound, tmp_path) / "run")
    part = next((run.folder / "predictions").glob("split=test/head=sigmoid/seed=0/*.parquet"))
    shutil.copy(part, part.with_name("part-00001.parquet"))
    assert predictions(run, "test", "sigmoid") == values[predictions_folder("test", "sigmoid", 0).as_posix()]


def test_folder_whose_name_no_command_takes_is_named(sound, tmp_path):
    runs = copied(sound, tmp_path)
    (runs / "run").rename(runs / "run copy")
    assert [one.name for one in list_runs(runs)] == ["other"]
    ((name, problem),) = scan_runs(runs)[1]
    assert name == "run copy"
    assert "a run's name is" in problem


def test_no_damage_is_imported_from_another_run(sound, tmp_path):
    run = Run(copied(sound, tmp_path) / "run")
    part = next((run.folder / "predictions").glob("split=val/head=sigmoid/seed=0/*.parquet"))
    dataset = open_dataset(run.config["dataset"])
    for source in open_outputs(run.folder, Said("sigmoid"), dataset).sources.values():
        source.close()
    damage(part, "bit 0")
    with pytest.raises(RunError, match=r"part-00000\.parquet of run has changed since the run was made"):
        open_outputs(run.folder, Said("sigmoid"), dataset)


# Runs that are not finished ----------------------------------------------------------------------------------------


def staged(sound, runs):
    """An import that was stopped before its counting: its plan and predictions, without a manifest."""
    folder = runs / ".staging" / "run.1"
    shutil.copytree(sound / "run", folder)
    for path in (MANIFEST, *EVALUATED):
        shutil.rmtree(folder / path) if (folder / path).is_dir() else (folder / path).unlink()
    return folder


def test_unfinished_run_is_not_finished_with_damage(sound, tmp_path, capsys):
    names = ("plan.json", "dataset.json", "config.json")
    for number, (name, how) in enumerate((name, how) for name in names for how in DAMAGES):
        folder = staged(sound, tmp_path / str(number))
        if not damage(folder / name, how):
            continue
        for command in ("evaluate", "predict"):
            status, out, lines = call(capsys, command, "run", "--runs", tmp_path / str(number))
            assert (status, out, len(lines)) == (2, "", 1), (name, how, lines)
            assert f"{name} of run.1 " in lines[0], (name, how, lines)
            assert lines[0].endswith("; start the run again without --resume"), (name, how, lines)


def test_unfinished_run_that_is_whole_is_finished(sound, tmp_path, capsys):
    staged(sound, tmp_path)
    status, _, lines = call(capsys, "evaluate", "run", "--runs", tmp_path)
    assert status == 0, lines
    assert Run(tmp_path / "run").verify() == []
    assert Run(tmp_path / "run").verdict == Run(sound / "run").verdict


@pytest.mark.parametrize("way", ["a folder", "a broken link"])
def test_manifest_that_is_no_file_is_damage_and_not_a_run_that_is_not_there(sound, tmp_path, way):
    copied(sound, tmp_path)
    path = tmp_path / "run" / MANIFEST
    path.unlink()
    if way == "a folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    (damaged,) = scan_runs(tmp_path)[1]
    assert damaged.name == "run"
    assert damaged.problem.startswith("manifest.json of run is ")
    assert "restore it from a copy" in damaged.problem


def test_verdict_of_another_form_is_one_line_even_with_a_right_checksum(sound, tmp_path, capsys):
    copied(sound, tmp_path)
    folder = tmp_path / "run"
    (folder / "verdict.json").unlink()  # not in place: it is a link
    (folder / "verdict.json").write_text("{}")
    content = json.loads((folder / MANIFEST).read_bytes())
    for entry in content["files"]:
        if entry["path"] == "verdict.json":
            entry |= manifest.describe(folder, folder / "verdict.json")
    content["checksum"] = files.checksum(content)
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_text(json.dumps(content))
    for arguments in (["verdict", "run"], ["list"]):
        _, out, lines = call(capsys, *arguments, "--runs", str(tmp_path))
        assert len(lines) == 1
        assert "verdict.json of run is damaged" in lines[0]
    assert any(line.startswith("other ") for line in out.splitlines())


def test_copy_that_was_cut_short_is_not_taken_for_the_file(sound, tmp_path, monkeypatch):
    copied(sound, tmp_path)
    whole = tmp_path / "run"

    def no_links(source, place):
        raise OSError("no links here")

    def cut(source, place):
        place.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", no_links)
    with monkeypatch.context() as context:
        context.setattr(shutil, "copy2", cut)
        with pytest.raises(KeyboardInterrupt), RunWriter.open(tmp_path, "run", resume=True, copy_of=whole):
            pass
    with RunWriter.open(tmp_path, "run", resume=True, copy_of=whole) as writer:
        for entry in Run(whole).manifest["files"]:
            assert files.sha256(writer.folder / entry["path"]) == entry["sha256"]
