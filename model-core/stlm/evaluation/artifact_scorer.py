"""An exported tier as a scorer: one run of the graph a batch, the bytes of the targets forced in its byte loop.

Pairs side by side with the same context (the choices of a question) read it once: the trunk runs over it alone, then
over each continuation with the context's keys and values as its past. One row a run, because the graph's attention takes
either several rows or a past and several patches. Measured on one core, four choices of 5 patches after a context of 22
and of 250: 6.5 ms for 11.1 and 23 ms for 80 (stlm-10m), 73 ms for 165 and 409 ms for 2099 (stlm-100m).
In an int4 file, whose activations are rounded too, the two ways differ by 1e-4 nat in most sums and by 0.24 in the worst of
3350; which way a pair goes is fixed by its neighbours, so figures are the same every time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from stlm.evaluation.scoring import Pair, WindowScorer, cut_at_stop
from stlm.evaluation.windows import Window, pair_windows
from stlm.generate import PREFILL_PATCHES, Generator
from stlm.infill import Gap, infill_document, infill_prompt
from stlm.patch import PatchRule, document_ids
from stlm.runtime import FORCED, Cache, Runtime
from stlm.sampling import Sampling

_WORTH_SHARING = 16
"""Patches of context that must be saved before single rows are faster than a batch."""


class ArtifactScorer(WindowScorer):
    """Raises RuntimeError if the graph strays from the forced bytes."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.name: str = runtime.manifest["id"]
        self.sha256 = runtime.file["sha256"]
        self.rule = runtime.rule
        self.context = runtime.context
        self.infills = runtime.manifest.get("infill", False)
        patches = max(self.run_rows, runtime.context)
        # Reused: clearing the forced ids after a run is cheaper than a fresh 27 MB.
        self._noise = np.zeros(self.rule.cap * patches * self.rule.vocabulary, np.float32)

    def log_probabilities(self, pairs: Sequence[Pair]) -> list[float]:
        windows = pair_windows(pairs, self.rule, self.context)
        totals = np.zeros(len(pairs))
        alone: list[int] = []
        for group in same_context(pairs):
            first = int(np.flatnonzero(windows[group[0]][0].scored.any(axis=1))[0])
            fits = all(len(windows[i]) == 1 and windows[i][0].rows[0, 0] == self.rule.specials["bod"] for i in group)
            if fits and (first - 1) * (len(group) - 1) >= _WORTH_SHARING:
                totals[group] = self.nats_after(windows[group[0]][0].rows[: first - 1], [windows[i][0] for i in group])
            else:
                alone += group
        totals[alone] = self._totals([windows[i] for i in alone])
        return totals.tolist()

    def nats(self, batch: list[Window]) -> np.ndarray:
        lengths = [len(window.rows) - 1 for window in batch]
        longest = max(lengths)
        rows = np.full((len(batch), longest, self.rule.cap), self.runtime.pad, np.uint16)
        for i, window in enumerate(batch):
            rows[i, : lengths[i]] = window.rows[:-1]
        before = np.stack([window.before for window in batch])
        return self._run(batch, rows, before, self.runtime.empty_past(len(batch), longest), 0)

    def nats_after(self, shared: np.ndarray, windows: list[Window]) -> np.ndarray:
        """As `nats`, of windows that all begin with the patches `shared` [n, cap], none of which is scored."""
        cache, before = Cache(self.runtime), self.runtime.no_patch
        for start in range(0, len(shared), PREFILL_PATCHES):
            chunk = shared[start : start + PREFILL_PATCHES]
            noise = self._noise[: self.rule.cap * self.rule.vocabulary].reshape(self.rule.cap, 1, -1)
            args = (chunk[None], before[None], cache.arrays, cache.patches)
            cache.append(self.runtime.run(*args, sel=np.zeros(1), noise=noise, steps=0).newkv)
            before = chunk[-1]
        n = len(shared)
        totals = [self._run([Window(w.rows[n:], before, w.scored[n:])], w.rows[None, n:-1], before[None], cache.arrays, n) for w in windows]
        return np.concatenate(totals)

    def _run(self, batch: list[Window], rows: np.ndarray, before: np.ndarray, past: list[np.ndarray], past_patches: int) -> np.ndarray:
        runtime, cap = self.runtime, self.rule.cap
        # Only patches that hold a scored id are decoded.
        wanted = [np.flatnonzero(window.scored.any(axis=1)) for window in batch]
        sel = np.concatenate([i * rows.shape[1] + at - 1 for i, at in enumerate(wanted)])
        targets = np.concatenate([window.rows[at] for window, at in zip(batch, wanted, strict=True)])
        scored = np.concatenate([window.scored[at] for window, at in zip(batch, wanted, strict=True)])
        row, place = np.nonzero(targets != runtime.pad)
        # A contiguous slice of the flat buffer, so that onnxruntime reads it without a copy.
        noise = self._noise[: cap * len(targets) * self.rule.vocabulary].reshape(cap, len(targets), -1)
        noise[place, row, targets[row, place]] = FORCED
        decoded = runtime.run(rows, before, past, past_patches, sel=sel, noise=noise, steps=int(place.max()) + 1)
        noise[place, row, targets[row, place]] = 0
        if not np.array_equal(decoded.toks[place, row], targets[row, place]):
            raise RuntimeError(f"{runtime.file['name']}: the graph did not follow the forced bytes")
        kept = scored[row, place]
        owner = np.repeat(np.arange(len(batch)), [len(at) for at in wanted])[row[kept]]
        return np.bincount(owner, decoded.lp[place[kept], row[kept]].astype(np.float64), len(batch))

    def continuations(self, prompts: Sequence[bytes], max_bytes: int, stops: Sequence[bytes], sampling: Sampling) -> list[bytes]:
        generator = Generator(self.runtime)
        texts = []
        for i, prompt in enumerate(prompts):
            text = b""
            for patch in generator.patches(document_ids(prompt, self.rule)[:-1], replace(sampling, seed=sampling.seed + i)):
                text += bytes(patch[patch < 256].astype(np.uint8))
                if len(text) >= max_bytes or any(stop in text for stop in stops):
                    break
            texts.append(cut_at_stop(text[:max_bytes], stops))
        return texts

    def gap_nats(self, gaps: list[Gap]) -> list[float]:
        return self._totals([[gap_window(gap, self.runtime.rule, self.context)] for gap in gaps]).tolist()

    def fill(self, gaps: list[Gap], max_bytes: list[int]) -> list[tuple[bytes, bool]]:
        generator, found = Generator(self.runtime), []
        for gap, most in zip(gaps, max_bytes, strict=True):
            ids = generator.continuation(infill_prompt(gap.prefix, gap.suffix, self.runtime.rule), most + 1, Sampling())
            ended = ids[-1] == self.rule.specials["eod"]
            found.append((bytes(i for i in ids[:most] if i < 256), ended))
        return found


def gap_window(gap: Gap, rule: PatchRule, context: int) -> Window:
    """The window that scores a gap's middle. Raises ValueError for a text that does not fit the context."""
    rows = rule.rows(infill_document(gap, rule))
    if len(rows) - 1 > context:
        raise ValueError(f"a gap with its text takes {len(rows) - 1} patches, the context has {context}")
    lengths = rule.byte_lengths[rows]
    before = len(gap.prefix) + len(gap.suffix)
    scored = (lengths > 0) & (lengths.cumsum().reshape(rows.shape) > before)
    return Window(rows, np.full(rule.cap, rule.specials["pad"], np.uint16), scored)


def same_context(pairs: Sequence[Pair]) -> Iterator[list[int]]:
    """Indices of pairs side by side that share their context."""
    for _, group in groupby(range(len(pairs)), key=lambda i: pairs[i][0]):
        yield list(group)
