"""Exchanges as Parquet: a row for each, whose columns are the fields of the records, typed as they are there.

A row is the intent, with its outcome as a struct, and its parts, its recoveries and the outcomes that the last one set
right as lists of structs; each has the writer and sequence of its record, and, unless the export is redacted, its
texts. The columns follow from the records' own types, so that a new field is a new column. A large export is several
files of the same columns: all of a file is one group of rows, which is in memory, compressed, until it is complete.

What the columns cannot hold is written as the nearest that they can: a lone surrogate as U+FFFD, an integer beyond 64
bits as the last within them, a time that is no date as none. JSON lines hold all of it. Needs the extra ``parquet``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema, list_array, struct_array
from arro3.io import write_parquet

from guard.audit.export import Exchanges, Shown, create, settle
from guard.audit.records import Intent, Outcome, Part, Recovered

FILE_BYTES: Final = 256 * 1024 * 1024  # as counted by `_weight`, before compression
BATCH_BYTES: Final = 8 * 1024 * 1024
RECORD_BYTES: Final = 1024  # about what a record takes besides its texts
COMPRESSION: Final = "zstd(3)"
_TIMES: Final = frozenset({"time", "received", "ended"})  # seconds since the epoch in the records
_LARGEST: Final = 2**63 - 1
_MICROSECONDS: Final = 1_000_000
_LAST_MOMENT: Final = 253_402_300_800  # the year 10000, in seconds since the epoch


def parquet_files(directory: Path, exchanges: Exchanges, file_bytes: int = FILE_BYTES) -> Iterator[Path]:
    """Write ``exchanges-00001.parquet`` and so on, at least the first; raises OSError and what ``exchanges`` raises."""
    rows = _Rows(exchanges, file_bytes)
    number = 0
    while rows.more or not number:
        number += 1
        path = directory / f"exchanges-{number:05}.parquet"
        with create(path) as file:
            try:
                write_parquet(RecordBatchReader.from_batches(SCHEMA, rows.file()), file, compression=COMPRESSION)
            except Exception:
                # The columns' library only passes on the words of what went wrong in between.
                if rows.problem is not None:
                    raise rows.problem from None
                raise
            settle(file)
        yield path


class _Rows:
    """Cuts the exchanges into files, and these into batches."""

    def __init__(self, exchanges: Exchanges, file_bytes: int) -> None:
        self._exchanges = iter(exchanges)
        self._file_bytes = file_bytes
        self._next: Sequence[Shown] | None = next(self._exchanges, None)
        self.problem: BaseException | None = None

    @property
    def more(self) -> bool:
        return self._next is not None

    def file(self) -> Iterator[RecordBatch]:
        try:
            left = self._file_bytes
            while left > 0 and self.more:
                batch, size = [], 0
                while self._next is not None and size < min(BATCH_BYTES, left):
                    batch.append(self._next)
                    size += _weight(self._next)
                    self._next = next(self._exchanges, None)
                left -= size
                yield RecordBatch.from_arrays(_ROW.arrays(batch), schema=SCHEMA)
        except BaseException as problem:
            self.problem = problem
            raise


def _weight(exchange: Sequence[Shown]) -> int:
    return sum(RECORD_BYTES + sum(len(text.text) for text in shown.texts) for shown in exchange)


class _Kind(Protocol):
    """What a column holds: its type, and how values of the records become an array of it."""

    @property
    def type(self) -> DataType:
        """The column's type."""
        ...

    def array(self, values: Sequence[Any]) -> Array:
        """The values as a column; None is null."""
        ...


@dataclass(frozen=True, slots=True)
class _Plain:
    type: DataType
    given: Callable[[Any], Any]
    raw: DataType | None = None  # as which the values are given, if not as the type itself

    def array(self, values: Sequence[Any]) -> Array:
        given = Array([None if value is None else self.given(value) for value in values], self.raw or self.type)
        return given if self.raw is None else given.cast(self.type)


@dataclass(frozen=True, slots=True)
class _List:
    of: _Kind

    @property
    def type(self) -> DataType:
        return DataType.list(Field("element", self.of.type))

    def array(self, values: Sequence[Any]) -> Array:
        ends = accumulate((len(value) for value in values), initial=0)
        flat = [one for value in values for one in value]
        return list_array(Array(list(ends), DataType.int32()), self.of.array(flat), type=self.type)


@dataclass(frozen=True, slots=True)
class _Struct:
    members: tuple[tuple[str, _Kind, Callable[[Any], Any]], ...]

    @property
    def fields(self) -> list[Field]:
        return [Field(name, kind.type) for name, kind, _ in self.members]

    @property
    def type(self) -> DataType:
        return DataType.struct(self.fields)

    def arrays(self, values: Sequence[Any]) -> list[Array]:
        return [
            kind.array([_absent(kind) if value is None else get(value) for value in values])
            for _, kind, get in self.members
        ]

    def array(self, values: Sequence[Any]) -> Array:
        absent = Array([value is None for value in values], DataType.bool())
        return struct_array(self.arrays(values), fields=self.fields, mask=absent)


def _absent(kind: _Kind) -> Any:
    """What a member holds where the struct itself is null."""
    return () if isinstance(kind, _List) else None


def _without_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _microseconds(seconds: float) -> int | None:
    return round(seconds * _MICROSECONDS) if math.isfinite(seconds) and abs(seconds) < _LAST_MOMENT else None


_TEXT: Final = _Plain(DataType.string(), _without_surrogates)
_INTEGER: Final = _Plain(DataType.int64(), lambda number: max(-_LARGEST, min(number, _LARGEST)))
_TIME: Final = _Plain(DataType.timestamp("us", tz="UTC"), _microseconds, DataType.int64())
_PLAIN: Final = {
    msgspec.inspect.StrType: _TEXT,
    msgspec.inspect.IntType: _INTEGER,
    msgspec.inspect.FloatType: _Plain(DataType.float64(), float),
    msgspec.inspect.BoolType: _Plain(DataType.bool(), bool),
}


def _kind(name: str, found: msgspec.inspect.Type) -> _Kind:
    if isinstance(found, msgspec.inspect.UnionType):
        (found,) = (each for each in found.types if not isinstance(each, msgspec.inspect.NoneType))
    if isinstance(found, msgspec.inspect.VarTupleType):
        return _List(_kind("", found.item_type))
    if isinstance(found, msgspec.inspect.StructType):
        return _Struct(_members(found.cls))
    if isinstance(found, msgspec.inspect.FloatType) and name in _TIMES:
        return _TIME
    return _PLAIN[type(found)]


def _members(of: type[msgspec.Struct], prefix: str = "") -> tuple[tuple[str, _Kind, Callable[[Any], Any]], ...]:
    found = msgspec.inspect.type_info(of)
    assert isinstance(found, msgspec.inspect.StructType)  # noqa: S101 - what a Struct is
    return tuple((each.name, _kind(each.name, each.type), attrgetter(prefix + each.name)) for each in found.fields)


def _shown(of: type[msgspec.Struct]) -> tuple[tuple[str, _Kind, Callable[[Any], Any]], ...]:
    texts = _List(_Struct((("place", _TEXT, attrgetter("place")), ("text", _TEXT, attrgetter("text")))))
    return (
        *_members(of, "entry.record."),
        ("writer", _TEXT, attrgetter("entry.writer")),
        ("sequence", _INTEGER, attrgetter("entry.sequence")),
        ("texts", texts, attrgetter("texts")),
        ("lost", _TEXT, attrgetter("lost")),
    )


def _of(kind: type[msgspec.Struct]) -> Callable[[Sequence[Shown]], list[Shown]]:
    return lambda exchange: [shown for shown in exchange if isinstance(shown.entry.record, kind)]


def _first(get: Callable[[Any], Any]) -> Callable[[Sequence[Shown]], Any]:
    return lambda exchange: get(exchange[0])


_outcomes: Final = _of(Outcome)


def _outcome(exchange: Sequence[Shown]) -> Shown | None:
    return next(reversed(_outcomes(exchange)), None)


_ROW: Final = _Struct(
    (
        *((name, kind, _first(get)) for name, kind, get in _shown(Intent)),
        ("outcome", _Struct(_shown(Outcome)), _outcome),
        ("parts", _List(_Struct(_shown(Part))), _of(Part)),
        ("recovered", _List(_Struct(_shown(Recovered))), _of(Recovered)),
        ("superseded", _List(_Struct(_shown(Outcome))), lambda exchange: _outcomes(exchange)[:-1]),
    )
)
SCHEMA: Final = Schema(_ROW.fields)
