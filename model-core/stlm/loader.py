"""Batches for the trainer, built ahead of it in a thread, and in processes where one thread cannot keep a GPU fed.

One thread makes about 10 MB of rows a second. `Loader` with N processes takes one batch from each in turn; each has its own
stream over its share of the documents, so the order is a function of the seed and of N alone. Every batch comes with
the state after it, which a checkpoint keeps.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from stlm.data import RowStream
from stlm.patch import PatchRule

if TYPE_CHECKING:
    from stlm.bpe import TokenRule

Item = TypeVar("Item")
MakeStream = Callable[[int, int], RowStream]
"""The stream of a worker, by its number and that of all workers; picklable."""


@dataclass(frozen=True)
class Recipe:
    """Everything of a run's streams; a worker process gets it and makes its own."""

    folders: tuple[Path, ...]
    rule: PatchRule | TokenRule
    patches: int
    seed: int
    mix: dict[str, float]
    masked: bool = False
    infill: float = 0.0
    stream: type[RowStream] = RowStream

    def __call__(self, worker: int, workers: int) -> RowStream:
        return self.stream(
            self.folders, self.rule, self.patches, self.seed, self.mix, masked=self.masked, infill=self.infill, part=(worker, workers)
        )


def _put(out: Any, item: object) -> None:
    """Waits for room, but not for a parent that was killed: nobody else would end this process."""
    parent = multiprocessing.parent_process()
    while True:
        try:
            return out.put(item, timeout=1)
        except Full:
            if parent is None or not parent.is_alive():
                os._exit(1)


def _work(make_stream: MakeStream, worker: int, workers: int, state: dict[str, Any] | None, rows: int, out: Any) -> None:
    """A worker process: its stream's batches, until the parent ends it."""
    try:
        stream = make_stream(worker, workers)
        if state is not None:
            stream.restore(state)
        while True:
            _put(out, (stream.rows(rows), stream.state()))
    except Exception as error:  # noqa: BLE001 - handed to the training process, which raises it
        out.put(error)


class Loader:
    """Batches of `rows` rows with the state after each."""

    def __init__(self, make_stream: MakeStream, rows: int, workers: int) -> None:
        self.make_stream = make_stream
        self.rows = rows
        self.workers = workers
        # Raises here, before any work, what is wrong with the data or the mix.
        self.stream = make_stream(0, workers)
        states = [self.stream.state(), *(None for _ in range(1, workers))]
        self.state: dict[str, Any] = {"turn": 0, "streams": states}

    def restore(self, state: dict[str, Any]) -> None:
        """Raises ValueError when the state is of other sources or of another number of workers."""
        if len(state["streams"]) != max(1, self.workers):
            raise ValueError(f"the checkpoint's data came from {len(state['streams'])} loaders: continue with --loaders of that number")
        self.stream.restore(state["streams"][0])
        self.state = state

    def batches(self) -> Generator[tuple[np.ndarray, dict[str, Any]], None, None]:
        """Batches without end. Close the generator when done. Raises what the streams raise."""
        if self.workers > 1:
            yield from self._from_processes()
            return
        while True:
            yield self.stream.rows(self.rows), {"turn": 0, "streams": [self.stream.state()]}

    def _from_processes(self) -> Generator[tuple[np.ndarray, dict[str, Any]], None, None]:
        context = multiprocessing.get_context("spawn")
        queues = [context.Queue(maxsize=2) for _ in range(self.workers)]
        processes = [
            context.Process(
                target=_work,
                args=(self.make_stream, number, self.workers, self.state["streams"][number], self.rows, queue),
                daemon=True,
            )
            for number, queue in enumerate(queues)
        ]
        turn, states = self.state["turn"], list(self.state["streams"])
        for process in processes:
            process.start()
        try:
            while True:
                item = self._next(queues[turn], processes[turn])
                if isinstance(item, Exception):
                    raise item
                rows, states[turn] = item
                turn = (turn + 1) % self.workers
                yield rows, {"turn": turn, "streams": list(states)}
        finally:
            for process in processes:
                process.kill()
                process.join()

    @staticmethod
    def _next(queue: Any, process: Any) -> Any:
        """The worker's next item. Raises RuntimeError when it died (out of memory, killed)."""
        while True:
            try:
                return queue.get(timeout=1)
            except Empty:
                if not process.is_alive():
                    raise RuntimeError(f"a loader process ended with code {process.exitcode}") from None


def ahead(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """The same items, the next two made in a thread meanwhile. Raises what making them raises.

    Close it when done: a thread still at work when the interpreter ends can abort the process.
    """
    ready: Queue[Item | Exception] = Queue(maxsize=2)
    closed = threading.Event()

    def put(item: Item | Exception) -> None:
        while not closed.is_set():
            try:
                return ready.put(item, timeout=0.05)
            except Full:
                continue
        return None

    def fill() -> None:
        try:
            for item in items:
                put(item)
                if closed.is_set():
                    break
        except Exception as error:  # noqa: BLE001 - handed to the consumer, which raises it
            put(error)
        finally:
            items.close()

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        closed.set()
        thread.join()
