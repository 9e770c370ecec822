"""What a changed key means for the safeguards: one table and the few ways in which a row judges: one file.

A key without a row counts as weaker, so a new setting is weaker until somebody writes down what it means. Judged is
what protects and what is recorded: that more is kept of what callers wrote counts as stronger, whatever privacy says.
It is one file because it is one table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from guard.policy.roles import Act, may
from guard.policy.roles import OperatorRole as Role

Tree = Mapping[str, Any]
Judge = Callable[[Any, Any, Tree, Tree], "Effect | None"]


class Effect(StrEnum):
    """What a change does to the safeguards."""

    STRONGER = "stronger"
    WEAKER = "weaker"
    NEUTRAL = "neutral"


S, W, N = Effect.STRONGER, Effect.WEAKER, Effect.NEUTRAL


@dataclass(frozen=True, slots=True)
class Rule:
    """``path`` with ``*`` for any one name; ``judge`` gets old, new and what stands beside each (None: no change)."""

    path: str
    judge: Judge
    why: str


def always(effect: Effect) -> Judge:
    """Whatever it was and is."""
    return lambda *_: effect


def presence(*, added: Effect, removed: Effect, changed: Effect = W) -> Judge:
    """Null, empty and absent are one: not there."""
    return lambda old, new, *_: added if not old else removed if not new else changed


def rising(effect: Effect) -> Judge:
    """A number or a day, its rise being this and its fall the opposite; anything else is weaker."""

    def judge(old: Any, new: Any, *_: Tree) -> Effect:
        if old is None or new is None or type(old) is not type(new):
            return W
        return effect if new > old else _OPPOSITE[effect]

    return judge


def widened(effect: Effect) -> Judge:
    """A list without order: more in it is this, less the opposite; both at once is weaker."""

    def judge(old: Any, new: Any, *_: Tree) -> Effect:
        before, after = frozenset(old or ()), frozenset(new or ())
        if before == after:
            return N
        return effect if before < after else _OPPOSITE[effect] if after < before else W

    return judge


def others(old: Any, new: Any, *_: Tree) -> Effect:
    """A list without order: any other is weaker; null, empty and absent are one."""
    return N if frozenset(old or ()) == frozenset(new or ()) else W


def ranked(*words: str) -> Judge:
    """A word of these, the strongest first; any other is weaker."""

    def judge(old: Any, new: Any, *_: Tree) -> Effect:
        return S if old in words and new in words and words.index(new) < words.index(old) else W

    return judge


def mount(old: Any, new: Any, *_: Tree) -> Effect:
    """A whole safeguard: added it is stronger only if it blocks, also when it fails."""
    if new:
        return S if not old and (new["mode"], new["on_failure"]) == ("enforce", "block") else N if not old else W
    return W


def order(old: Any, new: Any, *_: Tree) -> Effect | None:
    """The names of the mounts: one more or less is told elsewhere, only those in both are compared."""
    return None if [each for each in old if each in new] == [each for each in new if each in old] else W


def deadline(old: Any, new: Any, _: Tree, news: Tree) -> Effect:
    """Less time is weaker for a safeguard that lets pass what it did not answer."""
    return W if news.get("on_failure") != "block" and new < old else N


def until(old: Any, new: Any, olds: Tree, news: Tree) -> Effect:
    """The expiry of evidence: later is stronger only for evidence that was issued anew."""
    return S if new > old and news["issued"] > olds["issued"] else W


def evidence_hash(_old: Any, _new: Any, olds: Tree, news: Tree) -> Effect:
    """Other evidence is expected when it was issued anew, and a surprise under the old date."""
    return N if news["issued"] > olds["issued"] else W


def described(old: Any, new: Any, olds: Tree, news: Tree) -> Effect:
    """The controls that evidence describes: with them drift is noticed, without them not; others are other evidence."""
    return S if old is None else W if new is None else evidence_hash(old, new, olds, news)


def finding(old: Any, new: Any, *_: Tree) -> Effect:
    """A whole finding: without one the threshold counts as crossed, so only one that rules it out asks for less."""
    if new:
        return W if new["state"] == "ruled_out" else N
    return S if old["state"] == "ruled_out" else N


def finding_until(old: Any, new: Any, olds: Tree, news: Tree) -> Effect:
    """The last day of a finding: later is neutral only for one that was made anew."""
    return S if new < old else N if news["assessed"] > olds["assessed"] else W


def kept_days(old: Any, new: Any, *_: Tree) -> Effect:
    """For how many days something is kept, None for ever."""
    return S if new is None else W if old is None else rising(S)(old, new, {}, {}) or W


def issued(old: Any, new: Any, *_: Tree) -> Effect:
    """The day of a key; one without counts as new."""
    return S if new is None else W if old is None or new < old else S


def upstream_tls(old: Any, new: Any, *_: Tree) -> Effect:
    """The whole section: to trust another name than the URL's is weaker even if the section is new."""
    return S if not old and new and new["server_name"] is None else W


def lease(old: Any, new: Any, *_: Tree) -> Effect:
    """How long a level is served without proof; null is for ever."""
    return W if new is None or (old is not None and new > old) else S


def hosts(old: Any, new: Any, *_: Tree) -> Effect:
    """The names that are answered to; null is every name."""
    if old is None or new is None:
        return W if new is None else S
    return W if not frozenset(new) <= frozenset(old) else S if frozenset(new) < frozenset(old) else N


def severe(old: Any, new: Any, olds: Tree, news: Tree) -> Effect:
    """The hours of a severe weakness; null is those of any."""
    before, after = old or olds["max_hours"], new or news["max_hours"]
    return N if before == after else W if after > before else S


def withdrawn(old: Any, new: Any, *_: Tree) -> Effect:
    """What follows a withdrawal: who is only told of a replacement is not answered by one."""
    return N if old is None and isinstance(new, Mapping) and new["route"] is False else W


def tripping(old: Any, new: Any, *_: Tree) -> Effect:
    """From which severity on an incident moves the model down; null is never."""
    return W if new is None else S if old is None else rising(W)(old, new, {}, {}) or W


def token(old: Any, new: Any, *_: Tree) -> Effect:
    """An administrator: one more may act; one less, unless only to look, may stop."""
    return S if not new and not may(Role(old["role"]), Act.STOP) else W


def pinned(old: Any, new: Any, *_: Tree) -> Effect:
    """The peers or certificates of the proxy: none is no pin, more let more say who somebody is."""
    before, after = frozenset(old or ()), frozenset(new or ())
    return S if after and (not before or after < before) else W


_OPPOSITE: Final = {S: W, W: S, N: N}
_LISTENERS: Final = ("guard/surfaces/*", "guard/admin")
_MODEL: Final = "models/*"
_LADDER: Final = "models/*/ladder"
# Orders in force name the mode alone: a file that declares the rung turns what was a full stop into it.
_RUNG: Final = "what an order in force or the next step down means for the model"
_MOUNT: Final = "models/*/safeguards/*"
_SET: Final = f"{_MOUNT}/settings"
_UP: Final = "models/*/upstream"
_CLAIM: Final = "models/*/evidence/*"
_FOUND: Final = "models/*/thresholds/*"
_NOTIFY: Final = "guard/notify/*"
_BAND: Final = "models/*/monitoring/bands/*"
_HOOK: Final = "guard/admin/hooks/*"
_TOKEN: Final = "guard/admin/tokens/*"  # noqa: S105 - a path of the table
_PROXIED: Final = "guard/admin/proxy/people"
_EMERGENCY: Final = "guard/admin/emergency_tokens/*"


def _listener(at: str) -> tuple[Rule, ...]:
    return (
        Rule(f"{at}/host", always(W), "it may be reached from elsewhere"),
        Rule(f"{at}/port", always(W), "it may be reached from elsewhere"),
        Rule(f"{at}/unix", always(W), "it may be reached from elsewhere"),
        Rule(f"{at}/tls", presence(added=S, removed=W), "TLS proves and protects the connection"),
        Rule(f"{at}/tls/certificate", always(N), "another certificate, the same protection"),
        Rule(f"{at}/tls/key/*", always(N), "another place of the key, the same protection"),
        Rule(
            f"{at}/tls/client_certificates",
            ranked("required", "optional", "none"),
            "whether callers must show a certificate",
        ),
        Rule(f"{at}/tls/client_ca", presence(added=S, removed=W), "whose certificates let a caller in"),
        Rule(f"{at}/hosts", hosts, "more names are answered to; null answers to all"),
    )


RULES: Final[tuple[Rule, ...]] = (
    # Models
    Rule(_MODEL, presence(added=W, removed=S), "a model more is served; one less is stronger"),
    Rule(f"{_MODEL}/version", always(N), "the form of the file"),
    Rule(f"{_MODEL}/model", always(W), "records know it by its name"),
    Rule(f"{_MODEL}/framework/name", always(N), "only a name: what it asks for is judged by its rows"),
    Rule(f"{_MODEL}/framework/version", always(N), "only a name: what it asks for is judged by its rows"),
    Rule(f"{_MODEL}/framework/rows", widened(S), "the standards' rows: all the old ones must still be asked for"),
    Rule(f"{_MODEL}/also", widened(S), "a law or code less binds it"),
    Rule(f"{_MODEL}/release", presence(added=N, removed=W), "a stop that names the old release no longer covers it"),
    Rule(f"{_MODEL}/asl/deployment", rising(S), "a lower level asks for less"),
    Rule(f"{_MODEL}/asl/security", rising(S), "a lower level asks for less"),
    Rule(f"{_MODEL}/framework/thresholds", widened(S), "the standard's thresholds: the old ones must still be known"),
    Rule(f"{_MODEL}/variant_of", presence(added=S, removed=W), "a variant needs an evaluation of its own"),
    Rule(f"{_MODEL}/same_weights_as", widened(W), "another alias of the same weights is declared"),
    Rule(_FOUND, finding, "a threshold that is ruled out asks for nothing"),
    Rule(f"{_FOUND}/threshold", always(W), "another threshold"),
    Rule(f"{_FOUND}/state", ranked("crossed", "cannot_rule_out", "ruled_out"), "what counts as crossed asks for more"),
    Rule(f"{_FOUND}/assessed", rising(S), "an older finding"),
    Rule(f"{_FOUND}/expires", finding_until, "it holds for longer without being made anew, or for less long"),
    Rule(f"{_MODEL}/audience", ranked("internal", "restricted", "general"), "whom it is offered to"),
    Rule(f"{_MODEL}/surfaces", widened(W), "more listeners serve it"),
    Rule(f"{_MODEL}/operations", widened(W), "more can be asked of it"),
    Rule(f"{_MODEL}/allow_keys", widened(W), "more is let through that cannot be inspected"),
    Rule(f"{_MODEL}/response", presence(added=S, removed=W), "within what time a weakness must be fixed"),
    Rule(f"{_MODEL}/response/max_hours", rising(W), "a weakness may stand for longer"),
    Rule(f"{_MODEL}/response/severe_max_hours", severe, "a severe weakness may stand for longer"),
    Rule(f"{_MODEL}/response/on_overdue", ranked("stop", "step_down", "alarm"), "what a late answer does"),
    Rule(f"{_LADDER}/stricter", always(W), _RUNG),
    Rule(f"{_LADDER}/stricter/enforce", widened(S), "what is enforced on that rung"),
    Rule(f"{_LADDER}/fallback", always(W), _RUNG),
    Rule(f"{_LADDER}/fallback/model", always(W), "another model answers on that rung"),
    Rule(f"{_LADDER}/fallback/categories", others, "which prompts another model answers on that rung"),
    Rule(f"{_LADDER}/no_new_principals", always(W), _RUNG),
    Rule(f"{_LADDER}/de_deployed", withdrawn, "what callers get once it is withdrawn"),
    Rule(f"{_LADDER}/de_deployed/replacement", always(W), "another model takes its place"),
    Rule(f"{_LADDER}/de_deployed/route", ranked("false", "true"), "whether another model answers once it is withdrawn"),
    Rule(f"{_MODEL}/response/trip_from_severity", tripping, "which incidents move the model a step down"),
    Rule(f"{_MODEL}/dials", presence(added=S, removed=W), "how wide and how robust its classifiers are said to be"),
    Rule(f"{_MODEL}/dials/coverage", ranked("expanded", "narrow"), "its classifiers cover fewer uses"),
    Rule(f"{_MODEL}/dials/robustness", rising(S), "its classifiers are said to withstand less"),
    Rule(f"{_MODEL}/monitoring", presence(added=S, removed=W), "in which bands measured values must stay"),
    Rule(f"{_MODEL}/monitoring/reviewed", rising(S), "people looked at the bands longer ago"),
    Rule(f"{_MODEL}/monitoring/review_every_days", rising(W), "people look at the bands less often"),
    Rule(_BAND, presence(added=S, removed=W), "a value that nothing holds to a range"),
    Rule(f"{_BAND}/value", always(W), "it measures something else"),
    Rule(f"{_BAND}/window_seconds", always(W), "it measures over another time"),
    Rule(f"{_BAND}/min", rising(S), "a wider band: less is news"),
    Rule(f"{_BAND}/max", rising(W), "a wider band: less is news"),
    Rule(f"{_BAND}/at_least", rising(W), "it takes more exchanges until anything is judged"),
    Rule(f"{_BAND}/then", ranked("stop", "step_down", "alarm"), "what a value outside its band does"),
    # Safeguards
    Rule(f"{_MODEL}/order", order, "the order decides what is recorded and counted of a refused request"),
    Rule(_MOUNT, mount, "a safeguard less; one more is stronger if it blocks, also when it fails"),
    Rule(f"{_MOUNT}/use", always(W), "another safeguard stands in its place"),
    Rule(f"{_MOUNT}/name", always(W), "records know it by its name"),
    Rule(f"{_MOUNT}/mode", ranked("enforce", "shadow"), "in shadow it is recorded and not carried out"),
    Rule(f"{_MOUNT}/on_failure", ranked("block", "pass"), "pass lets through what was not checked"),
    Rule(f"{_MOUNT}/deadline_seconds", deadline, "with on_failure pass, less time lets more through unchecked"),
    Rule(_SET, always(W), "another safeguard stands in its place"),
    Rule(
        f"{_SET}/durable", ranked("before_forward", "within_a_second"), "a crash may lose what is not yet on the disk"
    ),
    Rule(f"{_SET}/parts", ranked("true", "false"), "whether each text is on record before it leaves"),
    Rule(f"{_SET}/parts_durable", ranked("true", "false"), "a power cut may take what has been sent just before"),
    Rule(f"{_SET}/content", ranked("true", "false"), "whether texts are kept, or only their lengths"),
    Rule(f"{_SET}/outage_seconds", rising(W), "a process that dies in an outage takes so much of the record along"),
    Rule(f"{_SET}/retention/content_days", rising(S), "texts are there for as long, and no longer"),
    Rule(f"{_SET}/retention/flagged_content_days", rising(S), "texts are there for as long, and no longer"),
    Rule(f"{_SET}/copies", presence(added=S, removed=W), "whether records may lag behind their copies for ever"),
    Rule(f"{_SET}/copies/max_lag_seconds", rising(W), "whoever takes the host can take as much of the record along"),
    Rule(f"{_SET}/copies/when_behind", ranked("refuse", "alarm"), "whether requests without a copy go on"),
    Rule(f"{_SET}/engine", always(W), "another engine judges; what it finds is not in the files"),
    Rule(f"{_SET}/screens", widened(S), "a side less is screened"),
    Rule(f"{_SET}/rules/file", always(N), "only a name: its rules are compared one by one"),
    Rule(f"{_SET}/rules/version", always(N), "the form of the file"),
    Rule(f"{_SET}/rules/name", always(N), "only a name: its rules are compared one by one"),
    Rule(f"{_SET}/rules/release", always(N), "only a name: its rules are compared one by one"),
    Rule(f"{_SET}/rules/rules/*", presence(added=S, removed=W), "a rule less finds less"),
    Rule(f"{_SET}/rules/rules/*/id", always(N), "only a name"),
    Rule(f"{_SET}/rules/rules/*/category", always(N), "what a hit is about, not whether it is one"),
    Rule(f"{_SET}/rules/rules/*/phrase", always(W), "whether it finds all that it found is not known"),
    Rule(f"{_SET}/rules/rules/*/pattern", always(W), "whether it finds all that it found is not known"),
    # Upstream
    Rule(f"{_UP}/url", always(W), "another server may answer under the same levels and evidence"),
    Rule(f"{_UP}/base_path", always(W), "another server may answer under the same levels and evidence"),
    Rule(f"{_UP}/kind", always(W), "another server may answer under the same levels and evidence"),
    Rule(f"{_UP}/model", always(W), "another model may answer under the same levels and evidence"),
    Rule(f"{_UP}/expect_model", presence(added=S, removed=W), "whether the answer must name the model"),
    Rule(f"{_UP}/abort", presence(added=S, removed=W), "whether the server is told to stop generating"),
    Rule(f"{_UP}/abort/path", always(W), "whether the server obeys there is not known"),
    Rule(f"{_UP}/abort/seconds", always(N), "nothing waits for it"),
    Rule(f"{_UP}/credential", presence(added=S, removed=W), "whether the guard proves itself to the server"),
    Rule(f"{_UP}/credential/*", always(N), "another place of the secret"),
    Rule(f"{_UP}/tls", upstream_tls, "whom the guard trusts there and what it shows"),
    Rule(f"{_UP}/tls/ca", presence(added=S, removed=W), "whom the guard trusts there"),
    Rule(f"{_UP}/tls/client_certificate", presence(added=S, removed=W, changed=N), "what the guard shows there"),
    Rule(f"{_UP}/tls/client_key", presence(added=S, removed=W, changed=N), "what the guard shows there"),
    Rule(f"{_UP}/tls/client_key/*", always(N), "another place of the key"),
    Rule(f"{_UP}/tls/server_name", always(W), "another name is trusted there"),
    Rule(f"{_UP}/connect_seconds", always(N), "how long an answer may take weakens no safeguard"),
    Rule(f"{_UP}/first_byte_seconds", always(N), "how long an answer may take weakens no safeguard"),
    Rule(f"{_UP}/idle_seconds", always(N), "how long an answer may take weakens no safeguard"),
    Rule(f"{_UP}/total_seconds", always(N), "how long an answer may take weakens no safeguard"),
    Rule(f"{_UP}/max_idle", always(N), "how many connections are kept weakens no safeguard"),
    Rule(f"{_UP}/rest_seconds", rising(S), "a shorter silence proves less that a connection is clean"),
    # Evidence
    Rule(_CLAIM, presence(added=S, removed=W), "a claim that nobody vouches for any longer"),
    Rule(f"{_CLAIM}/claim", always(W), "another claim"),
    Rule(f"{_CLAIM}/uri", always(N), "where the evidence is; its hash says whether it is another"),
    Rule(f"{_CLAIM}/sha256", evidence_hash, "other evidence under the same date"),
    Rule(f"{_CLAIM}/owner", always(N), "somebody else vouches for it"),
    Rule(f"{_CLAIM}/issued", rising(S), "older evidence"),
    Rule(f"{_CLAIM}/tested", always(N), "which classifiers were tested; whether they are those mounted is judged"),
    Rule(f"{_CLAIM}/controls", described, "other controls are said to be described, under the same date"),
    Rule(f"{_CLAIM}/approvals", widened(S), "somebody less approved it"),
    Rule(f"{_CLAIM}/expires", until, "vouched for less long, or longer without being issued anew"),
    # Tiers and keys
    Rule("tiers/*", presence(added=W, removed=S), "a tier more may use models"),
    Rule("tiers/*/models/*", widened(W), "more is granted"),
    Rule("tiers/*/audience", always(W), "other models may be granted to it"),
    Rule("tiers/*/rate/per_minute", rising(W), "a higher rate"),
    Rule("tiers/*/rate/burst", rising(W), "a higher rate"),
    Rule("tiers/*/investigates", rising(W), "its keys are served what is quarantined"),
    Rule("attributes/*", always(N), "only the words: what each key says of itself is compared there"),
    Rule("keys/*", presence(added=W, removed=S), "a key more may call"),
    Rule("keys/*/id", always(W), "records know it by its name"),
    Rule("keys/*/owner", always(W), "somebody else answers for it"),
    Rule("keys/*/tier", always(W), "another tier may grant more"),
    Rule("keys/*/digest", always(W), "another credential stands for it; replace a key by a new one beside it"),
    Rule("keys/*/expires", rising(W), "it is taken for longer"),
    Rule("keys/*/issued", issued, "an earlier day makes it a principal of before"),
    Rule("keys/*/attributes/*", presence(added=S, removed=W), "a stop that names it may no longer cover the key"),
    # Operators
    Rule("operators/*", presence(added=W, removed=S), "one more may approve"),
    Rule("operators/*/id", always(W), "records know the person by it"),
    Rule("operators/*/name", always(W), "another person may approve"),
    Rule("operators/*/roles", widened(W), "a person may do more"),
    Rule("operators/*/keys", widened(W), "another key signs for the person"),
    Rule("operators/*/passkeys", widened(W), "another key approves for the person"),
    Rule("operators/*/expires", rising(W), "the person may approve for longer"),
    Rule("webauthn/rp_id", presence(added=W, removed=S), "keys made for another name approve"),
    Rule("webauthn/synced", rising(W), "keys that an account copies between devices approve"),
    Rule("webauthn/origins", widened(W), "keys approve on another page"),
    # The process
    Rule("guard/version", always(N), "the form of the file"),
    Rule("guard/workers", always(N), "every worker enforces the same"),
    Rule("guard/surfaces/*", presence(added=W, removed=S), "a listener more takes callers"),
    Rule("guard/surfaces/*/name", always(W), "model files know it by its name"),
    *(rule for at in _LISTENERS for rule in _listener(at)),
    Rule(_TOKEN, token, "one more may resume, or one less may stop"),
    Rule(f"{_TOKEN}/id", always(W), "records know it by its name"),
    Rule(f"{_TOKEN}/person", always(W), "another person may resume"),
    Rule(f"{_TOKEN}/role", always(W), "it may do something else"),
    Rule(f"{_TOKEN}/digest", always(W), "another credential stands for it; replace a token by a new one beside it"),
    Rule(f"{_TOKEN}/expires", rising(W), "it is taken for longer"),
    Rule(_HOOK, presence(added=S, removed=W), "a webhook can only stop: one less is a way to stop less"),
    Rule(f"{_HOOK}/name", always(W), "its sender knows it by its address"),
    Rule(f"{_HOOK}/kind", always(W), "messages of another kind are no longer understood"),
    Rule(f"{_HOOK}/auth", always(W), "a sender that proves itself in the old way is refused"),
    Rule(f"{_HOOK}/secrets", always(N), "other places of the secrets"),
    Rule(f"{_HOOK}/peer", always(W), "the sender of before is refused"),
    Rule(f"{_HOOK}/scopes", widened(S), "it may stop less"),
    Rule(f"{_HOOK}/field", always(W), "messages name what they stop elsewhere"),
    Rule(f"{_HOOK}/values", presence(added=S, removed=W), "names in messages of before mean something else"),
    Rule(f"{_HOOK}/values/*", presence(added=S, removed=W), "a name in messages of before means something else"),
    Rule(f"{_HOOK}/default", presence(added=S, removed=W), "what a message without a scope stops"),
    Rule(f"{_HOOK}/events", always(W), "other events stop"),
    Rule(f"{_HOOK}/event_field", always(W), "messages say elsewhere what happened"),
    Rule(f"{_HOOK}/id_field", always(W), "messages say elsewhere which they are"),
    Rule(f"{_HOOK}/signature_header", always(W), "a sender that signs in the old header is refused"),
    Rule(f"{_HOOK}/timestamp_header", presence(added=S, removed=W), "whether an old message is refused for its age"),
    Rule(f"{_HOOK}/users", always(W), "other people may stop"),
    Rule("guard/issuers", widened(W), "resumes that another host issues count here"),
    Rule("guard/admin/sessions/idle_seconds", rising(W), "a browser that was left open acts for longer"),
    Rule("guard/admin/sessions/longest_seconds", rising(W), "a browser that was left open acts for longer"),
    Rule("guard/admin/proxy", presence(added=W, removed=S), "a proxy says who may resume"),
    Rule("guard/admin/proxy/header", always(W), "another header says who may resume"),
    Rule("guard/admin/proxy/peers", pinned, "who may say who somebody is"),
    Rule("guard/admin/proxy/certificates", pinned, "who may say who somebody is"),
    Rule(f"{_PROXIED}/*", token, "one more may resume, or one less may stop"),
    Rule(f"{_PROXIED}/*/name", always(W), "another name means the person"),
    Rule(f"{_PROXIED}/*/person", always(W), "another person may resume"),
    Rule(f"{_PROXIED}/*/role", always(W), "one more may resume, or one less may stop"),
    Rule(f"{_PROXIED}/*/expires", rising(W), "the name is taken for longer"),
    Rule(_EMERGENCY, presence(added=N, removed=W), "one less may stop in an emergency; it can do nothing else"),
    Rule(f"{_EMERGENCY}/id", always(W), "records know it by its name"),
    Rule(f"{_EMERGENCY}/holder", always(N), "it can only stop, whoever has it"),
    Rule(f"{_EMERGENCY}/owner", always(N), "it can only stop, whoever answers for it"),
    Rule(f"{_EMERGENCY}/sha256", always(W), "who has the old one can stop no longer"),
    Rule(f"{_EMERGENCY}/expires", rising(S), "who has it can stop for longer, or for less long"),
    Rule("guard/storage/state", always(W), "stop orders that stand in the old folder are no longer seen"),
    Rule("guard/storage/audit", always(W), "the request log does not go on where it stood"),
    Rule("guard/storage/audit_second", presence(added=S, removed=W), "whether one device may take the log along"),
    Rule("guard/storage/ship", presence(added=S, removed=W), "whether copies of the request log are made elsewhere"),
    Rule("guard/storage/ship/to", always(W), "who holds the copies; earlier ones stay where they are"),
    Rule("guard/storage/ship/endpoint", always(W), "who holds the copies; earlier ones stay where they are"),
    Rule("guard/storage/ship/region", always(W), "who holds the copies; earlier ones stay where they are"),
    Rule("guard/storage/ship/access_key", presence(added=N, removed=N, changed=N), "who writes the copies"),
    Rule("guard/storage/ship/access_key/*", always(N), "another place of the key"),
    Rule("guard/storage/ship/secret_key", presence(added=N, removed=N, changed=N), "who writes the copies"),
    Rule("guard/storage/ship/secret_key/*", always(N), "another place of the key"),
    Rule("guard/storage/ship/every_seconds", rising(W), "records are without a copy for longer"),
    Rule("guard/storage/ship/unshipped_days", rising(S), "what has no copy is deleted sooner"),
    Rule("guard/storage/ship/lock", presence(added=S, removed=W), "whether copies can be deleted before their day"),
    Rule("guard/storage/ship/lock/mode", ranked("compliance", "governance"), "whether somebody may lift the lock"),
    Rule("guard/storage/ship/lock/days", rising(S), "copies are locked for as long, and no longer"),
    Rule("guard/storage/ship/otlp_logs", presence(added=N, removed=W), "less is seen, or somebody else sees it"),
    Rule("guard/storage/ship/otlp_logs/endpoint", always(W), "who is told of records"),
    Rule("guard/storage/ship/otlp_logs/authorization", presence(added=N, removed=N, changed=N), "how it knows us"),
    Rule("guard/storage/ship/otlp_logs/authorization/*", always(N), "another place of the secret"),
    Rule("guard/audit/origin", always(W), "proofs and witnesses know the log by its name"),
    Rule("guard/audit/signing_key", always(W), "proofs and witnesses know the log by its key"),
    Rule("guard/audit/signing_key/*", always(N), "another place of the key; a log does not go on with another key"),
    Rule("guard/audit/checkpoint_seconds", rising(W), "records can be changed unseen for longer"),
    Rule("guard/audit/epoch_seconds", rising(W), "whoever takes the host can sign another past for longer"),
    Rule("guard/audit/record_days", kept_days, "records are there for as long, and no longer"),
    Rule("guard/audit/witnesses/*", presence(added=S, removed=W), "one less would notice that the log was put back"),
    Rule("guard/audit/witnesses/*/url", always(N), "where it is asked; its key says whether it is another"),
    Rule("guard/audit/witnesses/*/key", always(W), "another witness"),
    Rule("guard/audit/timestamp", presence(added=S, removed=W), "whether somebody outside says when a record stood"),
    Rule("guard/audit/timestamp/url", always(N), "where it is asked; its certificates say whether it is another"),
    Rule("guard/audit/timestamp/ca", always(W), "whose time stamps count"),
    Rule("guard/audit/timestamp/policy", presence(added=S, removed=W), "which of the authority's time stamps count"),
    Rule("guard/audit/timestamp/every_seconds", rising(W), "records stand for longer without a time"),
    Rule("guard/audit/timestamp/late_seconds", rising(W), "it is told later that no time stamps come"),
    Rule("guard/content", presence(added=N, removed=W), "without it no model may keep a text, and none is opened"),
    Rule("guard/content/key/*", always(W), "texts that are kept already open with the old key alone: keep it"),
    Rule("guard/content/wrapped", always(W), "texts that are kept already open with the keys in the old folder alone"),
    Rule(
        "guard/content/investigator",
        presence(added=S, removed=W),
        "to whom this host leaves the reading of texts of days gone by",
    ),
    Rule("guard/keys/pepper/*", always(N), "another pepper refuses every key and token until they are made anew"),
    Rule("guard/fleet", presence(added=S, removed=W), "whether orders given elsewhere are obeyed here"),
    Rule("guard/fleet/engine", always(W), "another history of orders"),
    Rule("guard/fleet/replica", always(N), "the others know it by its name"),
    Rule("guard/fleet/database", always(W), "another history of orders"),
    Rule("guard/fleet/database/*", always(W), "it may be another history of orders"),
    Rule("guard/fleet/folder", always(W), "another history of orders"),
    Rule("guard/fleet/tls", presence(added=S, removed=W), "whether the database proves itself"),
    Rule("guard/fleet/tls/ca", presence(added=S, removed=W), "whom the guard trusts there"),
    Rule("guard/fleet/tls/client_certificate", presence(added=S, removed=W, changed=N), "what the guard shows there"),
    Rule("guard/fleet/tls/client_key", presence(added=S, removed=W, changed=N), "what the guard shows there"),
    Rule("guard/fleet/tls/client_key/*", always(N), "what the guard shows there"),
    Rule("guard/fleet/peers", always(W), "whom a stop reaches without the engine"),
    Rule("guard/fleet/peers/*/*", always(W), "whom a stop reaches without the engine"),
    Rule("guard/fleet/peer_tls", presence(added=S, removed=W), "whether peers prove themselves"),
    Rule("guard/fleet/peer_tls/ca", presence(added=S, removed=W), "whom the guard trusts there"),
    Rule("guard/fleet/peer_tls/client_certificate", presence(added=S, removed=W, changed=N), "what the guard shows"),
    Rule("guard/fleet/peer_tls/client_key", presence(added=S, removed=W, changed=N), "what the guard shows there"),
    Rule("guard/fleet/peer_tls/client_key/*", always(N), "what the guard shows there"),
    Rule("guard/fleet/connect_seconds", always(N), "the lease bounds what waiting may cost"),
    Rule("guard/fleet/answer_seconds", always(N), "the lease bounds what waiting may cost"),
    Rule("guard/fleet/leases/*", lease, "it is served for longer without proof that every order is known"),
    Rule("guard/drills", presence(added=S, removed=W), "whether the kill switch is tried again and again"),
    Rule("guard/drills/every_seconds", rising(W), "a kill switch that fails is found out later"),
    Rule("guard/drills/lease_every_seconds", rising(W), "a lease that does not lapse is found out later"),
    Rule("guard/drills/grace_seconds", rising(W), "a drill that is late is found out later"),
    Rule("guard/drills/deadline_seconds", rising(W), "a slow stop passes for one that works"),
    Rule("guard/drills/paths", widened(S), "a path that fails is found out only where it is drilled"),
    Rule("guard/limits/body_bytes", rising(W), "a bound was widened"),
    Rule("guard/limits/header_bytes", rising(W), "a bound was widened"),
    Rule("guard/limits/concurrent", rising(W), "a bound was widened"),
    Rule("guard/limits/concurrent_per_key", rising(W), "a bound was widened"),
    Rule("guard/limits/header_seconds", rising(W), "a bound was widened"),
    Rule("guard/limits/body_seconds", rising(W), "a bound was widened"),
    Rule("guard/supervision/deaf_seconds", rising(W), "a worker that hears no stop is ended later"),
    Rule("guard/supervision/drain_seconds", always(N), "running streams are watched until their end"),
    Rule("guard/signed_bundle", ranked("true", "false"), "whether two people sign every configuration"),
    Rule("guard/clocks/*", presence(added=S, removed=W), "who outside must be told of an incident, and when"),
    Rule("guard/clocks/*/name", always(N), "only a name"),
    Rule("guard/clocks/*/starts", always(W), "it begins at another moment"),
    Rule("guard/clocks/*/hours", rising(W), "it runs out later"),
    Rule("guard/clocks/*/from_severity", rising(W), "it runs for fewer incidents"),
    Rule("guard/clocks/*/to", always(W), "the words that say who is told"),
    Rule("guard/clocks/*/rows", widened(W), "more rows count as met by it"),
    Rule("guard/clocks/*/source", always(N), "the words that say where it comes from"),
    Rule(_NOTIFY, presence(added=S, removed=W), "who is told when something is stopped, resumed or found"),
    Rule(f"{_NOTIFY}/name", always(N), "only a name"),
    Rule(f"{_NOTIFY}/kind", always(W), "a receiver of another kind is told"),
    Rule(f"{_NOTIFY}/url", always(W), "somebody else is told"),
    Rule(f"{_NOTIFY}/credential/*", always(W), "somebody else may be told, or nobody"),
    Rule(f"{_NOTIFY}/on", widened(S), "they are told of less"),
    Rule(f"{_NOTIFY}/timeout_seconds", always(N), "how long one attempt may take"),
    Rule(f"{_NOTIFY}/ca", presence(added=S, removed=W), "whom the guard trusts there"),
    Rule("guard/telemetry/log", ranked("info", "warning", "error"), "less is seen"),
    Rule("guard/telemetry/otlp_endpoint", presence(added=N, removed=W), "less is seen, or somebody else sees it"),
    Rule("guard/telemetry/trace_ratio", always(N), "records and metrics hold every exchange"),
)
UNKNOWN: Final = Rule("", always(W), "no rule says what this key means, so it counts as weaker")
_BY_LENGTH: Final[Mapping[int, tuple[tuple[tuple[str, ...], Rule], ...]]] = {
    length: tuple((parts, rule) for rule in RULES if len(parts := tuple(rule.path.split("/"))) == length)
    for length in {rule.path.count("/") + 1 for rule in RULES}
}


def rule_of(path: tuple[str, ...]) -> Rule:
    """Return the row for a path, or `UNKNOWN`."""
    for parts, rule in _BY_LENGTH.get(len(path), ()):
        if all(part in ("*", step) for part, step in zip(parts, path, strict=True)):
            return rule
    return UNKNOWN
