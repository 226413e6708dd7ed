"""Client's calls about backbones."""

from collections.abc import Callable, Sequence
from pathlib import Path

from icecore.client._operations import backbone_work as work
from icecore.client._operations import backbones as operations
from icecore.client._operations.conversation import unanswered
from icecore.client._sync.calls import Calls
from icecore.client._sync.transport import last
from icecore.client.backbone_values import (
    Backbone,
    Card,
    LabelledImage,
    Layer,
    Quantising,
    Recipe,
    RecipeReport,
)
from icecore.client.input_values import ImageInput


class BackboneCalls(Calls):
    def backbones(self, *, timeout_s: float | None = None) -> list[Backbone]:
        """Return the server's backbones, by name."""
        return self._transport.unary(operations.backbones(), timeout_s)

    def backbone(self, name: str = "", *, timeout_s: float | None = None) -> Backbone:
        """Return one backbone; "" is the default one.

        Raises:
            NotFound: there is none of this name; the sentence lists near ones.
        """
        return self._transport.unary(operations.backbone(name), timeout_s)

    def layers(self, backbone: str = "", *, timeout_s: float | None = None) -> list[Layer]:
        """Return a backbone's layers in topological order; "" is the default backbone."""
        return self._transport.unary(operations.layers(backbone), timeout_s)

    def add_backbone(
        self,
        name: str,
        graph: Path | bytes,
        *,
        recipe: Recipe | Path | None = None,
        card: Card | None = None,
        on_bytes: Callable[[int, int], None] | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Backbone:
        """Add a backbone from an ONNX file and return it, once it is durable.

        Any network of float32, float16 or int8 (QDQ) that takes an image. A name
        that is taken points to the new one from then on; what pins the old digest
        goes on with the old. Administrators only.

        Args:
            name: letters, digits, ".", "_" and "-".
            graph: the file, or its bytes.
            recipe: how it is fed, or a file that says it (timm's pretrained_cfg, Hugging
                Face's preprocessor_config.json, or TOML); None: what the file's metadata
                say, else the usual of ImageNet networks.
            card: where it comes from; fields left empty are the metadata's.
            on_bytes: called with the bytes sent and all there are.
            request_id: makes this call exactly-once; None makes one.
            timeout_s: deadline of all of it; None: none.

        Raises:
            InvalidArgument: no such network, recipe or name.
            ResourceExhausted: it is too large, or costs too much to run once.
            PermissionDenied: not an administrator's key.
            OSError: a file cannot be read.
        """
        conversation = work.add(
            name, graph, recipe=recipe, card=card, on_bytes=on_bytes, request_id=request_id
        )
        return last(conversation, self._transport.converse(conversation, timeout_s))

    def remove_backbone(
        self, name: str, *, request_id: str | None = None, timeout_s: float | None = None
    ) -> None:
        """Remove a backbone. Administrators only.

        Raises:
            NotFound: there is none of this name.
            FailedPrecondition: a probe version or a collection pins it, or it is the default.
        """
        self._transport.unary(operations.remove(name, request_id=request_id), timeout_s)

    def check_recipe(
        self,
        backbone: str,
        images: Sequence[LabelledImage],
        *,
        class_names: Sequence[str] = (),
        on_progress: Callable[[float], None] | None = None,
        timeout_s: float | None = None,
    ) -> RecipeReport:
        """Try a backbone's recipe, and likely others, on labelled photos. Administrators only.

        Args:
            backbone: its name; "" is the default one.
            images: some dozens, of at least two labels.
            class_names: the network's classes, one a logit, to compare labels with.
            on_progress: called with shares from 0 to 1.
            timeout_s: deadline of all of it; None: none.

        Raises:
            NotFound: there is no such backbone.
            InvalidArgument: too few images, or one that cannot be read.
            OSError: a file cannot be read.
        """
        conversation = work.check_recipe(backbone, images, class_names)
        for said in self._transport.converse(conversation, timeout_s):
            if on_progress is not None:
                on_progress(said.progress)
            if said.report is not None:
                return said.report
        raise unanswered(conversation)

    def quantise_backbone(
        self,
        backbone: str,
        calibration: Sequence[ImageInput],
        *,
        name: str = "",
        evaluation: Sequence[LabelledImage] = (),
        percentile: float = 99.99,
        on_progress: Callable[[Quantising], None] | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Backbone:
        """Make a static int8 backbone of a float32 one, and return it. Administrators only.

        It is a backbone of its own, with the same layer names. Its `fidelity` tells how
        its codes compare, how much faster it is here, and, for each set of
        `evaluation`, the accuracy of probes trained anew on either's codes.

        Args:
            backbone: the float32 one; "" is the default.
            calibration: images like those it is for, a hundred or so.
            name: of the int8 one; "": that of the float32 one with "-int8".
            evaluation: labelled images for the probes.
            percentile: share of values that a tensor's range covers, in percent.
            on_progress: called with each stage.
            request_id: makes this call exactly-once; None makes one.
            timeout_s: deadline of all of it; None: none.

        Raises:
            NotFound: there is no such backbone.
            FailedPrecondition: it is int8 already.
            InvalidArgument: too few images, or one that cannot be read.
            OSError: a file cannot be read.
        """
        conversation = work.quantise(
            backbone, name, calibration, evaluation, percentile=percentile, request_id=request_id
        )
        for said in self._transport.converse(conversation, timeout_s):
            if on_progress is not None:
                on_progress(said)
            if said.backbone is not None:
                return said.backbone
        raise unanswered(conversation)
