#!/usr/bin/env python3
"""Makes the reference values of the trainer's parity tests with transformers' LlamaForCausalLM (FP32, CPU).

Needs torch and transformers. Without arguments it writes tests/trainer/golden/*.safetensors; --out chooses another folder.

Weights, tokens and masks are not stored: both sides make them from a formula. With
    fnv(name)   the 64-bit FNV-1a hash of a name,
    mix(x)      x ^= x >> 30; x *= 0xbf58476d1ce4e5b9; x ^= x >> 27; x *= 0x94d049bb133111eb; x ^= x >> 31   (64-bit, wrapping),
    u(name, i)  the upper 24 bits of mix(fnv(name) + (i + 1) * 0x9e3779b97f4a7c15), divided by 2^24,
element i of the matrix `name` is 0.3 * (2 u - 1), of a norm's weight 1 + 0.3 * (2 u - 1), in FP32 arithmetic; token i is floor(u("tokens", i) * vocab), and
label i is the token, or -100 where u("mask", i) < 1/7. The i-th target is the label that follows token i in its sequence, -100 after the last.

Each file holds the tensors "logits" (batch, sequence, vocab), "loss" (1) and "grad.<parameter>", and as metadata "config" (a config.json), "batch" and "seq".
"""

import argparse
import json
import pathlib

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

BASE = dict(model_type="llama", architectures=["LlamaForCausalLM"], hidden_act="silu", rms_norm_eps=1e-5, rope_theta=10000.0,
            max_position_embeddings=128, tie_word_embeddings=False)

CASES = {
    # grouped K/V, untied, odd widths
    "grouped_untied": (dict(vocab_size=99, hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
                            num_key_value_heads=2), 2, 13),
    # every head its own K/V, tied, another theta and epsilon
    "full_tied": (dict(vocab_size=64, hidden_size=48, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=3,
                       rope_theta=500000.0, rms_norm_eps=1e-6, tie_word_embeddings=True), 3, 17),
    # one K/V head, heads * head_dim != hidden, a sequence longer than one block of queries
    "single_kv_long": (dict(vocab_size=99, hidden_size=40, intermediate_size=37, num_hidden_layers=2, num_attention_heads=5, num_key_value_heads=1,
                            head_dim=6, tie_word_embeddings=True), 2, 70),
    "rope_llama3": (dict(vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
                         head_dim=32, rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                                        original_max_position_embeddings=64)), 1, 100),
    "rope_linear": (dict(vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=4,
                         rope_scaling=dict(rope_type="linear", factor=2.5)), 2, 33),
    # a sequence of exactly two blocks of queries
    "one_layer_blocks": (dict(vocab_size=33, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
                              num_key_value_heads=2), 1, 128),
}


def fnv(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def u(name, count):
    """u(name, 0) ... u(name, count - 1), exact in FP32."""
    with np.errstate(over="ignore"):
        x = np.uint64(fnv(name)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)


def weights(name, shape):
    spread = np.float32(0.3) * (np.float32(2) * u(name, int(np.prod(shape))) - np.float32(1))
    if len(shape) == 1:
        spread = np.float32(1) + spread
    return torch.from_numpy(spread.reshape(shape))


def make(config_json, batch, seq):
    config = transformers.LlamaConfig(**{k: v for k, v in config_json.items() if k not in ("architectures", "model_type")})
    config._attn_implementation = "eager"
    model = transformers.LlamaForCausalLM(config).float().train()
    for name, parameter in model.named_parameters():
        parameter.data.copy_(weights(name, tuple(parameter.shape)))

    count = batch * seq
    tokens = np.floor(u("tokens", count) * np.float32(config_json["vocab_size"])).astype(np.int64)
    labels = np.where(u("mask", count) < np.float32(1 / 7), -100, tokens)
    ids = torch.from_numpy(tokens.reshape(batch, seq))
    result = model(input_ids=ids, labels=torch.from_numpy(labels.reshape(batch, seq)), use_cache=False)
    result.loss.backward()

    tensors = {"logits": result.logits.detach().contiguous(), "loss": result.loss.detach().reshape(1)}
    for name, parameter in model.named_parameters():
        tensors["grad." + name] = parameter.grad.contiguous()
    return tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent / "tests" / "trainer" / "golden")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for case, (shape, batch, seq) in CASES.items():
        config_json = BASE | shape
        metadata = {"config": json.dumps(config_json), "batch": str(batch), "seq": str(seq)}
        save_file(make(config_json, batch, seq), out / f"{case}.safetensors", metadata=metadata)
        print(f"{case}: {(out / f'{case}.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()
