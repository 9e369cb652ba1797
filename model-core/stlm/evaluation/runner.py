"""Runs tasks over a scorer, in chunks that a stopped run need not repeat.

Finished tasks are kept in the JSON report, finished chunks of the task under way in a journal beside it, one JSON line
each. Both carry a key of all that decides the figures: the model, the sets, the settings and `PROTOCOL`.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from stlm.evaluation.scoring import Pair, Scorer, file_sha256, identity
from stlm.evaluation.statistics import Measure
from stlm.sampling import Sampling
from stlm.shards import ShardIndex

PROTOCOL = 2
"""Raise it when a change of code changes figures: earlier results are then measured again."""

_PAIRS, _PROMPTS = 1024, 16
"""In a chunk."""

_Item = TypeVar("_Item")
GREEDY = Sampling()


@dataclass(frozen=True)
class Task:
    """`run` measures; `files` are the sets it reads from the folder of `--eval-data`; `heldout`: it reads held-out text."""

    name: str
    about: str
    files: tuple[str, ...]
    run: Callable[[Run], list[Measure]]
    heldout: bool = False


class Journal:
    """Finished chunks by (key, part, number). In memory only where there is no path."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._chunks: dict[tuple[str, str, int], list[Any]] = {}
        if path and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                    self._chunks[entry["key"], entry["part"], entry["number"]] = entry["values"]
                except (ValueError, KeyError, TypeError):
                    continue  # the line that a killed run left unfinished

    def get(self, key: str, part: str, number: int) -> list[Any] | None:
        return self._chunks.get((key, part, number))

    def add(self, key: str, part: str, number: int, values: list[Any]) -> None:
        self._chunks[key, part, number] = values
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                # Begins with a newline, so that a line cut by a kill does not swallow this one.
                file.write("\n" + json.dumps({"key": key, "part": part, "number": number, "values": values}) + "\n")

    def forget(self, key: str) -> None:
        """Drops a finished task's chunks; what another task left unfinished stays."""
        self._chunks = {place: values for place, values in self._chunks.items() if place[0] != key}
        if self.path and self.path.exists():
            self.path.unlink()
            for (other, part, number), values in list(self._chunks.items()):
                self.add(other, part, number, values)


@dataclass(frozen=True)
class Run:
    """What a task is given: the model, the sets, how many items (`limit` 0: all), the seed, shards of held-out text."""

    task: str
    scorer: Scorer
    data: Path
    limit: int
    seed: int
    key: str
    journal: Journal
    heldout: Path | None = None

    def random(self, *what: str | int) -> np.random.Generator:
        """The same for the same seed and names, whatever else is measured."""
        return np.random.default_rng([self.seed, *(zlib.crc32(w.encode()) if isinstance(w, str) else w for w in what)])

    def sample(self, items: Sequence[_Item], most: int = 0, name: str = "") -> list[_Item]:
        """A seeded sample in the set's order: of `--limit` items, and of no more than `most` (0: all)."""
        wanted = min(n for n in (self.limit, most, len(items)) if n) if items else 0
        chosen = self.random("sample", name).permutation(len(items))[:wanted]
        return [items[i] for i in sorted(chosen)]

    def log_probabilities(self, part: str, pairs: Sequence[Pair]) -> np.ndarray:
        """float64 [pairs], nats. Pairs with one context come to the scorer side by side, in one chunk, and those of similar length."""
        order = sorted(range(len(pairs)), key=lambda i: (len(pairs[i][0]), pairs[i][0], len(pairs[i][1])))
        chunks = whole_questions([pairs[i] for i in order], _PAIRS)
        values = self._chunks(part, chunks, lambda _, chunk: self.scorer.log_probabilities(chunk))
        result = np.zeros(len(pairs))
        result[order] = values
        return result

    def continuations(
        self, part: str, prompts: Sequence[bytes], max_bytes: int, stops: Sequence[bytes], sampling: Sampling = GREEDY
    ) -> list[bytes]:
        """The model's text after each prompt (`Scorer.continuations`)."""

        def chunk(start: int, prompts: Sequence[bytes]) -> list[str]:
            seeded = replace(sampling, seed=sampling.seed + start)
            return [text.decode("latin-1") for text in self.scorer.continuations(prompts, max_bytes, stops, seeded)]

        return [text.encode("latin-1") for text in self.chunked(part, prompts, _PROMPTS, chunk)]

    def document_bits(self, part: str, documents: Sequence[bytes]) -> list[float]:
        """Bits of each document's bytes (`Scorer.document_bits`)."""
        return self.chunked(part, documents, _PROMPTS, lambda _, chunk: self.scorer.document_bits(chunk))

    def chunked(self, part: str, items: Sequence[_Item], size: int, compute: Callable[[int, Sequence[_Item]], list[Any]]) -> list[Any]:
        """A value an item, in chunks that a stopped run need not repeat; `compute` gets where one starts, and the chunk."""
        return self._chunks(part, [items[start : start + size] for start in range(0, len(items), size)], compute)

    def _chunks(self, part: str, chunks: list[Sequence[_Item]], compute: Callable[[int, Sequence[_Item]], list[Any]]) -> list[Any]:
        values: list[Any] = []
        with tqdm(total=sum(map(len, chunks)), desc=f"{self.task} {part}".strip(), unit="", leave=False, disable=None) as bar:
            for number, chunk in enumerate(chunks):
                done = self.journal.get(self.key, part, number)
                if done is None:
                    done = compute(len(values), chunk)
                    self.journal.add(self.key, part, number, done)
                values += done
                bar.update(len(done))
        return values


def whole_questions(pairs: Sequence[Pair], size: int) -> list[Sequence[Pair]]:
    """Chunks of at most `size`, or of one question with more options: those are scored together or rounded differently.

    Pairs without a context are no question: there is nothing that they share.
    """
    ends = [i for i in range(1, len(pairs)) if pairs[i][0] != pairs[i - 1][0] or not pairs[i][0]] + [len(pairs)]
    chunks, start, last = [], 0, 0
    for end in ends:
        if end - start > size and last > start:
            chunks.append(pairs[start:last])
            start = last
        last = end
    return [*chunks, pairs[start:]] if pairs else []


def task_key(task: Task, scorer: Scorer, data: Path, limit: int, seed: int, heldout: Path | None = None) -> str:
    """sha256 of what decides the task's figures. Raises FileNotFoundError naming a set that is missing, ValueError without --heldout."""
    sets = {}
    for name in task.files:
        if not (data / name).is_file():
            raise FileNotFoundError(f"{data / name}: this evaluation set is missing (task {task.name}; --eval-data names the folder)")
        sets[name] = file_sha256(data / name)
    content = {"model": identity(scorer), "task": task.name, "sets": sets, "limit": limit, "seed": seed, "protocol": PROTOCOL}
    if task.heldout:
        if heldout is None:
            raise ValueError(f"--heldout: the task {task.name} needs a folder of prepared shards")
        content["heldout"] = [shard.idx_sha256 for shard in ShardIndex.load(heldout).shards]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
