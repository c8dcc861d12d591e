"""Makes the runs of bench/training/study that its results file does not hold yet, seed by seed, and appends a line for each."""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import time

MODEL = "--hidden 64 --layers 2 --heads 2 --seq 64 --lr 3e-3 --min-lr 3e-4 --warmup 20 --min-bytes 0 --batch 4 --grad-accum 4".split()


def key(record):
    return (record["name"], record["flags"], record["seed"], record["steps"], record["data"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("train", "settings", "data", "scratch", "results"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    for name in ("steps", "seeds", "curve-every"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()

    settings = json.loads(options.settings.read_text(encoding="utf-8"))
    manifest = json.loads((options.data / "manifest.json").read_text(encoding="utf-8"))
    data = f"{manifest['train']['crc32']}-{manifest['val']['crc32']}"
    done = set()
    if options.results.exists():
        done = {key(json.loads(line)) for line in options.results.read_text(encoding="utf-8").splitlines()}
    environment = dict(os.environ, OPENBLAS_NUM_THREADS="1")

    for seed in range(1, options.seeds + 1):
        for setting in settings:
            record = {"name": setting["name"], "flags": setting["flags"], "seed": seed, "steps": options.steps, "data": data}
            if key(record) in done:
                continue
            shutil.rmtree(options.scratch, ignore_errors=True)
            command = [str(options.train), "train", "--data", str(options.data), "--out", str(options.scratch), "--ranks", "2", "--threads", "1",
                       "--steps", str(options.steps), "--seed", str(seed), "--eval-every", str(options.curve_every), "--print-every", "0", "--keep", "1",
                       *MODEL, *setting["flags"].split()]
            start = time.monotonic()
            ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if ended.returncode != 0:
                raise SystemExit(f"bench/training/study: {' '.join(command)}\nended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
            log = [json.loads(line) for line in (options.scratch / "log.jsonl").read_text(encoding="utf-8").splitlines()]
            config, result = log[0], log[-1]
            record |= {"tokens": config["step_tokens"] * options.steps, "parameters": config["model"]["parameters"],
                       "val_loss": result["val_loss"], "wire_bytes_per_step": result["wire_bytes_per_step"],
                       "gradient_bytes": result["gradient_bytes"], "saved_bytes": result["saved_bytes"], "seconds": round(time.monotonic() - start, 1)}
            if options.curve_every > 0:
                record["curve"] = [[line["step"], line["val_loss"]] for line in log if line["kind"] == "eval"]
            with options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            print(f"seed {seed}  {setting['name']:<34} validation loss {result['val_loss']:.4f}  {record['seconds']:.0f} s", flush=True)
    shutil.rmtree(options.scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
