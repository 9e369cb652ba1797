"""How much arithmetic a training step is, and what share of the device's peak it reaches (model FLOP utilisation, PaLM, arXiv
2204.02311): the arithmetic that the model needs, not what the implementation happens to do, over the peak of the device."""

from __future__ import annotations

import time

import torch

from stlm.model import LanguageModel

CUDA_PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12}
"""Dense bf16 FLOP/s by a part of the device's name (the makers' datasheets)."""


def step_flops(model: LanguageModel, patches: int, ids: int, row_patches: int) -> float:
    """FLOPs of a training step, forward and backward, that reads `patches` patches in rows of `row_patches` and predicts `ids` ids.

    Two a multiply-add, the backward pass twice the forward. Table rows are looked up and cost none; a block that is run twice
    costs twice.
    """
    c = model.config
    by_patch, by_id = model.multiply_adds()
    # Scores and mixing over half the row on average, the rest is masked.
    attention = c.depth * 2 * c.heads * c.head_dim * row_patches / 2
    return 6.0 * (patches * (by_patch + attention) + ids * by_id)


def peak_flops(device: str, dtype: torch.dtype) -> float | None:
    """FLOP/s that `device` can do: the datasheet's for a known GPU, None for another; on a CPU the best of a few matrix products."""
    if device == "cuda":
        name = torch.cuda.get_device_name()
        return next((peak for part, peak in CUDA_PEAK.items() if part in name), None)
    size = 1024
    a, b = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(30):
        start = time.perf_counter()
        torch.nn.functional.linear(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
