"""A tiny random model of every architecture that transformers can build as a causal language model.

    model = build("qwen3_next")          # float32, eval mode, weights so wide that logits are far apart

Sizes are set by field name, in a config and in those inside it. What a name can't decide is in `SPECIAL`. Windows and
chunks begin at `WINDOW` tokens, so a passage of 100 tokens reaches beyond them.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

VOCABULARY = 352
"""Enough for the microworld's tokenizer of 343 tokens."""
WINDOW = 40
CONTEXT = 256
LARGEST = 40_000_000
"""Parameters of what still counts as tiny."""
_HIDDEN, _INNER, _HEADS, _GROUPS, _WIDTH, _LAYERS = 32, 48, 4, 2, 8, 4

_SIZES: list[tuple[int, str]] = [
    (VOCABULARY, "vocab_size unpadded_vocab_size vocab_size_per_layer_input"),
    (
        CONTEXT,
        "max_position_embeddings n_positions n_ctx max_seq_len max_target_positions max_source_positions "
        "context_length position_bias_max_distance",
    ),
    (
        WINDOW,
        "sliding_window sliding_window_size window_size attention_window_size attention_chunk_size index_topk "
        "keep_window_size local_attention local_attention_window_len floor_scale log_scaling_n_floor",
    ),
    (
        _HIDDEN,
        "hidden_size d_model n_embd emb_dim dim_model embedding_size input_embedding_size output_embedding_size "
        "hidden_size_global hidden_size_per_layer_input pronunciation_embed_dim shape_embed_dim mamba_d_ssm lru_width "
        "router_hidden_size backbone_hidden_size out_hidden_size adapter_out_dim",
    ),
    (
        _INNER,
        "intermediate_size moe_intermediate_size decoder_ffn_dim encoder_ffn_dim ffn_dim n_inner d_inner "
        "shared_expert_intermediate_size shared_experts_intermediate_size ffn_hidden_size dim_ff dff "
        "intermediate_size_mlp shared_intermediate_size expert_ffn_hidden_size dense_intermediate_size "
        "feed_forward_size moe_shared_expert_intermediate_size prefix_dense_intermediate_size prompt_mid_dim",
    ),
    (
        _HEADS,
        "num_attention_heads n_head n_heads num_heads decoder_attention_heads encoder_attention_heads "
        "attention_heads num_encoder_attention_heads num_decoder_attention_heads swa_num_attention_heads "
        "linear_num_value_heads linear_num_heads index_n_heads num_experts n_routed_experts num_local_experts "
        "moe_num_experts position_bias_num_buckets prompt_types zero_expert_num num_encoder_heads",
    ),
    (
        _GROUPS,
        "num_key_value_heads swa_num_key_value_heads linear_num_key_heads num_experts_per_tok moe_k moe_topk "
        "n_group topk_group num_kv_heads top_k mamba_n_groups n_groups o_groups num_mem_blocks",
    ),
    (
        _WIDTH,
        "head_dim kv_lora_rank q_lora_rank qk_rope_head_dim v_head_dim qk_nope_head_dim index_head_dim "
        "linear_key_head_dim linear_value_head_dim swa_head_dim rotary_dim kv_channels linear_head_dim "
        "attention_head_size dim_head query_pre_attn_scalar state_size mamba_d_state ssm_state_size o_lora_rank "
        "laurel_rank adapter_rank d_rel rel_extent hc_lowrank gated_norm_rank global_head_dim attn_head_dim "
        "conf_num_attention_heads pronunciation_vocab_size shape_vocab_size",
    ),
    (
        _LAYERS,
        "num_hidden_layers n_layer n_layers num_layers decoder_layers encoder_layers num_encoder_layers "
        "num_decoder_layers num_blocks conf_num_hidden_layers depth max_window_layers num_global_layers",
    ),
    (16, "mamba_chunk_size chunk_size block_size local_attn_chunk_length lsh_attn_chunk_length index_block_size"),
    (1, "first_k_dense_replace num_dense_layers"),
]
_OFTEN_NONE = ("num_key_value_heads", "head_dim", "sliding_window")
_BY_NAME = {name: size for size, names in _SIZES for name in names.split()}

_LATENT = {"num_key_value_heads": _HEADS}
"""Attention with compressed keys has as many of them as queries."""
_LINEAR = ["linear_attention", "full_attention"] * 2
_TEXT = {"vocab_size": VOCABULARY, "hidden_size": _HIDDEN, "intermediate_size": _INNER, "num_hidden_layers": 2} | {
    "num_attention_heads": _HEADS,
    "num_key_value_heads": _GROUPS,
    "max_position_embeddings": CONTEXT,
    "pad_token_id": 2,
}
_VISION = {"hidden_size": _HIDDEN, "intermediate_size": _INNER, "num_hidden_layers": 1, "num_attention_heads": _HEADS}
_QSA = {"indexer_n_heads": 4, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 32} | {
    "indexer_compress_ratio": 8,
    "ngram_vocab_size_base": 50,
    "make_ngram_vocab_size_divisible_by": 8,
    "split_ngram_parts": 1,
}

SPECIAL: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        ("axk1", "axk2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa", "minicpm3"), _LATENT
    ),
    "deepseek_v2": _LATENT | {"num_experts_per_tok": 2, "n_group": 2, "topk_group": 1},
    "longcat_flash": _LATENT,
    "youtu": _LATENT,
    "bailing_hybrid": _LATENT | {"layer_group_size": 2},
    "kimi_linear": _LATENT | {"layer_types": _LINEAR},
    "dots3_note_text": _LATENT,
    "dots3_note": {"text_config.num_key_value_heads": _HEADS},
    "bamba": {"mamba_n_heads": 8, "attn_layer_indices": [1, 3]},
    "falcon_h1": {"mamba_n_heads": 4, "mamba_d_head": 8},
    "granitemoehybrid": {"mamba_n_heads": 8, "layer_types": _LINEAR},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "blt": {"encoder_hash_byte_group_vocab": 60},
    "dbrx": {"attn_config.rope_theta": 10000.0, "attn_config.kv_n_heads": 2, "ffn_config.ffn_hidden_size": _INNER}
    | {"attn_config.clip_qkv": 8.0},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "fuyu": {"text_config": _TEXT | {"model_type": "persimmon"}},
    "got_ocr2": {"text_config": _TEXT | {"model_type": "qwen2"}},
    "moss_transcribe_diarize": {"text_config": _TEXT | {"model_type": "qwen3", "head_dim": 8}},
    "gemma3": {"vision_config": _VISION | {"model_type": "siglip_vision_model"}},
    "gemma3n_text": {"layer_types": ["sliding_attention", "full_attention"] * 2, "num_kv_shared_layers": 2},
    "gemma4_assistant": {"text_config.hidden_size_per_layer_input": 0},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "qwen4_exp_text": _QSA,
    "qwen4_exp": {f"text_config.{name}": value for name, value in _QSA.items()},
    "reformer": {"is_decoder": True, "axial_pos_embds_dim": (16, 16), "axial_pos_shape": (16, 16)},
    "xlstm": {"hidden_size": 128, "chunk_size": 16},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"layers_block_type": ["mamba", "mamba", "hybrid"] * 2, "num_hidden_layers": 6},
    "zamba2": {"layers_block_type": ["mamba", "hybrid"] * 2, "intermediate_size": _INNER},
    "zaya": {"num_experts_per_tok": 1},
    "moshi": {"audio_vocab_size": 50},
}
"""What the names don't decide, by architecture; `A.B` is field B of the config A inside it."""

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "falcon (ALiBi)": ("falcon", {"alibi": True, "new_decoder_architecture": False}),
    "doge (whole)": ("doge", {"sliding_window": None}),
    "bert (decoder)": ("bert", {"is_decoder": True}),
    "phi3 (longrope)": (
        "phi3",
        {
            "original_max_position_embeddings": 64,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "short_factor": [1.0] * (_WIDTH // 2),
                "long_factor": [8.0] * (_WIDTH // 2),
                "original_max_position_embeddings": 64,
            },
        },
    ),
    "qwen2_moe (sliding window)": ("qwen2_moe", {"use_sliding_window": True, "max_window_layers": 2}),
    "qwen2 (sliding window)": ("qwen2", {"use_sliding_window": True, "max_window_layers": 2}),
}
"""Settings of an architecture that change what it attends to, by a name of their own."""

NAMES = sorted([*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *VARIANTS])


def config_of(name: str) -> Any:
    """Return the small config of an architecture or a variant."""
    architecture, changes = VARIANTS.get(name, (name, {}))
    kind = CONFIG_MAPPING[architecture]
    return kind(**_small(kind, SPECIAL.get(architecture, {}) | changes))


def _small(kind: Any, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that make a config class small."""
    defaults = {name: getattr(kind, name, None) for name in _fields(kind)}
    sizes = {
        name: _BY_NAME[name]
        for name, value in defaults.items()
        if name in _BY_NAME and ((value is None and name in _OFTEN_NONE) or _is_number(value))
    }
    sizes |= {
        name: number
        for name, number in (("bos_token_id", 2), ("eos_token_id", 3), ("pad_token_id", 0))
        if name in defaults
    }
    inside = {
        name: _small(part, {k.partition(".")[2]: v for k, v in changes.items() if k.startswith(f"{name}.")})
        for name, part in (getattr(kind, "sub_configs", None) or {}).items()
        if part.__name__ != "AutoConfig" and name in defaults
    }
    own = {name: value for name, value in changes.items() if "." not in name}
    return {name: value for name, value in (sizes | inside | own).items() if value is not ...}


def _fields(kind: Any) -> list[str]:
    return list(getattr(kind, "__dataclass_fields__", {}))


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def build(name: str, seed: int = 0, spread: float = 0.3) -> PreTrainedModel:
    """Return a model with random weights, matrices drawn from N(0, spread²).

    Raises:
        ValueError: it would have more than `LARGEST` parameters.
    """
    config = config_of(name)
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(config)
    sizes = {path: weights.numel() for path, weights in skeleton.named_parameters()}
    if sum(sizes.values()) > LARGEST:
        raise ValueError(f"{sum(sizes.values()):,} parameters: {sorted(sizes.items(), key=lambda s: -s[1])[:4]}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config_of(name))
        for weights in model.parameters():
            if weights.ndim > 1:
                torch.nn.init.normal_(weights, 0, spread)
    return model.float().eval()
