"""Data parallel training: this process among those that `torchrun` started."""

from __future__ import annotations

import os

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from stlm.model import LanguageModel


class World:
    """This process among those of `torchrun`; alone when there is none."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if device == "cuda":
            if not torch.cuda.is_available():
                raise ValueError("--device cuda: PyTorch sees no CUDA device here")
            # By its number: a thread that makes batches would take "cuda" for the first one.
            self.device = f"cuda:{int(os.environ.get('LOCAL_RANK', '0'))}"
            torch.cuda.set_device(self.device)
            # The forward pass is bf16 anyway; this is for Muon, whose iteration bears the 10 bits of TF32.
            torch.set_float32_matmul_precision("high")
        if self.size > 1:
            dist.init_process_group("nccl" if device == "cuda" else "gloo")

    def share(self, rows: np.ndarray) -> np.ndarray:
        """This process's part of a batch."""
        return rows[self.rank :: self.size]

    def sum(self, tensor: Tensor) -> Tensor:
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def total(self, count: int) -> int:
        """The sum of a number over all processes."""
        return int(self.sum(torch.tensor(count, device=self.device)).item()) if self.size > 1 else count

    def agree(self, seconds: float) -> float:
        """The first process's value, so that all stop, anneal and switch at the same step."""
        if self.size == 1:
            return seconds
        first = torch.tensor(seconds, dtype=torch.float64, device=self.device)
        dist.broadcast(first, src=0)
        return first.item()

    def sum_gradients(self, model: LanguageModel) -> None:
        for parameter in model.parameters():
            if parameter.grad is not None:
                self.sum(parameter.grad)

    def close(self) -> None:
        if self.size > 1:
            dist.destroy_process_group()
