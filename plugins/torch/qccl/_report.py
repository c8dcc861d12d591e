"""What a context has kept, by reason."""

from __future__ import annotations

from dataclasses import dataclass, field

ALIVE = "alive elsewhere"  # quantized, but the caller or another node holds the original as well
REPEATED = "repeated"  # the same elements were saved before: stored once


@dataclass
class Row:
    tensors: int = 0
    bytes_before: int = 0
    bytes_after: int = 0

    def add(self, tensors: int, bytes_before: int, bytes_after: int) -> None:
        self.tensors += tensors
        self.bytes_before += bytes_before
        self.bytes_after += bytes_after


@dataclass
class Report:
    """`rows` by what became of a saved tensor: a codec's name, "alive elsewhere", "repeated", or the reason why it was kept as it is.

    bytes_before is the memory that autograd would have held: whole storages, each counted once, and nothing for quantized tensors that are
    alive without it. bytes_after is what is held instead."""

    rows: dict[str, Row] = field(default_factory=dict)
    held_bytes: int = 0  # codes and scales now in the pool
    peak_held_bytes: int = 0

    def row(self, reason: str) -> Row:
        return self.rows.setdefault(reason, Row())

    @property
    def tensors(self) -> int:
        return sum(row.tensors for row in self.rows.values())

    @property
    def bytes_before(self) -> int:
        return sum(row.bytes_before for row in self.rows.values())

    @property
    def bytes_after(self) -> int:
        return sum(row.bytes_after for row in self.rows.values())

    @property
    def bytes_saved(self) -> int:
        return self.bytes_before - self.bytes_after

    def as_dict(self) -> dict:
        return {
            "rows": {reason: vars(row).copy() for reason, row in self.rows.items()},
            "bytes_saved": self.bytes_saved,
            "held_bytes": self.held_bytes,
            "peak_held_bytes": self.peak_held_bytes,
        }

    def __str__(self) -> str:
        rows = sorted(self.rows.items(), key=lambda item: -item[1].bytes_before)
        total = Row(self.tensors, self.bytes_before, self.bytes_after)
        lines = [f"{'saved tensors':<16} {'tensors':>8} {'bytes before':>16} {'bytes after':>16}"]
        lines += [f"{what:<16} {row.tensors:>8,} {row.bytes_before:>16,} {row.bytes_after:>16,}" for what, row in [*rows, ("all", total)]]
        lines.append(f"now in the pool: {self.held_bytes:,} bytes; at most {self.peak_held_bytes:,}")
        return "\n".join(lines)
