#!/usr/bin/env python3
"""What qccl.measure predicts, and what is then true, on small random models of many architectures: error of the gradient of all parameters
when everything is kept in one codec, and under the plan that is solved for the same bytes.

    python bench/torch_architectures.py                    # on the host, a minute
    python bench/torch_architectures.py --device cuda --models gpt2 t5 --by kind
    python bench/torch_architectures.py --age 200          # after so many steps of Adam: how true the plan of the beginning still is

qccl is the installed package, or PYTHONPATH=plugins/torch LIBQCCL_PATH=build/lib/libqccl.so.0. Nothing is downloaded. Columns: saved tensors
that a plan decides about, passes; for the bytes of each codec: error with that codec for all, error of the solved plan, and what was
predicted for it over that. With --age: losses, and for the bytes of int5 errors at the end: int5 for all, the plan of the beginning, and one
that is measured anew.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import torch
import transformers as tf
from torch import nn
from torch.nn import functional

import qccl

CODECS = ("int4", "int5", "int6", "int8")
Step = Callable[[], torch.Tensor]


def language(config: tf.PretrainedConfig, model: type, device: str) -> tuple[nn.Module, Step]:
    config._attn_implementation = "eager"
    net = model(config).to(device).train()
    tokens = torch.randint(0, 256, (2, 64), device=device)
    return net, lambda: net(input_ids=tokens, labels=tokens.clone()).loss


def gpt2(device: str, **more: object) -> tuple[nn.Module, Step]:
    none = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    config = tf.GPT2Config(n_layer=3, n_head=4, n_embd=64, vocab_size=256, n_positions=64, **{**none, **more})
    return language(config, tf.GPT2LMHeadModel, device)


def gpt2_dropout(device: str) -> tuple[nn.Module, Step]:
    return gpt2(device, resid_pdrop=0.1, embd_pdrop=0.1, attn_pdrop=0.1)


def gpt2_relu(device: str) -> tuple[nn.Module, Step]:
    return gpt2(device, activation_function="relu")


def gpt2_bfloat16(device: str) -> tuple[nn.Module, Step]:
    net, step = gpt2(device)
    return net.bfloat16(), step


def bert(device: str) -> tuple[nn.Module, Step]:
    shape = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 256}
    return language(tf.BertConfig(**shape, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0), tf.BertForMaskedLM, device)


def t5(device: str) -> tuple[nn.Module, Step]:
    shape = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "vocab_size": 256, "decoder_start_token_id": 0}
    return language(tf.T5Config(**shape, dropout_rate=0.0), tf.T5ForConditionalGeneration, device)


def opt(device: str) -> tuple[nn.Module, Step]:
    shape = {"hidden_size": 64, "num_hidden_layers": 3, "ffn_dim": 128, "num_attention_heads": 4, "vocab_size": 256}
    return language(tf.OPTConfig(**shape, word_embed_proj_dim=64, max_position_embeddings=64, dropout=0.0), tf.OPTForCausalLM, device)


def llama(device: str) -> tuple[nn.Module, Step]:
    shape = {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2}
    return language(tf.LlamaConfig(**shape, vocab_size=256, max_position_embeddings=64), tf.LlamaForCausalLM, device)


def mixtral(device: str) -> tuple[nn.Module, Step]:
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = tf.MixtralConfig(**shape, num_local_experts=4, vocab_size=256, max_position_embeddings=64)
    return language(config, tf.MixtralForCausalLM, device)


def vit(device: str) -> tuple[nn.Module, Step]:
    shape = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128, "image_size": 32}
    config = tf.ViTConfig(**shape, patch_size=4, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=10)
    config._attn_implementation = "eager"
    net = tf.ViTForImageClassification(config).to(device).train()
    pictures, labels = torch.randn(8, 3, 32, 32, device=device), torch.randint(0, 10, (8,), device=device)
    return net, lambda: net(pixel_values=pictures, labels=labels).loss


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels) for _ in range(2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norms[0](self.first(x)).relu_()
        return self.norms[1](self.second(y)).add_(x).relu_()


def resnet(device: str) -> tuple[nn.Module, Step]:
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)]
    net = nn.Sequential(nn.Conv2d(3, 16, 3), *[Residual(16) for _ in range(3)], *head).to(device)
    pictures, labels = torch.randn(16, 3, 32, 32, device=device), torch.randint(0, 10, (16,), device=device)
    return net, lambda: functional.cross_entropy(net(pictures), labels)


def lstm(device: str) -> tuple[nn.Module, Step]:
    """Of cells: cuDNN's LSTM keeps what it saves out of reach."""
    net = nn.ModuleDict({"cell": nn.LSTMCell(64, 64), "head": nn.Linear(64, 10)}).to(device)
    x, labels = torch.randn(16, 128, 64, device=device), torch.randint(0, 10, (128,), device=device)

    def step() -> torch.Tensor:
        state = None
        for part in x:
            state = net["cell"](part, state)
        return functional.cross_entropy(net["head"](state[0]), labels)

    return net, step


MODELS: list[Callable[[str], tuple[nn.Module, Step]]] = [
    llama, gpt2, gpt2_dropout, gpt2_relu, gpt2_bfloat16, bert, t5, opt, mixtral, vit, resnet, lstm,
]  # fmt: skip


def train(model: nn.Module, step: Step, steps: int) -> tuple[float, float]:
    """On the one batch, exactly; the losses of the first step and the last."""
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = step()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    optimizer.zero_grad()
    return losses[0], losses[-1]


def age(args: argparse.Namespace) -> None:
    print(f"{'model':<14}{'first loss':>11}{'last':>8}{'int5':>9}{'old plan':>10}{'new plan':>10}")
    for make in (model for model in MODELS if model.__name__ in args.models):
        torch.manual_seed(0)
        model, step = make(args.device)
        old = measure(model, step, args)
        first, last = train(model, step, args.age)
        new = measure(model, step, args)
        errors = [qccl.gradient_error(step, model, "int5", min_elems=args.min_elems)]
        errors += [qccl.gradient_error(step, model, measured.solve(measured.bytes_in("int5"))) for measured in (old, new)]
        print(f"{make.__name__:<14}{first:>11.3f}{last:>8.3f}{errors[0]:>9.4f}{errors[1]:>10.4f}{errors[2]:>10.4f}", flush=True)


def measure(model: nn.Module, step: Step, args: argparse.Namespace) -> qccl.Measured:
    torch.manual_seed(1)
    return qccl.measure(step, model, by=args.by, min_elems=args.min_elems)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [model.__name__ for model in MODELS]
    parser.add_argument("--models", nargs="+", default=names, choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--by", default="tensor", choices=["tensor", "kind"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--min-elems", type=int, default=256)
    parser.add_argument("--age", type=int, metavar="STEPS", help="train for so many steps first")
    parser.add_argument("--json", metavar="FILE", help="the same without --age, a line for each model and codec")
    args = parser.parse_args()
    if args.age:
        age(args)
        return

    print(f"{'model':<14}{'tensors':>8}{'passes':>8}  " + "".join(f"| {codec:>7}{'solved':>9}{'pred.':>7} " for codec in CODECS))
    lines = []
    for make in (model for model in MODELS if model.__name__ in args.models):
        torch.manual_seed(0)
        model, step = make(args.device)
        measured = measure(model, step, args)
        cells, tensors = "", 0
        for codec in CODECS:
            plan = measured.solve(max(measured.bytes_in(codec), measured.least_bytes))
            uniform = qccl.gradient_error(step, model, codec, min_elems=args.min_elems)
            solved = qccl.gradient_error(step, model, plan)
            tensors = sum(len(row.codecs) for row in plan.rows)
            cells += f"| {uniform:>7.4f}{solved:>9.4f}{plan.predicted_error / solved:>7.2f} "
            lines.append(
                {"model": make.__name__, "by": args.by, "bytes_of": codec, "bytes": plan.bytes, "error": uniform, "solved": solved,
                 "predicted": plan.predicted_error, "tensors": tensors, "passes": measured.passes, "noise": measured.noise}
            )  # fmt: skip
        print(f"{make.__name__:<14}{tensors:>8}{measured.passes:>8}  {cells}", flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


if __name__ == "__main__":
    main()
