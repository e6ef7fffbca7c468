"""Runs of one head, and runs whose outputs were imported: every page, the verdict, the commands and the report."""

import csv
import io
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from imported_runs import BROUGHT
from opening import open_page

from dashboard import how_to_read as figure_index
from dashboard import queries
from dashboard.displays import runs as runs_panels
from dashboard.report.contents import explained, report_of
from pipelines import cli
from pipelines.config import EvaluationConfig
from pipelines.datasets.opening import open_dataset
from pipelines.errors import RunError
from pipelines.evaluation import Truth, evaluate
from pipelines.heads import missing_head, only
from pipelines.metrics import decisions
from pipelines.progress import Progress
from pipelines.schema import ALL_SEEDS
from pipelines.store.files import predictions_folder
from pipelines.store.runs import Run, summarise
from pipelines.verdict.rule import decide

LONE = tuple(name for name, (_, heads, _) in BROUGHT.items() if missing_head(heads) is not None)
# Where two heads would be compared, and what the line there has to name.
LACKS = {
    "accuracy": "differences by class", "calibration": "paired differences", "confusion": "between the heads' matrices",
    "overlap": "two labels or none", "thresholds": "once thresholds are tuned", "losses": "what the head changes",
    "images": "where the two differ",
}  # fmt: skip
PAGES = ("labels", *LACKS, "runs", "guide")
WITH_FIGURES = (
    "verdict", "labels", "accuracy", "calibration", "confusion", "overlap", "thresholds", "losses", "runs",
    "guide",
)  # fmt: skip


@pytest.fixture
def copied(brought_runs, tmp_path):
    """A copy of one of the runs that a test may change."""

    def copy(name):
        shutil.copytree(brought_runs / name, tmp_path / "runs" / name)
        return tmp_path / "runs"

    return copy


@pytest.fixture
def command(monkeypatch, capsys):
    """The command line in this process: exit status, standard output, standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pipelines", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return call


def unescaped(text):
    return re.sub(r"\\(.)", r"\1", text)


def html_of(at):
    return "".join(block.body for block in at.get("html"))


def lines_of_missing(at):
    return [said for said in (unescaped(one.value) for one in at.info) if "Missing: " in said]


def figures_of(at):
    small = [one.proto for one in at.get("bidi_component") if one.proto.component_name == "forest_plot"]
    specs = [*(one.proto.spec for one in at.get("plotly_chart")), *(json.loads(one.json)["figure"] for one in small)]
    return [json.loads(spec) for spec in specs]


def in_short(run):
    return decide(run.dataset, run.metrics(), run.facts)


# Pages -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["only-sigmoid", "softmaxes", "exclusive-softmax", "binary-sigmoid"])
def test_every_page_opens_and_says_in_one_line_what_is_missing(monkeypatch, brought_runs, name):
    heads = BROUGHT[name][1]
    gone = missing_head(heads)
    at = open_page(monkeypatch, brought_runs, "verdict", run=name)
    for page in ("verdict", *PAGES):
        if page != "verdict":
            at = at.switch_page(f"app_pages/{page}.py").run()
        assert (list(at.exception), list(at.error)) == ([], []), page
        assert at.session_state["run"] == name
        # a bare expression would write its value on the page
        assert not [one.value for one in [*at.markdown, *at.text] if one.value in ("None", "`None`")], page
        figures = figures_of(at)
        assert bool(figures) == (page in WITH_FIGURES), page
        assert all(one["data"] or one["layout"].get("shapes") for one in figures), page
        said = lines_of_missing(at)
        if gone is None or page not in LACKS:
            assert said == [], page
        else:
            (line,) = said
            assert line.startswith(only(heads)), page
            assert LACKS[page] in line
            assert line.endswith(f"import or train the {gone} head to compare.")


@pytest.mark.parametrize("name", LONE)
def test_verdict_page_claims_no_winner_and_offers_no_margin(monkeypatch, brought_runs, name):
    at = open_page(monkeypatch, brought_runs, "verdict", run=name)
    gone = missing_head(BROUGHT[name][1])
    body = html_of(at)
    assert f"Half of the evidence: the {gone} head is missing" in body
    assert only(BROUGHT[name][1]) in body
    assert "What is missing" in [one.value for one in at.header]
    assert len(at.select_slider) == 0  # a margin would change nothing
    assert "this head alone" in body
    (code,) = [one.proto for one in at.get("bidi_component") if one.proto.component_name == "python_code"]
    assert "trained elsewhere" in json.loads(code.json)["text"]


def test_head_of_two_softmaxes_is_chosen_where_one_is_shown(monkeypatch, brought_runs):
    titles = {}
    for head in ("Softmax", "Softmax over label sets"):
        at = open_page(monkeypatch, brought_runs, "thresholds", run="softmaxes", against=head)
        assert list(at.exception) == []
        titles[head] = re.search(r'role="heading"[^>]*>([^<]*)<', html_of(at)).group(1)
    assert "of softmax by" in titles["Softmax"]
    assert "of softmax over label sets by" in titles["Softmax over label sets"]


def test_pairs_and_lone_heads_stand_side_by_side(monkeypatch, brought_runs):
    names = ["brought-pair", "exclusive-sigmoid", "exclusive-softmax"]
    at = open_page(monkeypatch, brought_runs, "runs", run="brought-pair", compare=names)
    assert list(at.exception) == []
    (said,) = [unescaped(one.value) for one in at.caption if "No difference within" in one.value]
    assert "within exclusive-sigmoid, exclusive-softmax:" in said
    differences = [one for one in figures_of(at) if "advantage" in json.dumps(one["layout"].get("title", {}))]
    assert len(differences) == 1
    assert "brought-pair" in json.dumps(differences[0])
    assert "exclusive-softmax" not in json.dumps(differences[0])
    rows = at.dataframe[0].value
    verdicts = dict(zip(rows["Run"], rows["Verdict"], strict=True))
    assert {verdicts[name] for name in names[1:]} == {"nothing to compare"}
    assert verdicts["brought-pair"] != "nothing to compare"
    assert any("their curves are where they were trained" in unescaped(one.value) for one in at.info)


def test_losses_page_compares_what_runs_share_and_refuses_in_one_line_what_they_do_not(monkeypatch, brought_runs):
    at = open_page(monkeypatch, brought_runs, "losses", run="brought-pair")
    at.multiselect(key="runs").set_value(["brought-pair", "exclusive-softmax"]).run()
    assert (list(at.exception), list(at.error)) == ([], [])
    assert "Not every run has sigmoid: left out." in html_of(at)
    assert "Sigmoid and softmax are not compared" in html_of(at)
    at.multiselect(key="runs").set_value(["exclusive-sigmoid", "exclusive-softmax"]).run()
    assert list(at.exception) == []
    (error,) = [unescaped(one.value) for one in at.error]
    assert "no head in common: exclusive-sigmoid has sigmoid, exclusive-softmax has softmax" in error
    assert "into one run" in error


# The verdict -------------------------------------------------------------------------------------------------------

# What the truth alone says, by kind.
TRUTH = {"overlapping": "TRUTH-OVERLAPS", "exclusive": "TRUTH-EXCLUSIVE", "binary": "TRUTH-BINARY"}
SPEAKS = {"overlapping": "sigmoid", "exclusive": "softmax", "binary": "neither"}


@pytest.mark.parametrize("name", LONE)
def test_verdict_of_one_head_chooses_none_and_the_truth_still_speaks(brought_runs, name):
    run = Run(brought_runs / name)
    kind, heads, seeds = BROUGHT[name]
    judged = in_short(run)
    assert judged.model_dump(mode="json") == run.verdict
    gone = missing_head(heads)
    assert (judged.answer, judged.contender, judged.missing) == ("nothing to compare", None, gone)
    assert (judged.confidence, judged.images_needed) == ("tentative", None)
    assert judged.headline.startswith(f"{only(heads)}. ")
    codes = [one.code for one in judged.reasons]
    (truth,) = [one for one in judged.reasons if one.code == TRUTH[kind]]
    assert truth.supports == SPEAKS[kind]
    assert {f"OWN-{head.upper()}" for head in heads} <= set(codes)
    # no difference, no swap of two networks, nothing that needs both heads
    assert not [code for code in codes if code.startswith(("DICE-", "BRIER-", "SWAP", "TEMPERATURE", "THRESHOLD"))]
    assert ("OWN-SWAP" in codes) == (kind != "binary" and heads != ("softmax-powerset",))
    assert ("OWN-SEEDS" in codes) == (len(seeds) > 1)
    assert (codes.count("OWN-CEILING"), kind == "overlapping") in [(len(heads), True), (0, False)]
    # what would make a comparison: an option for every head, the missing one among them
    (said,) = judged.would_change
    options = {"sigmoid": "--sigmoid", "softmax": "--softmax", "softmax-powerset": "--powerset"}
    assert {option for option in options.values() if option in said} == {options[head] for head in (*heads, gone)}
    text = judged.text()
    assert "(no comparison; test split" in text
    assert "What is missing:" in text
    assert "What would change this:" not in text


def test_only_a_head_that_may_call_two_labels_passes_the_ceiling(brought_runs):
    found = {}
    for name in ("only-sigmoid", "only-softmax", "only-sets"):
        run = Run(brought_runs / name)
        judged = in_short(run)
        (one,) = [reason for reason in judged.reasons if reason.code == "OWN-CEILING"]
        ceiling = run.dataset["ceiling_macro_dice"]
        rows = run.metrics()
        own = rows[
            (rows["metric"] == "dice") & (rows["class"] == "macro") & (rows["split"] == "test")
            & (rows["seed"] == ALL_SEEDS) & (rows["region"] == "all") & (rows["variant"] == "raw")
            & (rows["head"] == BROUGHT[name][1][0])
        ]  # fmt: skip
        assert one.value == pytest.approx(own["value"].item() - ceiling)
        found[name] = (one.supports, one.value > 0, "beyond" in judged.headline)
    assert found == {
        "only-sigmoid": ("sigmoid", True, True), "only-softmax": ("neither", False, False),
        "only-sets": ("neither", True, True),  # a softmax over sets is no argument for sigmoid
    }  # fmt: skip


def test_imported_pair_is_judged_like_any_pair(brought_runs):
    judged = in_short(Run(brought_runs / "brought-pair"))
    assert judged.missing is None
    assert judged.contender == "softmax"
    assert judged.answer != "nothing to compare"
    assert "DICE-SOFTMAX" in [one.code for one in judged.reasons]


def test_metrics_of_both_heads_without_their_difference_are_refused(brought_runs):
    run = Run(brought_runs / "brought-pair")
    metrics = run.metrics()
    with pytest.raises(RunError, match="no difference of them; run evaluate"):
        decide(run.dataset, metrics[metrics["head"].isin(["sigmoid", "softmax"])], run.facts)


def test_findings_of_outputs_come_first(brought_runs):
    run = Run(brought_runs / "only-softmax")
    finding = {"code": "NOT-LOGITS", "severity": "error", "message": "every pixel adds up to 1"}
    facts = run.facts | {"findings": {"test": {"softmax": [finding]}}}
    judged = decide(run.dataset, run.metrics(), facts)
    assert judged.reasons[0].code == "OUTPUTS-NOT-LOGITS"
    assert "its numbers are wrong" in judged.headline


# Numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("overlapping", "sigmoid"), ("overlapping", "softmax"), ("overlapping", "softmax-powerset"),
        ("exclusive", "sigmoid"), ("exclusive", "softmax"), ("binary", "sigmoid"), ("binary", "softmax"),
    ],
)  # fmt: skip
def test_numbers_of_a_head_alone_are_those_it_has_in_a_pair(brought_runs, tmp_path, kind, head):
    pair = Run(brought_runs.parent / "pairs" / kind)
    for split in pair.splits:
        for seed in pair.seeds:
            place = predictions_folder(split, head, seed)
            shutil.copytree(pair.folder / place, tmp_path / place)
    dataset = open_dataset(pair.config["dataset"])
    truth = Truth(kind=kind, classes=dataset.classes, background=dataset.background, groups=dataset.groups)
    evaluate(
        tmp_path, truth, EvaluationConfig.model_validate(pair.config["evaluation"]), contenders=[head],
        seeds=pair.seeds, splits=pair.splits, progress=Progress(),
    )  # fmt: skip
    alone, both = pd.read_parquet(tmp_path / "metrics.parquet"), pair.metrics()
    keys = ["head", "seed", "split", "variant", "region", "class", "metric"]
    swapped = {"sigmoid": ["sigmoid-as-softmax", "reading-of-sigmoid"]}
    swapped["softmax"] = ["softmax-as-sigmoid", "reading-of-softmax"]
    mine = [head, *(swapped.get(head, []) if kind != "binary" else [])]
    assert set(alone["head"]) == set(mine)
    # In a pair a softmax has its one temperature again where sigmoid has one by class.
    assert set(both["variant"]) - set(alone["variant"]) <= ({"temperature-by-class"} if head != "sigmoid" else set())
    both = both[both["head"].isin(mine) & both["variant"].isin(set(alone["variant"]))]
    first, second = (one.astype(dict.fromkeys(keys, str)).set_index(keys).sort_index() for one in (alone, both))
    pd.testing.assert_frame_equal(first, second)


def test_scores_of_images_alone_hold_no_difference(brought_runs):
    for name in LONE:
        scores = Run(brought_runs / name).image_scores()
        assert set(scores["head"]) == set(BROUGHT[name][1])
        others = scores[scores["head"] != "sigmoid"]
        assert others["disagreement"].isna().all()


def test_interval_of_one_head_stays_within_what_a_score_can_be():
    # 3 images of one seed with scores near 1: stretched replicates alone would pass it
    terms = np.array([[[100.0, 0, 1, 0], [100, 1, 0, 0], [100, 0, 0, 0]]])[:, :, None, :]
    weights = np.random.default_rng(0).multinomial(3, [1 / 3] * 3, size=200).astype(float)
    sums = decisions.resampled(terms, weights)
    found = decisions.alone(sums, decisions.mean_scores, units=3, most=1.0)
    free = decisions.alone(sums, decisions.mean_scores, units=3)
    # 300 true, 1 false positive, 1 false negative: Dice = 600 / 602
    assert found.first[0] == pytest.approx(600 / 602)
    assert (found.low <= found.first).all()
    assert found.high.max() == 1.0
    assert free.high.max() > 1.0


def test_heads_with_different_seeds_are_refused(brought_runs, tmp_path):
    pair = Run(brought_runs.parent / "pairs" / "exclusive")
    for head, seeds in (("sigmoid", (0, 1)), ("softmax", (0,))):
        for seed in seeds:
            place = predictions_folder("test", head, seed)
            shutil.copytree(pair.folder / place, tmp_path / place)
    truth = Truth(kind="exclusive", classes=("a", "b", "c"), background=None, groups=None)
    with pytest.raises(RunError, match=r"sigmoid 0 1, softmax 0\).*give each head the same ones"):
        evaluate(
            tmp_path, truth, EvaluationConfig(replicates=100), contenders=["sigmoid", "softmax"], seeds=(0, 1),
            splits=("test",), progress=Progress(),
        )  # fmt: skip


@pytest.mark.parametrize("name", BROUGHT)
def test_summary_tells_that_a_run_was_imported_and_what_was_declared(brought_runs, name):
    found = summarise(Run(brought_runs / name))
    assert (found.origin, found.problem) == ("imported", "")
    assert set(found.declared) == set(BROUGHT[name][1])
    assert "loss" not in found.settings
    known = {head for metric, head in found.scores if metric == "dice"}
    assert known & {"sigmoid", "softmax", "softmax-powerset"} == set(BROUGHT[name][1])
    assert runs_panels.network(found) == "imported"


# The command line --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BROUGHT)
def test_verdict_compare_and_code_on_the_command_line(command, brought_runs, name):
    heads = BROUGHT[name][1]
    gone = missing_head(heads)
    status, said, errors = command("verdict", name, "--runs", brought_runs)
    assert (status, errors) == (0, "")
    assert ("What is missing:" in said) == (gone is not None)
    status, said, _ = command("verdict", name, "--runs", brought_runs, "--json")
    assert json.loads(said)["missing"] == gone
    status, said, errors = command("compare", name, "--runs", brought_runs)
    assert (status, errors) == (0, "")
    assert ("Sigmoid and softmax are not compared" in said) == (gone is not None)
    for head in heads:
        status, said, errors = command("verdict", name, "--runs", brought_runs, "--code", head)
        assert (status, errors) == (0, "")
        compile(said, name, "exec")
        assert "trained elsewhere" in said
    for head in {"sigmoid", "softmax"} - set(heads):
        status, said, errors = command("verdict", name, "--runs", brought_runs, "--code", head)
        assert status == 2
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1


@pytest.mark.parametrize("name", ["only-sets", "exclusive-softmax"])
def test_counting_again_gives_the_same_run(command, copied, name):
    runs = copied(name)
    before = Run(runs / name)
    kept, verdict = before.metrics(), before.verdict
    status, _, errors = command("evaluate", name, "--runs", runs)
    assert status == 0, errors
    again = Run(runs / name)
    pd.testing.assert_frame_equal(again.metrics(), kept)
    assert again.verdict == verdict
    assert again.config["training"] is None
    assert command("verify", name, "--runs", runs)[0] == 0


def test_two_imports_of_one_head_each_are_sent_to_one_import_of_both(command, brought_runs):
    status, _, errors = command("compare", "only-sigmoid", "only-softmax", "--runs", brought_runs)
    assert status == 2
    assert errors.count("\n") == 1
    assert "only-sigmoid has sigmoid, only-softmax has softmax; import the outputs of all heads into one run" in errors


# The report --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["only-sets", "exclusive-sigmoid", "brought-pair"])
def test_report_and_tables_of_imported_runs(command, brought_runs, tmp_path, name):
    status, _, errors = command("export", name, "--runs", brought_runs, "--out", tmp_path)
    assert (status, errors) == (0, "")
    page = (tmp_path / f"{name}-report.html").read_text()
    heads = BROUGHT[name][1]
    assert "were imported" in page
    assert (only(heads) in page) == (missing_head(heads) is not None)
    assert str(brought_runs.parent) not in page  # where the outputs lay is nobody's business
    (folder,) = [one for one in tmp_path.iterdir() if one.is_dir()]
    tables = {one.name: list(csv.reader(io.StringIO(one.read_text()))) for one in folder.glob("*.csv")}
    # nothing was trained here, and nothing is wrong with the outputs
    assert {one for one, rows in tables.items() if len(rows) < 2} == {"training.csv", "output-findings.csv"}
    told = {row[0]: row[1] for rows in tables.values() for row in rows if row[:1] in (["answer"], ["missing"])}
    assert told["answer"] == in_short(Run(brought_runs / name)).answer
    assert told["missing"] == (missing_head(heads) or "")


@pytest.mark.parametrize("name", ["only-softmax", "softmaxes"])
def test_report_names_what_it_leaves_out(brought_runs, name):
    report = report_of(Run(brought_runs / name))
    said = str(report)
    assert "there is nothing to compare" in said
    assert "the networks were trained elsewhere" in said


def test_explanation_of_levels_stands_in_the_guide_and_in_the_report():
    assert figure_index.PAGE_OF["levels"] == "verdict"
    assert "Nothing is compared here" in explained("levels")


# State -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heads", "missing", "said"),
    [
        (("sigmoid",), "softmax", "Only the sigmoid head is here"),
        (("softmax",), "sigmoid", "Only the softmax head is here"),
        (("softmax-powerset",), "sigmoid", "Only the softmax over label sets is here"),
        (("softmax", "softmax-powerset"), "sigmoid", "Only the softmax head and the softmax over label sets are here"),
        (("sigmoid", "softmax-powerset"), None, ""),
    ],
)
def test_what_is_missing_follows_from_the_heads(heads, missing, said):
    assert missing_head(heads) == missing
    if said:
        assert only(heads) == said


@pytest.mark.parametrize("name", BROUGHT)
def test_shown_heads_are_a_pair_or_one_alone(brought_runs, name):
    run = Run(brought_runs / name)
    others = [head for head in run.heads if head != "sigmoid"] or list(run.heads)
    for contender in others:
        expected = (contender,) if missing_head(run.heads) else ("sigmoid", contender)
        assert queries.runs.shown_heads(run, contender) == expected


def test_folder_of_brought_runs_is_one_of_whole_runs(brought_runs):
    assert sorted(one.name for one in Path(brought_runs).iterdir() if not one.name.startswith(".")) == sorted(BROUGHT)
