"""`manifest.json`: everything an artifact folder says about itself. The schema is `functions/schema/manifest.ts`."""

import hashlib
import json
import re
from pathlib import Path
from typing import NotRequired, TypedDict

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 1
_TIER_ID = re.compile(r"stlm-[a-z0-9]{1,16}")
_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,80}\.onnx")


class Parameters(TypedDict):
    unique: int
    effective: int
    embedding: int


class PatchInfo(TypedDict):
    ruleHash: str
    cap: int


class Context(TypedDict):
    patches: int


class Trunk(TypedDict):
    layers: int
    width: int
    kvHeads: int
    headDim: int


class ModelFile(TypedDict):
    name: str
    precision: str
    bytes: int
    sha256: str


class Tensor(TypedDict):
    name: str
    type: str
    shape: list[int | str]


class Graph(TypedDict):
    inputs: list[Tensor]
    outputs: list[Tensor]


class DomainBits(TypedDict):
    domain: str
    bytes: int
    bitsPerByte: float


class TaskFigure(TypedDict):
    """One figure of a task with its 95 % interval; `chance` is what guessing scores. `of` stands where `items` are a sample of more."""

    task: str
    metric: str
    value: float
    low: float
    high: float
    items: int
    of: NotRequired[int]
    chance: NotRequired[float]


class Evaluation(TypedDict):
    """`command` and `date` are of `bitsPerByte`; `tasksCommand`, a line a run, and `tasksDate`, of the last one, of `tasks`."""

    command: str
    date: str
    bitsPerByte: list[DomainBits]
    mean: float
    tasks: NotRequired[list[TaskFigure]]
    tasksCommand: NotRequired[str]
    tasksDate: NotRequired[str]


class DataSource(TypedDict):
    name: str
    licence: str


class Training(TypedDict):
    bytesSeen: int
    commit: str
    seed: int
    sources: list[DataSource]


class Golden(TypedDict):
    prompt: str
    ids: list[int]


class LatencySeed(TypedDict):
    machine: str
    threads: int
    loadMs: float
    prefillPatchMs: float
    decodePatchMs: float


class ChatRoles(TypedDict):
    system: int
    user: int
    assistant: int


class ChatTemplate(TypedDict):
    """A turn is the id of its role, text, `endOfTurn` (see chat.py)."""

    roles: ChatRoles
    endOfTurn: int


class Manifest(TypedDict):
    """`evaluation`, `golden` and `latencySeed` come from running the exported file, so a fresh export lacks them.

    `chat` is there only if the tier was tuned to chat, `infill` (true) only if it was trained to write between two texts (infill.py).
    """

    schemaVersion: int
    id: str
    parameters: Parameters
    patch: PatchInfo
    vocabulary: int
    context: Context
    trunk: Trunk
    bytesPerPatch: float
    files: list[ModelFile]
    defaultPrecision: str
    graph: Graph
    training: Training
    chat: NotRequired[ChatTemplate]
    infill: NotRequired[bool]
    evaluation: NotRequired[Evaluation]
    golden: NotRequired[Golden]
    latencySeed: NotRequired[LatencySeed]


_SECTIONS = {
    "parameters": Parameters,
    "patch": PatchInfo,
    "context": Context,
    "trunk": Trunk,
    "graph": Graph,
    "training": Training,
    "chat": ChatTemplate,
}


def load_manifest(folder: Path) -> Manifest:
    """Raises FileNotFoundError, or ValueError for a manifest of another shape or one that names a path."""
    path = folder / MANIFEST_NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        missing = Manifest.__required_keys__ - set(manifest)
        if missing:
            raise ValueError(f"{path}: no {', '.join(sorted(missing))}")
        if manifest["schemaVersion"] != SCHEMA_VERSION:
            raise ValueError(f"{path}: schema version {manifest['schemaVersion']}, expected {SCHEMA_VERSION}")
        if not _TIER_ID.fullmatch(manifest["id"]):
            raise ValueError(f"{path}: bad id {manifest['id']!r}")
        for section, shape in _SECTIONS.items():
            if missing := shape.__required_keys__ - set(manifest.get(section, shape.__required_keys__)):
                raise ValueError(f"{path}: no {', '.join(sorted(missing))} in {section}")
        for file in manifest["files"]:
            if missing := ModelFile.__required_keys__ - set(file):
                raise ValueError(f"{path}: a file without {', '.join(sorted(missing))}")
            if not _FILE_NAME.fullmatch(file["name"]):
                raise ValueError(f"{path}: bad file name {file['name']!r}")
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: not a manifest ({error!r})") from error
    return manifest


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Replaces the folder's manifest in one step."""
    part = folder / f"{MANIFEST_NAME}.part"
    part.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(folder / MANIFEST_NAME)


def describe_file(path: Path, precision: str) -> ModelFile:
    """The manifest's entry for a model file."""
    data = path.read_bytes()
    return {"name": path.name, "precision": precision, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def find_file(folder: Path, manifest: Manifest, precision: str | None) -> ModelFile:
    """The entry of a precision (None: the default one), after comparing the file with its hash. Raises ValueError."""
    wanted = precision or manifest["defaultPrecision"]
    for file in manifest["files"]:
        if file["precision"] == wanted:
            if describe_file(folder / file["name"], wanted) != file:
                raise ValueError(f"{folder / file['name']}: size or sha256 differs from the manifest")
            return file
    have = ", ".join(file["precision"] for file in manifest["files"])
    raise ValueError(f"{folder}: no {wanted} file (has {have})")
