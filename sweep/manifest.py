"""What an artifact is: a name that is the hash of what decided it, and a manifest that says what it holds.

One function, `manifest_of`, decides whether a folder is an artifact. Whoever removes, replaces or sets aside asks it:
the name is `<kind>-<16 hex digits>`, the manifest can be read, the name is the hash of the manifest's kind, version,
identity and parents, and each group of its fields has the sha256 it was published with.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from sweep import sharing

MANIFEST = "manifest.json"
UNLISTED = ("wandb",)  # a tracker's own folder inside an artifact: a view, not a product
GROUPS = ("identity", "parents", "files", "facts", "cost", "provenance")  # what the record's hashes are of
KEY = re.compile(r"([a-z][a-z_]*)-([0-9a-f]{16})", re.ASCII)
SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class NoArtifact(ValueError):
    """A folder is not an artifact; the message says why."""


def is_key(text: object) -> bool:
    """Whether a text can be the name of an artifact; asked before any path is made of it."""
    return isinstance(text, str) and KEY.fullmatch(text) is not None


def checked_key(text: str) -> str:
    """The text itself.

    Raises:
        ValueError: it is not a key.
    """
    if not is_key(text):
        raise ValueError(
            f"{text!r} is not a key: expected a stage's kind, a dash and 16 hexadecimal digits, as `plan` and `status` "
            "print it (sft-0123456789abcdef)"
        )
    return text


def key_of(kind: str, version: int, identity: Mapping[str, Any], parents: Mapping[str, str]) -> str:
    """The name of the artifact that these decide; parents by role, as keys."""
    return _key(kind, version, _canonical(identity), _canonical(dict(parents)))


def _key(kind: str, version: int, identity: str, parents: str) -> str:
    """The same of canonical texts, put together to that of the whole: names in the order of the alphabet."""
    what = f'{{"identity":{identity},"kind":{_canonical(kind)},"parents":{parents},"version":{_canonical(version)}}}'
    return f"{kind}-{_hashed(what)[:16]}"


@dataclass(frozen=True)
class Stage:
    """One unit of work and the name of its result.

    identity is the stage's whole slice of the configuration, never the difference from defaults, so
    a changed default changes the key and an old key keeps its meaning. places says where input files
    lie on this machine: what they hold is in identity by its hash, where they lie is not in the key. replicate is what
    an evaluation is shown under; the seeds that follow it are in the identity, it is not in the key.
    """

    kind: str
    version: int
    identity: Mapping[str, Any]
    parents: Mapping[str, Stage] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    replicate: int | None = None

    @cached_property
    def key(self) -> str:
        parents = {role: parent.key for role, parent in self.parents.items()}
        return checked_key(key_of(self.kind, self.version, self.identity, parents))

    def ancestors(self) -> Iterator[Stage]:
        """Every stage upstream of this one, each once, parents before children."""
        seen: set[str] = set()

        def walk(stage: Stage) -> Iterator[Stage]:
            for parent in stage.parents.values():
                if parent.key not in seen:
                    yield from walk(parent)
                    seen.add(parent.key)
                    yield parent

        yield from walk(self)


@dataclass(frozen=True)
class Cost:
    """What building one artifact took; zero where a stage does no such work."""

    n_updates: int = 0
    n_trained_tokens: int = 0
    n_sampled_tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0

    def __add__(self, more: Cost) -> Cost:
        return Cost(**{f.name: getattr(self, f.name) + getattr(more, f.name) for f in fields(Cost)})


@dataclass(frozen=True)
class Manifest:
    """The record of one artifact; its presence is what 'built' means.

    record holds the sha256 of each group of fields. Artifacts made before there were such hashes have none: they are
    read, and whoever makes a table of them says so.
    """

    key: str
    kind: str
    version: int
    identity: dict[str, Any]
    parents: dict[str, str]
    files: dict[str, dict[str, Any]]
    facts: dict[str, Any]
    cost: Cost
    provenance: dict[str, Any]
    record: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of_json(text: str) -> Manifest:
        """The manifest that a text holds, checked against itself.

        Raises:
            ValueError: a field is missing or of another kind, a number is not finite, the key is not the hash of what
                it names, or a group of fields was changed since it was published; the group is named.
            TypeError, KeyError, AttributeError, RecursionError: it is another JSON than a manifest.
        """
        raw = json.loads(text, parse_constant=_not_finite, parse_float=_finite)
        for expected in raw["files"].values():
            if not {"n_bytes", "sha256"} <= expected.keys():
                raise ValueError("a file without size or hash")
        manifest = Manifest(**{**raw, "cost": Cost(**raw["cost"])})
        _check_shape(manifest)
        texts = {name: _canonical(raw[name]) for name in GROUPS}
        _check_key(manifest, _key(manifest.kind, manifest.version, texts["identity"], texts["parents"]))
        found = {name: _hashed(text) for name, text in texts.items()}
        if manifest.record and manifest.record != found:
            changed = [name for name in GROUPS if manifest.record.get(name) != found[name]]
            raise ValueError(
                f"{' and '.join(changed) or 'its record'} changed since it was published: a manifest is not edited"
            )
        return manifest

    def sealed(self) -> Manifest:
        """This manifest as it is read back, with the hash of each group of fields.

        Raises:
            ValueError: a number in it is not finite; the field is named.
        """
        raw = asdict(self)
        for name in GROUPS:
            _check_finite(raw[name], f"{self.key}: {name}")
        raw = json.loads(json.dumps(raw, allow_nan=False))
        raw["record"] = {name: _sha256(raw[name]) for name in GROUPS}
        return Manifest.of_json(json.dumps(raw))

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False)


def manifest_of(folder: Path) -> Manifest:
    """The manifest of the artifact at `folder`: the one place that says what an artifact is.

    Raises:
        NoArtifact: the folder is none, or is damaged; the message says what is wrong with it.
        FileNotFoundError: nothing is there.
        PermissionError: it may not be read, so nothing is known of it.
    """
    if not is_key(folder.name):
        raise NoArtifact("its name is not <kind>-<16 hexadecimal digits>")
    try:
        with open(f"{folder}/{MANIFEST}", encoding="utf-8", opener=sharing.regular) as stream:
            text = stream.read()
        manifest = Manifest.of_json(text)
    except PermissionError:
        raise
    except FileNotFoundError as error:
        folder.lstat()
        raise NoArtifact(f"its {MANIFEST} cannot be read: there is none") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = f": {error}" if type(error) is ValueError else ""
        raise NoArtifact(f"its {MANIFEST} cannot be read ({type(error).__name__}{why})") from error
    if manifest.key != folder.name:
        raise NoArtifact(f"its manifest is that of {manifest.key}")
    return manifest


def _check_shape(manifest: Manifest) -> None:
    wrong = [
        name for name, kind in (
            ("kind", str), ("version", int), ("identity", dict), ("parents", dict), ("files", dict), ("facts", dict),
            ("provenance", dict), ("record", dict),
        ) if not isinstance(getattr(manifest, name), kind)
    ]  # fmt: skip
    wrong += [name for name, value in vars(manifest.cost).items() if type(value) not in (int, float)]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} of another type")
    for key in manifest.parents.values():
        if not is_key(key):
            raise ValueError(f"{key!r}, a parent, is not a key")
    for name, expected in manifest.files.items():
        is_inside = not PurePosixPath(name).is_absolute() and ".." not in name.split("/") and name not in ("", ".")
        if not is_inside or type(expected["n_bytes"]) is not int or not SHA256.fullmatch(expected["sha256"]):
            raise ValueError(f"{name!r}, a file, has a wrong name, size or hash")


def _check_key(manifest: Manifest, found: str) -> None:
    if not is_key(manifest.key) or manifest.key != found:
        raise ValueError(f"its kind, version, identity and parents make it {found}, and it says {manifest.key!r}")


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def _sha256(value: Any) -> str:
    return _hashed(_canonical(value))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _check_finite(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(
            f"{where} is {value}: every number of a manifest must be finite; nothing was published, look into the "
            "stage's log and lower its learning rate where it diverged"
        )
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, inner in items:
        _check_finite(inner, f"{where}.{name}")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _not_finite(text)


def _not_finite(text: str) -> float:
    raise ValueError(f"the number {text} is not finite")
