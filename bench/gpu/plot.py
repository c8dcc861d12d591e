#!/usr/bin/env python3
"""Draws time against size, qccl beside NCCL, for the three paths between two GPUs.

    bench/gpu/plot.py bench/results/h200x2/allreduce.jsonl docs/images/h200x2.png       needs gnuplot
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

PATHS = ("peer", "host memory", "sockets")
KINDS = (("float32", "#c0392b"), ("bfloat16", "#2471a3"))


def series(rows, path, dtype, key, configured):
    """[(bytes, us)]: in CUDA graphs, where all sizes were measured so, else call by call."""
    times = {True: {}, False: {}}
    for row in rows:
        if row["path"] == path and row["dtype"] == dtype and not row["in_place"] and row["blocks"] == 0 and row["configured"] == configured:
            times[row["graph"]].setdefault(row["bytes"], row[key])
    return sorted(times[times[True].keys() >= times[False].keys()].items())


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    rows = [json.loads(line) for line in open(sys.argv[1])]
    with tempfile.TemporaryDirectory() as folder:
        script = [
            "set terminal pngcairo size 1500,480 font 'sans,11'",
            f"set output '{sys.argv[2]}'",
            "set multiplot layout 1,3",
            "set logscale xy 2; set logscale y 10; set grid; set key top left",
            "set xlabel 'bytes'; set ylabel 'us'",
            "set xtics ('1K' 2**10, '16K' 2**14, '256K' 2**18, '4M' 2**22, '64M' 2**26)",
        ]
        for path in PATHS:
            curves = []
            for dtype, color in KINDS:
                for name, key, configured, style in (
                    ("NCCL", "nccl_us", "int8", "dt 2"),
                    ("qccl exact", "time_us", "none", "dt 3"),
                    ("qccl int8", "time_us", "int8", "dt 1"),
                ):
                    points = series(rows, path, dtype, key, configured)
                    if not points:
                        continue
                    file = Path(folder) / f"{path}{dtype}{configured}{key}".replace(" ", "-")
                    file.write_text("".join(f"{size} {time}\n" for size, time in points))
                    curves.append(f"'{file}' with linespoints {style} lw 2 pt 7 ps 0.5 lc rgb '{color}' title '{name}, {dtype}'")
            script.append(f"set title 'all-reduce, 2 GPUs: {path}'")
            script.append("plot " + ", ".join(curves))
        subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True)


if __name__ == "__main__":
    main()
