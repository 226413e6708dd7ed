"""The service's methods as gRPC's handlers, made from its descriptor."""

from typing import Any

import grpc

from icecore.kserve import open_inference
from icecore.kserve.descriptors import SERVICE
from icecore.server.rpc.kserve import request
from icecore.server.rpc.kserve.inference_service import InferenceService


def add_inference_service(server: "grpc.aio.Server", service: InferenceService) -> None:
    """Register every method of the protocol that is in the descriptor."""
    handlers: dict[str, Any] = {
        method.name: _handler(method, getattr(service, method.name)) for method in SERVICE.methods
    }
    generic = grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)
    server.add_generic_rpc_handlers((generic,))


def _handler(method: Any, act: Any) -> Any:
    make = (
        grpc.stream_stream_rpc_method_handler
        if method.client_streaming
        else grpc.unary_unary_rpc_method_handler
    )
    message = getattr(open_inference, method.input_type.name)
    is_inference = message is open_inference.ModelInferRequest
    return make(
        act,
        request_deserializer=request.read if is_inference else message.FromString,
        response_serializer=getattr(open_inference, method.output_type.name).SerializeToString,
    )
