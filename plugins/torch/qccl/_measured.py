"""What each saved tensor costs and what it adds to the gradient's error, by codec; and the plan that this makes for a budget."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass, field

import torch

from . import _library as lib
from ._pool import Format, coded
from ._solved import Kind, PlannedRow, SolvedPlan

BITS = {"int4": 4, "fp4e2m1": 4, "int5": 5, "int6": 6, "int8": 8, "fp8e4m3": 8, "fp8e5m2": 8, "bf16": 16}


@dataclass(eq=False)
class Group:
    """Saved tensors that are kept alike."""

    kind: Kind
    sizes: tuple[int, ...]  # of the first one
    storages: dict[int, int] = field(default_factory=dict)  # bytes, by number: held as long as one of their tensors is kept as it is
    elems: list[int] = field(default_factory=list)  # of each tensor
    squared_errors: dict[str, float] = field(default_factory=dict)  # of the values, by codec: those that make every tensor smaller
    gradient_error: float = 0.0  # squared, relative, with the group in codec `smallest` and all else as it is

    @property
    def name(self) -> str:
        return f"{self.kind.operation} {'x'.join(map(str, self.sizes))} {str(self.kind.dtype).split('.')[-1]}"

    @property
    def exact_bytes(self) -> int:
        return sum(self.storages.values())

    def bytes_in(self, format: Format) -> int:
        return sum(coded(elems, format).bytes for elems in self.elems)

    def smallest(self, formats: dict[str, Format]) -> str:
        return min(self.squared_errors, key=lambda codec: self.bytes_in(formats[codec]))

    def choices(self, formats: dict[str, Format]) -> dict[str, lib.BitChoice]:
        """By codec; "none" keeps the group as it is."""
        width = torch.empty(0, dtype=self.kind.dtype).element_size()
        result = {"none": lib.BitChoice(8 * width, self.exact_bytes, 0.0)}
        measured = self.squared_errors[self.smallest(formats)]
        for codec, squared in self.squared_errors.items():
            error = 0.0 if squared == 0 else self.gradient_error * squared / measured if measured > 0 else math.inf
            most = error if error < lib.LARGEST_ERROR else lib.LARGEST_ERROR  # of a NaN, too
            result[codec] = lib.BitChoice(BITS[codec], self.bytes_in(formats[codec]), most)
        return result


class Measured:
    """What qccl.measure found, for any number of budgets.

    noise: relative difference of two exact gradients of the same batch, 0 where kernels add in a fixed order (many of CUDA's do not). Errors
    are without it; what is far below it is not known well."""

    def __init__(self, places: list[tuple[Kind, Group | None]], formats: dict[str, Format], noise: float) -> None:
        """places: in the order in which forward saves; None for what is kept as it is."""
        self._places, self._formats = places, formats
        self._groups = list(dict.fromkeys(group for _, group in places if group is not None))
        self._choices = [group.choices(formats) for group in self._groups]
        self.noise = noise

    @property
    def exact_bytes(self) -> int:
        """Of the tensors that a plan decides about, as they are, for the batch that was measured."""
        return sum(group.exact_bytes for group in self._groups)

    @property
    def least_bytes(self) -> int:
        """The smallest budget."""
        return sum(min(choice.bytes for choice in choices.values()) for choices in self._choices)

    def bytes_in(self, codec: str) -> int:
        """Of the same tensors with this codec for all, one of those that were measured; as they are where it makes them no smaller."""
        if codec not in self._formats:
            raise ValueError(f"qccl.Measured: codec {codec!r} was not measured; take one of {', '.join(self._formats)}")
        return sum(choices.get(codec, choices["none"]).bytes for choices in self._choices)

    def solve(self, budget_bytes: float) -> SolvedPlan:
        """The plan of least predicted error that keeps at most so many bytes of the batch that was measured, exactly (qcclAllocateBits). A
        budget below least_bytes is a QcclError that says what is missing."""
        budget = max(0, int(budget_bytes))
        rows = [(lib.BitChoice * len(choices))(*choices.values()) for choices in self._choices]
        items = (lib.BitItem * len(rows))(*(lib.BitItem(group.name.encode(), row, len(row)) for group, row in zip(self._groups, rows)))
        chosen = (ctypes.c_size_t * len(rows))()
        total_bytes, total_error = ctypes.c_uint64(), ctypes.c_double()
        lib.call("qcclAllocateBits", items, len(rows), budget, chosen, ctypes.byref(total_bytes), ctypes.byref(total_error))
        codec_of = {group: list(choices)[index] for group, choices, index in zip(self._groups, self._choices, chosen)}
        codecs: dict[Kind, list[str]] = {}
        for kind, group in self._places:
            codecs.setdefault(kind, []).append("none" if group is None else codec_of[group])
        format = next(iter(self._formats.values()))
        return SolvedPlan(
            codecs={kind: tuple(each) for kind, each in codecs.items()}, block=format.block, scale=format.scale,
            rows=self._rows(codec_of), budget_bytes=budget, bytes=total_bytes.value, predicted_error=math.sqrt(total_error.value),
        )  # fmt: skip

    def _rows(self, codec_of: dict[Group, str]) -> tuple[PlannedRow, ...]:
        chosen: dict[str, list[tuple[Group, str, lib.BitChoice]]] = {}
        for group, choices in zip(self._groups, self._choices):
            codec = codec_of[group]
            chosen.setdefault(group.name, []).append((group, codec, choices[codec]))
        rows = [
            PlannedRow(
                name, tuple(codec for group, codec, _ in each for _ in group.elems), sum(group.exact_bytes for group, _, _ in each),
                sum(choice.bytes for _, _, choice in each), math.sqrt(sum(choice.error for _, _, choice in each)),
            )
            for name, each in chosen.items()
        ]  # fmt: skip
        return tuple(sorted(rows, key=lambda row: -row.exact_bytes))
