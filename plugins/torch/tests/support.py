"""What several tests need."""

import torch

import qccl


def gradients(loss_of, parameters, context=None):
    """The loss of loss_of() and the gradients of `parameters`; forward inside `context`, backward outside."""
    for parameter in parameters:
        parameter.grad = None
    if context is None:
        loss = loss_of()
    else:
        with context:
            loss = loss_of()
    loss.backward()
    return loss.detach(), [parameter.grad.clone() for parameter in parameters]


def relative_error(got, exact):
    return float(((got.float() - exact.float()).norm() / exact.float().norm()).detach())


def cosine(got, exact):
    return float(torch.nn.functional.cosine_similarity(got.float().flatten(), exact.float().flatten(), dim=0))


def signs(*shape, dtype=torch.float32, device="cpu"):
    """Values of -1, 0 and 1, which every codec keeps exactly: results can be compared bit for bit."""
    return torch.randint(-1, 2, shape, device=device).to(dtype)


def leaf(tensor):
    return tensor.clone().requires_grad_()


def computed(tensor):
    """A tensor with the values of `tensor` that autograd takes for an activation, and the leaf behind it."""
    source = leaf(tensor)
    return source.clone(), source


def rows(context):
    """What became of the saved tensors: their number by reason."""
    return {reason: row.tensors for reason, row in context.report().rows.items()}


def coded_bytes(context):
    return sum(row.bytes_after for what, row in context.report().rows.items() if what.startswith(("int", "bf16")))


def used(step, plan):
    """A context in which one step was made under a plan."""
    context = qccl.activations(plan)
    with context:
        step().backward()
    return context
