#!/usr/bin/env python3
"""Memory, time and gradients of a transformers LLaMA with and without qccl.activations: forward and backward of one batch of random
tokens, with random weights; nothing is downloaded.

    python bench/torch_activations.py                      # 1.1B parameters, 4096 tokens, bfloat16, on the GPU
    python bench/torch_activations.py --plans int8 int4 --tokens 2048 --layers 8
    python bench/torch_activations.py --plans int5 auto:int5     # what qccl.measure solves for the bytes that int5 takes
    python bench/torch_activations.py --device cpu --hidden 128 --ffn 352 --layers 2 --heads 4 --kv-heads 2 --vocab 512 --tokens 128

qccl is the installed package, or PYTHONPATH=plugins/torch LIBQCCL_PATH=build/lib/libqccl.so.0. The first line of the table is PyTorch
alone, "recompute" its gradient checkpointing of whole layers. Columns:

    saved       what forward leaves allocated for backward, MiB: PyTorch's own, and the pool's codes and scales
    peak        the most that PyTorch had allocated in a step, and what the pool has reserved, MiB; their sum is at least the true peak
    step        median of forward and backward, ms
    cosine      least over the parameters, of gradients with those of PyTorch alone
    error       largest over the parameters, relative norm of the difference; "all" of all parameters together
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time

import torch
import transformers

import qccl

MIB = 1 << 20


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", nargs="+", default=["recompute", "int8", "int4"], help="codecs, recompute, or auto:CODEC")
    parser.add_argument("--by", default="tensor", choices=["tensor", "kind"], help="what auto measures")
    for name, default in [("hidden", 2048), ("ffn", 5632), ("layers", 22), ("heads", 32), ("kv-heads", 4), ("vocab", 32000)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--tokens", type=int, default=4096, help="of a sequence")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--block", type=int, default=128)
    parser.add_argument("--scale", default="bfloat16")
    parser.add_argument("--min-elems", type=int, default=4096)
    parser.add_argument("--attention", default="sdpa", help="attn_implementation of transformers")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float16", "float32"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=5, help="timed ones, after one that is not")
    parser.add_argument("--json", metavar="FILE", help="the same, for programs")
    parser.add_argument("--trace", metavar="PREFIX", help="record the pools' calls for pool-bench, a file for each plan")
    return parser.parse_args()


class Run:
    """One model and one batch, gone through under different plans."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.options = {"block": args.block, "scale": args.scale, "min_elems": args.min_elems}
        self.measured: qccl.Measured | None = None
        self.device = torch.device(args.device)
        self.on_gpu = self.device.type == "cuda"
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=args.vocab, hidden_size=args.hidden, intermediate_size=args.ffn, num_hidden_layers=args.layers,
            num_attention_heads=args.heads, num_key_value_heads=args.kv_heads, max_position_embeddings=args.tokens, use_cache=False,
            attn_implementation=args.attention,
        )  # fmt: skip
        # Made on the GPU where PyTorch can do that (2.0): a billion random numbers take the host a while.
        with self.device if hasattr(torch.device, "__enter__") else contextlib.nullcontext():
            self.model = transformers.LlamaForCausalLM(config).to(self.device, getattr(torch, args.dtype)).train()
            self.tokens = torch.randint(0, args.vocab, (args.batch, args.tokens)).to(self.device)
        self.elems = sum(parameter.numel() for parameter in self.model.parameters())
        for parameter in self.model.parameters():
            parameter.grad = torch.zeros_like(parameter)  # there from the first step on, so that peaks can be compared

    def allocated(self) -> int:
        return torch.cuda.memory_allocated(self.device) if self.on_gpu else 0

    def step(self, context: contextlib.AbstractContextManager) -> dict[str, float]:
        for parameter in self.model.parameters():
            parameter.grad.zero_()
        self.synchronize()
        before, begin = self.allocated(), time.perf_counter()
        with context:
            loss = self.model(input_ids=self.tokens, labels=self.tokens).loss
        saved = self.allocated() - before, qccl.pool_stats(self.device)["used_bytes"]
        loss.backward()
        self.synchronize()
        return {"loss": float(loss.detach()), "ms": (time.perf_counter() - begin) * 1000, "torch_saved": saved[0], "pool_saved": saved[1]}

    def synchronize(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def measure(self, plan: str) -> dict:
        context = contextlib.nullcontext()
        if plan == "recompute":
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        elif plan != "exact":
            context = self.solved(plan) if plan.startswith("auto:") else qccl.activations(plan, **self.options)
        try:
            self.step(context)
            if self.on_gpu:
                torch.cuda.reset_peak_memory_stats(self.device)
            if isinstance(context, qccl.activations):
                context.reset()
            first = self.step(context)
            report = context.report() if isinstance(context, qccl.activations) else None
            row = {
                "plan": plan, "loss": first["loss"], "torch_saved_bytes": first["torch_saved"], "pool_saved_bytes": first["pool_saved"],
                "torch_peak_bytes": torch.cuda.max_memory_allocated(self.device) if self.on_gpu else 0,
                "pool_reserved_bytes": qccl.pool_stats(self.device)["reserved_bytes"],
                "report": report and report.as_dict(), "text": str(report or ""),
            }  # fmt: skip
            times = [self.step(context)["ms"] for _ in range(self.args.steps)]
            return {**row, "step_ms": statistics.median(times), "step_ms_all": times}
        finally:
            if plan == "recompute":
                self.model.gradient_checkpointing_disable()
            qccl.release_pools()  # each plan begins without what another one reserved
            if self.on_gpu:
                torch.cuda.empty_cache()

    def solved(self, plan: str) -> qccl.activations:
        """Of least error for the bytes of all tensors in one codec."""
        if self.measured is None:
            begin = time.perf_counter()
            self.measured = qccl.measure(
                lambda: self.model(input_ids=self.tokens, labels=self.tokens).loss, self.model, by=self.args.by, **self.options
            )
            took = f"{time.perf_counter() - begin:.1f} s, {self.measured.passes} passes"
            print(f"           measured in {took}; exact gradients differ by {self.measured.noise:.1e}")
        solved = self.measured.solve(self.measured.bytes_in(plan.split(":")[1]))
        print(f"\n{plan}\n{solved}\n")
        return qccl.activations(solved)

    def gradients(self) -> list[torch.Tensor]:
        return [parameter.grad.to("cpu", copy=True) for parameter in self.model.parameters()]

    def compare(self, exact: list[torch.Tensor]) -> dict[str, float]:
        """Of the gradients of the last step with those of PyTorch alone."""
        cosine, error, off, all_ = 1.0, 0.0, 0.0, 0.0
        for parameter, kept in zip(self.model.parameters(), exact):
            got, want = parameter.grad.float().flatten(), kept.to(self.device).float().flatten()
            difference, norm = float((got - want).norm()), float(want.norm())
            off, all_ = off + difference**2, all_ + norm**2
            if norm > 0:
                error = max(error, difference / norm)
                cosine = min(cosine, float(got @ want) / max(norm * float(got.norm()), 1e-30))
        return {"cosine_least": cosine, "error_largest": error, "error_all": (off / all_) ** 0.5}


def main() -> None:
    args = arguments()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("torch_activations: PyTorch sees no GPU here; try --device cpu with a small shape")
    qccl.trace_pools(args.trace)
    run = Run(args)
    where = torch.cuda.get_device_name(run.device) if run.on_gpu else "host memory"
    print(
        f"{run.elems:,} parameters in {args.dtype}, {args.batch} x {args.tokens} tokens, {args.attention}; {where}; "
        f"PyTorch {torch.__version__}, transformers {transformers.__version__}, qccl {qccl.version()}; "
        f"blocks of {args.block}, scales {args.scale}\n"
    )
    titles = f"{'plan':<10}{'saved: torch':>14}{'pool':>9}{'peak: torch':>13}{'pool':>9}"
    print(f"{titles}{'step':>9}{'of exact':>10}{'cosine':>10}{'error':>9}{'all':>9}")
    rows, exact = [], None
    for plan in ["exact", *args.plans]:
        row = run.measure(plan)
        exact = run.gradients() if exact is None else exact
        row.update(run.compare(exact))
        rows.append(row)
        memory = [row[name] / MIB for name in ("torch_saved_bytes", "pool_saved_bytes", "torch_peak_bytes", "pool_reserved_bytes")]
        cells = [
            f"{plan:<10}{memory[0]:>14,.1f}{memory[1]:>9,.1f}{memory[2]:>13,.1f}{memory[3]:>9,.1f}",
            f"{row['step_ms']:>9,.1f}{row['step_ms'] / rows[0]['step_ms']:>10.3f}",
            f"{row['cosine_least']:>10.5f}{row['error_largest']:>9.4f}{row['error_all']:>9.4f}",
        ]
        print("".join(cells), flush=True)
        if row["loss"] != rows[0]["loss"]:
            print(f"           the loss is {row['loss']} instead of {rows[0]['loss']}")
    for row in rows:
        if row["text"]:
            print(f"\n{row['plan']}, one step:\n{row['text']}")
    if args.json:
        facts = {"arguments": vars(args), "device": where, "torch": torch.__version__, "parameters": run.elems, "rows": rows}
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(facts, file, indent=1)


if __name__ == "__main__":
    main()
