"""The protocol's descriptors, from the committed set, in a pool that nothing else uses.

Generated modules register in protobuf's default pool, where another program's own
`inference` package (tritonclient's, say) would clash with ours in one process.
"""

from pathlib import Path
from typing import Final

from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

FILE_NAME: Final = "icecore/kserve/open_inference.proto"
COMMITTED: Final = Path(__file__).with_name("open_inference.binpb")
"""Written by `proto/generate.py` from the .proto beside it."""


def _read() -> DescriptorPool:
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(COMMITTED.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL: Final[DescriptorPool] = _read()
FILE: Final[FileDescriptor] = POOL.FindFileByName(FILE_NAME)
SERVICE: Final[ServiceDescriptor] = FILE.services_by_name["GRPCInferenceService"]
