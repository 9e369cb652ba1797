"""`python -m stlm generate`: text from an exported tier, or its side of a chat, a patch a run, as the server makes it.

The prompt's complete patches are prefilled; the bytes of its unfinished last patch are forced onto the first decoded
patch, so a prompt may end anywhere, inside a word too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from stlm import options
from stlm.chat import Turn, reply_prompt
from stlm.infill import infill_prompt
from stlm.patch import document_ids
from stlm.runtime import FORCED, REFUSED, Cache, Decoded, Runtime
from stlm.sampling import Sampling, count_bytes

PREFILL_PATCHES = 64


class Generator:
    """Continues prompts with one tier; each call is independent."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        rule = runtime.rule
        self.ends_text = {rule.specials["eod"], rule.specials["end_of_turn"]}
        self.bias = np.zeros(rule.vocabulary, np.float32)
        for special in range(256, rule.vocabulary):
            if special not in self.ends_text:
                self.bias[special] = REFUSED

    def patches(self, stream: np.ndarray, sampling: Sampling) -> Iterator[np.ndarray]:
        """Yields the ids of one decoded patch after another, without end, those of `stream` left out.

        `stream` uint16 [n] is the beginning of a document, from its [bod]. A patch that ends in an end-of-text id is the last one.
        """
        rule = self.runtime.rule
        random = np.random.default_rng(sampling.seed)
        rows = rule.rows(stream)
        forced = stream[int((rows != self.runtime.pad).sum()) :]
        cache = Cache(self.runtime)
        pending, generated = rows, np.zeros(0, np.uint16)
        while True:
            if cache.patches + len(pending) > self.runtime.context:
                # The window is full: start it again from its last half.
                cache, pending = Cache(self.runtime), rows[-(self.runtime.context // 2) :]
            before = rows[-len(pending) - 1] if len(pending) < len(rows) else self.runtime.no_patch
            noise = self.noise(forced, sampling, random)
            seen = count_bytes(generated, stream)[None] if sampling.penalises else None
            patch = self.decode(before, pending, cache, noise, sampling.row(), seen)
            yield patch[len(forced) :]
            if int(patch[-1]) in self.ends_text:
                return
            pending = self.runtime.no_patch[None].copy()
            pending[0, : len(patch)] = patch
            rows = np.concatenate([rows, pending])
            generated = np.concatenate([generated, patch[len(forced) :]])
            forced = forced[:0]

    def decode(
        self, before: np.ndarray, pending: np.ndarray, cache: Cache, noise: np.ndarray, sampler: np.ndarray, seen: np.ndarray | None
    ) -> np.ndarray:
        """Runs the pending patches [n, cap], which follow `before` [cap], through the trunk and decodes the next one.

        Returns its ids, 1 to cap of them. All chunks but the last only prefill.
        """
        runtime, cap = self.runtime, self.runtime.rule.cap
        *chunks, final = (pending[i : i + PREFILL_PATCHES] for i in range(0, len(pending), PREFILL_PATCHES))

        def run(rows: np.ndarray, steps: int) -> Decoded:
            sel = np.array([len(rows) - 1])
            past = cache.arrays, cache.patches
            return runtime.run(rows[None], before[None], *past, sel=sel, noise=noise, sampler=sampler, seen=seen, steps=steps)

        for chunk in chunks:
            cache.append(run(chunk, 0).newkv)
            before = chunk[-1]
        decoded = run(final, cap)
        cache.append(decoded.newkv)
        ids = decoded.toks[:, 0]
        return ids[ids != runtime.pad]

    def noise(self, forced: np.ndarray, sampling: Sampling, random: np.random.Generator) -> np.ndarray:
        """float32 [cap, 1, 272]: Gumbel noise makes the graph's argmax a sample (Gumbel 1954)."""
        shape = (self.runtime.rule.cap, 1, len(self.bias))
        noise = np.broadcast_to(self.bias, shape).copy()
        if sampling.temperature > 0:
            noise += sampling.temperature * random.gumbel(size=shape)
        if sampling.jitter > 0:
            noise += sampling.jitter * random.normal(size=shape)
        noise[np.arange(len(forced)), 0, forced] = FORCED
        return noise

    def continuation(self, stream: np.ndarray, max_ids: int, sampling: Sampling) -> list[int]:
        """Up to `max_ids` ids after `stream` (as in `patches`), the end-of-text id included if the model wrote one."""
        out: list[int] = []
        for patch in self.patches(stream, sampling):
            out.extend(patch.tolist())
            if len(out) >= max_ids:
                break
        return out[:max_ids]

    def ids(self, prompt: bytes, max_ids: int, sampling: Sampling) -> list[int]:
        """Up to `max_ids` ids after a text."""
        return self.continuation(document_ids(prompt, self.runtime.rule)[:-1], max_ids, sampling)

    def reply(self, turns: Iterable[Turn], max_bytes: int, sampling: Sampling) -> str:
        """What the assistant says after `turns`, up to the end of its turn."""
        ids = self.continuation(reply_prompt(turns, self.runtime.rule), max_bytes, sampling)
        return whole_characters(bytes(i for i in ids if i < 256))

    def between(self, prefix: bytes, suffix: bytes, max_bytes: int, sampling: Sampling) -> bytes:
        """What is written between two texts. Raises ValueError where they and it might not fit the context."""
        stream = infill_prompt(prefix, suffix, self.runtime.rule)
        patches, room = len(self.runtime.rule.rows(stream)), self.runtime.context
        # A window that moved on would leave the sentinels behind.
        if patches + max_bytes > room:
            raise ValueError(f"--prompt and --suffix take {patches} patches, the context has {room} and {max_bytes} bytes are to follow")
        return bytes(i for i in self.continuation(stream, max_bytes, sampling) if i < 256)

    def raw(self, prompt: bytes, max_bytes: int, sampling: Sampling) -> bytes:
        """The continuation's bytes."""
        return bytes(i for i in self.ids(prompt, max_bytes, sampling) if i < 256)

    def text(self, prompt: bytes, max_bytes: int, sampling: Sampling) -> str:
        """The continuation, invalid UTF-8 replaced; a character that `max_bytes` cuts is left out."""
        return whole_characters(self.raw(prompt, max_bytes, sampling))


def whole_characters(raw: bytes) -> str:
    """Text without a character that the end cuts; other invalid UTF-8 is replaced."""
    for cut in range(4):
        try:
            return raw[: len(raw) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
    return raw.decode("utf-8", "replace")


def user_texts(given: list[str]) -> Iterator[str]:
    """The texts of the `--chat` options; an empty one stands for the lines of standard input."""
    for text in given:
        if text:
            yield text
            continue
        while line := read_line():
            if line.strip():
                yield line.strip()


def read_line() -> str:
    """A line of standard input, asked for if someone sits there; empty at its end."""
    if sys.stdin.isatty():
        print("> ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()


def chat(generator: Generator, given: list[str], system: str | None, max_bytes: int, sampling: Sampling) -> None:
    """Prints a reply to each of the user's texts, which all see the turns before them."""
    manifest = generator.runtime.manifest
    if "chat" not in manifest:
        print(f"stlm generate: {manifest['id']} was not tuned to chat; expect no sensible reply", file=sys.stderr)
    turns = [Turn("system", system)] if system is not None else []
    for text in user_texts(given):
        turns.append(Turn("user", text))
        turns.append(Turn("assistant", generator.reply(turns, max_bytes, sampling)))
        print(turns[-1].text, flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", type=Path, help="artifact folder (manifest.json and model files)")
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--prompt", help="text to continue; may end anywhere, inside a word too")
    start.add_argument(
        "--chat", action="append", nargs="?", const="", metavar="TEXT", help="print the reply to TEXT, or to each line typed; repeatable"
    )
    parser.add_argument("--suffix", default=None, metavar="TEXT", help="write what stands between --prompt and TEXT")
    parser.add_argument("--system", default=None, metavar="TEXT", help="instruction that a --chat begins with")
    parser.add_argument("--precision", choices=("fp32", "int4", "uint8"), default=None, help="default: the manifest's")
    parser.add_argument("--max-bytes", type=options.whole_number(1), default=200, help="of continuation or reply (default 200)")
    parser.add_argument("--temperature", type=float, default=0.8, help="0 (greedy) to 4 (default 0.8)")
    parser.add_argument("--top-p", type=float, default=0.95, help="1: off (default 0.95)")
    parser.add_argument("--top-k", type=int, default=0, help="0: off (default)")
    parser.add_argument("--min-p", type=float, default=0.0, help="least probability, as a share of the likeliest's; 0: off (default)")
    parser.add_argument("--frequency-penalty", type=float, default=0.0, help="off a logit for each time its byte was written (default 0)")
    parser.add_argument("--presence-penalty", type=float, default=0.0, help="off the logit of any byte that was written (default 0)")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, help="over text and prompt; 1: off (default)")
    parser.add_argument("--seed", type=options.whole_number(0), default=0, help="the same seed gives the same text (default 0)")
    parser.add_argument("--threads", type=options.whole_number(1), default=1, help="cores to use (default 1)")


def main(args: argparse.Namespace) -> int:
    try:
        if args.system is not None and not args.chat:
            raise ValueError("--system needs --chat")
        if args.suffix is not None and args.prompt is None:
            raise ValueError("--suffix needs --prompt")
        names = "temperature", "top_p", "top_k", "seed", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty"
        sampling = Sampling(**{name: getattr(args, name) for name in names})
        generator = Generator(Runtime(args.artifact, args.precision, args.threads))
        if args.suffix is not None and not generator.runtime.manifest.get("infill"):
            raise ValueError(f"--suffix: {generator.runtime.manifest['id']} was not trained to infill")
    except (OSError, ValueError) as error:
        print(f"stlm generate: {error}", file=sys.stderr)
        return 1
    if args.chat:
        chat(generator, args.chat, args.system, args.max_bytes, sampling)
        return 0
    # A lone surrogate stands for a byte of the command line that is no UTF-8: it is passed on as that byte.
    prompt = args.prompt.encode("utf-8", "surrogateescape")
    if args.suffix is not None:
        suffix = args.suffix.encode("utf-8", "surrogateescape")
        print(whole_characters(prompt + generator.between(prompt, suffix, args.max_bytes, sampling) + suffix))
        return 0
    print(whole_characters(prompt + generator.raw(prompt, args.max_bytes, sampling)))
    return 0
