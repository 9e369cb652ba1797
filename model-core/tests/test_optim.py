"""Muon: the update is orthogonal, as long in every direction, and its decay only ever helps the step."""

from __future__ import annotations

import pytest
import torch

from stlm.model import PatchLM
from stlm.optim import NEWTON_SCHULZ, Muon, make_optimizers, orthogonalize
from stlm.patch import PatchRule
from stlm.tiers import TIERS


def on_the_rectangle(update: torch.Tensor) -> torch.Tensor:
    """Newton-Schulz as Muon's reference writes it."""
    a, b, c = NEWTON_SCHULZ
    x = update / update.norm()
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


@pytest.mark.parametrize("shape", [(32, 96), (64, 64), (96, 32)])
def test_the_square_space_gives_what_the_rectangle_gives(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    update = torch.randn(shape)
    result = orthogonalize(update)
    wide = update.T if shape[0] > shape[1] else update
    expected = on_the_rectangle(wide)
    torch.testing.assert_close(result, expected.T if shape[0] > shape[1] else expected, atol=1e-4, rtol=1e-3)


def test_every_direction_of_an_update_is_about_as_long() -> None:
    torch.manual_seed(0)
    lengths = torch.linalg.svdvals(orthogonalize(torch.randn(32, 96)))
    assert lengths.min() > 0.6 and lengths.max() < 1.3


def test_a_zero_gradient_moves_nothing() -> None:
    weight = torch.nn.Parameter(torch.ones(4, 8))
    weight.grad = torch.zeros(4, 8)
    Muon([weight], lr=1.0).step()
    assert torch.equal(weight, torch.ones(4, 8))


def test_cautious_decay_only_adds_to_the_step() -> None:
    torch.manual_seed(0)
    start, gradient = torch.randn(16, 32), torch.randn(16, 32)
    moved = []
    for decay in (0.0, 0.5):
        weight = torch.nn.Parameter(start.clone())
        weight.grad = gradient.clone()
        Muon([weight], lr=0.1, weight_decay=decay).step()
        moved.append(weight.detach() - start)
    plain, decayed = moved
    differs = plain != decayed
    assert differs.any() and not differs.all()
    assert ((decayed - plain)[differs] * plain[differs] > 0).all()
    assert ((decayed - plain)[differs] * start[differs] < 0).all()


def test_every_parameter_has_one_optimizer() -> None:
    model = PatchLM(TIERS["stlm-tiny"], PatchRule.load())
    optimizers = make_optimizers(model, 0.02, 0.01, 0.005, 0.0)
    held = [id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
