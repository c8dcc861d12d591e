"""Loads the checkpoint that `trainer_interop write` made with transformers, compares logits, and saves it again in ways that our reader must take.

check_interop.py WRITTEN OUT      OUT/sharded: several files; OUT/half: BF16 weights; OUT/reference.safetensors: logits of OUT/half by transformers
check_interop.py --compare A B    the logits in two files, 1e-4 apart at most
"""

import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file

TOLERANCE = 1e-4


def difference(a, b):
    return (a - b).abs().max().item()


def logits(model, vocab):
    ids = torch.tensor([[7 * i % vocab for i in range(30)]])
    with torch.no_grad():
        return model(input_ids=ids).logits.float()


def main():
    if sys.argv[1] == "--compare":
        apart = difference(load_file(sys.argv[2])["logits"], load_file(sys.argv[3])["logits"])
        print(f"logits are {apart:.2e} apart")
        return 0 if apart <= TOLERANCE else 1

    written, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    model, report = transformers.LlamaForCausalLM.from_pretrained(written, dtype=torch.float32, output_loading_info=True)
    model.eval()
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            print(f"transformers reports {kind}: {report[kind]}")
            return 1
    ours = json.loads((written / "config.json").read_text())
    for key in ("hidden_size", "head_dim", "num_key_value_heads", "rms_norm_eps", "bos_token_id", "eos_token_id", "max_position_embeddings"):
        if getattr(model.config, key) != ours[key]:
            print(f"transformers reads {key} as {getattr(model.config, key)}, not {ours[key]}")
            return 1
    apart = difference(logits(model, ours["vocab_size"]), load_file(written / "logits.safetensors")["logits"])
    print(f"our checkpoint in transformers: logits are {apart:.2e} apart")
    if apart > TOLERANCE:
        return 1

    model.save_pretrained(out / "sharded", max_shard_size="40KB")
    if not (out / "sharded" / "model.safetensors.index.json").exists():
        print("transformers did not write several files")
        return 1
    model.to(torch.bfloat16).save_pretrained(out / "half")
    # Loaded anew: the conversion also rounded the rotary frequencies, which are no weights.
    half = transformers.LlamaForCausalLM.from_pretrained(out / "half", dtype=torch.float32).eval()
    save_file({"logits": logits(half, ours["vocab_size"])}, out / "reference.safetensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
