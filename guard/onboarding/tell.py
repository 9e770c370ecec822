"""What `guard init` says, in sections of plain text; every word of the server's passes through `shown`."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from guard.onboarding.exposure import Exposed, Standing
from guard.onboarding.files import TRIGGER, Setup
from guard.onboarding.identify import Server
from guard.onboarding.lacks import CHOSEN, LEVELS, STANDARDS, Lack
from guard.onboarding.names import shown
from guard.onboarding.write import DAYS, Credentials
from guard.policy.model import ServerKind

_WIDTH: Final = 110
_MODELS_SHOWN: Final = 20
_TITLES: Final = {
    ServerKind.VLLM: "vLLM",
    ServerKind.SGLANG: "SGLang",
    ServerKind.LLAMACPP: "llama.cpp",
    ServerKind.TGI: "Text Generation Inference",
    ServerKind.OLLAMA: "Ollama",
    ServerKind.OPENAI: "a server with OpenAI's routes (which one, it does not say)",
}


def server(found: Server, url: str) -> str:
    """Say which server it is, what it serves, whether it asks for a key."""
    version = f" {shown(found.version, 40)}" if found.version else ""
    key = "It asks for a key." if found.keyed else "It asks nobody for a key."
    lines = ["The server", f"  {shown(url, 200)} is {_TITLES[found.kind]}{version}. {key}"]
    if found.models:
        lines.append(f"  It serves {len(found.models)} model{'s' if len(found.models) > 1 else ''}:")
        lines += [f"    {shown(name)}" for name in found.models[:_MODELS_SHOWN]]
    if len(found.models) > _MODELS_SHOWN:
        lines.append(f"    and {len(found.models) - _MODELS_SHOWN} more")
    return _section(lines)


def exposure(found: Sequence[Exposed]) -> str:
    """Say what a stranger can reach on it, and what could not be told."""
    lines = ["What it leaves open"]
    lines += _wrapped("Whoever reaches the server itself goes around the guard: let nobody but the guard reach it.")
    sentences = {
        Standing.OPEN: "Open to whoever does, beside the chat route:",
        Standing.UNKNOWN: "Could not tell without a request that might act, or the server did not say:",
    }
    for standing, sentence in sentences.items():
        groups = [(each.danger, each.paths(standing)) for each in found if each.paths(standing)]
        if groups:
            lines += _wrapped(sentence)
        for danger, paths in groups:
            lines += _wrapped(f"{danger.name + ':':<11}{' '.join(paths)}", indent=4, hanging=15)
            if standing is Standing.OPEN:
                lines += _wrapped(danger.why, indent=15, hanging=15)
    counts = {state: sum(len(each.paths(state)) for each in found) for state in Standing}
    lines += _wrapped(
        f"Of {sum(counts.values())} routes looked for, {counts[Standing.OPEN]} are open, {counts[Standing.REFUSED]} "
        f"refused us, {counts[Standing.ABSENT]} are not there, {counts[Standing.UNKNOWN]} could not be told."
    )
    return _section(lines)


def levels(found: Sequence[Lack], asl: int) -> str:
    """Say what each level would still lack: the numbers for every standard, the rows for the one that was chosen."""
    counts = {(lack.standard, lack.version, lack.asl): len(lack.rows) for lack in found}
    lines = ["What each level would still lack (rows unmet)"]
    lines.append("  " + " " * 22 + "".join(f"{f'ASL-{level}':>8}" for level in LEVELS))
    for name, version in STANDARDS:
        lines.append(f"  {f'{name} {version}':<22}" + "".join(f"{counts[name, version, each]:>8}" for each in LEVELS))
    told: set[str] = set()
    for lack in found:
        fresh = [row for row in lack.rows if row.row not in told]
        if (lack.standard, lack.version) != CHOSEN or not fresh:
            continue
        told |= {row.row for row in fresh}
        lines.append(f"  {lack.standard} {lack.version} at ASL-{lack.asl}:")
        for row in fresh:
            lines += _wrapped(f"{row.row + ':':<22} {row.why}", indent=4, hanging=27)
    if counts[*CHOSEN, asl]:
        lines += _wrapped(
            f"The model is set to ASL-{asl}, so it is NOT served until these are met; evidence goes into the folder "
            "`evidence`, as the comment there shows."
        )
    else:
        lines += _wrapped(
            f"The model is set to ASL-{asl} of {CHOSEN[0]}, an invented standard to learn with, and can be served. "
            "Meeting it says nothing about meeting another."
        )
    return _section(lines)


def written(directory: Path, setup: Setup, credentials: Credentials) -> str:
    """Say what was written, and the two secrets."""
    lines = [
        f"Written to {_path(directory)}",
        "  guard.yaml                   where it listens, who may administer it",
        "  tiers.yaml                   who may use what",
        f"  models/{setup.alias}.yaml",
        "                               everything that holds for the model; callers ask for it by the file's name",
        "  rules/starter.yaml           an example rule, to be replaced by yours",
        f"  evidence/{setup.alias}.yaml",
        "                               empty: nobody has vouched for anything yet",
        "  secrets/                     the pepper and the key of kept texts; keep them to yourself",
        "",
        f"Two secrets, shown this once and stored nowhere; they hold {DAYS} days",
        f"  export GUARD_KEY={credentials.key}",
        f"  export GUARD_ADMIN_TOKEN={credentials.token}",
    ]
    return _section(lines)


def next_steps(directory: Path, setup: Setup, command: str) -> str:
    """Give the lines that run the guard and try it; each works when pasted."""
    where = _path(directory)
    body = {"model": setup.alias, "messages": [{"role": "user", "content": "Say hello"}]}
    refused = {"model": setup.alias, "messages": [{"role": "user", "content": f"What is {TRIGGER}?"}]}
    lines = [
        "Run it",
        f"  {command} check --config {where}",
        f"  {command} serve --config {where}",
        "",
        "Try it, in a second terminal after the two export lines",
        "  # an answer" if setup.asl == 1 else "  # an answer, once the model may be served",
        f"  {_curl(setup, body)}",
        "  # a refusal, by the example rule",
        f"  {_curl(setup, refused)}",
        "  # a stop, and the way back",
        f"  {command} stop model:{setup.alias} --reason 'trying it' --config {where}",
        f"  {command} resume model:{setup.alias} --reason 'tried it' --config {where}",
    ]
    return "\n".join(lines) + "\n"


def _curl(setup: Setup, body: object) -> str:
    return (
        f'curl -s http://127.0.0.1:{setup.port}/v1/chat/completions -H "Authorization: Bearer $GUARD_KEY" '
        f"-H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}"
    )


def _path(directory: Path) -> str:
    return shlex.quote(str(directory))


def _wrapped(text: str, indent: int = 2, hanging: int = 2) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _section(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n\n"
