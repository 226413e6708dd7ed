"""What can go wrong with an export; it ends the command and never reaches a server."""


class ExportError(Exception):
    """The tree's root: `status` is the command's exit status."""

    status = 3


class SpecMistake(ExportError):
    """The caller named something that is not there or that cannot be exported."""

    status = 2


class LibraryMissing(ExportError):
    """torch, torchvision or timm is not installed."""

    status = 2


class WeightsUnavailable(ExportError):
    """The library's own loader did not bring the weights."""


class NotExportable(ExportError):
    """torch's exporter does not take the network, or what it wrote is not one of ours."""


class NotFaithful(ExportError):
    """The file computes something else than torch does."""


def told_of(error: Exception) -> str:
    """Return an error of others as part of a sentence: its kind and its first words."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]
