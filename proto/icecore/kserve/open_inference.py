"""The protocol's messages and enums by their names, as a generated module would have them.

Their types are in the .pyi beside this, which `proto/generate.py` writes.
"""

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

from icecore.kserve.descriptors import FILE

DESCRIPTOR = FILE
globals().update(
    {name: GetMessageClass(message) for name, message in FILE.message_types_by_name.items()}
)
for _name, _enum in FILE.enum_types_by_name.items():
    globals()[_name] = EnumTypeWrapper(_enum)
    globals().update({value.name: value.number for value in _enum.values})
