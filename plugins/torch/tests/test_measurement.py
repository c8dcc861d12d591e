"""bench/torch_activations.py on a model small enough for here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from test_gradients import BOUNDS

PROGRAM = Path(__file__).resolve().parents[3] / "bench" / "torch_activations.py"


def test_the_measurement_of_a_llama(tmp_path):
    pytest.importorskip("transformers")
    shape = "--hidden 128 --ffn 352 --layers 2 --heads 4 --kv-heads 2 --vocab 512 --tokens 64 --dtype float32 --attention eager".split()
    plans = ["--plans", "recompute", "int8"]
    result = subprocess.run(
        [sys.executable, PROGRAM, "--device", "cpu", *shape, *plans, "--steps", "1", "--json", tmp_path / "rows.json"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    exact, recompute, int8 = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert exact["loss"] == recompute["loss"] == int8["loss"]
    assert exact["pool_saved_bytes"] == 0 < int8["pool_saved_bytes"] == int8["report"]["peak_held_bytes"]
    assert 0 < int8["error_all"] <= int8["error_largest"] < BOUNDS["int8"][0]
    assert BOUNDS["int8"][1] < int8["cosine_least"] < 1
    assert [line.split()[0] for line in result.stdout.splitlines()[3:6]] == ["exact", "recompute", "int8"]
