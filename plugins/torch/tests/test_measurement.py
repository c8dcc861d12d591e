"""The programs of bench/ that measure this package, on models small enough for here."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_gradients import BOUNDS

BENCH = Path(__file__).resolve().parents[3] / "bench"


def run(program, *arguments):
    result = subprocess.run(
        [sys.executable, BENCH / program, "--device", "cpu", *arguments], capture_output=True, text=True, timeout=100, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_measurement_of_a_llama(tmp_path):
    pytest.importorskip("transformers")
    shape = "--hidden 128 --ffn 352 --layers 2 --heads 4 --kv-heads 2 --vocab 512 --tokens 64 --dtype float32 --attention eager".split()
    plans = ["--plans", "recompute", "int8", "auto:int8", "--by", "kind"]
    output = run("torch_activations.py", *shape, *plans, "--steps", "1", "--json", tmp_path / "rows.json")
    exact, recompute, int8, auto = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert exact["loss"] == recompute["loss"] == int8["loss"] == auto["loss"]
    assert exact["pool_saved_bytes"] == 0 < int8["pool_saved_bytes"] == int8["report"]["peak_held_bytes"]
    assert 0 < int8["error_all"] <= int8["error_largest"] < BOUNDS["int8"][0]
    assert BOUNDS["int8"][1] < int8["cosine_least"] < 1
    assert 0 < auto["error_all"] < int8["error_all"] and auto["pool_saved_bytes"] <= int8["pool_saved_bytes"]
    assert [line.split()[0] for line in output.splitlines()[3:6]] == ["exact", "recompute", "int8"]
    assert re.search(r"measured in [0-9.]+ s, \d+ passes", output)


def test_the_measurement_of_architectures(tmp_path):
    pytest.importorskip("transformers")
    output = run("torch_architectures.py", "--models", "gpt2", "resnet", "--by", "kind", "--json", tmp_path / "rows.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [(line["model"], line["bytes_of"]) for line in lines] == [
        (model, codec) for model in ("gpt2", "resnet") for codec in ("int4", "int5", "int6", "int8")
    ]
    for line in lines:
        assert line["solved"] < 1.01 * line["error"] and 0.7 < line["predicted"] / line["solved"] < 1.5
    assert [line.split()[0] for line in output.splitlines()] == ["model", "gpt2", "resnet"]


def test_the_measurement_of_old_plans():
    pytest.importorskip("transformers")
    output = run("torch_architectures.py", "--models", "vit", "--by", "kind", "--age", "20")
    name, first, last, int5, old, new = output.splitlines()[1].split()
    assert name == "vit" and float(last) < 0.5 * float(first)
    assert 0 < float(new) < 0.8 * float(int5) and float(old) > 0
