"""The sizes: those we serve (10M, 50M, 100M), and those that only the scaling curve needs (runs/scaling.toml).

Widths are those that run fast on a CPU: few wide blocks, one KV head, tables that cost no time."""

from __future__ import annotations

from stlm.config import ModelConfig

TIERS: dict[str, ModelConfig] = {
    config.name: config
    for config in (
        ModelConfig(
            name="stlm-tiny", width=64, layers=2, heads=1, kv_heads=1, mlp=128,
            local_width=32, local_mlp=64, local_blocks=1, words_rows=512, pairs_rows=512, context=128,
        ),
        ModelConfig(
            name="stlm-1m", width=128, layers=2, heads=2, kv_heads=1, mlp=512,
            local_width=64, local_mlp=192, local_blocks=1, words_rows=3072, pairs_rows=3072,
        ),
        ModelConfig(
            name="stlm-3m", width=256, layers=2, heads=4, kv_heads=1, mlp=1024,
            local_width=96, local_mlp=288, local_blocks=1, words_rows=6144, pairs_rows=6144,
        ),
        ModelConfig(
            name="stlm-10m", width=384, layers=2, heads=6, kv_heads=1, mlp=1536,
            local_width=192, local_mlp=576, local_blocks=1, words_rows=16384, pairs_rows=16384,
        ),
        ModelConfig(
            name="stlm-30m", width=512, layers=5, heads=8, kv_heads=1, mlp=2048,
            local_width=288, local_mlp=864, local_blocks=1, words_rows=24576, pairs_rows=24576,
        ),
        ModelConfig(
            name="stlm-50m", width=576, layers=4, heads=9, kv_heads=1, mlp=2304,
            local_width=256, local_mlp=768, local_blocks=1, words_rows=65536, pairs_rows=65536,
        ),
        ModelConfig(
            name="stlm-100m", width=768, layers=5, heads=12, kv_heads=1, mlp=3072,
            local_width=512, local_mlp=1536, local_blocks=1, words_rows=65536, pairs_rows=65536,
        ),
        ModelConfig(
            name="stlm-300m", width=1280, layers=12, heads=20, kv_heads=1, mlp=5120,
            local_width=768, local_mlp=2304, local_blocks=1, words_rows=65536, pairs_rows=65536,
        ),
    )
}  # fmt: skip
