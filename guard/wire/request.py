"""How every dialect of tables reads a request and writes it again: only what was understood goes on."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from guard.wire.dialect import Request
from guard.wire.strict_json import BadField
from guard.wire.table import Collector, Spec

_ENCODER: Final = msgspec.json.Encoder()


def understand(table: Spec, fields: dict[str, Any]) -> Request:
    """Read a parsed body by its table, in which ``model`` is required; raises BadField."""
    into = Collector()
    sent = table.read(fields, "", into)
    passages = tuple(passage for passage in into.passages if passage.place != "model")
    model = sent.pop("model")
    return Request(model, bool(sent.get("stream")), passages, sent)


def written(request: Request, model: str) -> bytes:
    """Serialise the understood fields; raises BadField for a string that UTF-8 cannot carry."""
    try:
        return _ENCODER.encode({"model": model, **request.fields})
    except UnicodeEncodeError:
        raise BadField("", "a string holds half a surrogate pair") from None
