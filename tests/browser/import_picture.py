"""The page Import filled in with a run's own outputs, as somebody would bring them: for its picture."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

try:
    from outputs_on_disk import write_outputs
except ImportError:  # run as a part of the folder tests
    from tests.outputs_on_disk import write_outputs

HEADS = ("sigmoid", "softmax")
OUTPUTS = "outputs"  # below a folder that the server reads, so that no picture shows where it lies


@contextmanager
def files_of(run):
    """Yields whether both heads' logits lie as .npy files where the server may read them: they do if it was trained."""
    if run.config["training"] is None or not set(HEADS) <= set(run.heads):
        yield False
        return
    with tempfile.TemporaryDirectory() as folder:
        for head in HEADS:
            write_outputs(Path(folder) / OUTPUTS / head, run, head, "npy", seed=run.seeds[0])
        os.environ["PIPELINES_DATA_ROOTS"] = os.pathsep.join([folder, str(Path(run.config["dataset"]).parent)])
        yield True


def choose(viewer, key, text):
    """Choose from a list by what an entry says."""
    field = viewer.page.locator(f".st-key-{key} input")
    field.click()
    field.press_sequentially(text)
    viewer.page.get_by_role("option").filter(has_text=text).first.wait_for()
    field.press("Enter")
    viewer.settle()


def fill_in(viewer, site, run):
    """Everything up to the check of the first images."""
    page = viewer.page
    viewer.open(f"{site}/import_outputs?run={run.name}&data={run.config['dataset']}")
    for head in HEADS:
        choose(viewer, f"import_place_{head}", "A path on the server")
        path = page.locator(f".st-key-import_path_{head} input")
        path.fill(f"{OUTPUTS}/{head}")
        path.press("Enter")
        viewer.settle()
    for split, title in (("val", "Validation"), ("test", "Test")):
        if split not in run.splits:
            page.locator(".st-key-import_splits button", has_text=title).click()
            viewer.settle()
    size = run.config["training"]["size"]
    if size is not None:
        page.locator(".st-key-import_resized label").first.click()
        viewer.settle()
        for key, side in zip(("height", "width"), size, strict=True):
            field = page.locator(f".st-key-import_{key} input")
            field.fill(str(side))
            field.press("Enter")
            viewer.settle()
    for head in HEADS:
        page.locator(f".st-key-import_values_{head} button", has_text="Logits").click()
        viewer.settle()
        page.locator(f".st-key-import_usual_{head} button >> visible=true").first.click()
        viewer.settle()
    page.locator(".st-key-import_check button >> visible=true").first.click()
    viewer.settle()
