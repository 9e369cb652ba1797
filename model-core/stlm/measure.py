"""What only running an exported tier can tell: the text a healthy load reproduces, and a first guess of its speed."""

from __future__ import annotations

import platform
import time
from pathlib import Path

import numpy as np

from stlm.generate import PREFILL_PATCHES, Generator
from stlm.manifest import Golden, LatencySeed
from stlm.runtime import Cache, Runtime
from stlm.sampling import Sampling

GOLDEN_PROMPTS = (
    "Once upon a time, there was a ",
    "The United States of Amer",
    "It is one of the m",
    "She opened the door and ",
)
GOLDEN_IDS = 32
# Processors round quantised products differently, by up to 2e-2 nat; a golden text must not hang on that.
_JITTER_NATS = 0.03
_JITTERED_RUNS = 12


def measure_golden(runtime: Runtime) -> Golden:
    """The prompt and the greedy ids that stay the same under small errors of the logits.

    Of several prompts, the one with the longest such continuation. Raises ValueError when none has any.
    """
    generator = Generator(runtime)
    best: Golden = {"prompt": "", "ids": []}
    for prompt in GOLDEN_PROMPTS:
        ids = generator.ids(prompt.encode(), GOLDEN_IDS, Sampling())
        for seed in range(_JITTERED_RUNS):
            jittered = generator.ids(prompt.encode(), GOLDEN_IDS, Sampling(seed=seed, jitter=_JITTER_NATS))
            same = [a == b for a, b in zip(ids, jittered, strict=False)]
            ids = ids[: same.index(False) if False in same else len(same)]
        if len(ids) > len(best["ids"]):
            best = {"prompt": prompt, "ids": ids}
    if not best["ids"]:
        raise ValueError("no prompt has a stable greedy continuation: is the model trained?")
    return best


def measure_latency(folder: Path, threads: int) -> LatencySeed:
    """Median milliseconds to load, to prefill a patch in a full chunk, and to decode a patch, on this machine."""
    loads, prefills, decodes = [], [], []
    runtime = None
    for _ in range(3):
        start = time.perf_counter()
        runtime = Runtime(folder, None, threads)
        loads.append(time.perf_counter() - start)
    assert runtime is not None
    rule = runtime.rule
    rows = rule.rows(np.frombuffer(b"the cat sat on the mat, and " * 40, np.uint8).astype(np.uint16))
    noise = np.zeros((rule.cap, 1, rule.vocabulary), np.float32)
    prefilled = min(PREFILL_PATCHES, runtime.context // 2)
    for _ in range(5):
        cache = Cache(runtime)
        chunk = rows[None, :prefilled]
        start = time.perf_counter()
        sel = np.array([prefilled - 1])
        filled = runtime.run(chunk, runtime.no_patch[None], cache.arrays, 0, sel=sel, noise=noise, steps=0)
        cache.append(filled.newkv)
        prefills.append((time.perf_counter() - start) / prefilled)
        for at in range(prefilled, min(prefilled + 32, runtime.context)):
            start = time.perf_counter()
            decoded = runtime.run(
                rows[None, at : at + 1],
                rows[at - 1 : at],
                cache.arrays,
                cache.patches,
                sel=np.array([0]),
                noise=noise,
                steps=rule.cap,
            )
            cache.append(decoded.newkv)
            decodes.append(time.perf_counter() - start)
    return {
        "machine": _processor(),
        "threads": threads,
        "loadMs": _milliseconds(loads),
        "prefillPatchMs": _milliseconds(prefills),
        "decodePatchMs": _milliseconds(decodes),
    }


def _milliseconds(seconds: list[float]) -> float:
    return round(1000 * float(np.median(seconds)), 4)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
