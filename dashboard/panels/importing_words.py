"""What was seen of a data set and of outputs, and where an import stands, to words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dashboard.panels.importing import SaidHead
from pipelines import jobs
from pipelines.errors import PipelineError
from pipelines.imports.trial import Looked, Seen, Truth
from pipelines.jobs import Status
from pipelines.schema import Head
from pipelines.sentences import KIND_TITLES
from pipelines.store.files import check_name

KINDS: Final = KIND_TITLES
_STEPS: Final = {
    "check": "Reading the truth", "import": "Reading the outputs of", "count": "Counting", "measure": "Measuring",
    "temperature": "Fitting temperatures", "commit": "Putting the run in its place",
}  # fmt: skip

_OPTIONS: Final = (
    ("or correct --classes", "or correct the names"), ("--classes", "the names, such as"),
    ("name it with --background", "choose the channel that means that nothing is there"),
    ("declare it with --background", "choose it as the one that means that nothing is there"),
    ("add --values probabilities (after the activation) or --values logits (before it)", "say which"),
    ("choose with --format", "choose the format"), ("choose one with --format", "choose the format"),
    ("give it with --", "give it as "), ("so --seed cannot be given; leave it out", "so no seed can be given"),
    ("leave it out with --splits", "leave it out"), ("use --softmax", "give it as softmax"),
)  # fmt: skip


def for_page(message: str) -> str:
    """A message of the command line in the words of the page, which has fields and no options."""
    for option, words in _OPTIONS:
        message = message.replace(option, words)
    return message


def truth_facts(truth: Truth) -> list[str]:
    """What a reader must know of the data set."""
    classes = len(truth.classes)
    images = [f"{count} {split}" for split, count in truth.images.items()]
    return [
        truth.name, KINDS[truth.kind], f"{classes} classes" if classes > 1 else "", f"images: {', '.join(images)}",
        f"{truth.background} is the background" if truth.background else "",
    ]  # fmt: skip


def seen_facts(seen: Seen) -> list[str]:
    """What was recognised in the files of one head."""
    size = f"{seen.size[1]}×{seen.size[0]} pixels" if seen.size else ""
    count = f"{seen.count} channel{'s' if seen.count != 1 else ''}" if seen.count else ""
    seeds = f"seeds {', '.join(map(str, seen.seeds))}" if seen.in_folders else ""
    return [f"recognised: {seen.title}", count, size, f"the files say: {seen.values}" if seen.values else "", seeds]


def lacking(head: Head, seen: Seen, said: SaidHead, *, binary: bool) -> str | None:
    """What has yet to be said of a head before it can be checked, as the end of "say …"; None when all is said."""
    if said.values is None and seen.values is None:
        return "whether these are probabilities or logits"
    alone = head == "sigmoid" and binary and seen.count == 1
    if not (said.channels and all(said.channels)) and not seen.channels and not alone:
        return "what each channel is"
    return None


def verdict_on(looked: Looked) -> tuple[bool, list[str]]:
    """Whether an import may start, and what there is to say of each head, a line each."""
    if looked.problem is not None:
        return False, [for_page(looked.problem)]
    lines = []
    for head, seen in looked.heads.items():
        if seen.problem:
            lines.append(f"{head}: {for_page(seen.problem)}")
        if seen.absent_count:
            lines.append(
                f"OUTPUT-MISSING: {head} has no output for {_counted(seen.absent_count, 'image')}: "
                f"{_some(seen.absent, seen.absent_count)}; predict these too, under the image's name, or leave out "
                "their split"
            )
    return not lines and not any(seen.stands_in_the_way for seen in looked.heads.values()), lines


def left_aside(looked: Looked) -> list[str]:
    """Outputs that belong to no image, a line each head."""
    return [
        f"{head}: {_counted(seen.surplus_count, 'output')} of no image of these splits, left aside: "
        f"{_some(seen.surplus, seen.surplus_count)}"
        for head, seen in looked.heads.items()
        if seen.surplus_count
    ]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' if count != 1 else ''}"


def _some(names: Sequence[str], count: int) -> str:
    shown = ", ".join(names)
    return shown if len(names) >= count else f"{shown} and {count - len(names):,} more"


def name_problem(name: str, runs: Path) -> str | None:
    """Why a run cannot be called so, in one line; None when it can."""
    try:
        check_name(name)
    except PipelineError as error:
        return str(error)
    if (runs / name).exists():
        return f"there is a run {name} already; choose another name"
    busy = {job.run_name for job in jobs.list_jobs(runs) if job.state() not in jobs.ENDED}
    if name in busy:
        return f"a job is making a run {name}; wait for it, or choose another name"
    return None


def new_name(truth: Truth, runs: Path) -> str:
    """A name that is free among runs, attempts and jobs."""
    busy = [job.run_name for job in jobs.list_jobs(runs) if job.run_name is not None]
    return jobs.free_name(runs, f"{truth.name} imported", taken=busy)


def progress_words(status: Status) -> str:
    """Where an import stands, in a few words."""
    verb, _, rest = status.stage.partition(" ")
    words = f"{_STEPS.get(verb, verb.capitalize() or 'Starting')} {rest}".strip()
    return f"{words}: {status.done} of {status.total}" if status.total else words
