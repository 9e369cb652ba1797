"""What `runs/*.toml` says: a base model, arms that change one thing each, and how long and how all of them train."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Arm:
    """`set` changes fields of the tier's config, `train` options of the train command; both on top of the spec's."""

    name: str
    title: str
    tier: str
    set: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """How much of the held-out text, and of each BLiMP paradigm, a run is judged on."""

    bytes_per_domain: int
    blimp: Path | None = None
    blimp_pairs: int = 20


@dataclass(frozen=True)
class Spec:
    """`kind` is the report drawn at the end; `base` the arm that others are compared with."""

    kind: Literal["ablation", "scaling"]
    base: str
    seconds: float
    seeds: tuple[int, ...]
    jobs: int
    threads: int
    data: Path
    heldout: Path
    tokenizer: Path | None
    train: dict[str, Any]
    mix: dict[str, float]
    evaluation: Evaluation
    arms: tuple[Arm, ...]

    @staticmethod
    def load(path: Path) -> Spec:
        """Raises OSError, or ValueError naming what is wrong with the file."""
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
            tier = raw.pop("tier")
            evaluation = raw.pop("evaluation")
            blimp = evaluation.pop("blimp", None)
            tokenizer = raw.pop("tokenizer", None)
            spec = Spec(
                seeds=tuple(raw.pop("seeds")),
                data=Path(raw.pop("data")),
                heldout=Path(raw.pop("heldout")),
                tokenizer=Path(tokenizer) if tokenizer else None,
                evaluation=Evaluation(blimp=Path(blimp) if blimp else None, **evaluation),
                arms=tuple(Arm(**{"tier": tier, **arm}) for arm in raw.pop("arm")),
                **{"mix": {}, **raw},
            )
        except (tomllib.TOMLDecodeError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path}: {error!r}") from error
        names = [arm.name for arm in spec.arms]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{path}: two arms are called {', '.join(doubled)}")
        if spec.kind not in ("ablation", "scaling"):
            raise ValueError(f"{path}: kind is {spec.kind!r}, must be 'ablation' or 'scaling'")
        if spec.base not in names:
            raise ValueError(f"{path}: base names no arm: {spec.base}")
        return spec

    def only(self, names: list[str]) -> Spec:
        """With these arms alone. Raises ValueError for a name that is no arm."""
        if unknown := sorted(set(names) - {arm.name for arm in self.arms}):
            raise ValueError(f"--only {', '.join(unknown)}: no such arm; arms are {', '.join(arm.name for arm in self.arms)}")
        return replace(self, arms=tuple(arm for arm in self.arms if arm.name in names))

    def train_arguments(self, arm: Arm, seed: int, out: Path) -> list[str]:
        """Arguments of `python -m stlm train` for one run."""
        options = {"validate_seconds": self.seconds, **self.train, **arm.train}
        arguments = ["--tier", arm.tier, "--data", str(self.data), "--heldout", str(self.heldout), "--out", str(out)]
        arguments += ["--max-seconds", str(self.seconds), "--seed", str(seed)]
        arguments += ["--tokenizer", str(self.tokenizer)] if arm.tier.startswith("bpe") and self.tokenizer else []
        for name, value in options.items():
            if value is not False:
                arguments += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        for name, value in arm.set.items():
            # TOML's booleans are written as the 0 and 1 that --set reads.
            arguments += ["--set", f"{name}={int(value) if isinstance(value, bool) else value}"]
        for name, factor in self.mix.items():
            arguments += ["--mix", f"{name}={factor}"]
        return arguments
