#!/usr/bin/env python3
"""Tables (markdown, to standard output) and plots of what qccl-numerics wrote as JSON lines: tables.py results.jsonl [--plots FOLDER]"""
import argparse
import json
import math
import pathlib
import subprocess

ALGORITHMS = ["oneshot", "twoshot", "hier", "tree", "ring"]
CODECS = ["int8", "int6", "int5", "int4", "fp8e4m3", "fp8e5m2", "fp4e2m1"]
BYTES_COLORS = ["#0072b2", "#009e73", "#56b4e9", "#e69f00", "#d55e00", "#cc79a7", "#666666"]
COLORS = {"oneshot": "#0072b2", "twoshot": "#009e73", "hier": "#56b4e9", "tree": "#e69f00", "ring": "#d55e00", "bf16": "#666666"}


def table(title, header, rows):
    print(f"\n### {title}\n")
    print("| " + " | ".join(map(str, header)) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")


def unique(lines, key):
    return list(dict.fromkeys(line[key] for line in lines))



def name_of(line):
    return f"{line['dtype']} ring" if line["codec"] == "none" else line["algo"]


class Rows:
    def __init__(self, lines):
        self.lines = lines

    def where(self, **wanted):
        return Rows([line for line in self.lines if all(line.get(key) == value for key, value in wanted.items())])

    def one(self, **wanted):
        found = self.where(**wanted).lines
        return found[0] if found else None

    def snr(self, **wanted):
        line = self.one(**wanted)
        return "" if line is None else f"{line['snr_db']:.1f}"


def algorithms(rows):
    rows = rows.where(table="algorithms")
    if not rows.lines:
        return
    ranks = sorted(unique(rows.lines, "ranks"))

    def cell(line):
        if line is None:
            return ""
        if line["predicted_snr_db"] is None:
            return f"{line['snr_db']:.1f}"
        return f"{line['snr_db']:.1f} ({line['predicted_snr_db']:.1f})"

    out = []
    for algorithm in ALGORITHMS:
        out.append([f"int8 {algorithm}"] + [cell(rows.one(codec="int8", algo=algorithm, ranks=w)) for w in ranks])
    for dtype in ("bfloat16", "float32"):
        out.append([f"{dtype} ring, exact path"] + [cell(rows.one(codec="none", dtype=dtype, ranks=w)) for w in ranks])
    table("Algorithms: SNR in dB, measured (predicted); int8, block 256, normal values", ["W ="] + ranks, out)

    worst = []
    for w in (8, 64):
        for codec in CODECS + ["bf16"]:
            worst.append([w, codec] + [cell(rows.one(codec=codec, algo=algorithm, ranks=w)) for algorithm in ALGORITHMS])
    table("Codecs: SNR in dB, measured (predicted); block 256, normal values", ["W", "codec"] + ALGORITHMS, worst)

    out = []
    for codec in CODECS + ["bf16"]:
        of_codec = rows.where(codec=codec).lines
        if not of_codec:
            continue
        off = max(of_codec, key=lambda line: abs(line["snr_db"] - line["predicted_snr_db"]))
        out.append([codec, f"{off['snr_db'] - off['predicted_snr_db']:+.2f}", f"{off['algo']}, W = {off['ranks']}", f"{max(line['snr_sd'] for line in of_codec):.2f}"])
    table("Prediction: largest difference, measured - predicted, dB", ["codec", "difference", "at", "largest deviation of a row over repetitions"], out)


def blocks(rows):
    rows = rows.where(table="blocks")
    sizes = sorted(unique(rows.lines, "block"))
    for data in unique(rows.lines, "data"):
        out = [[codec] + [rows.snr(codec=codec, data=data, block=size) for size in sizes] for codec in CODECS]
        table(f"Blocks: SNR in dB; twoshot, W = 8, {data} values", ["block"] + sizes, out)
    out = []
    for codec in ("int8", "int4"):
        out.append([codec] + [f"{rows.one(codec=codec, block=size, data='normal')['bytes_per_value']:.4f}" for size in sizes if rows.one(codec=codec, block=size)])
    table("Blocks: bytes a value, FP32 scales", ["block"] + sizes, out)


def scales(rows):
    rows = rows.where(table="scales")
    out = []
    for block in sorted(unique(rows.lines, "block")):
        for codec in CODECS:
            row = [block, codec]
            for scale in ("float32", "bfloat16", "e8m0"):
                line = rows.one(codec=codec, block=block, scale=scale)
                row += ["", ""] if line is None else [f"{line['snr_db']:.1f} ({line['predicted_snr_db']:.1f})", f"{line['bytes_per_value']:.4f}"]
            out.append(row)
    table("Scales: SNR in dB, measured (predicted), and bytes a value; twoshot, W = 8, normal values",
          ["block", "codec", "float32", "B", "bfloat16", "B", "e8m0", "B"], out)


def rounding(rows):
    rows = rows.where(table="rounding")

    def error(line, key, se):
        return f"{line[key] * 1e4:+.2f} ± {line[se] * 1e4:.2f}"

    for signs in unique(rows.lines, "signs"):
        out = []
        for codec in unique(rows.lines, "codec"):
            for algorithm in ("oneshot", "twoshot", "ring"):
                row = [codec, algorithm]
                for kind in ("nearest", "stochastic"):
                    line = rows.one(codec=codec, algo=algorithm, rounding=kind, signs=signs)
                    if line:
                        row += [f"{line['snr_db']:.1f}", error(line, "bias", "bias_se"), error(line, "slope_minus_1", "slope_se")]
                out.append(row)
        table(f"Rounding: W = 8, block 256, normal values, signs {signs}; bias and slope - 1 in units of 1e-4",
              ["codec", "algo", "nearest: SNR", "bias", "slope - 1", "stochastic: SNR", "bias", "slope - 1"], out)


def data(rows):
    rows = rows.where(table="data")
    kinds = [(kind, signs) for kind in unique(rows.lines, "data") for signs in ("independent", "aligned", "positive")]
    out = []
    for codec in unique(rows.lines, "codec"):
        for name in unique(rows.where(codec=codec).lines, "dtype") if codec == "none" else ALGORITHMS:
            wanted = {"dtype": name} if codec == "none" else {"algo": name}
            title = f"{name} ring" if codec == "none" else f"{codec} {name}"
            out.append([title] + [rows.snr(codec=codec, data=kind, signs=signs, **wanted) for kind, signs in kinds])
    table("Data and signs: SNR in dB; W = 8, block 256", [""] + [f"{kind}, {signs}" for kind, signs in kinds], out)


def gradients(rows):
    rows = rows.where(table="gradients")
    if not rows.lines:
        return
    most = max(unique(rows.lines, "ranks"))
    steps = unique(rows.lines, "data")
    ranks = sorted(unique(rows.lines, "ranks"))
    columns = [(step, w) for step in steps for w in ranks]
    out = [[f"int8 {algorithm}"] + [rows.snr(codec="int8", algo=algorithm, data=step, ranks=w) for step, w in columns] for algorithm in ALGORITHMS]
    for dtype in ("bfloat16", "float32"):
        out.append([f"{dtype} ring"] + [rows.snr(codec="none", dtype=dtype, data=step, ranks=w) for step, w in columns])
    table("Captured gradients: SNR in dB; block 256", [""] + [f"{step}, W = {w}" for step, w in columns], out)
    out = [[codec] + [rows.snr(codec=codec, algo=algorithm, data=steps[-1], ranks=most) for algorithm in ALGORITHMS] for codec in CODECS]
    table(f"Captured gradients: SNR in dB; {steps[-1]}, W = {most}, block 256", ["codec"] + ALGORITHMS, out)


# What a bit a value is worth: 6.02 dB, as of one more bit of an integer code.
DB_PER_BYTE = 8 * 20 * math.log10(2)


def worth(line):
    """SNR less what the line's bytes would bring as bits of integer codes: comparable between formats of different size."""
    return line["snr_db"] - DB_PER_BYTE * line["bytes_per_value"]


def outliers(rows):
    rows = rows.where(table="outliers")
    out = []
    for kind in unique(rows.lines, "data"):
        for codec in unique(rows.lines, "codec"):
            of_codec = rows.where(data=kind, codec=codec)
            plain = max(of_codec.where(exact_values=0).lines, key=worth)
            row = [kind, codec, f"{plain['snr_db']:.1f} at {plain['bytes_per_value']:.3f} (block {plain['block']}, {plain['scale']})"]
            for k in (1, 2, 4):
                best = max(of_codec.where(exact_values=k).lines, key=worth)
                row.append(f"{round(worth(best) - worth(plain), 1) + 0.0:+.1f} (block {best['block']}, {best['exact_value_bytes']} bytes)")
            out.append(row)
    table("Outliers: the best plain format (SNR in dB at bytes a value), and what k exact values a block gain over it in dB at equal bytes "
          "(6.02 dB a bit), with the best block and scale", ["values", "codec", "plain", "k = 1", "2", "4"], out)
    out = []
    for kind in unique(rows.lines, "data"):
        for block in (32, 64, 128, 256):
            row = [kind, block]
            for k in (0, 1, 2, 4):
                line = rows.one(data=kind, codec="int8", block=block, exact_values=k, scale="bfloat16", exact_value_bytes=2 if k else 0)
                row.append("" if line is None else f"{line['snr_db']:.1f} at {line['bytes_per_value']:.3f}")
            out.append(row)
    table("Outliers: SNR in dB at bytes a value; int8, BF16 scales, exact values in BF16", ["values", "block", "k = 0", "1", "2", "4"], out)


def everything(rows):
    """What must hold for every row."""
    lines = [line for line in rows.lines if "worst_over_bound" in line]
    if lines:
        worst = max(lines, key=lambda line: line["worst_over_bound"])
        print(f"\nRows: {len(rows.lines)}. Largest error over its bound in any row: {worst['worst_over_bound']} "
              f"({name_of(worst)}, {worst['codec']}, W = {worst['ranks']}, {worst['data']} values).")


def gnuplot(script):
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def block_of(points):
    return "".join(" ".join(str(value) for value in point) + "\n" for point in points) + "e\n"


def plot_ranks(rows, path):
    rows = rows.where(table="algorithms")
    if not rows.lines:
        return
    curves, data = [], ""
    for algorithm in ALGORITHMS:
        lines = rows.where(codec="int8", algo=algorithm).lines
        color = COLORS[algorithm]
        curves.append(f"'-' using 1:2 with lines lw 2 lc rgb '{color}' notitle")
        curves.append(f"'-' using 1:2:3 with yerrorbars pt 7 ps 1.3 lw 1.5 lc rgb '{color}' title 'int8 {algorithm}'")
        data += block_of([(line["ranks"], line["predicted_snr_db"]) for line in lines])
        data += block_of([(line["ranks"], line["snr_db"], line["snr_sd"]) for line in lines])
    lines = rows.where(codec="none", dtype="bfloat16").lines
    curves.append(f"'-' using 1:2 with linespoints pt 5 ps 1.2 dt 2 lw 2 lc rgb '{COLORS['bf16']}' title 'bfloat16 ring, exact path'")
    data += block_of([(line["ranks"], line["snr_db"]) for line in lines])
    gnuplot(f"""set terminal pngcairo size 1000,640 font 'sans,12'
set output '{path}'
set title 'Precision of a sum over W ranks (normal values, block 256): points measured, lines predicted'
set xlabel 'ranks W'
set ylabel 'signal to noise, dB'
set logscale x 2
set xrange [1.8:72]
set grid
set key bottom left Left reverse
plot {', '.join(curves)}
{data}""")


def plot_bytes(rows, path):
    rows = rows.where(table="blocks")
    if not rows.lines:
        return
    script = f"""set terminal pngcairo size 1240,560 font 'sans,12'
set output '{path}'
set multiplot layout 1,2
set xlabel 'bytes a value on the wire'
set ylabel 'signal to noise, dB'
set xrange [0.45:1.2]
set grid
set key top left Left reverse samplen 2
"""
    for kind in unique(rows.lines, "data"):
        curves, data = [], ""
        for index, codec in enumerate(CODECS):
            lines = rows.where(codec=codec, data=kind).lines
            curves.append(f"'-' using 1:2 with linespoints pt {4 + index} ps 1.1 lw 2 lc rgb '{BYTES_COLORS[index]}' title '{codec}'")
            data += block_of([(line["bytes_per_value"], line["snr_db"]) for line in lines])
        script += f"set yrange [0:50]\nset title '{kind} values; twoshot, W = 8, block 4096 (left) to 32'\nplot {', '.join(curves)}\n{data}"
    gnuplot(script + "unset multiplot\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results")
    parser.add_argument("--plots", type=pathlib.Path)
    arguments = parser.parse_args()
    with open(arguments.results, encoding="utf-8") as file:
        rows = Rows([json.loads(line) for line in file])
    print("# Precision: tables\n\nWritten by `bench/numerics/run.sh`; docs/numerics.md says what they mean.")
    everything(rows)
    for part in (algorithms, blocks, scales, rounding, data, gradients, outliers):
        if rows.where(table=part.__name__).lines:
            part(rows)
    if arguments.plots:
        plot_ranks(rows, arguments.plots / "numerics-ranks.png")
        plot_bytes(rows, arguments.plots / "numerics-bytes.png")


if __name__ == "__main__":
    main()
