"""An exported tier in onnxruntime: one call is one run of the graph (inputs and outputs as in export.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from stlm.export_sampler import NEUTRAL
from stlm.manifest import find_file, load_manifest
from stlm.patch import PatchRule

FORCED, REFUSED = 1e9, -1e9
"""Noise that decides: added to a logit, it makes an id certain or impossible."""

SLOT_BUCKET = 128
"""Caches grow by this many patches at a time."""


@dataclass(frozen=True)
class Decoded:
    """Outputs of one run: new keys and values [B, S, layers*2*kv*hd], ids [N, R] and their log-probabilities [N, R]."""

    newkv: np.ndarray
    toks: np.ndarray
    lp: np.ndarray


class Runtime:
    """An artifact folder opened for running. Raises ValueError when it is damaged or was cut by another patch rule."""

    def __init__(self, folder: Path, precision: str | None = None, threads: int = 1) -> None:
        self.folder = folder
        self.manifest = load_manifest(folder)
        self.file = find_file(folder, self.manifest, precision)
        self.rule = PatchRule.load()
        if self.manifest["patch"]["ruleHash"] != self.rule.rule_hash:
            raise ValueError(f"{folder}: made with another patch rule than patch.json")
        self.context: int = self.manifest["context"]["patches"]
        self.pad = self.rule.specials["pad"]
        self.no_patch = np.full(self.rule.cap, self.pad, np.uint16)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        path = folder / self.file["name"]
        try:
            self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no base class but this
            raise ValueError(f"{path}: onnxruntime {ort.__version__} cannot load it ({error})") from error

    def empty_past(self, batch: int, slots: int) -> list[np.ndarray]:
        """Zeroed keys and values, k then v of each layer, each float32 [batch, kv, slots, hd]."""
        trunk = self.manifest["trunk"]
        shape = (batch, trunk["kvHeads"], slots, trunk["headDim"])
        return [np.zeros(shape, np.float32) for _ in range(2 * trunk["layers"])]

    def run(
        self,
        rows: np.ndarray,
        before: np.ndarray,
        past: list[np.ndarray],
        past_patches: int,
        *,
        sel: np.ndarray,
        noise: np.ndarray,
        sampler: np.ndarray | None = None,
        seen: np.ndarray | None = None,
        steps: int,
    ) -> Decoded:
        """One run of the graph.

        rows [B, S, cap] are the new patches and before [B, cap] the patch in front of each row. A batch is padded on
        the right with empty patches; causal attention keeps them from the patches before them.
        """
        batch, patches, _ = rows.shape
        feeds = {
            "ids": np.concatenate([before[:, None], rows], axis=1).astype(np.int32),
            "pos": np.tile(np.arange(past_patches, past_patches + patches), (batch, 1)),
            "seqk": np.full(batch, past_patches + patches - 1, np.int32),
            "tot": np.array([past_patches + patches], np.int32),
            "sel": sel.astype(np.int32),
            "noise": noise,
            "sampler": np.zeros((len(sel), len(NEUTRAL)), np.float32) if sampler is None else sampler,
            "seen": np.zeros((0, 2, noise.shape[2]), np.float32) if seen is None else seen,
            "steps": np.array([steps]),
        }
        for layer in range(len(past) // 2):
            feeds[f"pk{layer}"], feeds[f"pv{layer}"] = past[2 * layer], past[2 * layer + 1]
        newkv, toks, lp = self.session.run(["newkv", "toks", "lp"], feeds)
        return Decoded(np.asarray(newkv), np.asarray(toks), np.asarray(lp))


class Cache:
    """Keys and values of one stream of patches, kept by the host and given back to every run."""

    def __init__(self, runtime: Runtime) -> None:
        self.arrays = runtime.empty_past(1, SLOT_BUCKET)
        self.patches = 0

    def append(self, newkv: np.ndarray) -> None:
        """Takes over the `newkv` [1, S, layers*2*kv*hd] of a run."""
        _, added, _ = newkv.shape
        _, kv, slots, head_dim = self.arrays[0].shape
        if self.patches + added > slots:
            grow = -(-(self.patches + added - slots) // SLOT_BUCKET) * SLOT_BUCKET
            self.arrays = [np.pad(a, ((0, 0), (0, 0), (0, grow), (0, 0))) for a in self.arrays]
        parts = newkv.reshape(added, len(self.arrays), kv, head_dim)
        for i, array in enumerate(self.arrays):
            array[0, :, self.patches : self.patches + added] = parts[:, i].transpose(1, 0, 2)
        self.patches += added
