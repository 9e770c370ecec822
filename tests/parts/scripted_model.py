"""Writes a tiny language model whose answers are known in advance, for a real inference server to serve."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Final

import gguf
import numpy as np

_Matrix = np.ndarray[tuple[int, int], np.dtype[np.float32]]

LOOP: Final = "<|loop|>"
"""As a script's last token: begin again instead of ending, until the request's `max_tokens`."""

SCRIPTS: Final[Mapping[str, Sequence[str]]] = {
    "hello": ("Hello", " there", ",", " how", " can", " I", " help", " you", " today", "?"),
    "long": tuple(f" word{number}" for number in range(1, 301)),
    "marker": (
        *("The", " weather", " is", " fine", ":"),
        *(" FORB", "IDDEN", "-MAR", "KER"),
        *(" and", " it", " stays", " fine", "."),
    ),
    # Surrogates stand for raw bytes (PEP 383): two of the characters are split over two tokens each.
    "unicode": ("Grüße", " ", "\udcf0\udc9f", "\udc8c\udc9e", " 世", "\udce7\udc95", "\udc8c", " café", "!"),
    "endless": (*(f" tick{number}" for number in range(1, 101)), LOOP),
}
"""The default scripts: name -> token texts. A prompt with none of the names gets the first one."""

_END: Final = "<|end|>"
_DIMENSIONS: Final = 128
_KEY_DIMENSIONS: Final = 16
_LOGIT_GAP: Final = 1000.0  # at any temperature, bias or penalty a client may send, the successor wins

_TEMPLATE: Final = """\
{%- set ns = namespace(text='', script=NAMES[0]) -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}{%- set ns.text = message.content or '' -%}{%- endif -%}
{{- message.role + ': ' + (message.content or '') + '\n' -}}
{%- endfor -%}
{%- for name in NAMES -%}
{%- if ('script:' + name) in ns.text -%}{%- set ns.script = name -%}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|' + ns.script + '|>' -}}{%- endif -%}"""


def script_text(script: Sequence[str]) -> str:
    """What a client reads when a script has run once; UnicodeDecodeError if its bytes are no UTF-8."""
    return "".join(token for token in script if token != LOOP).encode(errors="surrogateescape").decode()


def write_scripted_model(path: Path, scripts: Mapping[str, Sequence[str]] = SCRIPTS, *, width: int = 32) -> None:
    """Write a GGUF (about 1 MB) that answers `script:NAME` in the last user message with that script.

    A prompt has one token per byte, and its last token alone picks the script: the chat template
    appends `<|NAME|>`; a raw prompt that ends otherwise gets the first script. `width` is a multiple
    of 32 and only costs time: 32 runs at some thousand tokens a second, 32768 (51 MB) at about 400.
    Raises ValueError for no scripts, and for one that is empty or repeats a token more often than it can be spelled.
    """
    vocabulary = _Vocabulary.of(scripts)
    codes = _codes(len(vocabulary.spellings))
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(1 << 20)
    writer.add_embedding_length(_DIMENSIONS)
    writer.add_block_count(1)
    writer.add_feed_forward_length(width)
    writer.add_head_count(_DIMENSIONS // _KEY_DIMENSIONS)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary.spellings)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(["a b"])  # the key must exist; a merge without its token is ignored
    writer.add_eos_token_id(vocabulary.end)
    writer.add_add_bos_token(value=False)
    # By length, so that `script:longer` is not taken for `script:long`; in front, the default.
    names = [next(iter(scripts)), *sorted(scripts, key=len)]
    writer.add_chat_template(_TEMPLATE.replace("NAMES", json.dumps(names)))
    # The layer adds nothing, so each position predicts from its own token alone: a token's
    # embedding is the code of its successor, and the output finds the code's token again.
    writer.add_tensor("token_embd.weight", codes[vocabulary.successors])
    writer.add_tensor("output.weight", codes * np.float32(_LOGIT_GAP / _smallest_gap(codes)))
    for norm in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{norm}.weight", np.ones(_DIMENSIONS, np.float32))
    for name, shape in _silent_layer(width).items():
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _silent_layer(width: int) -> dict[str, tuple[int, int]]:
    """The shapes (rows, columns) of the matrices that are all zero."""
    return {
        "attn_q": (_DIMENSIONS, _DIMENSIONS),
        "attn_k": (_KEY_DIMENSIONS, _DIMENSIONS),
        "attn_v": (_KEY_DIMENSIONS, _DIMENSIONS),
        "attn_output": (_DIMENSIONS, _DIMENSIONS),
        "ffn_gate": (width, _DIMENSIONS),
        "ffn_up": (width, _DIMENSIONS),
        "ffn_down": (_DIMENSIONS, width),
    }


@dataclass(frozen=True)
class _Vocabulary:
    """The tokens by id: how each is spelled in the file, its type, and the id that follows it."""

    spellings: list[bytes]
    types: list[gguf.TokenType]
    successors: list[int]
    end: int

    @classmethod
    def of(cls, scripts: Mapping[str, Sequence[str]]) -> _Vocabulary:
        """First the 256 bytes of prompts, then the end, then each script's start and tokens."""
        if not scripts:
            raise ValueError("a model needs at least one script")
        end = 256
        first = end + 2  # the default script's first token follows its start
        spellings = [_byte_to_char(byte).encode() for byte in range(256)] + [_END.encode()]
        types = [gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL]
        successors = [first] * 256 + [end]
        taken = set(spellings)
        for name, script in scripts.items():
            tokens = [token for token in script if token != LOOP]
            if not tokens or LOOP in script[:-1]:
                raise ValueError(f"script {name!r} needs at least one token, and LOOP only at its end")
            start = len(spellings)
            spellings.append(f"<|{name}|>".encode())
            types.append(gguf.TokenType.CONTROL)
            for token in tokens:
                spelling = next((s for s in _spellings_of(token) if s not in taken), None)
                if spelling is None:
                    raise ValueError(f"script {name!r}: token {token!r} is repeated too often")
                taken.add(spelling)
                spellings.append(spelling)
                types.append(gguf.TokenType.NORMAL)
            successors.extend(after for _, after in pairwise(range(start, len(spellings))))
            successors.append(start + 1 if script[-1] == LOOP else end)
        return cls(spellings, types, successors, end)


def _spellings_of(token: str) -> Iterator[bytes]:
    """The ways to write one text, the plain one first.

    The server wants every token's text to be unique but reads overlong UTF-8, so a text that comes
    again is spelled with longer and longer characters: three to the number of its bytes ways.
    """
    points = [ord(_byte_to_char(byte)) for byte in token.encode(errors="surrogateescape")]
    for forms in product(*(_forms(point) for point in points)):
        yield b"".join(forms)


def _forms(point: int) -> tuple[bytes, bytes, bytes]:
    """A code point below 4096 in its proper UTF-8 form, in three bytes and in four."""
    high, low = 0x80 | point >> 6, 0x80 | point & 0x3F
    return chr(point).encode(), bytes((0xE0, high, low)), bytes((0xF0, 0x80, high, low))


def _byte_to_char(byte: int) -> str:
    """GPT-2's alphabet: printable Latin-1 as itself, the other bytes in order from U+0100."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    if byte in shown:
        return chr(byte)
    return chr(0x100 + [other for other in range(256) if other not in shown].index(byte))


def _codes(count: int) -> _Matrix:
    """A nearly orthogonal vector of plus and minus one per token; the same in every run."""
    return np.random.default_rng(2).choice(np.array([-1, 1], np.float32), (count, _DIMENSIONS))


def _smallest_gap(codes: _Matrix) -> float:
    """How far any token's logit is ahead of the runner-up, before scaling."""
    products = codes @ codes.T
    np.fill_diagonal(products, -np.inf)
    return float(_DIMENSIONS - products.max())
