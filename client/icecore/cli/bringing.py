"""Brings labelled files into a collection: new ones added, changed ones replaced.

What is there unchanged is not sent again; what vanished stays unless pruned.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from icecore.cli.folders import LabelledFile, classes_of
from icecore.cli.mistakes import Interrupted, Mistake
from icecore.cli.progress import Work, working
from icecore.cli.readable import Unreadable, refusal, report_skipped, sentence, split_readable
from icecore.client import (
    Added,
    Client,
    Collection,
    Example,
    InvalidArgument,
    NewExample,
    NotFound,
    OnDuplicate,
    Reason,
)

BATCH = 32
DELETE_BATCH = 1000

_IMAGE_FAULTS = {Reason.IMAGE_INVALID, Reason.IMAGE_TRUNCATED, Reason.IMAGE_TOO_LARGE}


@dataclass(frozen=True, slots=True)
class Brought:
    """What became of the files, and of those no longer there."""

    collection: Collection
    added: Added
    n_removed: int
    skipped: tuple[Unreadable, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many files were added, replaced, unchanged, removed and skipped."""
        return {
            "added": self.added.n_added,
            "replaced": self.added.n_replaced,
            "unchanged": self.added.n_unchanged,
            "removed": self.n_removed,
            "skipped": len(self.skipped),
        }

    def __str__(self) -> str:
        said = ", ".join(f"{count:,} {what}" for what, count in self.counts.items() if count)
        n = self.collection.n_examples
        examples = "1 example" if n == 1 else f"{n:,} examples"
        n_classes = sum(1 for label in self.collection.labels if label)
        classes = "1 class" if n_classes == 1 else f"{n_classes:,} classes"
        return f"collection {self.collection.collection_id!r}: {said}; {examples} of {classes} now"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a collection lacks of the files, found out before anything is changed."""

    collection_id: str
    backbone: str
    exists: bool
    missing: tuple[LabelledFile, ...]
    n_unchanged: int
    vanished: tuple[str, ...]
    skipped: tuple[Unreadable, ...]
    labels: dict[str, int]


def plan(
    client: Client,
    collection_id: str,
    files: Sequence[LabelledFile],
    *,
    backbone: str = "",
    prune: bool = False,
    skip_bad: bool = False,
) -> Plan:
    """Return what is to be done; `labels` counts what will be there then.

    Raises:
        Mistake: files that are no images (unless `skip_bad`), or another backbone's collection.
        NotFound: no such backbone.
    """
    stored = _stored(client, collection_id, backbone)
    changed = [file for file in files if not _is_stored(file, stored or {})]
    missing, bad = split_readable(changed, lambda file: file.path)
    if bad and not skip_bad:
        raise refusal(bad)
    unreadable = {one.path for one in bad}
    kept = [file for file in files if file.path not in unreadable]
    if not kept:
        raise Mistake(sentence(bad))
    there = {file.example_id for file in files}
    vanished = tuple(one for one in (stored or {}) if one not in there) if prune else ()
    after = {one.example_id: one.label for one in (stored or {}).values()}
    after |= {file.example_id: file.label for file in kept}
    labels: dict[str, int] = {}
    for example_id, label in after.items():
        if label and example_id not in vanished:
            labels[label] = labels.get(label, 0) + 1
    return Plan(
        collection_id,
        backbone,
        stored is not None,
        tuple(missing),
        len(files) - len(changed),
        vanished,
        tuple(bad),
        dict(sorted(labels.items())),
    )


def bring(client: Client, plan: Plan, *, skip_bad: bool = False) -> Brought:
    """Do what the plan says; the collection is made if there is none.

    Raises:
        InvalidArgument: the server takes an image not; those of earlier batches stay.
        Interrupted: Ctrl-C; likewise.
    """
    if not plan.exists:
        client.create_collection(plan.collection_id, backbone=plan.backbone)
    added = Added(n_unchanged=plan.n_unchanged)
    refused: list[Unreadable] = []
    if plan.missing:
        title = f"bringing images into {plan.collection_id!r}"
        try:
            with working(title, len(plan.missing), unit="images") as work:
                new, refused = _add(client, plan, work, skip_bad)
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted; what is in collection {plan.collection_id!r} already stays, "
                "and the same command goes on from there"
            ) from None
        added += new
    for start in range(0, len(plan.vanished), DELETE_BATCH):
        client.delete_examples(plan.collection_id, plan.vanished[start : start + DELETE_BATCH])
    skipped = (*plan.skipped, *refused)
    report_skipped(skipped)
    collection = client.collection(plan.collection_id)
    return Brought(collection, added, len(plan.vanished), skipped)


def require_trainable(plan: Plan) -> None:
    """Refuse what no probe can be trained on, before anything is brought.

    Raises:
        Mistake: one class only, or a class with one image.
    """
    if len(plan.labels) < 2:
        names = ", ".join(map(repr, plan.labels)) or "none"
        raise Mistake(f"a probe needs two classes or more, and there is only {names}")
    small = [label for label, count in plan.labels.items() if count < 2]
    if small:
        names = ", ".join(map(repr, small))
        raise Mistake(f"a probe needs two images or more of each class, but has one of {names}")


def described(files: Sequence[LabelledFile]) -> str:
    """Return such as "200 images of 2 classes"."""
    n_classes = len(classes_of(files))
    images = "1 image" if len(files) == 1 else f"{len(files):,} images"
    return f"{images} of {'1 class' if n_classes == 1 else f'{n_classes:,} classes'}"


def _stored(client: Client, collection_id: str, backbone: str) -> dict[str, Example] | None:
    """What the collection holds; None if there is no such collection."""
    try:
        collection = client.collection(collection_id)
    except NotFound:
        client.backbone(backbone)  # refused before anything is made
        return None
    if backbone and collection.backbone != backbone:
        raise Mistake(
            f"collection {collection_id!r} is over backbone {collection.backbone!r}, "
            f"not {backbone!r}: take another name, or delete the collection first "
            f"('icecore collections delete {collection_id}')"
        )
    return {one.example_id: one for one in client.list_examples(collection_id)}


def _is_stored(file: LabelledFile, stored: dict[str, Example]) -> bool:
    one = stored.get(file.example_id)
    if one is None or one.label != file.label:
        return False
    return hashlib.sha256(file.path.read_bytes()).hexdigest() == one.image_sha256


def _add(client: Client, plan: Plan, work: Work, skip_bad: bool) -> tuple[Added, list[Unreadable]]:
    pending = list(plan.missing)
    total, refused, size = Added(), list[Unreadable](), BATCH
    while pending:
        done = Added()

        def count(batch: Added) -> None:
            nonlocal done
            done += batch
            work.advance(batch.n_examples)

        examples = (NewExample(file.example_id, file.path, file.label) for file in pending)
        try:
            client.add_examples(
                plan.collection_id,
                examples,
                on_duplicate=OnDuplicate.REPLACE,
                batch_size=size,
                on_batch=count,
            )
            pending = []
        except InvalidArgument as error:
            if not skip_bad or error.reason not in _IMAGE_FAULTS:
                raise
            # The bad one is in the first batch without an answer: found by going one by one.
            pending = pending[done.n_examples :]
            if size == 1:
                refused.append(Unreadable(pending.pop(0).path, error.message))
                work.advance()
            size = BATCH if size == 1 else 1
        total += done
    return total, refused
