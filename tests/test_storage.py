import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from arrays import counts_of, example
from places import REPO
from scipy.special import expit, log_softmax

from pipelines.counting.counts import PER_IMAGE, POOLED, Counts, pool, pooled
from pipelines.counting.grid import P_UNIT
from pipelines.errors import NoSuchRun, RunError, ShapeError
from pipelines.heads import head_specs
from pipelines.layouts import METRICS_SCHEMA
from pipelines.metrics import Setting
from pipelines.metrics.base import SCORES, TOP
from pipelines.metrics.calibration import binned
from pipelines.schema import KINDS
from pipelines.store import counts
from pipelines.store.counts import CountsWriter, Recent, StoredCounts, map_blocks, read_bins
from pipelines.store.files import MANIFEST, write_json, write_table
from pipelines.store.manage import RunWriter
from pipelines.store.predictions import PredictionReader, PredictionWriter
from pipelines.store.runs import Run, list_runs

SETS = {(): 50, (0,): 20, (0, 1): 10, (2,): 5}


def specs(kind):
    return head_specs(kind, ("a",) if kind == "binary" else ("a", "b", "c"), set_counts=SETS)


def logits_of(spec, size, seed=0):
    return np.random.default_rng(seed).normal(0, 4, (len(spec.channels), *size)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_of_every_head_come_back_from_their_own_row_group(kind, tmp_path):
    for spec in specs(kind):
        folder = tmp_path / spec.head
        sizes = {"first": (5, 7), "wide name": (1, 9), "last": (8, 3)}
        with PredictionWriter(folder, spec) as writer:
            for k, (name, size) in enumerate(sizes.items()):
                _, truth, valid = example(kind, seed=k, size=size)
                writer.write(name, logits_of(spec, size, k), truth, valid)
        with PredictionReader(folder) as reader:
            assert reader.images == tuple(sizes)
            assert reader.spec == spec
            for k, (name, size) in reversed(list(enumerate(sizes.items()))):
                _, truth, valid = example(kind, seed=k, size=size)
                one = reader.read(name)
                assert np.array_equal(one.truth, truth)
                assert np.array_equal(one.valid, valid)
                assert np.array_equal(reader.valid(name), valid)
                assert one.log_odds.dtype == np.float16
                assert one.log_odds.shape == truth.shape


def test_softmax_logits_come_back_from_log_odds_and_logsumexp(tmp_path):
    spec = specs("exclusive")[1]
    logits = logits_of(spec, (6, 6))
    _, truth, valid = example("exclusive", seed=0, size=(6, 6))
    with PredictionWriter(tmp_path, spec) as writer:
        writer.write("x", logits, truth, valid)
    with PredictionReader(tmp_path) as reader:
        one = reader.read("x")
    log_p = np.log(expit(one.log_odds.astype(np.float64)))
    assert one.logsumexp is not None
    # float16 has 11 bits: log-odds up to 20 are known to 0.008, the logsumexp likewise
    assert np.abs(log_p + one.logsumexp - logits).max() < 0.03
    assert np.abs(log_p - log_softmax(logits.astype(np.float64), axis=0)).max() < 0.02


def test_predictions_are_read_alike_by_duckdb_and_polars(tmp_path):
    spec = specs("overlapping")[1]
    _, truth, valid = example("overlapping", seed=0, size=(4, 5))
    with PredictionWriter(tmp_path, spec) as writer:
        writer.write("x", logits_of(spec, (4, 5)), truth, valid)
    path = tmp_path / "part-00000.parquet"
    frame = pl.read_parquet(path)
    assert frame["y"].to_list() == np.repeat(range(4), 5).tolist()
    assert frame["x"].to_list() == np.tile(range(5), 4).tolist()
    query = f"select sum(truth_a::int), avg(log_odds_a::float), count(*) from '{path}' where valid"
    total, mean, rows = duckdb.sql(query).fetchall()[0]
    assert total == int(truth[0].sum())
    assert rows == int(valid.sum())
    kept = frame.filter(pl.col("valid"))["log_odds_a"].cast(pl.Float32)
    assert mean == pytest.approx(kept.mean(), rel=1e-6)


def test_an_exception_while_writing_leaves_no_part(tmp_path):
    spec = specs("binary")[0]
    _, truth, valid = example("binary", seed=0, size=(4, 4))

    def interrupted():
        with PredictionWriter(tmp_path, spec) as writer:
            writer.write("x", logits_of(spec, (4, 4)), truth, valid)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RunError, match="no predictions"):
        PredictionReader(tmp_path)


def test_logits_that_are_not_numbers_or_do_not_fit_are_refused(tmp_path):
    spec = specs("binary")[0]
    _, truth, valid = example("binary", seed=0, size=(4, 4))
    writer = PredictionWriter(tmp_path, spec)
    with pytest.raises(ShapeError, match="not numbers"):
        writer.write("x", np.full((1, 4, 4), np.nan, np.float32), truth, valid)
    with pytest.raises(ShapeError, match="do not fit"):
        writer.write("x", np.zeros((1, 4, 5), np.float32), truth, valid)
    with pytest.raises(RunError, match="no image"):
        writer.close()


def test_a_flipped_bit_is_noticed(tmp_path):
    spec = specs("binary")[0]
    _, truth, valid = example("binary", seed=0, size=(64, 64))
    with PredictionWriter(tmp_path, spec) as writer:
        writer.write("x", logits_of(spec, (64, 64)), truth, valid)
    path = tmp_path / "part-00000.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10  # in the middle of the log-odds
    path.write_bytes(content)
    with PredictionReader(tmp_path) as reader, pytest.raises(RunError, match="damaged"):
        reader.read("x")


@pytest.mark.parametrize("kind", KINDS)
def test_counts_come_back_equal_over_several_blocks(kind, tmp_path):
    images = [example(kind, seed=seed, size=(6, 7)) for seed in range(5)]
    whole = counts_of(kind, images)
    with CountsWriter(tmp_path) as writer:
        for start in (0, 2, 4):
            block = counts_of(kind, images[start : start + 2])
            names = tuple(str(start + k) for k in range(len(block.images)))
            fields = {name: getattr(block, name) for name in (*PER_IMAGE, *POOLED)}
            writer.write(type(block)(images=names, **fields))
    found = read_counts(tmp_path)
    assert found.images == whole.images
    for name in (*PER_IMAGE, *POOLED):
        assert np.array_equal(getattr(found, name), getattr(whole, name)), name


def write_counts(folder, kind="overlapping"):
    counts = counts_of(kind, [example(kind, seed=seed, size=(6, 7)) for seed in range(2)])
    with CountsWriter(folder) as writer:
        writer.write(counts)
    return counts


def test_label_sets_are_a_plain_table(tmp_path):
    counts = write_counts(tmp_path)
    query = f"select sum(pixels), sum(pixels) filter (truth = called) from '{tmp_path / 'sets.parquet'}'"
    whole, right = duckdb.sql(query).fetchall()[0]
    assert whole == counts.pixels.sum()
    assert right == counts.set_pixels[counts.sets[:, 0] == counts.sets[:, 1]].sum()


def test_counts_by_image_are_read_alike_by_duckdb_and_polars(tmp_path):
    counts = write_counts(tmp_path)
    path = tmp_path / "images.parquet"
    flat = counts.score.reshape(2, -1).tolist()
    assert [list(row) for (row,) in duckdb.sql(f"select score from '{path}'").fetchall()] == flat
    assert pl.read_parquet(path)["score"].to_list() == flat


def test_counts_of_another_grid_or_without_a_file_are_refused(tmp_path):
    write_counts(tmp_path)
    (tmp_path / "sets.parquet").rename(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"sets\.parquet in .* is missing"):
        read_counts(tmp_path)
    (tmp_path / "elsewhere").rename(tmp_path / "sets.parquet")
    table = pq.read_table(tmp_path / "pooled.parquet")
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"grid": b"1"}), tmp_path / "pooled.parquet")
    with pytest.raises(RunError, match="another grid"):
        read_counts(tmp_path)


@pytest.fixture
def read(monkeypatch):
    """Names of the columns of arrays by image that were read, one entry a block."""
    found = []
    real = counts.row_groups

    def row_groups(file, columns=None, groups=None):
        found.extend(columns)
        return real(file, columns, groups)

    monkeypatch.setattr(counts, "row_groups", row_groups)
    return found


def test_only_the_arrays_that_are_asked_for_are_read_and_once(read, tmp_path):
    counts = write_counts(tmp_path)
    found = read_counts(tmp_path)
    assert read == []
    assert found.images == counts.images
    assert found.classes == 3  # from the shape of `score`
    assert np.array_equal(found.ranks, counts.ranks)
    assert found.score is found.score
    assert read == ["score", "ranks"]


def test_arrays_that_sessions_share_cannot_be_written_to(tmp_path):
    write_counts(tmp_path)
    for whole in (False, True):
        found = read_counts(tmp_path, whole=whole)
        for name in (*PER_IMAGE, *POOLED):
            assert not getattr(found, name).flags.writeable, name


def read_counts(*folders, whole=False):
    return StoredCounts(folders, whole=whole)


def add_up(seeds):
    """Counts of the same images as if each had seen every pixel once more."""
    sums = {name: np.sum([getattr(seed, name) for seed in seeds], axis=0) for name in PER_IMAGE}
    return Counts(images=seeds[0].images, **sums, **pool([pooled(seed) for seed in seeds]))


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_are_added_up_and_images_too(kind, read, tmp_path):
    seeds = [
        counts_of(kind, [example(kind, seed=seed, size=(6, 7), ignored=ignored) for seed in range(3)])
        for ignored in (0.0, 0.3)
    ]
    folders = [tmp_path / str(number) for number in range(2)]
    for folder, seed in zip(folders, seeds, strict=True):
        with CountsWriter(folder) as writer:
            writer.write(seed)
    both, whole = add_up(seeds), read_counts(*folders, whole=True)
    found = read_counts(*folders)
    assert whole.images == ("all images",)
    for name in POOLED:
        assert np.array_equal(getattr(found, name), getattr(both, name)), name
        assert np.array_equal(getattr(whole, name), getattr(both, name)), name
    for name in PER_IMAGE:
        assert np.array_equal(getattr(whole, name), getattr(both, name).sum(axis=0, keepdims=True)), name
    assert read == []  # sums of any number of images cost the same
    for name in PER_IMAGE:
        assert np.array_equal(getattr(found, name), getattr(both, name)), name


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_of_several_seeds_are_those_of_their_sums_in_order(kind, tmp_path):
    seeds = [
        [counts_of(kind, [example(kind, seed=10 * k + seed, size=(6, 7), ignored=ignored)]) for k in range(20)]
        for seed, ignored in enumerate((0.0, 0.3))
    ]
    names = [f"{k:02d}" for k in range(20)]
    folders = [tmp_path / str(number) for number in range(2)]
    for folder, blocks in zip(folders, seeds, strict=True):
        with CountsWriter(folder) as writer:
            for name, block in zip(names, blocks, strict=True):
                writer.write(replace(block, images=(name,)))

    def kept(block):
        assert not hasattr(block, "nll")  # not asked for, not read
        return block.images, block.score, block.confusion

    images, scores, confusion = zip(*map_blocks(folders, ("score", "confusion"), kept), strict=True)
    assert [one for some in images for one in some] == names
    both = read_counts(*folders)
    assert np.array_equal(np.concatenate(scores), both.score)
    assert np.array_equal(np.concatenate(confusion), both.confusion)
    with pytest.raises(RunError, match="missing"):
        map_blocks([tmp_path / "gone"], ("score",), kept)


@pytest.mark.parametrize("kind", KINDS)
def test_bins_of_images_are_the_same_stored_and_made(kind, read, tmp_path):
    seeds = [[counts_of(kind, [example(kind, seed=seed, size=(6, 7))]) for seed in (one, one + 5)] for one in range(2)]
    folders = [tmp_path / str(number) for number in range(2)]
    for folder, blocks in zip(folders, seeds, strict=True):
        with CountsWriter(folder, bins=12) as writer:
            for name, block in zip("ab", blocks, strict=True):
                writer.write(replace(block, images=(name,)))
    stored = read_bins(folders, 12)
    assert set(read) == {"bins"}  # the counts were not needed
    setting = Setting(kind)
    for image in range(2):
        sums = SCORES.pick(sum(SCORES.terms(one[image], setting) for one in seeds), "all")[0]
        expected = binned(sums, bins=12)  # (C, bins, 3)
        found = np.moveaxis(stored[image], 1, 2)[: len(expected)]
        assert np.array_equal(found * [1, 1, P_UNIT], expected)
    if kind == "exclusive":
        tops = TOP.pick(sum(TOP.terms(one[0], setting) for one in seeds), "all")[0]
        assert np.array_equal(stored[0, -1].T * [1, 1, P_UNIT], binned(tops, bins=12))
    # In other bins, and in runs that are older than the file, they are made from the counts.
    assert np.array_equal(read_bins(folders, 4), stored.reshape(*stored.shape[:-1], 4, 3).sum(axis=-1))
    (folders[1] / "bins.parquet").unlink()
    assert np.array_equal(read_bins(folders, 12), stored)


def test_counts_without_stored_sums_are_added_up(read, tmp_path):
    counts = write_counts(tmp_path)
    path = tmp_path / "pooled.parquet"
    table = pq.read_table(path)
    shapes = json.loads(table.schema.metadata[b"shapes"])
    old = {name: shape for name, shape in shapes.items() if name not in PER_IMAGE}
    kept = table.select([name for name in table.column_names if name not in PER_IMAGE])
    pq.write_table(kept.replace_schema_metadata({**table.schema.metadata, b"shapes": json.dumps(old)}), path)
    whole = read_counts(tmp_path, whole=True)
    for name in PER_IMAGE:
        assert np.array_equal(getattr(whole, name), getattr(counts, name).sum(axis=0, keepdims=True)), name
    assert read == [name for name in PER_IMAGE if getattr(counts, name).size]


def test_seeds_with_other_images_are_not_added_up(tmp_path):
    write_counts(tmp_path / "0")
    with CountsWriter(tmp_path / "1") as writer:
        writer.write(counts_of("overlapping", [example("overlapping", seed=0, size=(6, 7))]))
    with pytest.raises(ShapeError, match="same images"):
        read_counts(tmp_path / "0", tmp_path / "1")


def test_counts_may_have_some_arrays_replaced(tmp_path):
    counts = write_counts(tmp_path)
    found = replace(read_counts(tmp_path), images=("one",), score=counts.score[:1])
    assert found.images == ("one",)
    assert np.array_equal(found.score, counts.score[:1])
    assert np.array_equal(found.joint, counts.joint)


def test_damaged_counts_are_noticed_when_they_are_asked_for(tmp_path):
    images = [example("exclusive", seed=seed, size=(6, 7)) for seed in range(8)]
    with CountsWriter(tmp_path) as writer:
        writer.write(counts_of("exclusive", images))
    path = tmp_path / "images.parquet"
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(1)
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 0x10
    path.write_bytes(content)
    found = read_counts(tmp_path)
    with pytest.raises(RunError, match="damaged"):
        _ = found.score


def test_what_was_asked_for_last_is_kept_up_to_a_size():
    kept = Recent(100)
    made = []

    def get(key, size):
        return kept.get(key, lambda: made.append(key) or np.zeros(size, np.int8))

    get("a", 40), get("b", 40), get("a", 40)
    get("c", 40)  # 120 bytes with it: b, asked for before a, goes
    assert kept.bytes == 80
    get("a", 40), get("c", 40)
    assert made == ["a", "b", "c"]
    get("b", 40)
    assert made == ["a", "b", "c", "b"]
    assert len(get("large", 101)) == 101
    assert kept.bytes == 80
    get("large", 101)
    assert made[-2:] == ["large", "large"]


# Runs --------------------------------------------------------------------------------------------------------------


def commit(runs, name="one", text="{}"):
    with RunWriter.open(runs, name) as writer:
        (writer.folder / "config.json").write_text(text)
        return Run(writer.commit(state="done"))


def test_nothing_is_visible_before_commit_and_everything_after(tmp_path):
    with RunWriter.open(tmp_path, "one") as writer:
        (writer.folder / "config.json").write_text('{"a": 1}')
        assert list_runs(tmp_path) == []
        run = Run(writer.commit(state="done"))
    assert [one.name for one in list_runs(tmp_path)] == ["one"]
    assert run.config == {"a": 1}
    assert run.verify() == []


def test_a_run_is_never_overwritten(tmp_path):
    commit(tmp_path, text='{"a": 1}')
    with pytest.raises(RunError, match="there is a run one"), RunWriter.open(tmp_path, "one"):
        pass
    assert Run(tmp_path / "one").config == {"a": 1}


def test_a_recount_replaces_the_run_and_keeps_the_old_one_in_the_trash(tmp_path):
    old = commit(tmp_path, text='{"a": 1}')
    with RunWriter.open(tmp_path, "one", copy_of=old.folder) as writer:
        assert json.loads((writer.folder / "config.json").read_text()) == {"a": 1}
        (writer.folder / "config.json").unlink()
        (writer.folder / "config.json").write_text('{"a": 2}')
        writer.commit(state="done")
    assert Run(tmp_path / "one").config == {"a": 2}
    kept = list((tmp_path / ".trash").iterdir())
    assert [json.loads((one / "config.json").read_text()) for one in kept] == [{"a": 1}]
    assert [one.name for one in list_runs(tmp_path)] == ["one"]


def test_two_processes_cannot_write_one_run(tmp_path):
    code = (
        "import sys, pathlib; from pipelines.store.manage import RunWriter; from pipelines.errors import RunError\n"
        "try:\n with RunWriter.open(pathlib.Path(sys.argv[1]), 'one'): pass\n"
        "except RunError as error: print(error)"
    )
    with RunWriter.open(tmp_path, "one"):
        # lockf is per process: the other writer must be another process
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=REPO, check=True
        )
    assert "another process is working on one" in done.stdout


def test_resume_takes_the_newest_attempt(tmp_path):
    with RunWriter.open(tmp_path, "one") as first:
        (first.folder / "mark").touch()
    with RunWriter.open(tmp_path, "one", resume=True) as again:
        assert (again.folder / "mark").exists()
    with RunWriter.open(tmp_path, "one") as fresh:
        assert fresh.folder != first.folder
    with pytest.raises(NoSuchRun, match="nothing to resume"), RunWriter.open(tmp_path, "two", resume=True):
        pass


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a" * 65, "a b", "a\n"])
def test_names_that_could_leave_the_runs_folder_are_refused(name, tmp_path):
    with pytest.raises(RunError, match="a run's name"), RunWriter.open(tmp_path, name):
        pass


def test_strays_and_damaged_manifests_are_no_runs(tmp_path):
    commit(tmp_path, "good")
    shutil.copytree(tmp_path / "good", tmp_path / "changed")
    manifest = tmp_path / "changed" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"done"', '"d0ne"'))
    (tmp_path / "empty").mkdir()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / MANIFEST).write_text('{"name": "ha')
    assert [run.name for run in list_runs(tmp_path)] == ["good"]
    with pytest.raises(RunError, match="damaged"):
        Run(tmp_path / "changed")
    with pytest.raises(NoSuchRun):
        Run(tmp_path / "empty")


def test_verify_names_changed_and_missing_files(tmp_path):
    run = commit(tmp_path)
    (run.folder / "config.json").write_text("[]")
    assert run.verify() == ["config.json has changed since the run was made"]
    (run.folder / "config.json").unlink()
    assert run.verify() == ["config.json is missing"]


def test_a_file_the_manifest_does_not_name_is_not_read(tmp_path):
    run = commit(tmp_path)
    (run.folder / "verdict.json").write_text("{}")
    with pytest.raises(RunError, match=r"has no verdict\.json"):
        _ = Run(run.folder).verdict


def test_a_kill_at_any_write_leaves_no_visible_run(tmp_path):
    # The committing process is killed just before its n-th rename; whatever n, the run is whole or not there.
    code = (
        "import os, signal, sys, pathlib\n"
        "from pipelines.store.manage import RunWriter\n"
        "left, rename = int(sys.argv[2]), os.rename\n"
        "def dying(function):\n"
        "    def wrapped(*args, **kwargs):\n"
        "        global left\n"
        "        left -= 1\n"
        "        if left < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return function(*args, **kwargs)\n"
        "    return wrapped\n"
        "os.rename, os.replace, os.fsync = dying(os.rename), dying(os.replace), dying(os.fsync)\n"
        "with RunWriter.open(pathlib.Path(sys.argv[1]), 'one') as writer:\n"
        "    (writer.folder / 'config.json').write_text('{}')\n"
        "    writer.commit(state='done')\n"
    )
    outcomes = set()
    for n in range(12):
        runs = tmp_path / str(n)
        done = subprocess.run([sys.executable, "-c", code, str(runs), str(n)], cwd=REPO, check=False)
        whole = [run for run in list_runs(runs) if run.verify() == []]
        assert len(whole) == len(list_runs(runs))
        outcomes.add((done.returncode == 0, len(whole)))
        if done.returncode == 0:
            assert len(whole) == 1
            break
    assert (False, 0) in outcomes  # some kills did come before the end
    assert (True, 1) in outcomes


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")  # a file where a folder must be
    with pytest.raises(RunError, match="could not be written"):
        write_json(tmp_path / "file" / "x.json", {})


# Estimates ---------------------------------------------------------------------------------------------------------


def estimate_rows():
    """Every combination of a few keys; the value is the row's number."""
    keys = ["metric", "head", "class", "split", "seed", "variant", "region"]
    values = itertools.product(
        ["dice", "brier"], ["sigmoid", "softmax", "difference"], ["cell", "macro"], ["val", "test"], [-1, 0, 1],
        ["raw", "temperature"], ["all", "boundary"],
    )  # fmt: skip
    rows = pd.DataFrame(list(values), columns=keys)
    numbers = {name: float("nan") for name in ("low", "high", "standard_error", "p_value", "p_holm")}
    return rows.assign(value=np.arange(len(rows), dtype=np.float64), images=4, **numbers)[METRICS_SCHEMA.names]


@pytest.fixture
def estimated(tmp_path):
    with RunWriter.open(tmp_path, "cells") as writer:
        for split in ("val", "test"):
            write_json(writer.folder / "predictions" / f"split={split}" / "head=sigmoid" / "seed=0" / "x.json", {})
        table = pa.Table.from_pandas(estimate_rows(), METRICS_SCHEMA, preserve_index=False)
        write_table(writer.folder / "metrics.parquet", table)
        return Run(writer.commit())


def test_estimates_are_those_of_the_judged_split_over_all_seeds_and_pixels_as_trained(estimated):
    rows = estimated.estimates(metric="dice", class_="macro")
    every = estimate_rows().query("metric == 'dice' and `class` == 'macro' and split == 'test' and seed == -1")
    every = every.query("variant == 'raw' and region == 'all'")
    assert rows["head"].tolist() == ["sigmoid", "softmax", "difference"]
    assert rows["value"].tolist() == every["value"].tolist()
    assert rows.index.tolist() == [0, 1, 2]
    assert rows.columns.tolist() == METRICS_SCHEMA.names


def test_estimates_take_one_value_several_or_none_for_all(estimated):
    every = {"split": None, "seed": None, "variant": None, "region": None}
    assert len(estimated.estimates(**every)) == 2 * 3 * 2 * 2 * 3 * 2 * 2
    assert len(estimated.estimates(**every, head=("sigmoid", "softmax"))) == 2 * 2 * 2 * 2 * 3 * 2 * 2
    assert len(estimated.estimates(metric="dice", seed=[0, 1])) == 3 * 2 * 2  # heads, classes, seeds
    assert len(estimated.estimates(split="val", variant="temperature", region="boundary")) == 2 * 3 * 2
    assert estimated.estimates(metric="of another kind").empty


def test_estimates_can_be_written_to_and_stay_as_they_were_on_disk(estimated):
    rows = estimated.estimates(metric="dice")
    rows["value"] = 0.0
    everything = estimated.metrics()
    everything["value"] = 0.0
    assert estimated.metrics()["value"].tolist() == estimate_rows()["value"].tolist()


def test_estimates_of_a_file_that_changed_after_it_was_read_are_refused(estimated):
    estimated.estimates()
    (estimated.folder / "metrics.parquet").write_bytes(b"not parquet")
    with pytest.raises(RunError, match=r"metrics\.parquet of cells has changed"):
        estimated.estimates()
