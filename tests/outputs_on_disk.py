"""A run's predictions to files of every format that can be imported, each made by that format's own writer."""

import numpy as np
import tifffile
from PIL import Image
from safetensors.numpy import save_file
from scipy.special import expit, softmax

from pipelines import heads


def logits_of(prediction, spec):
    """The network's logits, (K, H, W) float32."""
    log_odds = prediction.log_odds.astype(np.float32)
    if not spec.is_softmax:
        return log_odds
    log_p = heads.channel_log_probs(spec, log_odds, prediction.extra.astype(np.float32))
    return log_p + prediction.logsumexp.astype(np.float32)


def probabilities_of(logits, spec):
    return softmax(logits.astype(float), axis=0) if spec.is_softmax else expit(logits.astype(float))


def all_logits(run, head, seed=0):
    """The head's spec, and the logits of every image of the run by name."""
    found, spec = {}, None
    for split in run.splits:
        with run.predictions(split, head, seed) as reader:
            spec = reader.spec
            found |= {one.image: logits_of(one, spec) for one in reader}
    return spec, found


def write_npy(folder, values, spec):
    for name, one in values.items():
        np.save(folder / f"{name}.npy", one)


def write_npz(folder, values, spec):
    for name, one in values.items():
        np.savez_compressed(folder / f"{name}.npz", one)


def write_one_npz(folder, values, spec):
    np.savez(folder / "all.npz", **values)


def write_stack(folder, values, spec):
    np.save(folder / "all.npy", np.stack(list(values.values())))
    (folder / "all.txt").write_text("\n".join(values) + "\n")


def write_safetensors(folder, values, spec):
    for name, one in values.items():
        save_file(
            {spec.head: np.ascontiguousarray(one), "other": np.zeros(2, np.float32)}, folder / f"{name}.safetensors"
        )


def write_one_safetensors(folder, values, spec):
    save_file({name: np.ascontiguousarray(one) for name, one in values.items()}, folder / "all.safetensors")


def write_nnunet(folder, values, spec):
    """As nnU-Net 2 does for 2D images: (C, 1, Y, X) beside a segmentation and a pickle."""
    for name, one in values.items():
        np.savez_compressed(folder / f"{name}.npz", probabilities=one[:, None].astype(np.float32))
        Image.fromarray(one.argmax(axis=0).astype(np.uint8)).save(folder / f"{name}.png")
        (folder / f"{name}.pkl").write_bytes(b"\x80\x04cos\nsystem\n")  # never opened
    (folder / "dataset.json").write_text("{}")


def write_maps(folder, values, spec, *, scale=None):
    """Grey images by class: float32 TIFF, or PNG with 255 or 65535 steps."""
    for name, one in values.items():
        for channel, plane in zip(spec.channels, one, strict=True):
            (folder / channel).mkdir(exist_ok=True)
            if scale is None:
                tifffile.imwrite(folder / channel / f"{name}.tif", plane.astype(np.float32))
            else:
                kind = np.uint8 if scale == 255 else np.uint16
                Image.fromarray(np.rint(plane * scale).astype(kind)).save(folder / channel / f"{name}.png")


def write_png8(folder, values, spec):
    write_maps(folder, values, spec, scale=255)


def write_png16(folder, values, spec):
    write_maps(folder, values, spec, scale=65535)


# name: what is written, in which form, the format's name, whether files name their channels
WRITERS = {
    "npy": (write_npy, "logits", "arrays", False),
    "npz": (write_npz, "probabilities", "arrays", False),
    "one-npz": (write_one_npz, "logits", "arrays", False),
    "stack": (write_stack, "probabilities", "arrays", False),
    "safetensors": (write_safetensors, "logits", "safetensors", False),
    "one-safetensors": (write_one_safetensors, "probabilities", "safetensors", False),
    "nnunet": (write_nnunet, "probabilities", "nnunet", False),
    "tiff": (write_maps, "probabilities", "maps", True),
    "png16": (write_png16, "probabilities", "maps", True),
    "png8": (write_png8, "probabilities", "maps", True),
}


def write_outputs(folder, run, head, how, seed=0):
    """Write one head's outputs into a new folder; gives its spec."""
    write, values, _, _ = WRITERS[how]
    folder.mkdir(parents=True)
    spec, found = all_logits(run, head, seed)
    if values == "probabilities":
        found = {name: probabilities_of(one, spec) for name, one in found.items()}
    write(folder, found, spec)
    return spec
