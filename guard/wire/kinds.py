"""Keys beyond a dialect's own table: what each server kind may be sent besides, and what no caller may send, and why.

Taken are bounded scalars that only shape sampling or end an answer sooner or later: whatever they change, the answer
still comes through the channels, where it is watched. `skip_special_tokens` and its like are among them: they make the
answer spell out more of what the model said, never less. Refused is what carries or steers text past the inspected
prompt, or moves text past the channels. A key in neither table is refused as unknown.

Reviewed: vLLM 0.33.0 and SGLang 0.5.23 (the request classes of their OpenAI and Anthropic routes); llama.cpp server
(README@00dc8057 and `params_from_json_cmpl` of 2026; keys of a body reach it from chat, completions and responses, but
not from messages); Ollama `openai/openai.go` and TGI `router/src/lib.rs`, the latter's chat only: both ignore what they
do not name, so a setting without effect is refused here. Hosted APIs have their whole schema in the dialects' tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from guard.wire.table import Flag, Number, OneOf, Refused, Spec

_ADAPTERS: Final = "which weights answer is the operator's decision"
_BEAMS: Final = "beam search is not offered here"
_BIAS: Final = "steers single tokens, which cannot be inspected"
_CACHES: Final = "callers do not steer caches here"
_CODE: Final = "free parameters and code for the server are not taken from callers"
_CUT: Final = "the model must read all that was inspected; what is too long is refused by the server, not cut"
_GRAMMAR: Final = "use response_format, where the route has it; other constraints that spell the answer are not offered"
_LOGPROBS: Final = "log probabilities carry text beside the answer"
_MEDIA: Final = "no mounted classifier can judge this kind of part; send text"
_NAMES: Final = "exchanges are named by the guard"
_PROMPT: Final = "what is put around the inspected text is the operator's decision"
_REASONING: Final = "how reasoning is told apart from the answer is the operator's decision"
_ROUTING: Final = "where and how soon a request runs is the operator's decision"
_SIDE: Final = "it adds side channels to the answer; only its text is served"
_STATE: Final = "state on the server is not offered here"
_TOKENS: Final = "token ids cannot be inspected; send text"
_WATERMARK: Final = "whether answers are watermarked is the operator's decision"

REFUSED: Final[Mapping[str, str]] = {
    # constraints that spell out the answer
    "ebnf": _GRAMMAR,
    "grammar": _GRAMMAR,
    "grammar_lazy": _GRAMMAR,
    "grammar_triggers": _GRAMMAR,
    "guided_choice": _GRAMMAR,
    "guided_decoding_backend": _GRAMMAR,
    "guided_grammar": _GRAMMAR,
    "guided_json": _GRAMMAR,
    "guided_regex": _GRAMMAR,
    "guided_whitespace_pattern": _GRAMMAR,
    "json_schema": _GRAMMAR,
    "regex": _GRAMMAR,
    "stop_regex": "use stop; a pattern is run over the answer by the server",
    "structural_tag": _GRAMMAR,
    "structured_outputs": _GRAMMAR,
    # templates, and text that the model reads besides the prompt
    "add_generation_prompt": _PROMPT,
    "add_special_tokens": _PROMPT,
    "chat_format": _PROMPT,
    "chat_parser": _PROMPT,
    "chat_template": _PROMPT,
    "chat_template_kwargs": _PROMPT,
    "continue_final_message": _PROMPT,
    "documents": "put documents into messages, where they are inspected",
    "generation_prompt": _PROMPT,
    "guideline": _PROMPT,
    "input_extra": _PROMPT,
    "input_prefix": _PROMPT,
    "input_suffix": _PROMPT,
    "previous_input_messages": _PROMPT,
    "task": _PROMPT,
    "template": _PROMPT,
    "tool_prompt": _PROMPT,
    # what replaces the prompt or takes from it
    "embed_override_token_id": _TOKENS,
    "embed_overrides": "embeddings cannot be inspected; send text",
    "input_embeds": "embeddings cannot be inspected; send text",
    "input_ids": _TOKENS,
    "n_discard": _CUT,
    "n_keep": _CUT,
    "prompt_embeds": "embeddings cannot be inspected; send text",
    "prompt_token_ids": _TOKENS,
    "truncate": _CUT,
    "truncate_prompt_tokens": _CUT,
    "truncation_side": _CUT,
    # single tokens
    "allowed_token_ids": _BIAS,
    "bad_words": _BIAS,
    "dry_sequence_breakers": _BIAS,
    "logit_bias": _BIAS,
    "logits_processors": _CODE,
    "preserved_tokens": _BIAS,
    "stop_token_ids": "token ids cannot be inspected; use stop",
    # where the reasoning of an answer goes, and whether it is shown
    "include_reasoning": "a caller cannot take the reasoning out of the guard's sight",
    "parse_tool_calls": _REASONING,
    "reasoning_budget_arm_immediately": _REASONING,
    "reasoning_budget_end_tag": _REASONING,
    "reasoning_budget_message": _REASONING,
    "reasoning_budget_start_tag": _REASONING,
    "reasoning_format": _REASONING,
    "reasoning_in_content": _REASONING,
    "thinking_forced_open": _REASONING,
    # other media
    "images_config": _MEDIA,
    "max_dynamic_patch": _MEDIA,
    "media_io_kwargs": _MEDIA,
    "min_dynamic_patch": _MEDIA,
    "mm_payload": _MEDIA,
    "mm_processor_kwargs": _MEDIA,
    "multimodal_data": _MEDIA,
    "return_mm_kwargs": _MEDIA,
    "use_audio_in_video": _MEDIA,
    "video_config": _MEDIA,
    # weights
    "lora": _ADAPTERS,
    "lora_path": _ADAPTERS,
    "lora_request": _ADAPTERS,
    # where it runs, with what it shares caches, and what it remembers
    "bootstrap_host": _ROUTING,
    "bootstrap_port": _ROUTING,
    "bootstrap_room": _ROUTING,
    "cache_prompt": _CACHES,
    "cache_salt": _CACHES,
    "data_parallel_rank": _ROUTING,
    "disagg_prefill_dp_rank": _ROUTING,
    "ec_transfer_params": _ROUTING,
    "extra_key": _CACHES,
    "id_slot": _ROUTING,
    "keep_alive": _ROUTING,
    "kv_transfer_params": _ROUTING,
    "n_cache_reuse": _CACHES,
    "priority": _ROUTING,
    "routed_dp_rank": _ROUTING,
    "session_id": _STATE,
    "session_params": _STATE,
    "slot_id": _ROUTING,
    "custom_labels": _NAMES,
    "request_id": _NAMES,
    "rid": _NAMES,
    # code and free parameters
    "custom_logit_processor": _CODE,
    "custom_params": _CODE,
    "options": _CODE,
    "vllm_xargs": _CODE,
    # side channels of the answer
    "_debug_render_only": _SIDE,
    "echo": "the prompt is not sent back",
    "logprob_token_ids": _LOGPROBS,
    "n_probs": _LOGPROBS,
    "post_sampling_probs": _LOGPROBS,
    "prompt_logprobs": _LOGPROBS,
    "response_fields": _SIDE,
    "return_cached_tokens_details": _SIDE,
    "return_flat_raw_output_top_logprobs": _LOGPROBS,
    "return_flat_raw_top_logprobs_b64": _LOGPROBS,
    "return_hidden_states": _SIDE,
    "return_input_ids_in_sglext": _SIDE,
    "return_meta_info": _SIDE,
    "return_output_ids_in_sglext": _SIDE,
    "return_progress": _SIDE,
    "return_prompt_text": _SIDE,
    "return_prompt_token_ids": _SIDE,
    "return_routed_experts": _SIDE,
    "return_sampling_mask": _SIDE,
    "return_spec_tokens_details": _SIDE,
    "return_text_in_logprobs": _LOGPROBS,
    "return_token_ids": _SIDE,
    "return_token_offsets": _SIDE,
    "return_tokens": _SIDE,
    "return_tokens_as_token_ids": _LOGPROBS,
    "return_weight_versions": _SIDE,
    "routed_experts_prompt_start": _SIDE,
    "routed_experts_start_len": _SIDE,
    "sampling_logprobs_mode": _LOGPROBS,
    "sse_ping_interval": _SIDE,
    "timings_per_token": _SIDE,
    # other names for what the dialects have, and what belongs to the operator
    "backend_sampling": _ROUTING,
    "length_penalty": _BEAMS,
    "n_cmpl": "use n",
    "n_predict": "use max_tokens",
    "repetition_detection": "is not offered here",
    "samplers": "which samplers run is the operator's decision",
    "use_beam_search": _BEAMS,
    "watermark": _WATERMARK,
    "watermarking": _WATERMARK,
}

_TOP_K: Final = Number(-1, 1_000_000, whole=True)  # -1 and 0 both mean all of them
_COUNT: Final = Number(0, 1_000_000, whole=True)
_SHARE: Final = Number(0, 1)
_PENALTY: Final = Number(0.01, 10)
_ANY_FLAG: Final = Flag()

_VLLM: Final[Mapping[str, Spec]] = {
    "top_k": _TOP_K,
    "min_p": _SHARE,
    "repetition_penalty": _PENALTY,
    "ignore_eos": _ANY_FLAG,  # longer answers, bounded by max_tokens and by the model's own time limit
    "include_stop_str_in_output": _ANY_FLAG,  # the stop string was inspected, and comes back as text of the channel
    "skip_special_tokens": _ANY_FLAG,
    "spaces_between_special_tokens": _ANY_FLAG,
}
_VLLM_GENERATE: Final[Mapping[str, Spec]] = {
    **_VLLM,
    "min_tokens": _COUNT,
    "thinking_token_budget": Number(-1, 1_000_000, whole=True),
    "stream_interval": Number(1, 64, whole=True),  # tokens per event
}
_SGLANG: Final[Mapping[str, Spec]] = {
    "top_k": _TOP_K,
    "min_p": _SHARE,
    "repetition_penalty": _PENALTY,
}
_SGLANG_GENERATE: Final[Mapping[str, Spec]] = {
    **_SGLANG,
    "min_tokens": _COUNT,
    "ignore_eos": _ANY_FLAG,
    "no_stop_trim": _ANY_FLAG,
    "skip_special_tokens": _ANY_FLAG,
}
_LLAMACPP: Final[Mapping[str, Spec]] = {
    "top_k": _TOP_K,
    "min_p": _SHARE,
    "typical_p": _SHARE,
    "top_n_sigma": Number(-1, 100),
    "xtc_probability": _SHARE,
    "xtc_threshold": _SHARE,
    "dynatemp_range": Number(0, 2),
    "dynatemp_exponent": Number(0, 10),
    "repeat_penalty": _PENALTY,
    "repeat_last_n": _COUNT,
    "dry_multiplier": Number(0, 10),
    "dry_base": Number(1, 10),
    "dry_allowed_length": _COUNT,
    "dry_penalty_last_n": _COUNT,
    "mirostat": OneOf(0, 1, 2),
    "mirostat_tau": Number(0, 100),
    "mirostat_eta": _SHARE,
    "adaptive_target": Number(-1, 1),
    "adaptive_decay": _SHARE,
    "min_keep": _COUNT,
    "ignore_eos": _ANY_FLAG,
    "n_indent": Number(0, 1024, whole=True),  # ends the answer at a line that is indented less
    "t_max_predict_ms": Number(0, 3_600_000, whole=True),
}
_EXTRAS: Final[Mapping[tuple[str, str], Mapping[str, Spec]]] = {
    ("vllm", "chat"): _VLLM_GENERATE,
    ("vllm", "completions"): _VLLM_GENERATE,
    ("vllm", "responses"): {
        **_VLLM,
        "frequency_penalty": Number(-2, 2),
        "presence_penalty": Number(-2, 2),
        "seed": Number(-(2**63), 2**63 - 1, whole=True),
    },
    ("sglang", "chat"): {
        **_SGLANG_GENERATE,
        "separate_reasoning": _ANY_FLAG,  # the reasoning is watched in either place
        "stream_reasoning": _ANY_FLAG,
    },
    ("sglang", "completions"): _SGLANG_GENERATE,
    ("sglang", "responses"): {**_SGLANG, "frequency_penalty": Number(-2, 2), "presence_penalty": Number(-2, 2)},
    ("llamacpp", "chat"): _LLAMACPP,
    ("llamacpp", "completions"): _LLAMACPP,
    ("llamacpp", "responses"): _LLAMACPP,
}
_REFUSED: Final[Mapping[str, Spec]] = {key: Refused(why) for key, why in REFUSED.items()}


@cache
def extra_keys(kind: str, operation: str) -> Mapping[str, Spec]:
    """What a server of this kind may be sent on this route beyond the dialect's own table, which goes before this one.

    Includes every refused key with its reason; a kind or an operation that is not listed adds nothing else.
    """
    return MappingProxyType({**_REFUSED, **_EXTRAS.get((kind, operation), {})})
