"""Bytes before and after, by reason."""

import gc
import json

import pytest
import torch
from support import computed, leaf, relative_error, rows
from torch import nn

import qccl

ELEMS = 64 * 128
THRESHOLD = gc.get_threshold()
INT8_BYTES = ELEMS + ELEMS // 128 * 2  # codes, and a scale of two bytes for each block


def context(plan="int8", **options):
    return qccl.activations(plan, **{"min_elems": 1, **options})


def test_bytes_of_one_tensor(device):
    x = leaf(torch.randn(64, 128, device=device))
    acts = context()
    with acts:
        loss = x.clone().sigmoid().sum()
    held = acts.report()
    assert held.rows["int8"].tensors == 1
    assert (held.bytes_before, held.bytes_after, held.bytes_saved) == (ELEMS * 4, INT8_BYTES, ELEMS * 4 - INT8_BYTES)
    assert held.held_bytes == INT8_BYTES == qccl.pool_stats(device)["used_bytes"]
    loss.backward()
    after = acts.report()
    assert after.rows == held.rows
    assert (after.held_bytes, after.peak_held_bytes) == (0, INT8_BYTES)


def test_the_same_tensor_saved_again_is_stored_once(device):
    x, source = computed(torch.randn(2, 32, 128, device=device))
    weights = [nn.Parameter(torch.randn(128, 16, device=device)) for _ in range(3)]
    acts = context()

    def forward(x):
        return sum((x @ weight).sum() for weight in weights) + x.view(-1, 128).t().sin().sum() + x.exp().sum()

    with acts:
        loss = forward(x)
    del x
    report = acts.report()
    assert report.held_bytes == INT8_BYTES * 2  # x, and exp(x), which is saved as the output
    assert (report.rows["repeated"].tensors, report.rows["repeated"].bytes_after) == (3, 0)
    loss.backward()
    got = source.grad.clone()
    source.grad = None
    forward(source.clone()).backward()
    assert relative_error(got, source.grad) < 0.02


@pytest.mark.parametrize("first", ["2-D", "4-D"])
def test_the_same_elements_in_two_formats_are_stored_in_both(first, device):
    """What a plan says of a view holds, whatever was saved of the same elements before."""
    x, source = computed(torch.randn(64, 128, device=device))
    acts = context(lambda tensor: "int8" if tensor.dim() == 4 else "int4")
    uses = {"2-D": lambda: x.sin(), "4-D": lambda: x.view(4, 16, 16, 8).sin()}
    with acts:
        results = {name: uses[name]() for name in sorted(uses, reverse=first == "4-D")}
    assert acts.report().held_bytes == INT8_BYTES + INT8_BYTES - ELEMS // 2
    assert "repeated" not in rows(acts)
    (got,) = torch.autograd.grad(results["4-D"].sum(), source)
    assert relative_error(got, source.detach().cos()) < 0.01


def test_what_is_alive_elsewhere_saves_nothing(device):
    acts = context()
    x, _ = computed(torch.randn(64, 128, device=device))
    with acts:
        y = x.exp()
    report = acts.report()
    assert (report.rows["alive elsewhere"].tensors, report.bytes_saved) == (1, -INT8_BYTES), "y is the caller's, too"
    view = y[3:4]
    total = y.sum()
    del y
    assert acts.report().rows["alive elsewhere"].tensors == 1, "its base lives on in a view"
    del view
    assert acts.report().rows["int8"].tensors == 1
    total.backward()
    assert acts.report().bytes_saved == ELEMS * 4 - INT8_BYTES


def test_what_another_node_keeps_saves_nothing(device):
    x, _ = computed(torch.randn(64, 128, device=device))
    acts = context(keep=lambda tensor: tensor.dim() == 3)
    with acts:
        y = x.clone().relu()
        loss = y.sin().sum() + y.view(8, 8, 128).cos().sum()
    del y
    report = acts.report()
    assert report.rows["alive elsewhere"].tensors == 1
    assert report.bytes_saved == -INT8_BYTES
    loss.backward()


def test_bytes_before_are_whole_storages_each_counted_once(device):
    x = leaf(torch.randn(64, 128, device=device))
    acts = context()
    with acts:
        parts = x.clone().chunk(2, -1)
        loss = parts[0].sin().sum() + parts[1].cos().sum()
        del parts
    report = acts.report()
    assert report.rows["int8"].tensors == 2
    assert report.rows["int8"].bytes_before == ELEMS * 4
    assert report.rows["int8"].bytes_after == INT8_BYTES
    loss.backward()


def test_a_tensor_that_was_written_to_is_another_one(device):
    x, source = computed(torch.randn(64, 128, device=device))
    acts = context()
    with acts:
        y = x.clone()
        first = y.sin()
        second = y.add_(1).sin()
    y.detach().zero_()
    (first.sum() + second.sum()).backward()
    assert rows(acts) == {"alive elsewhere": 2}
    assert relative_error(source.grad, source.detach().cos() + (source.detach() + 1).cos()) < 0.01


def test_a_new_report_begins_empty(device):
    x, _ = computed(torch.randn(64, 128, device=device))
    acts = context()
    with acts:
        first = x.sin()
    acts.reset()
    assert acts.report().held_bytes == acts.report().peak_held_bytes == INT8_BYTES
    first.sum().backward()
    with acts:
        del first
    acts.reset()
    assert acts.report().rows == {}


def test_graphs_that_end_while_a_report_is_written():
    """The garbage collector runs at any moment, and what it finds is counted: here at each one of a report."""
    weight = nn.Parameter(torch.ones(64, 64))
    source = leaf(torch.randn(64, 64))
    gc.collect()
    try:
        for moment in range(60):
            gc.disable()
            acts = context()
            with acts:
                cycle = [(source.clone() @ weight).sum()]  # rows of what is kept are there, that of codes comes when they are given up
            cycle.append(cycle)
            del cycle
            gc.set_threshold(gc.get_count()[0] + moment)
            gc.enable()
            report = acts.report()
            gc.disable()
            assert (report.rows["int8"].tensors, report.rows["parameter"].tensors) == (1, 1)
            gc.collect()
            assert acts.report().held_bytes == 0
    finally:
        gc.set_threshold(*THRESHOLD)
        gc.enable()


def test_reports_can_be_read_by_people_and_programs():
    x, _ = computed(torch.randn(64, 128))
    acts = context()
    with acts:
        y = x.clone().sin() * nn.Parameter(torch.ones(128))
    report = acts.report()
    assert json.loads(json.dumps(report.as_dict()))["rows"]["int8"] == {
        "tensors": 2, "bytes_before": 2 * ELEMS * 4, "bytes_after": 2 * INT8_BYTES,
    }  # fmt: skip
    text = str(report)
    assert "parameter" in text and f"{ELEMS * 4 * 2 + 512:,}" in text and text.splitlines()[-2].startswith("all")
    del y
