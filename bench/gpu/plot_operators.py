#!/usr/bin/env python3
"""Draws how fast the operators on saved activations are, as a share of the GPU's own copy of as many bytes.

    bench/gpu/plot_operators.py bench/results/h200/activation.jsonl docs/images/h200-activations.png       needs gnuplot
"""
import json
import subprocess
import sys

COLORS = {"bfloat16": ("#1a5276", "#2e86c1", "#aed6f1"), "float32": ("#7b241c", "#cb4335", "#f1948a")}
TARGET = 85  # percent


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    rows = [row for row in map(json.loads, open(sys.argv[1])) if "operator" in row]
    operators = list(dict.fromkeys(row["operator"] for row in rows))
    kinds = list(dict.fromkeys((row["dtype"], row["codec"]) for row in rows))
    share = {(row["operator"], row["dtype"], row["codec"]): 100 * row["share_of_copy"] for row in rows}
    titles = [f'"{dtype}, {codec}"' for dtype, codec in kinds]
    table = [" ".join(["operator", *titles])]
    for operator in operators:
        label = operator.replace(" + ", "\\n+ ").replace("RMSNorm ", "RMSNorm\\n").replace("SwiGLU ", "SwiGLU\\n")
        table.append(f'"{label}" ' + " ".join(f"{share[(operator, *kind)]:.2f}" for kind in kinds))
    bars = []
    used = dict.fromkeys(COLORS, 0)
    for column, (dtype, _) in enumerate(kinds, 2):
        color = COLORS[dtype][used[dtype] % 3]
        used[dtype] += 1
        bars.append(f"$rows using {column}:xtic(1) title columnheader({column}) lc rgb '{color}'")
    script = [
        "set terminal pngcairo size 1300,460 font 'sans,11'",
        f"set output '{sys.argv[2]}'",
        "set style data histograms; set style histogram clustered gap 1.5; set style fill solid border -1",
        "set yrange [0:100]; set ytics 10; set bmargin 4; set grid y; set ylabel '% of the copy'",
        "set key outside right top; set title '8192 tokens of Llama-3-8B on one H200, blocks of 128'",
        "$rows << END",
        *table,
        "END",
        "plot " + ", ".join(bars) + f", {TARGET} with lines dt 2 lc rgb 'black' title '{TARGET} %'",
    ]
    subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True)


if __name__ == "__main__":
    main()
