"""A whole run and some of its heads to another run, as if somebody had brought their outputs from elsewhere."""

from contextlib import ExitStack
from pathlib import Path

from synthetic import make_run

from pipelines.config import EvaluationConfig, RunConfig
from pipelines.datasets.opening import open_dataset
from pipelines.imports.predictions import make_import
from pipelines.imports.readers import open_outputs
from pipelines.imports.sources import Said
from pipelines.progress import Progress
from pipelines.store.runs import Run

CLASSES = {"overlapping": ("a", "b", "c"), "exclusive": ("a", "b", "c"), "binary": ("thing",)}
# Name: kind of truth, heads, seeds.
BROUGHT = {
    "only-sigmoid": ("overlapping", ("sigmoid",), (0, 1)),
    "only-softmax": ("overlapping", ("softmax",), (0,)),
    "only-sets": ("overlapping", ("softmax-powerset",), (0,)),
    "softmaxes": ("overlapping", ("softmax", "softmax-powerset"), (0,)),
    "exclusive-sigmoid": ("exclusive", ("sigmoid",), (0,)),
    "exclusive-softmax": ("exclusive", ("softmax",), (0, 1)),
    "binary-sigmoid": ("binary", ("sigmoid",), (0,)),
    "binary-softmax": ("binary", ("softmax",), (0,)),
    "brought-pair": ("exclusive", ("sigmoid", "softmax"), (0, 1)),
}


def write_brought_runs(folder: Path) -> Path:
    """Every run of BROUGHT under folder/runs, from made-up pairs under folder/pairs; returns folder/runs."""
    pairs = {
        kind: make_run(folder / "pairs", kind, kind=kind, classes=some, seeds=(0, 1)) for kind, some in CLASSES.items()
    }
    for name, (kind, heads, seeds) in BROUGHT.items():
        import_heads(folder / "runs", name, pairs[kind], heads, seeds=seeds)
    return folder / "runs"


def import_heads(runs: Path, name: str, of: Run, heads, *, seeds=None, splits=("val", "test")) -> Run:
    """Import the outputs of these heads of a run, read from its own files. seeds: None for all of them."""
    dataset = open_dataset(of.config["dataset"])
    size = of.config["training"]["size"]
    with ExitStack() as stack:
        opened = {head: open_outputs(of.folder, Said(head), dataset) for head in heads}
        every = [source for one in opened.values() for source in one.sources.values()]
        for source in every:
            stack.enter_context(source).size = None if size is None else tuple(size)
        sources = {
            head: {seed: source for seed, source in one.sources.items() if seeds is None or seed in seeds}
            for head, one in opened.items()
        }
        declared = {head: next(iter(some.values())).declaration for head, some in sources.items()}
        imported = {
            "heads": {
                head: {
                    "path": str(opened[head].path), "format": opened[head].format, "values": one.values,
                    "channels": one.classes, "background": one.background,
                }
                for head, one in declared.items()
            },
            "seeds": seeds or of.seeds, "size": size,
        }  # fmt: skip
        config = RunConfig(
            dataset=of.config["dataset"], training=None, imported=imported,
            evaluation=EvaluationConfig(replicates=100, splits=splits),
        )  # fmt: skip
        return make_import(config, sources, runs=runs, name=name, progress=Progress())
