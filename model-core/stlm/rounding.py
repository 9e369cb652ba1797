"""What the exported files round, done to the model in training: it learns weights that survive it (arXiv 1712.05877).

int4   as `quantize_weights.py` stores the trunk and the tables; what is local keeps 8 bits with a scale per 32 inputs, and is left alone.
uint8  all matrices and tables as stored, and the activations before each matrix as DynamicQuantizeMatMul rounds them. It takes one
       range over all rows of a run; here each row has its own, as when one stream is decoded, so that no row of a batch sees another.

Gradients pass straight through (arXiv 1308.3432).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from stlm.config import BLOCK, Precision


def linear(x: Tensor, weight: Tensor, precision: Precision) -> Tensor:
    """x [..., inputs] @ weight.T, weight [outputs, inputs], each rounded as a file of that precision does."""
    if precision == "uint8":
        return F.linear(straight_through(x, round_activations), straight_through(weight, round_outputs))
    return F.linear(x, straight_through(weight, round_blocks) if precision == "int4" else weight)


def table(weight: Tensor, precision: Precision, *beside: Tensor) -> Tensor:
    """A table [rows, width] as a file of that precision stores it, as one with those `beside` it."""
    if precision == "uint8":
        return straight_through(weight, lambda exact: round_columns(exact, *(other.detach() for other in beside)))
    return straight_through(weight, round_blocks) if precision == "int4" else weight


def straight_through(x: Tensor, rounding: Callable[[Tensor], Tensor]) -> Tensor:
    """`rounding(x)` with the gradient of x."""
    exact = x.detach().float()
    return x + (rounding(exact) - exact)


def round_blocks(weight: Tensor) -> Tensor:
    """4 bits, one scale per 32 inputs; their largest in magnitude lands on -8, so that all 16 levels are used (llama.cpp's Q4_0)."""
    blocks = weight.reshape(-1, BLOCK)
    extreme = blocks.gather(1, blocks.abs().argmax(dim=1, keepdim=True))
    scale = extreme / -8
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return ((blocks / scale).round().clamp(-8, 7) * scale).reshape(weight.shape)


def round_outputs(weight: Tensor) -> Tensor:
    """8 bits, one scale per output (row)."""
    return round_symmetric(weight, weight.abs().amax(dim=1, keepdim=True))


def round_columns(weight: Tensor, *beside: Tensor) -> Tensor:
    """8 bits, one scale per column of all tables that are stored as one."""
    return round_symmetric(weight, torch.stack([table.abs().amax(dim=0) for table in (weight, *beside)]).amax(dim=0))


def round_symmetric(weight: Tensor, most: Tensor) -> Tensor:
    scale = most.clamp(min=1e-12) / 127
    return (weight / scale).round() * scale


def round_activations(x: Tensor) -> Tensor:
    """ONNX's DynamicQuantizeLinear of each row: 256 levels from its smallest entry, or 0, to its largest, or 0."""
    low = x.amin(dim=-1, keepdim=True).clamp(max=0)
    scale = (x.amax(dim=-1, keepdim=True).clamp(min=0) - low) / 255
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero = (-low / scale).round()
    return (((x / scale).round() + zero).clamp(0, 255) - zero) * scale
