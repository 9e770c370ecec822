"""Writes dashboards/guard.json: ``python -m deploy.grafana.build``; a test holds the file to what this makes.

One dashboard with one job: what an on-call responder must see, most urgent first. Colours never stand alone: what is
coloured says in words what it means.
"""  # noqa: INP001 - not a part of the product: it stands beside what it writes

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from deploy.grafana.panels import (
    GREEN,
    ORANGE,
    RED,
    SOURCE,
    Json,
    graph,
    panel,
    quantiles,
    query,
    stat,
    steps,
    variable,
    words,
)

FILE: Final = Path(__file__).parent / "dashboards" / "guard.json"
DAY: Final = 86_400
WORKER: Final = "worker {{worker}} of {{instance}}"
HERE: Final = 'job=~"$job"'
MODEL: Final = 'job=~"$job", model=~"$model"'
GEN_AI: Final = 'job=~"$job", gen_ai_request_model=~"$model"'

TAKEN: Final = 'result!="stopped",result!="repeated",result!="covered",result!="resolved",result!="ignored"'
SAFE: Final = (
    stat(
        "Unscanned exchanges",
        "Exchanges in this time that passed without every check their policy asks for. Anything but NONE is a page: "
        "runbook GuardUnscannedContent.",
        "short",
        query(f"ceil(sum(increase(guard_unscanned_total{{{MODEL}}}[$__range])))", "unscanned"),
        thresholds=steps(GREEN, (1, RED)),
        mappings=words(is_0=("NONE", GREEN)),
        decimals=0,
    ),
    stat(
        "Meets its standard",
        "Whether each model meets the floor of its level now. One that does not is refused, not served. "
        "Runbook GuardPolicyNotMet.",
        "short",
        query(f"min by (model, asl) (guard_policy_compliant{{{MODEL}}})", "{{model}} ASL-{{asl}}"),
        thresholds=steps(RED, (1, GREEN)),
        mappings=words(is_0=("NOT MET", RED), is_1=("MET", GREEN)),
        named=True,
    ),
    stat(
        "Changes taken",
        "Whether the files of each guard's configuration are the policy in force. While they are not, the policy "
        "before is served. Runbook GuardPolicyNotTaken.",
        "short",
        query(f"max by (instance) (guard_policy_disk_differs{{{HERE}}})", "{{instance}}"),
        thresholds=steps(GREEN, (1, RED)),
        mappings=words(is_0=("IN FORCE", GREEN), is_1=("NOT TAKEN", RED)),
        named=True,
    ),
    stat(
        "Policy kept",
        "Whether the policy in force lies in each state folder as it was put there; the guard puts it back. "
        "Runbook GuardPolicyDamaged.",
        "short",
        query(
            f"ceil(sum by (instance) (increase(guard_policy_snapshot_damages_total{{{HERE}}}[$__range])))",
            "{{instance}}",
        ),
        thresholds=steps(GREEN, (1, RED)),
        mappings=words(is_0=("AS IT WAS PUT", GREEN)),
        decimals=0,
        named=True,
    ),
    stat(
        "Stopped",
        "Whether a stop order covers the model for everybody, on any guard. Stops of a tier or a key show under the "
        "orders in force. Runbook GuardKillSwitchEngaged, and where somebody used an emergency token runbook "
        "GuardEmergencyTokenUsed.",
        "short",
        query(
            'max by (subject) (guard_kill_switch_engaged{job=~"$job", scope="model", subject=~"$model"})', "{{subject}}"
        ),
        thresholds=steps(GREEN, (1, RED)),
        mappings=words(is_0=("serving", GREEN), is_1=("STOPPED", RED)),
        named=True,
    ),
    stat(
        "Rungs",
        "The deepest rung that is in force for each model: stricter, answered by another model, closed to new keys, "
        "stopped or withdrawn. `guard ladder MODEL` says by which orders. Runbook GuardModelOnRung.",
        "short",
        query(
            f'max by (model, rung) (guard_ladder_rung{{{MODEL}, rung!="open"}}) '
            f'or 0 * max by (model, rung) (guard_ladder_rung{{{MODEL}, rung="open"}})',
            "{{model}} {{rung}}",
        ),
        thresholds=steps(GREEN, (1, ORANGE)),
        mappings=words(is_0=("OPEN", GREEN), is_1=("IN FORCE", ORANGE)),
        named=True,
    ),
    stat(
        "Guards and workers",
        "Whether Prometheus reaches every guard, and whether every worker process runs and reports. While a guard is "
        "DOWN nothing else here can be trusted. Runbook GuardDown.",
        "short",
        query(f"min by (instance) (up{{{HERE}}})", "guard {{instance}}"),
        query(f"min by (instance, worker) (guard_worker_up{{{HERE}}})", WORKER),
        thresholds=steps(RED, (1, GREEN)),
        mappings=words(is_0=("DOWN", RED), is_1=("UP", GREEN)),
        named=True,
    ),
    stat(
        "Notices lost",
        "Messages to people outside that could not be sent in this time. Runbook GuardNoticesLost.",
        "short",
        query(f'ceil(sum(increase(guard_notices_total{{{HERE}, result="lost"}}[$__range]))) or vector(0)', "lost"),
        thresholds=steps(GREEN, (1, ORANGE)),
        mappings=words(is_0=("NONE", GREEN)),
        decimals=0,
    ),
)
BLOCKED: Final = (
    graph(
        "Blocked, by safeguard",
        "Decisions per second that stopped a prompt or a completion, by the safeguard that made them.",
        "reqps",
        query(
            f'sum by (safeguard, target) (rate(guard_decisions_total{{{MODEL}, action="block"}}[$__rate_interval]))',
            "{{safeguard}} ({{target}})",
        ),
        stacked=True,
    ),
    graph(
        "Not served, by outcome and code",
        "Exchanges per second that ended otherwise than served, and requests refused before a model was known, "
        "by their code.",
        "reqps",
        query(
            f'sum by (outcome) (rate(guard_requests_total{{{MODEL}, outcome!="served"}}[$__rate_interval]))',
            "{{outcome}}",
        ),
        query(
            f"sum by (code) (rate(guard_refusals_total{{{HERE}}}[$__rate_interval])) > 0",
            "refused: {{code}}",
        ),
        stacked=True,
    ),
    graph(
        "Stop orders in force, per worker",
        "How many stop orders each worker obeys. All workers of one host show the same number; lines that stay apart "
        "mean a stop that is not obeyed. Runbook GuardStopNotObeyed.",
        "short",
        query(f"max by (instance, worker) (guard_kill_switch_orders{{{HERE}}})", WORKER),
        step=True,
    ),
    graph(
        "Pushed rules, per worker",
        "How many rules that were pushed as orders each worker screens by, and how many it cannot use: what those "
        "cover is refused. Runbook GuardPushedRuleNotInForce.",
        "short",
        query(
            f"max by (instance, worker, standing) (guard_pushed_rules{{{HERE}}})",
            "{{instance}} {{worker}} {{standing}}",
        ),
        step=True,
    ),
    graph(
        "Measured values with a band",
        "What is measured of each model over its window, by the bands of its file. Where a value is out: runbook "
        "GuardMonitoringOutOfBand; where the guard moved the model down: runbook GuardModelTripped.",
        "short",
        query(
            f"max by (model, value, window) (guard_monitoring_value{{{MODEL}}})",
            "{{model}} {{value}} over {{window}} s",
        ),
    ),
)
DRILLS: Final = (
    stat(
        "Whether a stop still stops",
        "What the last drill of the kill switch came to: the guard stops its own self-test model again and again, and "
        "every worker must obey. Runbook GuardDrillFailed.",
        "short",
        query(f"max by (instance, drill) (guard_drill_failing{{{HERE}}})", "{{instance}} {{drill}}"),
        thresholds=steps(GREEN, (1, RED)),
        mappings=words(is_0=("STOPS", GREEN), is_1=("DRILL FAILED", RED)),
        named=True,
    ),
    graph(
        "Drills of the kill switch",
        "How long until the next success is late (below nought it is: runbook GuardDrillLate), and what drills took "
        "from their order to the end of the slowest worker's stream.",
        "s",
        query(
            f"max by (instance, drill) (guard_drill_due_timestamp_seconds{{{HERE}}} > 0) - time()",
            "{{instance}} {{drill}}: late in",
        ),
        *quantiles("guard_drill_seconds", HERE),
    ),
)
FLEET: Final = (
    graph(
        "Proof of knowing every stop order",
        "How long ago each guard of a fleet was sure to know every order; renewed every second. Models at ASL-3 are "
        "refused after 30 s. Runbook GuardLeaseRunningOut.",
        "s",
        query(f"max by (instance) (guard_lease_age_seconds{{{HERE}}})", "{{instance}}"),
    ),
    graph(
        "Guards of the fleet",
        "How many guards are heard and how many are silent, as each guard sees it (runbook GuardReplicaSilent), and "
        "which of them do not believe the fleet's history (runbook GuardFleetDistrusted).",
        "short",
        query(f"max by (state) (guard_fleet_replicas{{{HERE}}})", "{{state}}"),
        query(f"max by (instance) (guard_fleet_distrusted{{{HERE}}})", "{{instance}} does not believe the history"),
        step=True,
    ),
)
TRAFFIC: Final = (
    graph(
        "Requests, by outcome",
        "Exchanges per second that ended, each with exactly one outcome.",
        "reqps",
        query(f"sum by (outcome) (rate(guard_requests_total{{{MODEL}}}[$__rate_interval]))", "{{outcome}}"),
        stacked=True,
    ),
    graph(
        "Time added by the guard",
        "What the guard itself adds to an exchange in all: the median, and what one in a hundred exceeds.",
        "s",
        *quantiles("guard_overhead_seconds", f'{MODEL}, phase="total"'),
    ),
    graph(
        "Time to first token",
        "From the request until the first byte of a streamed answer left the guard: model and guard together.",
        "s",
        *quantiles("gen_ai_server_time_to_first_token_seconds", GEN_AI),
    ),
    graph(
        "Streams open",
        "Streamed exchanges that have begun and not ended: what a stop would cut now.",
        "short",
        query(f"sum by (model) (guard_streams_open{{{MODEL}}})", "{{model}}"),
    ),
    stat(
        "Counts without a model's name",
        "Recordings of this time that could not be kept apart by model, route and tier: there are too many. "
        "Runbook GuardMetricsCollapsed.",
        "short",
        query(f"ceil(sum(increase(guard_metrics_series_dropped_total{{{HERE}}}[$__range])))", "collapsed"),
        thresholds=steps(GREEN, (1, ORANGE)),
        mappings=words(is_0=("NONE", GREEN)),
        decimals=0,
    ),
)
RECORD: Final = (
    stat(
        "Records lost",
        "Records of the request log that could not be written in this time. Where the log fails the guard refuses.",
        "short",
        query(f'ceil(sum(increase(guard_audit_records_total{{{HERE}, result="failed"}}[$__range])))', "lost"),
        thresholds=steps(GREEN, (1, RED)),
        mappings=words(is_0=("NONE", GREEN)),
        decimals=0,
    ),
    stat(
        "Log sealed",
        "Whether every record comes under a signed head, and is still what was signed. Runbook GuardAuditNotSealed.",
        "short",
        query(f"max(guard_audit_seal_failing{{{HERE}}})", "sealed"),
        thresholds=steps(GREEN, (1, RED)),
        mappings=words(is_0=("YES", GREEN), is_1=("NO", RED)),
        decimals=0,
    ),
    graph(
        "Time since a log was last sealed",
        "Seconds: of each host the log that is farthest behind. A few at most. Runbook GuardAuditNotSealed.",
        "s",
        query(f"time() - min by (instance) (guard_audit_sealed_timestamp_seconds{{{HERE}}})", "{{instance}}"),
    ),
    graph(
        "Oldest record without a copy elsewhere",
        "Seconds when copies are made (storage.ship), 0 where none are. Runbook GuardAuditNotShipped.",
        "s",
        query(f"max by (instance) (guard_audit_ship_lag_seconds{{{HERE}}})", "{{instance}}"),
    ),
    graph(
        "Newest head without a time stamp",
        "Seconds where time stamps are asked for (audit.timestamp), and by how much the clocks differ. "
        "Runbook GuardAuditNotTimestamped.",
        "s",
        query(f"max by (instance) (guard_audit_timestamp_lag_seconds{{{HERE}}})", "{{instance}}"),
        query(
            f"max by (instance) (guard_audit_timestamp_clock_difference_seconds{{{HERE}}})", "{{instance}} clock ahead"
        ),
    ),
    graph(
        "Records not yet on disk",
        "Accepted and not yet durable: near 0 when the disk keeps up. A rising line is a disk that does not.",
        "short",
        query(f"max by (instance, worker) (guard_audit_backlog_records{{{HERE}}})", WORKER),
    ),
    graph(
        "Time since a record was last on disk",
        "Grows while there is nothing to record, too: it is a fault only together with records not yet on disk. "
        "Runbook GuardAuditNotSealed.",
        "s",
        query(
            f"time() - max by (instance, worker) (guard_audit_last_durable_timestamp_seconds{{{HERE}}})",
            WORKER,
        ),
    ),
    stat(
        "Workers replaced",
        "Worker processes that exited or fell silent and were replaced in this time, by the reason.",
        "short",
        query(
            f"ceil(sum by (reason) (increase(guard_worker_restarts_total{{{HERE}}}[$__range])))",
            "{{reason}}",
        ),
        thresholds=steps(GREEN, (1, ORANGE)),
        mappings=words(is_0=("NONE", GREEN)),
        decimals=0,
        named=True,
    ),
    stat(
        "Webhooks turned away",
        "Messages to webhooks that stopped nothing because they were not authentic, not understood or out of bounds. "
        "Runbook GuardHookRejected.",
        "short",
        query(
            f"ceil(sum(increase(guard_hook_received_total{{{HERE},{TAKEN}}}[$__range]))) or vector(0)",
            "turned away",
        ),
        thresholds=steps(GREEN, (1, ORANGE)),
        mappings=words(is_0=("NONE", GREEN)),
        decimals=0,
    ),
    stat(
        "Open incidents",
        "Incidents that are not closed. What is due next: guard incident list. Runbook GuardIncidentDue.",
        "short",
        query(f"sum(guard_incidents_open{{{MODEL}}}) or vector(0)", "open"),
        thresholds=steps(GREEN, (1, ORANGE)),
        mappings=words(is_0=("NONE", GREEN)),
        decimals=0,
    ),
    panel(
        "table",
        "Evidence expires in",
        "How long each attestation still holds; red below three days, orange below fourteen. When required evidence "
        "lapses, its model is no longer served. Runbook GuardEvidenceLapsing.",
        "s",
        query(
            f"sort(min by (model, attestation) (guard_attestation_expiry_timestamp_seconds{{{MODEL}}}) - time())",
            "",
            table=True,
            instant=True,
        ),
        thresholds=steps(RED, (3 * DAY, ORANGE), (14 * DAY, GREEN)),
        custom={"align": "auto", "cellOptions": {"type": "color-text"}},
        options={"showHeader": True, "cellHeight": "sm"},
        transformations=[
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True},
                    "renameByName": {"model": "Model", "attestation": "Attestation", "Value": "Holds for"},
                },
            }
        ],
    ),
)
LAYOUT: Final = (
    ("Is it safe", 6, SAFE),
    ("What is blocked, and is every stop obeyed", 8, BLOCKED),
    ("Drills", 7, DRILLS),
    ("Guards that share stop orders", 7, FLEET),
    ("Traffic", 8, TRAFFIC),
    ("Records, evidence, processes", 8, RECORD),
)


def placed() -> list[Json]:
    """Rows of panels, side by side over the 24 columns, with numbers that stay the same."""
    found: list[Json] = []
    top = 0
    for title, height, members in LAYOUT:
        place = {"h": 1, "w": 24, "x": 0, "y": top}
        found.append({"type": "row", "title": title, "id": len(found) + 1, "gridPos": place, "panels": []})
        top += 1
        for index, member in enumerate(members):
            left, right = 24 * index // len(members), 24 * (index + 1) // len(members)
            place = {"h": height, "w": right - left, "x": left, "y": top}
            found.append({**member, "id": len(found) + 1, "gridPos": place})
        top += height
    return found


def dashboard() -> Json:
    """The whole dashboard."""
    changes = {
        "name": "Stops and resumes",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": RED,
        "expr": f"max(guard_kill_switch_last_change_timestamp_seconds{{{HERE}}}) * 1000",
        "useValueForTime": True,
        "titleFormat": "A stop was ordered or lifted",
    }
    source = {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "current": {},
        "hide": 0,
    }
    return {
        "uid": "asl-guard",
        "title": "ASL Guard",
        "description": "Whether every model is served under its safeguards, and what is blocked.",
        "tags": ["asl-guard"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "templating": {
            "list": [
                source,
                variable("job", "Job", "label_values(guard_build_info, job)"),
                variable("model", "Model", 'label_values(guard_policy_compliant{job=~"$job"}, model)'),
            ]
        },
        "annotations": {"list": [changes]},
        "links": [],
        "panels": placed(),
    }


def render() -> str:
    """The file's text."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(render())
