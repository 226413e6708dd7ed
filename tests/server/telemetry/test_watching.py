"""A call is told of once, and what it started to go on without it is not part of it."""

import asyncio
import re

from icecore.server.telemetry.metrics import Metrics
from icecore.server.telemetry.stages import Stages
from icecore.server.telemetry.watching import Watch


class Kept:
    """Takes what is told to traces."""

    def __init__(self) -> None:
        self.told: list[dict[str, object]] = []

    def call_ended(self, **told: object) -> str:
        self.told.append(told)
        return ""


def embed(metrics: Metrics, seconds: float) -> None:
    metrics.images_done(
        backbone="b",
        layer="l",
        tenant_id="t",
        n_images=1,
        queue_s=seconds,
        decode_s=2 * seconds,
        compute_s=3 * seconds,
        total_s=6 * seconds,
    )


def milliseconds(timing: str) -> dict[str, float]:
    assert re.fullmatch(r"\w+;dur=\d+\.\d{3}(, \w+;dur=\d+\.\d{3})*", timing), timing
    parts = (part.split(";dur=") for part in timing.split(", "))
    return {name: float(value) for name, value in parts}


async def test_times_are_added_up_over_a_call() -> None:
    watch = Watch(Metrics())
    watched = watch.begin("/s/M", "r", ())
    assert set(milliseconds(watched.timing())) == {"total"}
    embed(watch.metrics, 1.0)
    await asyncio.create_task(_embed_soon(watch.metrics, 0.5))
    told = milliseconds(watched.timing())
    assert told.pop("total") < 1000, "the wall's time, not the sum"
    assert told == {"queue": 1500, "decode": 3000, "compute": 4500}


async def test_calls_side_by_side_have_times_of_their_own() -> None:
    watch = Watch(Metrics())

    async def call(seconds: float) -> dict[str, float]:
        watched = watch.begin("/s/M", "r", ())
        await asyncio.sleep(0)
        embed(watch.metrics, seconds)
        await asyncio.sleep(0)
        return milliseconds(watched.timing())

    one, other = await asyncio.gather(call(1.0), call(2.0))
    assert (one["queue"], other["queue"]) == (1000, 2000)


async def test_what_goes_on_after_a_call_is_not_part_of_it() -> None:
    kept, metrics = Kept(), Metrics()
    watch = Watch(metrics, kept)  # type: ignore[arg-type] # the part of it that is used
    watched = watch.begin("/s/M", "r", ())
    embed(metrics, 1.0)
    goes_on = asyncio.create_task(_embed_soon(metrics, 1.0))
    watched.end("OK", "t")
    await goes_on
    (told,) = kept.told
    stages = told["stages"]
    assert isinstance(stages, Stages)
    assert stages.n_embeddings == 1
    assert b'icecore_images_total{backbone="b",layer="l"} 2.0' in metrics.text()


async def _embed_soon(metrics: Metrics, seconds: float) -> None:
    await asyncio.sleep(0)
    embed(metrics, seconds)
