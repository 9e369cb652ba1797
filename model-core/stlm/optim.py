"""Muon for the matrices of the trunk and the local blocks, AdamW for tables and head.

Muon (Jordan 2024, github.com/KellerJordan/Muon): the momentum of a matrix is replaced by its nearest orthogonal matrix,
found by five Newton-Schulz steps, so every direction of the update has the same length.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stlm.model import LanguageModel

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalize(update: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrices to `update` [..., m, n]; singular values that are not nearly 0 come within about 0.7-1.2.

    The Newton-Schulz polynomials of one matrix commute, so they are multiplied up in the small square space and applied
    to the update once: at 384 x 2048 half the arithmetic of iterating on the rectangle.
    """
    a, b, c = NEWTON_SCHULZ
    tall = update.shape[-2] > update.shape[-1]
    x = update.mT if tall else update
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    gram = x @ x.mT
    product = None
    for step in range(steps):
        factor = b * gram + c * (gram @ gram)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        product = factor if product is None else factor @ product
        if step < steps - 1:
            gram = factor @ gram @ factor
    assert product is not None
    x = product @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised. `lr` is the length of a step relative to a matrix of unit spectral norm.

    Matrices of one shape are worked on together, a stack of them a call: on a GPU a deep trunk would else be a thousand small
    kernels a step.
    """

    def __init__(self, params: list[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for parameters in by_shape.values():
                self.update(parameters, group)

    def update(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        """One step of matrices of one shape."""
        nesterov = []
        for parameter in parameters:
            assert parameter.grad is not None
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
            nesterov.append(parameter.grad.lerp(state["momentum"], group["momentum"]))
        aspect = max(1.0, parameters[0].shape[0] / parameters[0].shape[1]) ** 0.5
        for parameter, update in zip(parameters, orthogonalize(torch.stack(nesterov)), strict=True):
            if group["weight_decay"]:
                # Cautious decay (arXiv 2510.12402): only where it pulls the same way as the step.
                same_way = (update * parameter > 0).to(parameter.dtype)
                parameter.mul_(1 - group["lr"] * group["weight_decay"] * same_way)
            parameter.add_(update, alpha=-group["lr"] * aspect)


def make_optimizers(model: LanguageModel, matrix_lr: float, table_lr: float, head_lr: float, decay: float) -> list[torch.optim.Optimizer]:
    """Muon for every matrix but the head; AdamW for the tables and the head."""
    tables = [table.weight for table in model.tables()]
    head = [] if model.head is None else [model.head.weight]
    apart = {id(p) for p in [*tables, *head]}
    matrices = [p for p in model.parameters() if id(p) not in apart]
    adam = torch.optim.AdamW(
        [{"params": tables, "lr": table_lr}, {"params": head, "lr": head_lr}],
        betas=(0.8, 0.99), eps=1e-10, weight_decay=0.0, fused=True,
    )  # fmt: skip
    return [Muon(matrices, lr=matrix_lr, weight_decay=decay), adam]
