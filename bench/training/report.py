"""The table and the plot of bench/training/study: how far the validation loss of each setting is from the exact run of the same seed."""

import argparse
import json
import math
import pathlib
import statistics
import subprocess

EXACT = "exact"


def spread(values):
    return statistics.stdev(values) if len(values) > 1 else math.nan


def plus_minus(value, digits):
    return "" if math.isnan(value) else f" ± {value:.{digits}f}"


def summarize(records):
    """One row a setting, in the order of the first seed; of the seeds that have an exact run."""
    exact = {record["seed"]: record["val_loss"] for record in records if record["name"] == EXACT}
    rows = []
    for name in dict.fromkeys(record["name"] for record in records):
        runs = [record for record in records if record["name"] == name and record["seed"] in exact]
        gaps = [(run["val_loss"] / exact[run["seed"]] - 1) * 100 for run in runs]
        rows.append({"name": name, "runs": len(runs), "loss": statistics.mean(run["val_loss"] for run in runs),
                     "loss_spread": spread([run["val_loss"] for run in runs]), "gap": statistics.mean(gaps), "gap_spread": spread(gaps),
                     "wire": runs[0]["wire_bytes_per_step"], "memory": runs[0]["gradient_bytes"], "saved": runs[0].get("saved_bytes", 0)})
    return rows


def plot(rows, path, what):
    shown = [row for row in rows if row["name"] != EXACT]
    labels = ", ".join(f'"{row["name"]}" {len(shown) - 1 - i}' for i, row in enumerate(shown))
    points = "\n".join(f"{row['gap']} {len(shown) - 1 - i} {row['gap_spread'] if row['runs'] > 1 else 0}" for i, row in enumerate(shown))
    script = f"""set terminal pngcairo size 1100,{160 + 30 * len(shown)} font "sans,11"
set output "{path}"
set title "Validation loss against exact FP32 {what} (mean and standard deviation over seeds)"
set xlabel "gap in %"
set yrange [-0.7:{len(shown) - 0.3}]
set ytics ({labels})
set grid x lc rgb "#dddddd"
set arrow 1 from 0,graph 0 to 0,graph 1 nohead lc rgb "#888888"
$points << END
{points}
END
plot $points using 1:2:3 with xerrorbars pt 7 ps 1.1 lw 1.5 lc rgb "#1f5fa8" notitle
"""
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def plot_curves(records, path, what):
    """Validation loss by step: as it is, and against the exact run of the same seed; means over seeds."""
    exact = {record["seed"]: dict(record["curve"]) for record in records if record["name"] == EXACT}
    names = list(dict.fromkeys(record["name"] for record in records if record["seed"] in exact))
    blocks, losses, gaps = [], [], []
    for i, name in enumerate(names):
        runs = [(dict(record["curve"]), exact[record["seed"]]) for record in records if record["name"] == name and record["seed"] in exact]
        lines = []
        for step in sorted(runs[0][0]):
            loss = statistics.mean(run[step] for run, _ in runs)
            gap = statistics.mean((run[step] / reference[step] - 1) * 100 for run, reference in runs)
            lines.append(f"{step} {loss} {gap}")
        blocks.append(f"$run{i} << END\n" + "\n".join(lines) + "\nEND")
        losses.append(f'$run{i} using 1:2 with lines lw 1.5 lc {i + 1} notitle')
        if name != EXACT:
            gaps.append(f'$run{i} using 1:3 with lines lw 1.5 lc {i + 1} title "{name}"')
    script = f"""set terminal pngcairo size 1400,480 font "sans,11"
set output "{path}"
set linetype 8 lc rgb "#b8860b"
set linetype 9 lc rgb "#2e8b57"
set linetype 10 lc rgb "#ff1493"
set linetype 11 lc rgb "#708090"
set linetype 12 lc rgb "#8b0000"
set linetype 13 lc rgb "#000080"
set multiplot
set grid lc rgb "#dddddd"
set xlabel "step"
set size 0.34,1
set title "Validation loss, all {what}"
plot {", ".join(losses)}
set origin 0.34,0
set size 0.66,1
set title "Gap to the exact run of the same seed in %, mean over seeds"
set key outside right top
plot {", ".join(gaps)}
unset multiplot
"""
    subprocess.run(["gnuplot"], input="\n".join(blocks) + "\n" + script, text=True, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=pathlib.Path, required=True)
    parser.add_argument("--plot", type=pathlib.Path, required=True)
    parser.add_argument("--curves", type=pathlib.Path)
    options = parser.parse_args()
    records = [json.loads(line) for line in options.results.read_text(encoding="utf-8").splitlines()]
    if not records:
        raise SystemExit(f"bench/training/study: {options.results} holds no runs")
    # What was run last decides which text and how many steps: runs of others are not comparable.
    records = [record for record in records if all(record[what] == records[-1][what] for what in ("data", "steps"))]
    rows = summarize(records)
    exact = next((row for row in rows if row["name"] == EXACT), None)
    if exact is None:
        raise SystemExit(f"bench/training/study: {options.results} holds no exact run to compare with")
    print(f"{records[-1]['parameters']} parameters, {records[-1]['tokens']} tokens, 2 ranks, 4 micro-batches a step; ± is the standard deviation over seeds\n")
    activations = any(row["saved"] > 0 for row in rows)
    print(f"| {'activations' if activations else 'gradients'} | runs | validation loss | gap to exact, % | "
          f"{'kept for backward, KB' if activations else 'bytes sent a step, of exact'} |")
    print("|---|---|---|---|---|")
    for row in rows:
        gap = "" if row is exact else f"{row['gap']:+.3f}{plus_minus(row['gap_spread'], 3)}"
        last = (f"{row['saved'] / 1000:.0f}" if row["saved"] > 0 else "") if activations else f"{row['wire'] / exact['wire']:.3f}"
        print(f"| {row['name']} | {row['runs']} | {row['loss']:.4f}{plus_minus(row['loss_spread'], 4)} | {gap} | {last} |")
    what = "activations" if activations else "gradients"
    plot(rows, options.plot, what)
    print(f"\nwrote {options.plot}")
    if options.curves and all("curve" in record for record in records):
        plot_curves(records, options.curves, what)
        print(f"wrote {options.curves}")


if __name__ == "__main__":
    main()
