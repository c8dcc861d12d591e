"""Plans that were solved for a budget, in use: which tensor gets what, in other batches, contexts and threads."""

import pickle
import re
import threading
import warnings

import pytest
import torch
from support import coded_bytes, rows, used
from test_measure import llama_step

import qccl
from qccl._solved import Kind

TANH = Kind("TanhBackward0", torch.float32, 2)


def by_hand(*codecs, kind=TANH):
    return qccl.SolvedPlan(codecs={kind: codecs}, block=128, scale="bfloat16", rows=(), budget_bytes=0, bytes=0, predicted_error=0.0)


def tanh_of(x):
    """What its node saves is held by the graph alone."""
    return x.tanh().sum()


def test_a_plan_holds_for_other_batches_and_contexts(device):
    model, step = llama_step(device)
    plan = qccl.measure(step, model, min_elems=256).solve(450_000)
    assert len({codec for codecs in plan.codecs.values() for codec in codecs}) > 2
    plan = pickle.loads(pickle.dumps(plan))
    expected = rows(used(step, plan))
    assert expected["not in the plan"] > 0 and "asked for" not in expected, "nobody asked for what is not decided about"

    def counts(context, steps=1):
        assert context.report().held_bytes == 0
        return {what: number / steps for what, number in rows(context).items()}

    tokens = torch.randint(0, 256, (3, 80), device=device)
    longer = used(lambda: model(input_ids=tokens, labels=tokens).loss, plan)
    assert counts(longer) == expected
    again = qccl.activations(plan)
    for _ in range(3):
        with again:
            loss = step()
        loss.backward()
    with again:  # two micro-batches in one, with a graph of another context between them
        step().backward()
        with qccl.activations("int8"):
            step().backward()
        step().backward()
    del loss
    assert counts(again, 5) == expected


@pytest.mark.filterwarnings("ignore:qccl.activations. forward saved")
def test_a_context_inside_itself_begins_at_the_first_place(device):
    context = qccl.activations(by_hand("int4", "int8"))
    x = torch.randn(64, 64, device=device, requires_grad=True).clone()

    def kept(tensors):
        losses.extend(tanh_of(x) for _ in range(tensors))
        return rows(context)

    losses = []
    with context:
        assert kept(1) == {"int4": 1}
        with context:
            assert kept(1) == {"int4": 2}
        assert kept(1) == {"int4": 2, "int8": 1}
        assert kept(1) == {"int4": 3, "int8": 1}, "saved more often than it was measured: from the first again"
    with context:
        assert kept(1) == {"int4": 4, "int8": 1}
    del losses[:]


@pytest.mark.filterwarnings("ignore:qccl.activations. forward saved")
def test_threads_are_at_places_of_their_own(device):
    """Both in the context at once, each at its first place."""
    context = qccl.activations(by_hand("int4", "int8"))
    x = torch.randn(64, 64, device=device, requires_grad=True).clone()
    both_inside = threading.Barrier(2, timeout=30)
    losses = []

    def forward():
        with context:
            both_inside.wait()
            losses.append(tanh_of(x))
            both_inside.wait()

    threads = [threading.Thread(target=forward) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows(context) == {"int4": 2}
    del losses[:]


def test_what_is_not_quantized_has_a_place(device):
    """An expert without tokens, a tensor that the caller keeps and one that the plan keeps do not move the codecs of those behind them."""
    context = qccl.activations(by_hand("int4", "int5", "none", "int6", "int8"), keep=lambda tensor: tensor.shape[-1] == 192)
    losses = []
    with context:
        for rows_, width in [(0, 64), (64, 192), (64, 64), (64, 64), (64, 64)]:
            losses.append(tanh_of(torch.randn(rows_, width, device=device, requires_grad=True).clone()))
    assert rows(context) == {"other tensor": 1, "asked for": 2, "int6": 1, "int8": 1}
    del losses[:]


def test_a_view_is_known_by_the_operation_behind_it(device):
    context = qccl.activations(by_hand("int4", kind=Kind("AddBackward0", torch.float32, 3)))
    x = torch.randn(64, 64, device=device, requires_grad=True).clone()
    with context:
        loss = (x + 1).view(4, 16, 64).square().sum() + (x + 1).square().sum()
    assert rows(context) == {"int4": 1, "not in the plan": 1}
    del loss


def test_what_a_plan_does_not_know_is_kept_and_said(device):
    model, step = llama_step(device)
    plan = qccl.measure(step, model, by="kind", min_elems=256).solve(450_000)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        context = used(step, plan)
    assert rows(context)["not in the plan"] > 20


def test_another_number_of_tensors_is_said_once(device):
    """As where a layer is skipped: the codecs of those behind it are other layers'."""
    x = torch.randn(64, 64, device=device, requires_grad=True).clone()
    context = qccl.activations(by_hand("int4", "int8"))
    for tensors, warned in [(2, 0), (4, 0), (0, 0), (3, 1), (1, 0)]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with context:
                losses = [tanh_of(x) for _ in range(tensors)]
            del losses
        assert len(caught) == warned
        if caught:
            assert "forward saved 3 tensors of TanhBackward0 where the plan was measured with 2" in str(caught[0].message)
            assert caught[0].filename == __file__
    context = qccl.activations(by_hand("int4", "int8"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(KeyError), context:
            tanh_of(x)
            raise KeyError


def test_small_tensors_are_the_plans_to_decide_about(device):
    context = used(lambda: tanh_of(torch.randn(4, 128, device=device, requires_grad=True).clone()), by_hand("int8"))
    assert rows(context) == {"int8": 1}


def test_a_table_and_a_dict_of_the_plan(device):
    model, step = llama_step(device)
    measured = qccl.measure(step, model, by="kind", min_elems=256)
    plan = measured.solve(500_000)
    text = str(plan)
    assert re.search(r"^SoftmaxBackward0 2x4x64x64 float32 +3 +393,216 ", text, re.M) or device.type == "cuda" or "Attention" in text
    assert re.search(rf"^all +\d+ +{measured.exact_bytes:,} +{plan.bytes:,} ", text, re.M)
    assert [row.exact_bytes for row in plan.rows] == sorted((row.exact_bytes for row in plan.rows), reverse=True)
    facts = plan.as_dict()
    assert facts["bytes"] == plan.bytes == sum(row["bytes"] for row in facts["rows"]) <= facts["budget_bytes"] == 500_000
    assert facts["predicted_error"] == pytest.approx(sum(row["error"] ** 2 for row in facts["rows"]) ** 0.5)


def test_a_solved_plan_has_its_own_scales(device):
    model, step = llama_step(device)
    plan = qccl.measure(step, model, by="kind", min_elems=256, block=64, scale="float32").solve(450_000)
    context = used(step, plan)
    assert coded_bytes(context) == plan.bytes
    qccl.activations(plan, block=64, scale="float32")
    with pytest.raises(ValueError, match="block 128 is not what the plan was measured with, 64; leave it out"):
        qccl.activations(plan, block=128)
    with pytest.raises(ValueError, match="scale 'e8m0' is not what the plan was measured with, 'float32'"):
        qccl.activations(plan, scale="e8m0")
