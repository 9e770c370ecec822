"""Writes the page of the standards: each row with its check, the metric where it shows, and the test that proves it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from guard.policy.load import builtin_standards
from guard.policy.proof import CHECKS, SAFEGUARDS, Proof, proofs
from guard.policy.source import parse
from guard.policy.standard import Row, Standard
from guard.policy.validate import validate

UNVERIFIED = "not verified: counts as unmet"


def shipped() -> tuple[Standard, ...]:
    """Return the built-in standards in the order of their files' names."""
    paths = sorted(builtin_standards().glob("*.yaml"))
    return tuple(validate(parse(path.name, path.read_bytes()), Standard) for path in paths)


def standards() -> str:
    """Describe every check, every safeguard and every row."""
    lines = [
        "# What each standard asks for, and what stands behind it",
        "",
        "Generated from the standards and from `guard/policy/proof.py`. The test of a check or a safeguard is one that",
        "fails when it is switched off, and the suite tries that (`tests/mutations`). A row that nothing verifies",
        "counts as unmet, so a model that it binds is not served. `attested` shows that people vouch for something",
        "with evidence of the right dates, never that it is true.",
        "",
        "## Checks",
        "",
        *_table({f"`{name}`": proof for name, proof in CHECKS.items()}),
        "",
        "## Safeguards that rows ask for",
        "",
        *_table({f"`{name}`": proof for name, proof in SAFEGUARDS.items()}),
    ]
    for standard in shipped():
        lines += ["", *_standard(standard)]
    return "\n".join([*lines, ""])


def _table(entries: Mapping[str, Proof]) -> Iterator[str]:
    yield "| name | what it does | metric | test |"
    yield "|---|---|---|---|"
    for name, proof in entries.items():
        yield f"| {name} | {_cell(proof.does)} | `{proof.metric}` | `{proof.test}` |"


def _standard(standard: Standard) -> Iterator[str]:
    verified = sum(row.check is not None for row in standard.rows)
    yield f"## {standard.name} {standard.version}"
    yield ""
    yield f"{_cell(standard.title)}. Of its {len(standard.rows)} rows {verified} have a check."
    yield ""
    yield "| row | binds from | requires | check | metric | test |"
    yield "|---|---|---|---|---|---|"
    for row in standard.rows:
        found = proofs(row)
        metrics = "<br>".join(dict.fromkeys(f"`{each.metric}`" for each in found))
        tests = "<br>".join(f"`{each.test.rpartition('::')[2]}`" for each in found)
        place = f"{row.axis} {row.level}"
        yield f"| `{row.id}` | {place} | {_cell(row.requires)} | {_check(row)} | {metrics} | {tests} |"


def _check(row: Row) -> str:
    if row.check is None:
        return UNVERIFIED
    given = getattr(row, "parameters", None)
    values = (
        [] if given is None else [str(value) for value in given.model_dump(mode="json").values() if value is not None]
    )
    return " ".join([f"`{row.check}`", *values])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
