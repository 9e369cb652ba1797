"""The objective: fixed shapes change nothing, flagged ids are not learnt, and a teacher is imitated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_model import RULE, SMALL, TEXT
from tiny_artifact import random_model

from stlm.data import CONTEXT_ONLY
from stlm.model import PatchLM
from stlm.objective import Objective, make_batch
from stlm.patch import document_ids
from stlm.throughput import step_flops

PAD = RULE.specials["pad"]


@pytest.fixture
def rows() -> np.ndarray:
    row = RULE.rows(document_ids(TEXT * 2, RULE))
    return np.stack([row, row[::-1]])


def test_a_batch_of_fixed_shape_has_the_same_loss(rows: np.ndarray) -> None:
    model = random_model(SMALL)
    objective = Objective(model, bf16=False, compiled=False)
    free, fixed = (make_batch(rows, RULE, "cpu", fixed=flag) for flag in (False, True))
    assert len(fixed.at) > len(free.at) == free.ids == fixed.ids
    losses = [objective.sums(b.rows, b.at, b.target, b.weight)[0].item() for b in (free, fixed)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_only_ids_without_a_flag_are_scored_but_all_are_read(rows: np.ndarray) -> None:
    flagged = rows.copy()
    flagged[:, :6][flagged[:, :6] != PAD] |= CONTEXT_ONLY
    batch, whole = make_batch(flagged, RULE, "cpu", fixed=False), make_batch(rows, RULE, "cpu", fixed=False)
    assert torch.equal(batch.rows, whole.rows)
    assert batch.ids == batch.bytes == int((rows[:, 6:] != PAD).sum()) < whole.ids
    assert batch.read == whole.read == whole.bytes == int((rows[:, 1:] != PAD).sum()), "context counts in bytes a patch"
    assert batch.patches == 2 * (rows.shape[1] - 1)


def test_what_does_not_fit_the_fixed_shape_is_left_unscored() -> None:
    full = np.full((1, 3, RULE.cap), ord("a"), np.uint16)
    batch = make_batch(full, RULE, "cpu", fixed=True)
    assert batch.ids == len(batch.at) == 12 < 2 * RULE.cap


def test_a_student_comes_nearer_to_its_teacher(rows: np.ndarray) -> None:
    teacher = random_model(SMALL)
    torch.manual_seed(1)
    student = PatchLM(SMALL, RULE)
    objective = Objective(student, bf16=False, compiled=False, teacher=teacher, share=1.0)
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    batch, losses = make_batch(rows, RULE, "cpu", fixed=False), []
    for _ in range(30):
        loss = objective(batch)[0] / batch.ids
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    floor = torch.distributions.Categorical(logits=teacher.logits_at(batch.rows, batch.at)).entropy().mean().item()
    assert floor - 1e-3 < losses[-1] < losses[0] - 0.3 * (losses[0] - floor)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_step_needs_six_operations_a_weight_and_id_or_patch() -> None:
    model = random_model(SMALL)
    by_patch = sum(p.numel() for p in model.trunk.parameters()) + model.lift.weight.numel() + model.drop.weight.numel()
    by_id = sum(p.numel() for p in model.local.parameters()) + model.head.weight.numel()
    attention = SMALL.layers * 2 * SMALL.heads * SMALL.head_dim * 32 / 2
    assert step_flops(model, 64, 320, 32) == 6 * (64 * (by_patch + attention) + 320 * by_id)
