"""Writes the reference pages from the code: ``python -m tests.docs.reference`` renews them, a test compares them."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from guard.policy.acceptance import FIXED, FIXED_OF_LISTENERS
from guard.policy.model import (
    Attestation,
    EvidenceFile,
    GuardConfig,
    ModelPolicy,
    OperatorsFile,
    PlainMount,
    RequestLogMount,
    RuleSet,
    Standard,
    TiersFile,
)
from guard.policy.mount import ClassifierMount
from guard.policy.schema import KINDS, schema_text
from guard.telemetry.catalogue import METRICS
from guard.telemetry.metric import Origin
from guard.wire.dialect import TOLD
from safeguards.verdict import Code
from tests.docs.standards import standards

ROOT = Path(__file__).resolve().parents[2]
FILES: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("guard.yaml", "The process: listeners, storage, administrators.", GuardConfig),
    ("tiers.yaml", "Who may use what: tiers and keys.", TiersFile),
    ("operators.yaml", "The people: who may approve, and by which SSH keys. It may be absent.", OperatorsFile),
    ("models/<alias>.yaml", "One model: everything that holds for it.", ModelPolicy),
    ("models/<alias>.yaml, safeguards: request_log", "The request log's mount.", RequestLogMount),
    ("models/<alias>.yaml, safeguards: classifier", "A classifier's mount.", ClassifierMount),
    ("models/<alias>.yaml, safeguards: the others", "kill_switch, evidence, access, limits.", PlainMount),
    ("evidence/<name>.yaml", "Attestations of one or more models.", EvidenceFile),
    ("rules/<name>.yaml", "An operator's rules for the pattern classifier.", RuleSet),
    ("standards/<name>.yaml", "A standard: the rows of each level's floor.", Standard),
)


def pages() -> Mapping[Path, str]:
    """Return every generated page by its path."""
    return {
        ROOT / "config" / "REFERENCE.md": configuration(),
        ROOT / "config" / "STANDARDS.md": standards(),
        ROOT / "deploy" / "METRICS.md": metrics(),
        ROOT / "guard" / "wire" / "CODES.md": codes(),
        **{ROOT / "config" / "schemas" / f"{kind}.json": schema_text(kind) for kind in KINDS},
    }


def configuration() -> str:
    """Describe every setting of every file."""
    lines = [
        "# Configuration reference",
        "",
        "Generated from the types that read these files. Every key is named here; any other is refused, with file,",
        "line and path. Paths are relative to the configuration directory.",
        "",
        "A running guard takes up changed files by itself a second after they have settled, on SIGHUP, and by",
        "`guard reload`: whole or not at all. A restart alone changes, of `guard.yaml`: "
        + ", ".join(f"`{key}`" for key in FIXED)
        + ",",
        "which listeners there are, and of each listener (`surfaces`, `admin`) "
        + ", ".join(f"`{key}`" for key in FIXED_OF_LISTENERS)
        + ". A reload that",
        "asks for one of these is refused as a whole, and named. What the files only refer to (secrets, certificates",
        "of upstreams) is read anew whenever somebody asks for a reload, even if no file has changed.",
        "",
    ]
    for name, what, model in FILES:
        lines += [f"## {name}", "", what, "", "| key | what it is | type | default |", "|---|---|---|---|"]
        lines += [f"| `{key}` | {text} | {kind} | {default} |" for key, text, kind, default in _fields(model, "")]
        lines.append("")
    return "\n".join(lines)


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        inner = list(_models(field.annotation))
        default = "required" if field.is_required() else f"`{_default(field)}`"
        yield key, _cell(field.description or ""), _cell(_kind(field.annotation)), default
        if name in ("safeguards", "rows"):
            continue  # described in tables of their own, or by the standards themselves
        for each in inner:
            mark = "[]." if each is Attestation or _is_many(field) else "."
            yield from _fields(each, f"{key}{mark}")


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "as below" if field.annotation is not str else "the safeguard's own name"
    value = field.default
    return "null" if value is None else str(value.value if isinstance(value, StrEnum) else value)


def _is_many(field: FieldInfo) -> bool:
    return typing.get_origin(_bare(field.annotation)) is tuple


def _bare(annotation: Any) -> Any:
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    annotation = _bare(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for each in typing.get_args(annotation):
        yield from _models(each)


def _kind(annotation: Any) -> str:
    annotation = _bare(annotation)
    origin = typing.get_origin(annotation)
    arguments = [each for each in typing.get_args(annotation) if each is not type(None) and each is not Ellipsis]
    if origin is tuple:
        return f"list of {_kind(arguments[0])}"
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(dict.fromkeys(_kind(each) for each in arguments))
    if origin is typing.Literal:
        return ", ".join(str(getattr(each, "value", each)) for each in arguments)
    if origin is not None:
        return "map of " + " to ".join(_kind(each) for each in arguments)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(member.value for member in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return {"str": "text", "int": "integer", "float": "number", "bool": "true or false"}.get(
        getattr(annotation, "__name__", ""), getattr(annotation, "__name__", str(annotation))
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def metrics() -> str:
    """Describe every metric."""
    lines = [
        "# Metrics",
        "",
        "Generated from the catalogue that the code records by. What a worker records has the label `worker` besides.",
        "",
        "| metric | kind | labels | what it is |",
        "|---|---|---|---|",
    ]
    for name, metric in METRICS.items():
        labels = [*metric.labels, *(["worker"] if metric.origin is Origin.WORKER else [])]
        lines.append(f"| `{name}` | {metric.kind.value} | {', '.join(labels)} | {_cell(metric.help)} |")
    return "\n".join([*lines, ""])


def codes() -> str:
    """Describe every code that a caller can meet."""
    lines = [
        "# Codes",
        "",
        "Generated from the table that answers are made from. The code stands in `error.code`; a status of 200 means",
        "that the answer had begun: a safeguard then finishes it with `content_filter`, anything else puts an error",
        "into the stream and no `[DONE]`.",
        "",
        "| code | status before the first byte | what the caller is told | worth sending again |",
        "|---|---|---|---|",
    ]
    for code in Code:
        told = TOLD[code]
        lines.append(f"| `{code.value}` | {told.status} | {_cell(told.sentence)} | {'yes' if told.retry else 'no'} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
