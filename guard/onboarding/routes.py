"""What else an inference server offers to whoever reaches it, as data: a danger, why it matters, where it is.

How a route is tried is part of the table. GET where reading changes nothing and starts nothing; PROPFIND where a GET
might act (SGLang flushes its cache on one): a server that tells a wrong method (405) from an unknown path (404) thereby
tells what is there; an empty POST only on routes that compute on the text given and on nothing else, because llama.cpp
answers every other method there with 404; no probe where only a call that acts would tell. The chat route is not
listed: that it is open is why there is a guard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from guard.onboarding.asking import Probe
from guard.policy.model import ServerKind


@dataclass(frozen=True, slots=True)
class Danger:
    """Routes of one kind, all tried in one way; ``probe`` is None for those that are not tried."""

    name: str
    why: str
    probe: Probe | None
    paths: tuple[str, ...]


def _danger(name: str, probe: Probe | None, paths: str) -> Danger:
    return Danger(name, _WHY[name], probe, tuple(paths.split()))


_WHY: Final = {
    "generate": "answers without any safeguard and in forms the guard does not inspect",
    "weights": "replaces or reveals the weights: the model that answers may not be the one that was assessed",
    "adapters": "loads other adapters: the model that answers may not be the one that was assessed",
    "models": "pulls, makes, copies or deletes models",
    "control": "pauses, empties or reconfigures the server for everybody",
    "abort": "ends other callers' requests",
    "sessions": "keeps or replays texts between requests, across callers",
    "slots": "shows what other callers' requests are doing; actions on a slot save or erase their state",
    "settings": "shows how the server was started: paths, template, limits",
    "tools": "reaches the server's own files, or other hosts in its name",
    "tokens": "shows how prompts become tokens, which helps to write some that slip past screening",
    "scores": "computes on texts that nothing inspected",
    "profile": "writes traces to the server's disk and slows it down",
    "account": "shows or ends the account the server is signed in with",
    "metrics": "shows how much it is used; let the monitoring in and nobody else",
    "docs": "describes every route to whoever looks for one",
}
_DOCS: Final = "/docs /redoc /openapi.json"

TABLE: Final[Mapping[ServerKind, tuple[Danger, ...]]] = {
    ServerKind.VLLM: (
        _danger(
            "generate",
            Probe.PROPFIND,
            "/v1/completions /v1/responses /v1/messages /v1/chat/completions/batch /inference/v1/generate "
            "/generative_scoring /invocations /cohere/v2/chat",
        ),
        _danger(
            "weights",
            Probe.PROPFIND,
            "/update_weights /start_weight_update /init_weight_transfer_engine /weight_info /weight_checker",
        ),
        _danger("adapters", Probe.PROPFIND, "/v1/load_lora_adapter /v1/unload_lora_adapter /adapters"),
        _danger(
            "control",
            Probe.PROPFIND,
            "/collective_rpc /sleep /wake_up /pause /resume /reset_prefix_cache /scale_elastic_ep "
            "/fault_tolerance/apply",
        ),
        _danger("abort", Probe.PROPFIND, "/abort_requests /inference/v1/abort_requests"),
        _danger("settings", Probe.PROPFIND, "/server_info"),
        _danger("tokens", Probe.PROPFIND, "/tokenize /detokenize /tokenizer_info /v1/chat/completions/render"),
        _danger("scores", Probe.PROPFIND, "/v1/embeddings /pooling /classify /score /rerank"),
        _danger("profile", Probe.PROPFIND, "/start_profile /stop_profile"),
        _danger("metrics", Probe.GET, "/metrics /load"),
        _danger("docs", Probe.GET, _DOCS),
    ),
    ServerKind.SGLANG: (
        _danger(
            "generate",
            Probe.PROPFIND,
            "/generate /v1/completions /v1/responses /v1/messages /api/chat /api/generate /invocations "
            "/vertex_generate /health_generate",
        ),
        _danger(
            "weights",
            Probe.PROPFIND,
            "/update_weights_from_disk /update_weights_from_tensor /update_weights_from_distributed "
            "/update_weights_from_ipc /init_weights_update_group /get_weights_by_name /weights_checker",
        ),
        _danger("adapters", Probe.PROPFIND, "/load_lora_adapter /unload_lora_adapter"),
        _danger(
            "control",
            Probe.PROPFIND,
            "/flush_cache /set_internal_state /pause_generation /continue_generation /slow_down "
            "/release_memory_occupation /configure_logging /pd_role_switch /freeze_gc",
        ),
        _danger("abort", Probe.PROPFIND, "/abort_request"),
        _danger("sessions", Probe.PROPFIND, "/open_session /close_session"),
        _danger("settings", Probe.PROPFIND, "/server_info /get_server_info"),
        _danger("tokens", Probe.PROPFIND, "/tokenize /detokenize /v1/tokenize /v1/detokenize /parse_function_call"),
        _danger("scores", Probe.PROPFIND, "/encode /classify /v1/embeddings /v1/score /v1/rerank"),
        _danger("profile", Probe.PROPFIND, "/start_profile /stop_profile /start_expert_distribution_record"),
        _danger("metrics", Probe.GET, "/metrics"),
        _danger("docs", Probe.GET, _DOCS),
    ),
    ServerKind.LLAMACPP: (
        _danger(
            "generate",
            None,
            "/completion /completions /infill /chat/completions /v1/completions /v1/responses /v1/messages",
        ),
        _danger("adapters", Probe.GET, "/lora-adapters"),
        _danger("models", None, "/models/load /models/unload"),
        _danger("sessions", Probe.GET, "/v1/stream"),
        _danger("slots", Probe.GET, "/slots"),
        _danger("settings", Probe.GET, "/props"),
        _danger("tools", Probe.GET, "/tools /cors-proxy"),
        _danger("tokens", Probe.POST, "/tokenize /detokenize /apply-template"),
        _danger("scores", None, "/embedding /v1/embeddings /rerank"),
        _danger("metrics", Probe.GET, "/metrics"),
    ),
    ServerKind.TGI: (
        _danger("generate", Probe.PROPFIND, "/ /generate /generate_stream /v1/completions /vertex /invocations"),
        _danger("settings", Probe.GET, "/info"),
        _danger("tokens", Probe.PROPFIND, "/tokenize /chat_tokenize"),
        _danger("metrics", Probe.GET, "/metrics"),
        _danger("docs", Probe.GET, "/docs /api-doc/openapi.json"),
    ),
    ServerKind.OLLAMA: (
        _danger("generate", Probe.PROPFIND, "/api/chat /api/generate /v1/completions /v1/responses /v1/messages"),
        _danger("models", Probe.PROPFIND, "/api/pull /api/push /api/create /api/copy /api/delete"),
        _danger("settings", Probe.PROPFIND, "/api/show /api/tags /api/ps"),
        _danger("account", Probe.PROPFIND, "/api/me /api/signout"),
        _danger("scores", Probe.PROPFIND, "/api/embed /api/embeddings /v1/embeddings"),
    ),
    # Anthropic's own API, or a gateway that speaks it: nothing beside the messages route is known of it.
    ServerKind.ANTHROPIC: (_danger("generate", Probe.PROPFIND, "/v1/complete /v1/messages/batches"),),
    ServerKind.OPENAI: (
        _danger("generate", Probe.PROPFIND, "/generate /v1/completions /v1/responses /v1/messages /invocations"),
        _danger("adapters", Probe.PROPFIND, "/v1/load_lora_adapter /load_lora_adapter"),
        _danger("tokens", Probe.PROPFIND, "/tokenize /detokenize"),
        _danger("scores", Probe.PROPFIND, "/v1/embeddings"),
        _danger("metrics", Probe.GET, "/metrics"),
        _danger("docs", Probe.GET, _DOCS),
    ),
}
"""Fixed for each server's published routes; forks and later versions may have others, which nobody here looks for."""
