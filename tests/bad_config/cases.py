"""One defect each: what is changed in the configuration under ``base``, and exactly what must be said about it.

It is one file because it is one table.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GUARD, TIERS, MODEL = "guard.yaml", "tiers.yaml", "models/demo.yaml"
RULES, EVIDENCE, STANDARD = "rules/demo.yaml", "evidence/demo.yaml", "standards/own.yaml"
ZEROS = "0" * 62
WITNESS = "witness.example/w1+00000000+"
FOUND = "thresholds: [{{threshold: {}, state: {}, assessed: 2026-01-01, expires: {}}}]\naudience: general"

TWIN = (
    (Path(__file__).parent / "base" / MODEL)
    .read_text()
    .replace("model: demo\n", "model: twin\nsame_weights_as: [demo]\n", 1)
)


@dataclass(frozen=True, slots=True)
class Case:
    """In ``file`` the first ``old`` becomes ``new``; an empty ``old`` is the whole file, ``new`` None deletes it."""

    name: str
    file: str
    old: str
    new: str | None
    expected: str


OPERATORS = "operators.yaml"
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINvlpxZvF4ndvD5wDBYHmr9tymh81G4sNe4pxEhSW5A7"
P256 = (
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBOKI7NicynhBQPe2ro7mmaLGXk7K"
    "gQx0L5S3YOs/y+egYJq/4s8q8BGgXGYQZhgloX96kV5kmxVaoqY9j8IdviU="
)
SK_P256 = (
    "sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyN"
    "TYAAABBBOKI7NicynhBQPe2ro7mmaLGXk7KgQx0L5S3YOs/y+egYJq/4s8q8BGgXGYQZhgloX96kV5kmxVaoqY9j8IdviUAAAAEc"
    "3NoOg=="
)
RSA_2048 = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC+5QFyIMTnGwifETzCA1R4x/nFZ+PX2a+ZSedgLo+ubThdCx8060yfuDketjX7"
    "sYqrPMjbxDE2OR6U3pgHopyC5ItIwYkwGTXRQbxYxSpD5xD6ilnqEBmi05gadfaKL5dCG3Ac0781aVVwzKLVpEgPAB6LfGaclvYv"
    "nY4b+lN2Tsi70e1SVWBKxr6GEVBhkUei2ehPu0VwzZdfjy52Xr040fZ+IJyh375pxmoQtUUeSwgBzyBqDDIboSxDxYhl8MDnraPW"
    "7ZK7P5jB5GPsaRXjW4puk7ssjbvfJgfNXZWrVQpt8IXmvigYPoLSEM3soPSVFEDSIau8srXdeEr4Q1lP"
)


def persons(*entries: str) -> str:
    """Write operators.yaml."""
    return "\n".join(["version: 1", "persons:", *entries, ""])


def person(word: str, *keys: str, role: str = "approver", name: str = "") -> str:
    """Write one person: five lines, and one for each key."""
    lines = [f"  - id: {word}", f"    name: {name or word}", f"    roles: [{role}]", "    keys:"]
    return "\n".join([*lines, *(f"      - {key}" for key in keys), "    expires: 2027-01-01"])


# A table: what changes above, what must be said below.
# fmt: off
OPERATIONS = "chat, completions, responses, embeddings, moderations, messages or count_tokens"
CASES = (
    # The form of YAML
    Case("a key twice", MODEL, "audience: general", "audience: general\naudience: internal",
         "models/demo.yaml:6: audience: is given twice, first in line 5"),
    Case("a key twice deep down", MODEL, "parts: true,", "parts: true, parts: false,",
         "models/demo.yaml:19: safeguards[0].settings.parts: is given twice, first in line 19"),
    Case("an anchor", MODEL, "[public]", "&all [public]",
         "models/demo.yaml:6: surfaces: anchors are not allowed"),
    Case("an alias", MODEL, "[public]", "*all",
         "models/demo.yaml:6: surfaces: aliases are not allowed"),
    Case("a merge key", MODEL, "  kind: openai", "  kind: openai\n  <<: {max_idle: 1}",
         "models/demo.yaml:10: upstream: merge keys are not allowed"),
    Case("a tag", MODEL, "version: 1", "version: !!int 1",
         "models/demo.yaml:1: version: tags are not allowed"),
    Case("a tag of the language", RULES, "FORBIDDEN-MARKER", "!!python/object:os.system {}",
         "rules/demo.yaml:7: rules[0].phrase: tags are not allowed"),
    Case("a second document", TIERS, "keys:", "---\nkeys:",
         "tiers.yaml:7: a second document is not allowed"),
    Case("a directive", TIERS, "version: 1", "%YAML 1.1\n---\nversion: 1",
         "tiers.yaml:1: directives are not allowed"),
    Case("a key that is a number", TIERS, "demo: [chat]", "7: [chat]",
         "tiers.yaml:5: tiers.general.models: a key must be a text; put it in quotes"),
    Case("not YAML", GUARD, "workers: 1", "workers: [1",
         "guard.yaml:10: is not YAML: did not find expected ',' or ']'"),
    Case("not UTF-8", EVIDENCE, "model team", "model \udcff team",
         "evidence/demo.yaml:6: is not UTF-8"),
    Case("a line break that editors do not show", MODEL, "openai", "openai # \u2028",
         "models/demo.yaml:9: contains the character U+2028, which editors do not show"),
    Case("too deep", MODEL, "[public]", "[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]",
         "models/demo.yaml:6: surfaces[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: is nested more than 16 deep"),
    Case("an empty file", TIERS, "", "",
         "tiers.yaml:1: must be a mapping"),
    Case("a list in place of a file", TIERS, "", "- 1\n",
         "tiers.yaml:1: must be a mapping"),
    Case("a file too long", RULES, "", "#" * 1_048_577,
         "rules/demo.yaml: is longer than 1048576 bytes"),
    # Files and folders
    Case("no guard.yaml", GUARD, "", None,
         "guard.yaml: is missing"),
    Case("no tiers.yaml", TIERS, "", None,
         "tiers.yaml: is missing"),
    Case("a stray file among models", "models/demo.yml", "", "version: 1",
         "models/demo.yml: must be named with letters, digits, dot, underscore or hyphen, and end in .yaml"),
    Case("a backup among rules", "rules/demo.yaml~", "", "version: 1",
         "rules/demo.yaml~: must be named with letters, digits, dot, underscore or hyphen, and end in .yaml"),
    Case("a stray file beside guard.yaml", "teirs.yaml", "", "version: 1",
         "teirs.yaml: is not a file of a configuration"),
    # guard.yaml
    Case("an unknown key", GUARD, "workers: 1", "worker: 1",
         "guard.yaml:9: worker: is not a known key"),
    Case("a misspelt key", GUARD, "surfaces:", "surface:",
         "guard.yaml:1: surfaces: is required\n"
         "guard.yaml:2: surface: is not a known key; `surfaces` is missing"),
    Case("a version of the future", GUARD, "version: 1", "version: 2",
         "guard.yaml:1: version: must be 1"),
    Case("a number as text", GUARD, "port: 8080", 'port: "8080"',
         "guard.yaml:5: surfaces[0].port: must be a whole number"),
    Case("true as number", GUARD, "workers: 1", "workers: true",
         "guard.yaml:9: workers: must be a whole number"),
    Case("a fraction of a worker", GUARD, "workers: 1", "workers: 1.5",
         "guard.yaml:9: workers: must be a whole number"),
    Case("no worker", GUARD, "workers: 1", "workers: 0",
         "guard.yaml:9: workers: must be at least 1"),
    Case("a port too high", GUARD, "port: 8080", "port: 65536",
         "guard.yaml:5: surfaces[0].port: must be at most 65535"),
    Case("two surfaces of one name", GUARD, "name: partner", "name: public",
         "guard.yaml:6: surfaces[1].name: the name is already used by item 0"),
    Case("two listeners on one address", GUARD, "port: 8082", "port: 8080",
         "guard.yaml:8: surfaces[1].port: is already the address of another listener"),
    Case("a surface on the admin address", GUARD, "port: 8080", "port: 9090",
         "guard.yaml:5: surfaces[0].port: is already the address of another listener"),
    # How the request log is sealed
    Case("a name of the log with a scheme", GUARD, "workers: 1", "workers: 1\naudit: {origin: 'https://guard.example'}",
         "guard.yaml:10: audit.origin: must be an address without its scheme, such as guard.example.com/log"),
    Case("an epoch that ends at once", GUARD, "workers: 1", "workers: 1\naudit: {epoch_seconds: 1}",
         "guard.yaml:10: audit.epoch_seconds: must be at least 60"),
    Case("heads that are never signed", GUARD, "workers: 1", "workers: 1\naudit: {checkpoint_seconds: 0}",
         "guard.yaml:10: audit.checkpoint_seconds: must be greater than 0"),
    Case("a witness without a key", GUARD, "workers: 1", "workers: 1\naudit: {witnesses: [{url: 'http://w'}]}",
         "guard.yaml:10: audit.witnesses[0].key: is required"),
    Case("another key than a witness's", GUARD, "workers: 1",
         f"workers: 1\naudit: {{witnesses: [{{url: 'http://w', key: '{WITNESS}AQ=='}}]}}",
         "guard.yaml:10: audit.witnesses[0].key: must be the key that `guard audit witness` prints when it begins: "
         "name+id+base64"),
    Case("a secret in place of a reference", GUARD, "{file: secrets/pepper}", "s3cret",
         "guard.yaml:14: keys.pepper: must be a mapping"),
    Case("two references", GUARD, "{file: secrets/pepper}", "{file: secrets/pepper, env: PEPPER}",
         "guard.yaml:14: keys.pepper: must have either `file` or `env`"),
    Case("no reference", GUARD, "{file: secrets/pepper}", "{}",
         "guard.yaml:14: keys.pepper: must have either `file` or `env`"),
    Case("a way out of the folder", GUARD, "secrets/pepper", "../pepper",
         "guard.yaml:14: keys.pepper.file: must name a file or folder without `..` and without a slash at its end"),
    Case("an unknown role", GUARD, "role: viewer", "role: root",
         "guard.yaml:26: admin.tokens[1].role: must be viewer or responder"),
    Case("two tokens of one digest", GUARD, "ab" + ZEROS, "aa" + ZEROS,
         "guard.yaml:27: admin.tokens[1].digest: the digest is already used by item 0"),
    Case("two tokens of one id", GUARD, "id: reader", "id: oncall",
         "guard.yaml:24: admin.tokens[1].id: the id is already used by item 0"),
    Case("a token without an end", GUARD, '      expires: "2027-01-01"\n', "",
         "guard.yaml:24: admin.tokens[1].expires: is required"),
    Case("a log level of other tools", GUARD, "log: info", "log: debug",
         "guard.yaml:35: telemetry.log: must be info, warning or error"),
    Case("a ratio above one", GUARD, "0.01", "1.5",
         "guard.yaml:37: telemetry.trace_ratio: must be at most 1"),
    Case("no time at all", GUARD, "deaf_seconds: 5", "deaf_seconds: 0",
         "guard.yaml:33: supervision.deaf_seconds: must be greater than 0"),
    # Listeners
    Case("a listener nowhere", GUARD, "    host: 127.0.0.1\n    port: 8080\n", "",
         "guard.yaml:3: surfaces[0].host: is required, unless there is `unix`"),
    Case("a listener without a port", GUARD, "    port: 8080\n", "",
         "guard.yaml:3: surfaces[0].port: is required, unless there is `unix`"),
    Case("an administration without a port", GUARD, "  port: 9090\n", "",
         "guard.yaml:15: admin.port: is required, unless there is `unix`"),
    Case("a listener in two places", GUARD, "port: 8080", "port: 8080\n    unix: /run/guard/api.sock",
         "guard.yaml:4: surfaces[0].host: is not for a Unix socket"),
    Case("TLS of a listener on a Unix socket", GUARD, "    host: 127.0.0.1\n    port: 8080",
         "    unix: /run/guard/api.sock\n    tls: {certificate: a.pem, key: {file: a.key}}",
         "guard.yaml:5: surfaces[0].tls: is not for a Unix socket"),
    Case("a socket's path that is relative", GUARD, "    host: 127.0.0.1\n    port: 8080", "    unix: run/api.sock",
         "guard.yaml:4: surfaces[0].unix: must be an absolute path of plain names, such as /run/guard/api.sock"),
    Case("a socket's path with a way up", GUARD, "    host: 127.0.0.1\n    port: 8080", "    unix: /run/../api.sock",
         "guard.yaml:4: surfaces[0].unix: must be an absolute path of plain names, such as /run/guard/api.sock"),
    Case("a socket's path beyond the system's limit", GUARD, "    host: 127.0.0.1\n    port: 8080",
         f"    unix: /{'a' * 107}",
         "guard.yaml:4: surfaces[0].unix: must name a socket by at most 107 bytes, the system's limit"),
    Case("two listeners on one socket", GUARD,
         "    host: 127.0.0.1\n    port: 8080\n  - name: partner\n    host: 127.0.0.1\n    port: 8082",
         "    unix: /run/a.sock\n  - name: partner\n    unix: /run/a.sock",
         "guard.yaml:6: surfaces[1].unix: is already the address of another listener"),
    Case("TLS without a key", GUARD, "port: 8080", "port: 8080\n    tls: {certificate: a.pem}",
         "guard.yaml:6: surfaces[0].tls.key: is required"),
    Case("TLS without a certificate", GUARD, "port: 8080", "port: 8080\n    tls: {key: {file: a.key}}",
         "guard.yaml:6: surfaces[0].tls.certificate: is required"),
    Case("a key of TLS in the file itself", GUARD, "port: 8080",
         "port: 8080\n    tls: {certificate: a.pem, key: a.key}",
         "guard.yaml:6: surfaces[0].tls.key: must be a mapping"),
    Case("callers' certificates from nobody", GUARD, "port: 8080",
         "port: 8080\n    tls: {certificate: a.pem, key: {file: a.key}, client_certificates: required}",
         "guard.yaml:6: surfaces[0].tls.client_certificates: needs client_ca"),
    Case("an authority for nothing", GUARD, "port: 9090",
         "port: 9090\n  tls: {certificate: a.pem, key: {file: a.key}, client_ca: b.pem}",
         "guard.yaml:18: admin.tls.client_ca: needs client_certificates: required or optional"),
    Case("a word for callers' certificates that is none", GUARD, "port: 8080",
         "port: 8080\n    tls: {certificate: a.pem, key: {file: a.key}, client_certificates: on, client_ca: b.pem}",
         "guard.yaml:6: surfaces[0].tls.client_certificates: must be required, optional or none"),
    Case("an old TLS", GUARD, "port: 8080",
         "port: 8080\n    tls: {certificate: a.pem, key: {file: a.key}, versions: [TLSv1]}",
         "guard.yaml:6: surfaces[0].tls.versions: is not a known key"),
    Case("no host at all", GUARD, "port: 8080", "port: 8080\n    hosts: []",
         "guard.yaml:6: surfaces[0].hosts: must not be empty"),
    Case("a host with a scheme", GUARD, "port: 8080", 'port: 8080\n    hosts: ["http://api.example"]',
         "guard.yaml:6: surfaces[0].hosts[0]: must be a host name or an address"),
    Case("a host with a port", GUARD, "port: 8080", 'port: 8080\n    hosts: ["api.example:443"]',
         "guard.yaml:6: surfaces[0].hosts[0]: must be a name or an address without a port or brackets"),
    Case("a host twice", GUARD, "port: 8080", "port: 8080\n    hosts: [a.example, a.example]",
         "guard.yaml:6: surfaces[0].hosts[1]: the host is already used by item 0"),
    # tiers.yaml
    Case("an unknown model", TIERS, "demo: [chat]", "dmeo: [chat]",
         "tiers.yaml:5: tiers.general.models.dmeo: there is no file models/dmeo.yaml"),
    Case("an unknown operation", TIERS, "[chat]", "[chat, train]",
         "tiers.yaml:5: tiers.general.models.demo[1]: must be " + OPERATIONS),
    Case("nothing but an unknown operation", TIERS, "[chat]", "[train]",
         "tiers.yaml:5: tiers.general.models.demo[0]: must be " + OPERATIONS),
    Case("no operation", TIERS, "[chat]", "[]",
         "tiers.yaml:5: tiers.general.models.demo: must not be empty"),
    Case("an operation twice", TIERS, "[chat]", "[chat, chat]",
         "tiers.yaml:5: tiers.general.models.demo[1]: the operation is already used by item 0"),
    Case("a tier without a rate", TIERS, "    rate: {per_minute: 600, burst: 50}\n", "",
         "tiers.yaml:3: tiers.general.rate: is required"),
    Case("a rate of zero", TIERS, "per_minute: 600", "per_minute: 0",
         "tiers.yaml:6: tiers.general.rate.per_minute: must be greater than 0"),
    Case("a rate without end", TIERS, "per_minute: 600", "per_minute: .inf",
         "tiers.yaml:6: tiers.general.rate.per_minute: must be a number"),
    Case("a key of an unknown tier", TIERS, 'tier: general\n    digest: "bc', 'tier: vetted\n    digest: "bc',
         "tiers.yaml:15: keys[1].tier: no tier vetted above; there are: general"),
    Case("two keys of one id", TIERS, "id: second", "id: first",
         "tiers.yaml:13: keys[1].id: the id is already used by item 0"),
    Case("two keys of one digest", TIERS, "bc" + ZEROS, "bb" + ZEROS,
         "tiers.yaml:16: keys[1].digest: the digest is already used by item 0"),
    Case("a digest too short", TIERS, "bb" + ZEROS, "bb",
         "tiers.yaml:11: keys[0].digest: must be 64 lower-case hexadecimal digits"),
    Case("a digest without quotes", TIERS, '"bb00000000000000000000000000000000000000000000000000000000000000"',
         "12345",
         "tiers.yaml:11: keys[0].digest: must be a text (put it in quotes)"),
    Case("a key without an owner", TIERS, "    owner: one team\n", "",
         "tiers.yaml:8: keys[0].owner: is required"),
    Case("a key with an empty owner", TIERS, "owner: one team", 'owner: ""',
         "tiers.yaml:9: keys[0].owner: must not be empty"),
    Case("a day that does not exist", TIERS, "2027-01-01", "2027-02-30",
         "tiers.yaml:12: keys[0].expires: is not a day of the calendar"),
    Case("a day in another form", TIERS, "2027-01-01", "01/02/2027",
         "tiers.yaml:12: keys[0].expires: must be a day written as 2027-01-31"),
    Case("a tier with an odd name", TIERS, "  general:\n", "  General Public:\n",
         "tiers.yaml:3: tiers.General Public: must be lower-case letters, digits, dot, underscore or hyphen, and "
         "be at most 64 long"),
    # operators.yaml
    Case("no person", OPERATORS, "", "version: 1\npersons: []\n",
         "operators.yaml:2: persons: must not be empty"),
    Case("a person without a key", OPERATORS, "", persons("  - {id: ana, name: Ana, roles: [viewer], keys: [], "
         "expires: 2027-01-01}"),
         "operators.yaml:3: persons[0].keys: must not be empty"),
    Case("a role that does not exist", OPERATORS, "", persons(person("ana", ED25519, role="root")),
         "operators.yaml:5: persons[0].roles[0]: must be viewer, responder, approver, safeguards_engineer, "
         "investigator, auditor, operator or responsible_scaling_officer"),
    Case("a role twice", OPERATORS, "", persons(person("ana", ED25519, role="approver, approver")),
         "operators.yaml:5: persons[0].roles[1]: the role is already used by item 0"),
    Case("two persons of one id", OPERATORS, "", persons(person("ana", ED25519), person("ana", P256, name="Ben")),
         "operators.yaml:9: persons[1].id: the id is already used by item 0"),
    Case("two persons of one name", OPERATORS, "", persons(person("ana", ED25519), person("ben", P256, name="ana")),
         "operators.yaml:10: persons[1].name: the name is already used by item 0"),
    Case("one key for two persons", OPERATORS, "", persons(person("ana", ED25519), person("ben", ED25519 + " laptop")),
         "operators.yaml:13: persons[1].keys[0]: the key is already used by persons[0].keys[0]"),
    Case("a key twice of one person", OPERATORS, "", persons(person("ana", P256, P256)),
         "operators.yaml:8: persons[0].keys[1]: the key is already used by persons[0].keys[0]"),
    Case("a key pair under two kinds", OPERATORS, "", persons(person("ana", P256), person("ben", SK_P256)),
         "operators.yaml:13: persons[1].keys[0]: the key is already used by persons[0].keys[0]"),
    Case("a key of a kind that is not taken", OPERATORS, "", persons(person("ana", ED25519, "ssh-dss AAAA")),
         "operators.yaml:8: persons[0].keys[1]: must be a key of one of these kinds: ssh-ed25519, "
         "ecdsa-sha2-nistp256, ecdsa-sha2-nistp384, ecdsa-sha2-nistp521, ssh-rsa, sk-ssh-ed25519@openssh.com, "
         "sk-ecdsa-sha2-nistp256@openssh.com"),
    Case("a key that is too short", OPERATORS, "", persons(person("ana", RSA_2048)),
         "operators.yaml:7: persons[0].keys[0]: is an RSA key of 2048 bits; it needs 3072 to 16384"),
    Case("a key of zeros", OPERATORS, "", persons(person("ana", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43)),
         "operators.yaml:7: persons[0].keys[0]: is not a key: everybody could sign for this point"),
    Case("a private key", OPERATORS, "", persons(person("ana", '"-----BEGIN OPENSSH PRIVATE KEY-----"')),
         "operators.yaml:7: persons[0].keys[0]: must be a key of one of these kinds: ssh-ed25519, "
         "ecdsa-sha2-nistp256, ecdsa-sha2-nistp384, ecdsa-sha2-nistp521, ssh-rsa, sk-ssh-ed25519@openssh.com, "
         "sk-ecdsa-sha2-nistp256@openssh.com"),
    Case("a key without its kind", OPERATORS, "", persons(person("ana", ED25519.split()[1])),
         "operators.yaml:7: persons[0].keys[0]: must be an SSH public key in one line: its kind, its base64, and a "
         "comment if you like"),
    Case("a key that was cut off", OPERATORS, "", persons(person("ana", ED25519[:-4])),
         "operators.yaml:7: persons[0].keys[0]: is damaged: its base64 is cut off"),
    Case("a person without an end", OPERATORS, "", persons(person("ana", ED25519).rsplit("\n", 1)[0]),
         "operators.yaml:3: persons[0].expires: is required"),
    # models/demo.yaml
    Case("a file named otherwise", MODEL, "model: demo\n", "model: other\n",
         "models/demo.yaml:2: model: must equal the file's name, demo"),
    Case("an unknown framework", MODEL, "name: house", "name: hose",
         "models/demo.yaml:3: framework: no standard hose 1 is known; there are: high 1, house 1, own 1"),
    Case("an unknown version of a framework", MODEL, 'version: "1"', 'version: "2"',
         "models/demo.yaml:3: framework: no standard house 2 is known; there are: high 1, house 1, own 1"),
    Case("a version that is a number", MODEL, 'version: "1"', "version: 2.2",
         "models/demo.yaml:3: framework.version: must be a text (put it in quotes)"),
    Case("no level on one axis", MODEL, ", security: 1", "",
         "models/demo.yaml:4: asl.security: is required"),
    Case("a level too high", MODEL, "deployment: 2", "deployment: 5",
         "models/demo.yaml:4: asl.deployment: must be at most 4"),
    Case("levels that no row binds", MODEL, "name: house", "name: high",
         "models/demo.yaml:4: asl: no row of high 1 binds a model of these levels"),
    Case("no surface", MODEL, "[public]", "[]",
         "models/demo.yaml:6: surfaces: must not be empty"),
    Case("an unknown surface", MODEL, "[public]", "[public, internal]",
         "models/demo.yaml:6: surfaces[1]: no surface internal in guard.yaml; there are: public, partner"),
    Case("a surface twice", MODEL, "[public]", "[public, public]",
         "models/demo.yaml:6: surfaces[1]: the surface is already used by item 0"),
    Case("an upstream of another scheme", MODEL, "http://127", "file://127",
         "models/demo.yaml:8: upstream.url: must begin with http://, https:// or unix:/"),
    Case("a Unix socket with a host", MODEL, "http://127.0.0.1:8081", "unix://host/run/model.sock",
         "models/demo.yaml:8: upstream.url: must be written as unix:/path/of/the.socket, with one slash after the "
         "colon and plain names"),
    Case("a Unix socket that climbs", MODEL, "http://127.0.0.1:8081", "unix:/run/../model.sock",
         "models/demo.yaml:8: upstream.url: must be written as unix:/path/of/the.socket, with one slash after the "
         "colon and plain names"),
    Case("a Unix socket of too long a name", MODEL, "http://127.0.0.1:8081", "unix:/" + "x" * 107,
         "models/demo.yaml:8: upstream.url: must name a socket by at most 107 bytes, the system's limit"),
    Case("a base path beside a URL", MODEL, "  kind: openai", "  kind: openai\n  base_path: /v1",
         "models/demo.yaml:10: upstream.base_path: is only for a Unix socket; write it into the URL"),
    Case("a base path that climbs", MODEL, "http://127.0.0.1:8081", "unix:/run/s\n  base_path: /../v1",
         "models/demo.yaml:9: upstream.base_path: must be a path of plain segments after a slash, none empty, none "
         "beginning with a dot"),
    Case("TLS on a plain URL", MODEL, "  kind: openai", "  kind: openai\n  tls: {ca: ca.pem}",
         "models/demo.yaml:10: upstream.tls: is only for a URL that begins with https://"),
    Case("TLS on a Unix socket", MODEL, "http://127.0.0.1:8081", "unix:/run/model.sock\n  tls: {}",
         "models/demo.yaml:9: upstream.tls: is only for a URL that begins with https://"),
    Case("a certificate without its key", MODEL, "http://127.0.0.1:8081",
         "https://127.0.0.1\n  tls: {client_certificate: own.pem}",
         "models/demo.yaml:9: upstream.tls.client_certificate: needs client_key"),
    Case("a key without its certificate", MODEL, "http://127.0.0.1:8081",
         "https://127.0.0.1\n  tls: {client_key: {file: own.key}}",
         "models/demo.yaml:9: upstream.tls.client_key: needs client_certificate"),
    Case("a key in the open", MODEL, "http://127.0.0.1:8081",
         "https://127.0.0.1\n  tls: {client_certificate: own.pem, client_key: own.key}",
         "models/demo.yaml:9: upstream.tls.client_key: must be a mapping"),
    Case("a switch that would trust everybody", MODEL, "http://127.0.0.1:8081",
         "https://127.0.0.1\n  tls: {verify: false}",
         "models/demo.yaml:9: upstream.tls.verify: is not a known key"),
    Case("a way out of the folder for certificates", MODEL, "http://127.0.0.1:8081",
         "https://127.0.0.1\n  tls: {ca: ../ca.pem}",
         "models/demo.yaml:9: upstream.tls.ca: must name a file or folder without `..` and without a slash at its end"),
    Case("an empty expected model", MODEL, "  kind: openai", '  kind: openai\n  expect_model: ""',
         "models/demo.yaml:10: upstream.expect_model: must not be empty"),
    Case("a password in a URL", MODEL, "http://127", "http://user:word@127",
         "models/demo.yaml:8: upstream.url: must not carry a user or a password; use a credential by reference"),
    Case("a URL that climbs", MODEL, ":8081", ":8081/v1/../admin",
         "models/demo.yaml:8: upstream.url: must have a path of plain segments, none empty, none beginning with a "
         "dot"),
    Case("a URL without a host", MODEL, "http://127.0.0.1:8081", "http:///v1",
         "models/demo.yaml:8: upstream.url: must be a URL with a host and a port of 1 to 65535"),
    Case("a credential in the open", MODEL, "credential: null", "credential: sk-123",
         "models/demo.yaml:11: upstream.credential: must be a mapping"),
    Case("an unknown server", MODEL, "kind: openai", "kind: azure",
         "models/demo.yaml:9: upstream.kind: must be vllm, sglang, llamacpp, tgi, ollama, openai or anthropic"),
    Case("an unknown time", MODEL, "idle_seconds: 60", "idle: 60",
         "models/demo.yaml:12: upstream.idle: is not a known key"),
    Case("an operation nobody knows", MODEL, "operations: [chat]", "operations: [chat, train]",
         "models/demo.yaml:13: operations[1]: must be " + OPERATIONS),
    Case("an unknown safeguard", MODEL, "use: kill_switch", "use: killswitch",
         "models/demo.yaml:20: safeguards[1].use: must be kill_switch, evidence, access, limits, request_log or "
         "classifier"),
    Case("a mount of nothing", MODEL, "- use: kill_switch\n    mode", "- mode",
         "models/demo.yaml:20: safeguards[1].use: is required"),
    Case("a mount without a mode", MODEL, "    mode: enforce\n", "",
         "models/demo.yaml:15: safeguards[0].mode: is required"),
    Case("a mount that does not say what a failure means", MODEL, "    on_failure: block\n", "",
         "models/demo.yaml:15: safeguards[0].on_failure: is required"),
    Case("yes is a text", MODEL, "content: true", "content: yes",
         "models/demo.yaml:19: safeguards[0].settings.content: must be true or false"),
    Case("settings of another safeguard", MODEL, "- use: kill_switch",
         "- use: kill_switch\n    settings: {parts: true}",
         "models/demo.yaml:21: safeguards[1].settings: is not a known key"),
    Case("no settings", MODEL, "    settings: {durable: before_forward, parts: true, content: true}\n", "",
         "models/demo.yaml:15: safeguards[0].settings: is required"),
    Case("a safeguard twice", MODEL, "use: limits", "use: kill_switch\n    name: again",
         "models/demo.yaml:24: safeguards[2].use: kill_switch can be mounted once only"),
    Case("two mounts of one name", MODEL, "name: patterns", "name: limits",
         "models/demo.yaml:29: safeguards[3].name: the name is already used by item 2"),
    Case("a deadline without end", MODEL, "deadline_seconds: 5", "deadline_seconds: 3600",
         "models/demo.yaml:18: safeguards[0].deadline_seconds: must be at most 60"),
    Case("a classifier that screens nothing", MODEL, "[input, output]", "[]",
         "models/demo.yaml:35: safeguards[3].settings.screens: must not be empty"),
    Case("a side twice", MODEL, "[input, output]", "[input, input]",
         "models/demo.yaml:35: safeguards[3].settings.screens[1]: the side is already used by item 0"),
    Case("an unknown engine", MODEL, "engine: patterns", "engine: oracle",
         "models/demo.yaml:34: safeguards[3].settings.engine: must be patterns"),
    Case("rules that do not exist", MODEL, "rules/demo.yaml", "rules/missing.yaml",
         "models/demo.yaml:36: safeguards[3].settings.rules: there is no file rules/missing.yaml"),
    Case("rules from elsewhere", MODEL, "rules/demo.yaml", "../rules/demo.yaml",
         "models/demo.yaml:36: safeguards[3].settings.rules: must be a file of the folder rules, such as "
         "rules/demo.yaml"),
    Case("evidence that does not exist", MODEL, "evidence/demo.yaml", "evidence/missing.yaml",
         "models/demo.yaml:37: evidence: there is no file evidence/missing.yaml"),
    Case("evidence from elsewhere", MODEL, "evidence/demo.yaml", "/etc/passwd",
         "models/demo.yaml:37: evidence: must be a file of the folder evidence, such as evidence/demo.yaml"),
    Case("evidence of a wrong shape", MODEL, "evidence: evidence/demo.yaml", "evidence: {claim: x}",
         "models/demo.yaml:37: evidence: must be a list"),
    # rules, evidence, standards
    Case("an unknown category", RULES, "category: other", "category: spam",
         "rules/demo.yaml:6: rules[0].category: must be misinformation, violence, fraud, cyber, cbrn, self-harm, "
         "sexual-minors, autonomy, jailbreak or other"),
    Case("a rule with two conditions", RULES, "    phrase", "    pattern: x\n    phrase",
         "rules/demo.yaml:5: rules[0]: must have either `phrase` or `pattern`"),
    Case("a rule without a condition", RULES, "    phrase: FORBIDDEN-MARKER\n", "",
         "rules/demo.yaml:5: rules[0]: must have either `phrase` or `pattern`"),
    Case("two rules of one id", RULES, "id: number", "id: marker",
         "rules/demo.yaml:8: rules[1].id: the id is already used by item 0"),
    Case("a claim twice", EVIDENCE, "claim: usage_policy", "claim: model_card",
         "evidence/demo.yaml:9: attestations[1].claim: the claim is already used by item 0"),
    Case("evidence that ends before it begins", EVIDENCE, "expires: 2027-05-01", "expires: 2026-11-01",
         "evidence/demo.yaml:8: attestations[0].expires: must be later than `issued`"),
    Case("a sum of the wrong length", EVIDENCE, "e3b0c4", "e3",
         "evidence/demo.yaml:5: attestations[0].sha256: must be 64 lower-case hexadecimal digits"),
    Case("an unknown check", STANDARD, "check: mounted\n    with: {safeguard: kill_switch}", "check: prayed",
         "standards/own.yaml:11: rows[0].check: must be null or one of: attested, mounted, mounted_any_mode, "
         "screens, durable_intent, limits_per_key, listed_operations, authenticated, declared_levels, "
         "level_defined, custom_profile, signed_bundle, both_axes_raised, threshold, thresholds_within_levels, "
         "same_weights_declared, "
         "variant_evaluated, reported_model, built_in"),
    Case("a row that does not say its check", STANDARD, "    check: null\n", "",
         "standards/own.yaml:13: rows[1].check: is required"),
    Case("parameters of another check", STANDARD, "{safeguard: kill_switch}", "{claim: x}",
         "standards/own.yaml:12: rows[0].with.claim: is not a known key\n"
         "standards/own.yaml:12: rows[0].with.safeguard: is required"),
    Case("no parameters", STANDARD, "    with: {safeguard: kill_switch}\n", "",
         "standards/own.yaml:6: rows[0].with: is required"),
    Case("parameters of nothing", STANDARD, "check: null", "check: null\n    with: {claim: x}",
         "standards/own.yaml:19: rows[1].with: is not a known key"),
    Case("an unknown safeguard in a row", STANDARD, "kill_switch", "prayer",
         "standards/own.yaml:12: rows[0].with.safeguard: must be request_log, kill_switch, evidence, access, "
         "limits or classifier"),
    Case("an unknown axis", STANDARD, "axis: deployment", "axis: weather",
         "standards/own.yaml:7: rows[0].axis: must be deployment or security"),
    Case("two rows of one id", STANDARD, "id: O2", "id: O1",
         "standards/own.yaml:13: rows[1].id: the id is already used by item 0"),
    Case("a threshold that no row makes binding", STANDARD, "rows:",
         "thresholds:\n  - {name: T-1, capability: it, source: us, demands: {security: 3}}\nrows:",
         "standards/own.yaml:5: thresholds: need a row of level 1 whose check is thresholds_within_levels"),
    Case("a row about an unknown threshold", STANDARD, "check: null", "check: threshold\n    with: {thresholds: [T-9]}",
         "standards/own.yaml:19: rows[1].with.thresholds[0]: is no threshold of this standard; there are: none"),
    Case("a row about no threshold", STANDARD, "check: null", "check: threshold\n    with: {thresholds: []}",
         "standards/own.yaml:19: rows[1].with.thresholds: must not be empty"),
    Case("an unknown invariant", STANDARD, "check: null", "check: built_in\n    with: {invariant: prayer}",
         "standards/own.yaml:19: rows[1].with.invariant: must be levels_cumulate, known_thresholds, known_surfaces, "
         "below_floor_refused, one_journey, exact_routes, unreadable_refused, released_when_cleared, keys_end, "
         "refusals_counted, log_apart, standard_pinned, limits_stated, "
         "changed_while_served or lowered_by_two"),
    Case("an unknown consequence of a lapse", STANDARD, "check: null",
         "check: attested\n    with: {claim: card, on_expiry: hope}",
         "standards/own.yaml:19: rows[1].with.on_expiry: must be stop_serving, stop_new_principals or warn"),
    Case("more grace than a year", STANDARD, "check: null", "check: attested\n    with: {claim: card, grace_days: 400}",
         "standards/own.yaml:19: rows[1].with.grace_days: must be at most 366"),
    Case("a role twice in a row", STANDARD, "check: null",
         "check: attested\n    with: {claim: card, approved_by: [board, board]}",
         "standards/own.yaml:19: rows[1].with.approved_by[1]: the role is already used by item 0"),
    # Thresholds, weights, approvals
    Case("an assessment of an unknown threshold", MODEL, "audience: general",
         FOUND.format("CBRN-9", "crossed", "2027-01-01"),
         "models/demo.yaml:5: thresholds[0].threshold: is no threshold of house 1; there are: none"),
    Case("an assessment that ends before it begins", MODEL, "audience: general",
         FOUND.format("A", "crossed", "2026-01-01"),
         "models/demo.yaml:5: thresholds[0].expires: must be later than `assessed`"),
    Case("an unknown state of a threshold", MODEL, "audience: general",
         FOUND.format("A", "unlikely", "2027-01-01"),
         "models/demo.yaml:5: thresholds[0].state: must be ruled_out, cannot_rule_out or crossed"),
    Case("the same weights as itself", MODEL, "audience: general", "same_weights_as: [demo]\naudience: general",
         "models/demo.yaml:5: same_weights_as[0]: is this model itself"),
    Case("the same weights as nobody", MODEL, "audience: general", "same_weights_as: [twin]\naudience: general",
         "models/demo.yaml:5: same_weights_as[0]: there is no file models/twin.yaml"),
    Case("an approval after the day of issue", EVIDENCE, "    expires:",
         "    approvals: [{role: board, person: A, on: 2026-11-02}]\n    expires:",
         "evidence/demo.yaml:8: attestations[0].approvals[0].on: must not be later than `issued`"),
    Case("a role that approves twice", EVIDENCE, "    expires:",
         "    approvals:\n      - {role: board, person: A, on: 2026-10-02}\n"
         "      - {role: board, person: B, on: 2026-10-02}\n    expires:",
         "evidence/demo.yaml:10: attestations[0].approvals[1].role: the role is already used by item 0"),
    Case("a fingerprint that is none", EVIDENCE, "    expires:", "    tested: abc\n    expires:",
         "evidence/demo.yaml:8: attestations[0].tested: must be 64 lower-case hexadecimal digits"),
    Case("the day of a key as a word", TIERS, "    expires:", "    issued: today\n    expires:",
         "tiers.yaml:12: keys[0].issued: must be a day written as 2027-01-31"),
    Case("a built-in name with other contents", STANDARD, "name: own", "name: house",
         "standards/own.yaml:1: name: house 1 is built in with other contents; give yours a name of its own"),
    # Secrets
    Case("a pepper that is not there", GUARD, "secrets/pepper", "secrets/none",
         "guard.yaml:14: keys.pepper: secrets/none is missing"),
    Case("a pepper of nothing", GUARD, "secrets/pepper", "secrets/empty",
         "guard.yaml:14: keys.pepper: secrets/empty is empty"),
    Case("a pepper of two lines", GUARD, "secrets/pepper", "secrets/lines",
         "guard.yaml:14: keys.pepper: secrets/lines has more than one line or control characters"),
    Case("a pepper that is not UTF-8", GUARD, "secrets/pepper", "secrets/binary",
         "guard.yaml:14: keys.pepper: secrets/binary is not UTF-8"),
    Case("a pepper that everybody reads", GUARD, "secrets/pepper", "secrets/open",
         "guard.yaml:14: keys.pepper: secrets/open is open to every user (mode 0644); make it 0600 or 0640"),
    Case("a pepper that is too long", GUARD, "secrets/pepper", "secrets/long",
         "guard.yaml:14: keys.pepper: secrets/long is longer than 65536 bytes"),
    Case("a pepper that is a folder", GUARD, "secrets/pepper", "secrets",
         "guard.yaml:14: keys.pepper: secrets is not a regular file"),
    Case("a pepper of no variable", GUARD, "{file: secrets/pepper}", "{env: NOT_SET_BY_ANYBODY}",
         "guard.yaml:14: keys.pepper: environment variable NOT_SET_BY_ANYBODY is not set"),
    Case("a variable that cannot be one", GUARD, "{file: secrets/pepper}", "{env: 1-X}",
         "guard.yaml:14: keys.pepper.env: must be the name of an environment variable"),
    Case("a credential that no header carries", MODEL, "credential: null", "credential: {file: secrets/umlaut}",
         "models/demo.yaml:11: upstream.credential: must be ASCII: it is sent in a header"),
    Case("a client's key of nothing", MODEL, "http://127.0.0.1:8081",
         "https://127.0.0.1\n  tls: {client_certificate: guard.yaml, client_key: {file: secrets/empty}}",
         "models/demo.yaml:9: upstream.tls.client_key: secrets/empty is empty"),
    Case("an authority that is not there", MODEL, "http://127.0.0.1:8081", "https://127.0.0.1\n  tls: {ca: none.pem}",
         "models/demo.yaml:9: upstream.tls.ca: none.pem is missing"),
    # What no level may do without
    Case("a log that is not first", MODEL,
         "request_log\n    mode: enforce\n    on_failure: block\n    deadline_seconds: 5\n"
         "    settings: {durable: before_forward, parts: true, content: true}\n",
         "access\n    mode: enforce\n    on_failure: block\n    deadline_seconds: 5\n",
         "models/demo.yaml:15: safeguards[0].use: must be request_log: nothing is decided before it is "
         "recorded"),
    Case("a log in shadow", MODEL, "mode: enforce", "mode: shadow",
         "models/demo.yaml:16: safeguards[0].mode: must be enforce: a log in shadow may lose requests"),
    Case("a log whose failure passes", MODEL, "on_failure: block", "on_failure: pass",
         "models/demo.yaml:17: safeguards[0].on_failure: must be block: what cannot be recorded is not "
         "served, at any level (row I1)"),
    Case("no kill switch", MODEL,
         "  - use: kill_switch\n    mode: enforce\n    on_failure: block\n    deadline_seconds: 1\n", "",
         "models/demo.yaml:14: safeguards: must mount kill_switch: a model that cannot be stopped is not "
         "served"),
    Case("a kill switch in shadow", MODEL, "kill_switch\n    mode: enforce", "kill_switch\n    mode: shadow",
         "models/demo.yaml:21: safeguards[1].mode: must be enforce: a stop must stop"),
    Case("keys that nobody can read at ASL-3", MODEL, "deployment: 2, security: 1}",
         "deployment: 3, security: 1}\nallow_keys: [signature]",
         "models/demo.yaml:5: allow_keys: must be empty at ASL-3: these keys cannot be inspected"),
    Case("an expected model where no answer names one", MODEL, "idle_seconds: 60\noperations: [chat]",
         "expect_model: m\noperations: [chat, count_tokens]",
         "models/demo.yaml:12: upstream.expect_model: cannot be checked in answers to count_tokens, which name no "
         "model: leave out one or the other"),
    # The bounds of words, days and addresses
    Case("a day before the century", EVIDENCE, "issued: 2026-11-01", "issued: 1999-11-01",
         "evidence/demo.yaml:7: attestations[0].issued: must be a day of the years 2000 to 2999"),
    Case("a URL of other letters", MODEL, "http://127.0.0.1:8081", "http://müller.example",
         "models/demo.yaml:8: upstream.url: must be a URL of printable ASCII without blanks"),
    Case("traces to another scheme", GUARD, "otlp_endpoint: null", "otlp_endpoint: ftp://traces.example",
         "guard.yaml:36: telemetry.otlp_endpoint: must begin with http:// or https://"),
    Case("a URL with a query", MODEL, ":8081", ":8081/v1?key=x",
         "models/demo.yaml:8: upstream.url: must not carry a query or a fragment"),
    Case("an alias with a blank", TIERS, "demo: [chat]", "demo model: [chat]",
         "tiers.yaml:5: tiers.general.models.demo model: must be letters, digits, dot, underscore or "
         "hyphen, begin with a letter or digit, and be at most 128 long"),
    Case("a claim in capitals", EVIDENCE, "claim: model_card", "claim: Model Card",
         "evidence/demo.yaml:3: attestations[0].claim: must be lower-case letters, digits or underscore, "
         "begin with a letter, and be at most 64 long"),
    Case("an owner with a tab", TIERS, "owner: one team", 'owner: "one\\tteam"',
         "tiers.yaml:9: keys[0].owner: must be one line without control characters"),
    Case("a sentence with a tab", STANDARD, "requires: The model can be stopped.", 'requires: "It\\tstops."',
         "standards/own.yaml:9: rows[0].requires: must not contain control characters"),
    Case("a phrase too long", RULES, "FORBIDDEN-MARKER", "x" * 1001,
         "rules/demo.yaml:7: rules[0].phrase: must be at most 1000 characters"),
    Case("more surfaces than there can be", MODEL, "[public]", f"[{', '.join(f's{n}' for n in range(65))}]",
         "models/demo.yaml:6: surfaces: has more items than 64"),
    Case("more values than a file may have", RULES, "", f"rules: [{'1,' * 100_001}]\n",
         "rules/demo.yaml:1: has more than 100000 values"),
    # Names given twice, and references that lead nowhere
    Case("a threshold assessed twice", MODEL, "audience: general",
         "thresholds:\n  - {threshold: A, state: crossed, assessed: 2026-01-01, expires: 2027-01-01}\n"
         "  - {threshold: A, state: crossed, assessed: 2026-01-01, expires: 2027-01-01}\naudience: general",
         "models/demo.yaml:7: thresholds[1].threshold: the threshold is already used by item 0"),
    Case("an alias of the same weights twice", MODEL, "audience: general",
         "same_weights_as: [twin, twin]\naudience: general",
         "models/demo.yaml:5: same_weights_as[1]: the alias is already used by item 0"),
    Case("a threshold twice in a row", STANDARD, "check: null", "check: threshold\n    with: {thresholds: [A, A]}",
         "standards/own.yaml:19: rows[1].with.thresholds[1]: the threshold is already used by item 0"),
    Case("a standard given by two files", STANDARD, "name: own", "name: high",
         "standards/own.yaml:1: name: high 1 is already given by standards/high.yaml"),
    Case("the same weights on one side alone", "models/twin.yaml", "", TWIN,
         "models/twin.yaml:3: same_weights_as[0]: models/demo.yaml does not name twin in turn"),
    Case("an operation that the model does not list", TIERS, "[chat]", "[chat, embeddings]",
         "tiers.yaml:5: tiers.general.models.demo[1]: models/demo.yaml does not list the operation "
         "embeddings"),
    Case("no model at all", MODEL, "", None,
         "models: is missing or has no file\n"
         "tiers.yaml:5: tiers.general.models.demo: there is no file models/demo.yaml"),
    Case("a folder in place of a file", "rules/other.yaml/inner", "", "x",
         "rules/other.yaml: is not a regular file"),
)
# fmt: on
