"""The files of a first configuration, as texts with comments for somebody who has never seen one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from guard.onboarding.lacks import CHOSEN
from guard.policy.model import ServerKind

TRIGGER: Final = "guard-starter-test-phrase"
DURABLE_ASL: Final = 3
KEY_ID: Final = "first-app"
TOKEN_ID: Final = "first-responder"  # noqa: S105 - a name that records give, no secret


@dataclass(frozen=True, slots=True)
class Setup:
    """What the operator chose and the server told: ``url`` is the base without `/v1`, ``name`` the server's own name.

    ``name`` and ``person`` must be printable; ``alias`` must be one that the policy's forms take.
    """

    url: str
    kind: ServerKind
    name: str
    alias: str
    asl: int
    port: int
    admin_port: int
    person: str
    credential: bool


@dataclass(frozen=True, slots=True)
class Digests:
    """What is stored of the two credentials, and the first day on which neither is taken any more."""

    key: str
    token: str
    expires: date


def texts(setup: Setup, digests: Digests) -> Mapping[str, str]:
    """Return every file but the secrets, by its path in the configuration directory."""
    return {
        "guard.yaml": _guard(setup, digests),
        "tiers.yaml": _tiers(setup, digests),
        f"models/{setup.alias}.yaml": _model(setup),
        "rules/starter.yaml": _RULES,
        f"evidence/{setup.alias}.yaml": _evidence(setup),
        ".gitignore": "# Secrets and what the guard writes do not belong into version control.\nsecrets/\nvar/\n",
    }


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _guard(setup: Setup, digests: Digests) -> str:
    return f"""\
# This process: where it listens, what it keeps on disk, who may administer it. Paths are relative to this directory.
version: 1
surfaces:                       # listeners for callers; models name the ones they are served on
  - name: public
    host: 127.0.0.1             # only this machine; another address opens it to the network (put TLS in front)
    port: {setup.port}
workers: 1
storage:
  state: var/state              # stop orders, rate counters
  audit: var/audit              # the request log
keys:
  pepper: {{file: secrets/pepper}}    # behind every stored digest below; if it is lost, every key must be made anew
content:
  key: {{file: secrets/content-key}}  # opens every prompt and completion that the request log keeps; lost, none opens
  wrapped: var/content-keys     # one data key for each owner, class and day; `guard audit shred` destroys them
admin:
  host: 127.0.0.1
  port: {setup.admin_port}
  tokens:                       # one per person, never shared; `guard token new` prints further entries
    - id: {TOKEN_ID}
      person: {_quoted(setup.person)}
      role: responder           # responder: stop, resume and see; viewer: see
      digest: "{digests.token}"
      expires: {digests.expires}
"""


def _tiers(setup: Setup, digests: Digests) -> str:
    return f"""\
# Who may use what: a tier grants operations on models and sets a rate; a key belongs to one tier and one owner.
version: 1
tiers:
  starter:
    audience: internal          # whom its keys stand for: only models of this audience can be granted to them
    models:
      {_quoted(setup.alias)}: [chat]       # model alias -> operations
    rate: {{per_minute: 600, burst: 50}}      # for each key
keys:                           # only digests are stored; `guard key new` prints further entries
  - id: {KEY_ID}
    owner: {_quoted(setup.person)}       # the person or team that answers for its use
    tier: starter
    digest: "{digests.key}"
    expires: {digests.expires}
"""


def _model(setup: Setup) -> str:
    durable = "before_forward, parts: true" if setup.asl >= DURABLE_ASL else "within_a_second, parts: true"
    credential = "{file: secrets/upstream.key}    # sent as a bearer token" if setup.credential else "null"
    standard, version = CHOSEN
    return f"""\
# One model as callers see it: everything that holds for it is in this file.
version: 1
model: {_quoted(setup.alias)}        # the alias callers ask for; equals the file's name
# The standard whose floor the model must meet. This one is invented, to learn with: see `guard check`, then name
# the standard your organisation follows, and the level it has determined for the model. The guard does not judge that.
framework: {{name: {standard}, version: "{version}"}}
asl: {{deployment: {setup.asl}, security: {setup.asl}}}
audience: internal              # general | restricted | internal
surfaces: [public]
upstream:
  url: {_quoted(setup.url)}
  kind: {setup.kind.value}      # vllm | sglang | llamacpp | tgi | ollama | openai
  model: {_quoted(setup.name)}        # the name that server knows it by
  credential: {credential}
operations: [chat]
# Asked in this order. mode: enforce | shadow (recorded, not carried out). on_failure: block | pass.
safeguards:
  - use: request_log            # every request is recorded
    mode: enforce
    on_failure: block
    deadline_seconds: 5
    # durable: before_forward waits for the disk, level 3 asks for that; content: whether texts are kept
    settings: {{durable: {durable}, content: true}}
  - use: kill_switch            # `guard stop` works
    mode: enforce
    on_failure: block
    deadline_seconds: 1
  - use: evidence               # refuses when evidence that the level asks for has lapsed
    mode: enforce
    on_failure: block
    deadline_seconds: 1
  - use: access                 # only the tiers that tiers.yaml names
    mode: enforce
    on_failure: block
    deadline_seconds: 1
  - use: limits                 # the tier's rate
    mode: enforce
    on_failure: block
    deadline_seconds: 1
  - use: classifier             # your own rules, on both sides; a real harm classifier is another mount
    name: patterns
    mode: enforce
    on_failure: block
    deadline_seconds: 1
    settings: {{engine: patterns, screens: [input, output], rules: rules/starter.yaml}}
evidence: evidence/{setup.alias}.yaml
"""


_RULES: Final = f"""\
# An example rule, so that you can see a refusal. It protects nobody: replace it with rules of your own.
# Texts are compared after folding (lower case, accents and invisible characters removed, white space as one space).
# A phrase is a literal, a pattern a regular expression of bounded length. Categories: misinformation, violence,
# fraud, cyber, cbrn, self-harm, sexual-minors, autonomy, jailbreak, other.
version: 1
name: starter
release: "1"                    # raise it with every change; records carry it
rules:
  - id: try-me
    category: other
    phrase: {TRIGGER}
"""


def _evidence(setup: Setup) -> str:
    return f"""\
# Who vouches for what about this model, on which evidence, until when. It is empty because nobody has vouched for
# anything yet: `guard check` names each claim that the model's level asks for, and until it stands here the model is
# not served at that level. The guard sees that an attestation is dated and unexpired, never that it is true.
#
# The shape of one, with what to put in (replace `[]` below with such a list, at the same depth as here):
#
#   - claim: <the name that `guard check` asks for>
#     uri: <where the document is, for the people who will read it>
#     sha256: "<`sha256sum` of the document as it was attested: 64 hexadecimal digits>"
#     owner: <the person or team that vouches for it>
#     issued: <first day on which it holds, as 2027-01-31>
#     expires: <first day on which it no longer holds>
version: 1
attestations: []                # for {setup.alias}
"""
