#!/usr/bin/env python3
"""Prints the rows that bench/gpu/run.sh measured as the tables of bench/results/h200x2.md.

    bench/gpu/tables.py bench/results/h200x2/allreduce.jsonl
"""
import json
import sys

PATHS = ("peer", "host memory", "sockets")
TYPES = (("float32", "float"), ("bfloat16", "bfloat16"))
BLOCKS = (8, 16, 32, 64)


def size(count):
    for unit, name in ((2**20, "MiB"), (2**10, "KiB")):
        if count >= unit:
            return f"{count // unit} {name}"
    return f"{count} B"


def codec(row):
    return "NCCL's own" if row["algo"] == "nccl" else f"{row['algo']}, {'exact' if row['codec'] == 'none' else row['codec']}"


def table(title, rows):
    """One line a size: out of place, then in place."""
    print(f"### {title}\n")
    print("| size | algorithm, codec | qccl, us | 95 % of them, us | NCCL, us | ratio | in place: qccl, us | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for row in (r for r in rows if not r["in_place"]):
        within = [r for r in rows if r["in_place"] and (r["bytes"], codec(r)) == (row["bytes"], codec(row))]
        last = f"{within[0]['time_us']:.1f} | {within[0]['ratio']:.2f}" if within else "|"
        print(f"| {size(row['bytes'])} | {codec(row)} | {row['time_us']:.1f} | {row['p95_us']:.1f} | {row['nccl_us']:.1f} | {row['ratio']:.2f} | {last} |")
    print()


def thread_blocks(rows):
    print("### int8, fewer thread blocks (`QCCL_THREAD_BLOCKS`): us (ratio)\n")
    columns = sorted({(r["dtype"], r["bytes"]) for r in rows}, reverse=True)
    names = dict(TYPES)
    print("| thread blocks | " + " | ".join(f"{names[dtype]}, {size(count)}" for dtype, count in columns) + " |")
    print("|---|" + "---|" * len(columns))
    for blocks in BLOCKS:
        cells = []
        for column in columns:
            found = [r for r in rows if r["blocks"] == blocks and (r["dtype"], r["bytes"]) == column and not r["in_place"]]
            cells.append(f"{found[0]['time_us']:.0f} ({found[0]['ratio']:.2f})" if found else "")
        print(f"| {blocks} | " + " | ".join(cells) + " |")
    print()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rows = [json.loads(line) for line in open(sys.argv[1])]
    usual = [r for r in rows if r["transport"] == "inproc" and r["blocks"] == 0 and (r["configured"], r["algo"]) != ("int8", "twoshot")]
    usual = [r for r in usual if r["configured"] in ("int8", "none")]
    for configured in ("int8", "none"):
        for path in PATHS:
            for dtype, name in TYPES:
                for graph in (True, False):
                    wanted = (configured, path, dtype, graph)
                    chosen = [r for r in usual if (r["configured"], r["path"], r["dtype"], bool(r["graph"])) == wanted]
                    if chosen:
                        exact = ", exact" if configured == "none" else ""
                        table(f"{name}{exact}, {path}, {'in CUDA graphs' if graph else 'call by call'}", chosen)
    thread_blocks([r for r in rows if r["blocks"] > 0])
    for row in rows:
        if row not in usual and row["blocks"] == 0 and not row["in_place"]:
            print(f"{row['path']} {row['transport']} {row['dtype']} {size(row['bytes'])} {codec(row)} graph {row['graph']}: {row['time_us']:.1f} us, {row['ratio']:.2f}")


if __name__ == "__main__":
    main()
