"""What a file of others may cost, before and after it is let in."""

from dataclasses import asdict, dataclass
from typing import Any, Final, Self


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Bounds that honest networks of the families people use stay well below.

    Of the file: `max_file_bytes` holds a ViT-L/14 (1.2 GB would not fit, its
    float16 does) and half of what protobuf can at all. `max_fields` are the pieces
    of protobuf in it: an empty node takes 2 bytes in a file and a hundred in memory.
    `max_nesting` are graphs within graphs. `max_nodes` counts those that
    functions bring when they are written out; the largest common networks have 5,000.
    `max_layers` can all be asked for at once, which takes a session of as many pooling
    heads; ResNet-1001 has a thousand. `max_analysis_s` is for reading the layers of the
    finished graph, which the server does again, and then others wait.

    Of a run with one image: `max_tensor_bytes` for a single tensor and
    `max_live_bytes` for all that are needed at the same time (EfficientNet-B7
    at 600 x 600 needs 140 MB), `max_macs` multiply-accumulates (ViT-H/14: 167
    thousand million) and `max_run_s` seconds on one niced thread.

    Of the child process: `base_memory_bytes` of address space plus
    `memory_factor` times the file, `max_memory_bytes` at most (a float32 file was seen to
    need 200 MiB + 9 times its size, a float16 one 15 times); `cpu_s` seconds
    of its processor time, `wall_s` seconds by the clock, and
    `max_answer_bytes` that the server reads from it.
    """

    max_file_bytes: int = 1 << 30
    max_fields: int = 1_000_000
    max_nesting: int = 4
    max_nodes: int = 10_000
    max_constants: int = 20_000
    max_outputs: int = 1_000
    max_rank: int = 12
    max_name_bytes: int = 1_024
    max_layers: int = 2_000
    max_analysis_s: float = 10.0

    max_tensor_bytes: int = 256 << 20
    max_live_bytes: int = 512 << 20
    max_macs: int = 250_000_000_000
    max_run_s: float = 20.0

    base_memory_bytes: int = 1 << 30
    memory_factor: float = 16.0
    max_memory_bytes: int = 12 << 30
    cpu_s: int = 120
    wall_s: float = 180.0
    max_answer_bytes: int = (2 << 30) - 1

    def memory_bytes(self, n_file_bytes: int) -> int:
        """Return the child's address space for a file of that size."""
        wanted = self.base_memory_bytes + int(self.memory_factor * n_file_bytes)
        return min(wanted, self.max_memory_bytes)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Return what `to_json` wrote."""
        return cls(**fields)


USUAL: Final = AdmissionLimits()
"""What is allowed where nobody says otherwise."""
