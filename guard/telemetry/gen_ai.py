"""OpenTelemetry's names for generative AI (status Development: they move, so each stands here and nowhere else)."""

from __future__ import annotations

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
MODEL = "gen_ai.request.model"
STREAM = "gen_ai.request.stream"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
ERROR_TYPE = "error.type"
STATUS = "http.response.status_code"

# The guardrail conventions are a draft still in review.
FINDING = "gen_ai.guardrail.security.finding"
COMPONENT = "gen_ai.guardrail.component.name"
TARGET = "gen_ai.guardrail.target.type"
VERDICT = "gen_ai.guardrail.verdict.type"
VERDICT_CODE = "gen_ai.guardrail.verdict.code"
ACTION = "gen_ai.guardrail.action.type"
RULE = "gen_ai.guardrail.security.policy.rule.id"
CATEGORY = "gen_ai.guardrail.security.risk.category"

# Ours.
EXCHANGE = "guard.exchange.id"
ENDING = "guard.ending"
CODE = "guard.code"
ASL = "guard.asl"
POLICY = "guard.policy"
TIER = "guard.tier"
SURFACE = "guard.surface"
ENFORCED = "guard.enforced"
FAILURE = "guard.failure"

OPERATIONS = {
    "chat": "chat",
    "messages": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}


def operation_name(operation: str) -> str:
    """OpenTelemetry's word for one of the guard's operations; one it does not know keeps its own."""
    return OPERATIONS.get(operation, operation)
