"""`python -m stlm prepare`: corpus files to memory-mapped byte shards (see shards.py for the format).

A source is one input file. Finished sources are recorded in `index.json` and skipped by the next run; a source that was
being written when a run died is written again from its start.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tqdm import tqdm

from stlm.chat import pack_ids, turn_ids
from stlm.corpus import SUFFIXES, CorpusError, Progress, corpus_suffix, read_chats, read_documents
from stlm.patch import PatchRule
from stlm.shards import INDEX_NAME, ShardIndex, ShardWriter, Source

_UNITS = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclass(frozen=True)
class Input:
    """A corpus file, the name its shards get, its weight in the training mix, and whether its records are chats."""

    path: Path
    name: str
    weight: float
    chat: bool


@dataclass(frozen=True)
class Settings:
    """What the shards depend on besides their input; recorded as `config` in `index.json`."""

    shard_bytes: int
    max_bytes_per_source: int | None
    join_prompts: bool


def parse_bytes(text: str) -> int:
    """A size such as `64MiB`, `10MB` or `4096`, in bytes."""
    match = re.fullmatch(r"(\d+)\s*([A-Za-z]*)", text.strip())
    if not match or match[2].upper() not in _UNITS or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"not a size: {text!r} (try 64MiB)")
    return int(match[1]) * _UNITS[match[2].upper()]


def find_inputs(specs: list[str], *, chat: bool) -> list[Input]:
    """Expands `DIR_OR_FILE[=weight]` into files; a later mention of a file replaces its earlier weight.

    Raises ValueError for a path that does not exist, a folder without corpus files, or a weight that is no positive number.
    """
    weights: dict[Path, float] = {}
    for spec in specs:
        path_text, equals, weight_text = spec.rpartition("=")
        if not equals or Path(spec).exists():
            path_text, weight_text = spec, "1"
        path = Path(path_text)
        try:
            weight = float(weight_text)
        except ValueError:
            weight = -1.0
        if not 0 < weight < float("inf"):
            raise ValueError(f"{spec}: the weight must be a positive number")
        if not path.exists():
            raise ValueError(f"{path}: no such file or folder")
        files = sorted(p for p in path.iterdir() if corpus_suffix(p)) if path.is_dir() else [path]
        if not files:
            raise ValueError(f"{path}: holds no {', '.join(SUFFIXES)} file (folders inside it are not searched)")
        weights.update(dict.fromkeys(files, weight))
    # A corpus and the chats made of it often share a name, and training mixes both.
    prefix = "chat-" if chat else ""
    return [Input(path, prefix + name, weight, chat) for (path, weight), name in zip(weights.items(), _names(weights), strict=True)]


def _names(paths: dict[Path, float]) -> list[str]:
    """File names without suffix; where two files share one, the folder goes in front."""
    stems = [path.name.removesuffix(corpus_suffix(path) or "") for path in paths]
    names = [f"{path.resolve().parent.name}.{stem}" if stems.count(stem) > 1 else stem for path, stem in zip(paths, stems, strict=True)]
    names = [re.sub(r"[^A-Za-z0-9._-]", "_", name) for name in names]
    duplicate = next((name for name in names if names.count(name) > 1), None)
    if duplicate:
        raise ValueError(f"two inputs would both be called {duplicate!r}; rename one")
    return names


def find_licence(path: Path) -> str | None:
    """The licence that a MANIFEST.json in the file's folder, or the folder above, gives for it."""
    path = path.resolve()
    for folder in path.parents[:2]:
        try:
            entries = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))["files"]
            name = path.relative_to(folder).as_posix()
            return next((entry["licence"] for entry in entries if entry["file"] == name), None)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def clean_document(raw: bytes) -> tuple[bytes, bool]:
    """Strips blank lines at both ends and a byte order mark, and replaces invalid UTF-8 with U+FFFD.

    Returns the document and whether it was valid.
    """
    document = raw.removeprefix(b"\xef\xbb\xbf").strip(b"\r\n")
    try:
        document.decode("utf-8")
    except UnicodeDecodeError:
        return document.decode("utf-8", "replace").encode("utf-8"), False
    return document, True


def read_input(item: Input, settings: Settings, progress: Progress) -> Iterator[tuple[bytes, bool] | None]:
    """Yields each document as its shard stores it and whether it was valid UTF-8; None for a record without one."""
    if item.chat:
        rule = PatchRule.load()
        for turns in read_chats(item.path, progress=progress):
            yield None if turns is None else (pack_ids(turn_ids(turns, rule)), True)
    else:
        for raw in read_documents(item.path, join_prompts=settings.join_prompts, progress=progress):
            yield None if raw is None else clean_document(raw)


def prepare_source(item: Input, folder: Path, index: ShardIndex, settings: Settings, progress: Progress) -> Source:
    """Writes one source's shards and records it in `index` and on disk. Raises CorpusError when it cannot be read."""
    # The writer deletes this source's earlier shards: the index must not list them meanwhile.
    index.remove(item.name)
    index.save(folder)
    writer = ShardWriter(folder, item.name, settings.shard_bytes)
    limit = settings.max_bytes_per_source
    documents = invalid = bad_records = 0
    try:
        stat = item.path.stat()
        for found in read_input(item, settings, progress):
            if found is None:
                bad_records += 1
                continue
            document, valid = found
            if not document:
                continue
            if limit is not None and writer.total_bytes + len(document) > limit:
                break
            invalid += not valid
            documents += 1
            writer.append(document)
        if documents == 0:
            raise CorpusError(f"{item.path.name}: no usable document ({bad_records} records without {'a reply' if item.chat else 'text'})")
    except CorpusError:
        writer.discard()
        raise
    writer.close()
    source = Source(
        name=item.name,
        file=item.path.name,
        input_bytes=stat.st_size,
        input_mtime_ns=stat.st_mtime_ns,
        licence=find_licence(item.path),
        weight=item.weight,
        bytes=writer.total_bytes,
        documents=documents,
        invalid_utf8_documents=invalid,
        bad_records=bad_records,
        chat=item.chat,
    )
    index.replace(source, writer.shards)
    index.save(folder)
    return source


def prepare(inputs: list[Input], folder: Path, settings: Settings, bar: tqdm) -> tuple[ShardIndex, list[CorpusError]]:
    """Prepares every input that the folder does not hold yet. Returns the index and the errors of skipped files."""
    index = _open_index(folder, settings)
    skipped: list[CorpusError] = []
    for item in inputs:
        bar.set_postfix_str(item.name)
        done = _finished(index, item)
        if done:
            index.replace(replace(done, weight=item.weight), index.shards_of(done.name))
            index.save(folder)
            bar.update(done.input_bytes)
            continue
        try:
            source = prepare_source(item, folder, index, settings, bar.update)
        except CorpusError as error:
            skipped.append(error)
            bar.write(f"skipped {error}", file=sys.stderr)
            continue
        if source.invalid_utf8_documents or source.bad_records:
            bar.write(
                f"{item.path.name}: {source.invalid_utf8_documents} documents with invalid UTF-8 repaired, "
                f"{source.bad_records} records without {'a reply' if item.chat else 'text'} left out",
                file=sys.stderr,
            )
    return index, skipped


def _finished(index: ShardIndex, item: Input) -> Source | None:
    """The recorded source for this very input file, if the index has it."""
    stat = item.path.stat()
    for source in index.sources:
        if source.name == item.name:
            same = source.input_bytes == stat.st_size and source.input_mtime_ns == stat.st_mtime_ns
            return source if same and source.chat == item.chat else None
    return None


def _open_index(folder: Path, settings: Settings) -> ShardIndex:
    """The folder's index, or an empty one when there is none or it was made with other settings."""
    if (folder / INDEX_NAME).exists():
        index = ShardIndex.load(folder)
        if index.config == asdict(settings):
            return index
        print(f"{INDEX_NAME} was made with {index.config}: preparing everything again", file=sys.stderr)
    return ShardIndex(asdict(settings))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    help_input = f"a file ({', '.join(SUFFIXES)}), or a folder of such; WEIGHT multiplies its share in training (default 1); repeatable"
    parser.add_argument("--input", action="append", required=True, metavar="DIR_OR_FILE[=WEIGHT]", help=help_input)
    parser.add_argument("--output", type=Path, required=True, help="folder for the shards and index.json")
    parser.add_argument(
        "--max-bytes-per-source", type=parse_bytes, default=None, help="stop reading a file there, e.g. 1MiB; default: no limit"
    )
    parser.add_argument(
        "--shard-bytes", type=parse_bytes, default=parse_bytes("64MiB"), help="start a new shard after this much (default 64MiB)"
    )
    parser.add_argument(
        "--join-prompts", action="store_true", help="a JSON record of `prompt` and `response` without `text` becomes a document too"
    )
    parser.add_argument(
        "--chat", action="store_true", help="JSON records of `messages`, or of `prompt` and `response`, become chats (chat.py)"
    )


def main(args: argparse.Namespace) -> int:
    """Prepares every input. Exit status 1 only when nothing usable came out."""
    settings = Settings(args.shard_bytes, args.max_bytes_per_source, args.join_prompts)
    try:
        inputs = find_inputs(args.input, chat=args.chat)
        args.output.mkdir(parents=True, exist_ok=True)
        total = sum(item.path.stat().st_size for item in inputs)
        with tqdm(total=total, unit="B", unit_scale=True, disable=None) as bar:
            index, skipped = prepare(inputs, args.output, settings, bar)
    except (ValueError, OSError) as error:
        print(f"stlm prepare: {error}", file=sys.stderr)
        return 1
    print(
        f"{len(index.sources)} sources, {sum(s.bytes for s in index.sources):,} bytes, "
        f"{sum(s.documents for s in index.sources):,} documents in {args.output}; {len(skipped)} files skipped"
    )
    return 0 if len(skipped) < len(inputs) else 1
