"""Small networks to files of every kind that can be imported, each written by that kind's own writer."""

import contextlib
import io
import warnings

import numpy as np
import segmentation_models_pytorch as smp
import torch
from onnx import TensorProto, helper, numpy_helper, save_model
from torch import nn


class Net(nn.Module):
    """Two convolutions and an activation, such as nn.Sigmoid() or nn.Softmax(1); last: channels last, in and out."""

    def __init__(self, channels, activation=None, *, inputs=3, seed=0, last=False):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.body = nn.Sequential(
                nn.Conv2d(inputs, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, channels, 3, padding=1)
            )
        with torch.no_grad():
            self.body[2].weight *= 8  # logits well beyond 0 to 1
        self.activation = activation or nn.Identity()
        self.last = last
        self.eval()

    def forward(self, x):
        out = self.activation(self.body(x.permute(0, 3, 1, 2) if self.last else x))
        return out.permute(0, 2, 3, 1) if self.last else out


class Bytes(nn.Module):
    """A network that takes bytes."""

    def __init__(self, net):
        super().__init__()
        self.net = net.eval()

    def forward(self, x):
        return self.net(x.float() / 255)


class Two(nn.Module):
    """A network with two outputs."""

    def __init__(self, one, other):
        super().__init__()
        self.one, self.other = one, other
        self.eval()

    def forward(self, x):
        return self.one(x), self.other(x)


@contextlib.contextmanager
def quietly():
    """Exporters warn of their own parts, and print."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def export(net, path, *, size=(20, 28), free=False, old=False, shape=None, dtype=torch.float32, **options):
    """torch.onnx.export, the new exporter or the old one. free: batch, height and width are left open."""
    example = torch.zeros(shape or (1, 3, *size), dtype=dtype)
    last = getattr(net, "last", False)
    where = (1, 2) if last else (2, 3)
    if last and shape is None:
        example = example.permute(0, 2, 3, 1).contiguous()
    options = {"input_names": ["image"]} | options
    if old:
        axes = {"image": {0: "n", where[0]: "h", where[1]: "w"}} if free else None
        options |= {"dynamo": False, "dynamic_axes": axes}
    else:
        options = {"external_data": False, "verbose": False} | options
        if free:
            dim = torch.export.Dim
            options["dynamic_shapes"] = ({0: dim("n"), where[0]: dim("h", min=2), where[1]: dim("w", min=2)},)
            example = example.expand(2, *example.shape[1:])  # a dimension of 1 would be taken for a constant
    with quietly():
        torch.onnx.export(net, (example,), str(path), **options)
    return path


def save_smp(folder, *, classes, **options):
    """save_pretrained of a small Unet; returns the network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = smp.Unet(
            "tu-mobilenetv3_small_050", encoder_weights=None, decoder_channels=(16, 8, 8, 4, 4), classes=classes,
            **options,
        )  # fmt: skip
    net.eval().save_pretrained(folder)
    return net


def script(net, path, *, size=(20, 28)):
    """torch.jit.trace and save."""
    with quietly():
        torch.jit.trace(net, torch.zeros(1, 3, *size)).save(str(path))
    return path


def graph(path, nodes, outputs, *, inputs=(1, 3, None, None), weights=(), kind=TensorProto.FLOAT, props=None):
    """An ONNX file of hand-made nodes that read "x". outputs: name to (element type, shape)."""
    made = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", kind, inputs)],
        [helper.make_tensor_value_info(name, what, shape) for name, (what, shape) in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if props:
        helper.set_model_props(model, props)
    save_model(model, str(path))
    return path
