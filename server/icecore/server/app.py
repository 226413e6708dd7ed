"""The server put together: a folder, its parts, the door, and their ends in order."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version as installed_version
from typing import Any, Final

import grpc
import onnxruntime

from icecore.server import telemetry
from icecore.server.assembly import assemble
from icecore.server.backbones.catalog import Catalog
from icecore.server.embedding.warming import warm
from icecore.server.rpc import listening
from icecore.server.rpc.activity import Activity
from icecore.server.rpc.door import Door
from icecore.server.rpc.draining import Draining
from icecore.server.rpc.ending import Ending
from icecore.server.rpc.gate import Gate
from icecore.server.rpc.health import Health
from icecore.server.rpc.holding import Holding
from icecore.server.rpc.services import Parts, add_services
from icecore.server.rpc.starting import Phases
from icecore.server.settings import Settings
from icecore.server.storage.admin_key import make_admin_key
from icecore.server.storage.folder import DataFolder
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.presence import remove_socket, write_server_json
from icecore.server.storage.promise import Store
from icecore.server.telemetry.metrics import Metrics
from icecore.server.telemetry.traces_wanted import wanted_traces
from icecore.server.telemetry.watching import Watch

STORE_THREADS: Final = 32
"""Most of them wait for the disk; those that write share one commit."""

MakeCatalog = Callable[[Store], Catalog]


class App:
    """A server that serves, from `serving`."""

    def __init__(
        self,
        settings: Settings,
        parts: Parts,
        activity: Activity,
        ending: Ending,
        address: str,
        listen: str | None,
        metrics: str | None,
    ) -> None:
        self.address = address
        self.listen = listen
        self.metrics = metrics
        self.activity = activity
        self._settings = settings
        self._parts = parts
        self._ending = ending
        self._failed = asyncio.Event()

    def stop(self) -> None:
        """Let `wait` return; called again, calls in flight get no more time."""
        self._ending.ask()

    async def wait(self) -> None:
        """Return when `stop` was called, or all has been quiet for as long as the settings say.

        One that its clients start and nobody looks after also ends where its store has failed.
        """
        waiting: list[asyncio.Task[Any]] = [asyncio.create_task(self._ending.asked())]
        if self._settings.until_idle_s is not None:
            waiting.append(asyncio.create_task(self._failed.wait()))  # the next client starts anew
            idle = self.activity.wait_until_idle(
                self._settings.until_idle_s, lambda: self._parts.trainer.busy
            )
            waiting.append(asyncio.create_task(idle))
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waiting:
                task.cancel()

    async def fail(self, health: Health) -> None:
        """Tell that the store takes no more changes."""
        await health.fail()
        self._failed.set()

    async def end(self, server: "grpc.aio.Server", draining: Draining) -> None:
        """Take no more calls, give those in flight their time, and end what else runs."""
        draining.begin()
        hurry = asyncio.create_task(self._ending.hurried())
        # Ends the watches, and what is judged.
        await asyncio.gather(
            draining.quiet(), self._parts.trainer.close(), self._parts.adviser.close()
        )
        stopping = asyncio.create_task(server.stop(self._settings.grace_s))
        await asyncio.wait({stopping, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not stopping.done():
            await server.stop(0)
        await stopping


@contextlib.asynccontextmanager
async def serving(
    settings: Settings,
    *,
    make_catalog: MakeCatalog | None = None,
    ending: Ending | None = None,
) -> AsyncIterator[App]:
    """Serve the folder while the context lasts.

    It listens, and takes calls, before it is ready, and is ready when the default
    backbone has answered once. `ending` may be asked already, or meanwhile.

    Raises:
        AskedToEnd: before it was ready; all is put away again.
        FolderInUse: another server has it.
        SettingsInvalid: the address or the certificate cannot be used.
        OSError: the folder cannot be made or written.
        Internal, StorageFull: what it holds cannot be used, or the disk is full.
    """
    phases = Phases()
    phases.ended("imports")
    ending = ending or Ending()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="store"))
    async with contextlib.AsyncExitStack() as stack:
        credentials = listening.credentials(settings)
        version = installed_version("icecore")
        traces = wanted_traces(settings.traces, version=version)
        if traces is not None:  # last of all: the folder is free while a collector is waited for
            stack.push_async_callback(traces.close)
        folder = stack.enter_context(DataFolder(settings.data))
        folder.server_json.unlink(missing_ok=True)  # of a server that was killed
        store = await asyncio.to_thread(open_sqlite, folder)
        stack.callback(store.close)
        await asyncio.to_thread(make_admin_key, store, folder.admin_key)
        make_catalog = make_catalog or partial(Catalog, default_graph=settings.default_graph)
        catalog = make_catalog(store)
        phases.ended("store")
        ending.check()
        default = await asyncio.to_thread(catalog.ensure_default)
        phases.ended("backbone")
        ending.check()
        metrics = Metrics(by_tenant=settings.metrics_tenants)
        metrics.show_process(version=version, onnxruntime=onnxruntime.__version__)
        parts = assemble(stack, settings, folder, store, catalog, metrics)
        stack.push_async_callback(parts.trainer.close)
        stack.push_async_callback(parts.adviser.close)
        activity, draining = Activity(), Draining()
        gate = Gate(
            store,
            require_keys=settings.require_keys,
            listens_to_others=settings.listens_to_others,
        )
        holding = Holding(settings.max_inflight_bytes)
        metrics.gauge("calls_in_flight", "Calls now.", lambda: activity.n_in_flight)
        metrics.gauge(
            "message_bytes_in_flight", "Requests and answers in hand.", lambda: holding.n_bytes
        )
        door = Door(
            gate,
            activity,
            max_message_bytes=settings.max_message_bytes,
            watch=Watch(metrics, traces),
            draining=draining,
            holding=holding,
            away_s=parts.embedder.away_s,
        )
        server = grpc.aio.server(interceptors=[door], options=listening.options(settings))
        health = add_services(server, parts, gate)
        metrics.gauge("ready", "1 while calls are to come.", lambda: float(health.is_ready))
        metrics.gauge("alive", "0 where only a new start helps.", lambda: float(health.is_alive))
        shown = await listening.show_metrics(stack, settings, metrics=metrics.text, health=health)
        stack.push_async_callback(remove_socket, folder.socket())
        stack.push_async_callback(server.stop, 0)
        address = listening.listen_on_socket(server, folder.socket())
        listen = listening.listen_on_tcp(server, settings.listen, credentials)
        await server.start()
        phases.ended("listening")
        app = App(settings, parts, activity, ending, address, listen, shown)
        store.when_failed(
            lambda: asyncio.run_coroutine_threadsafe(app.fail(health), loop)  # another thread
        )
        try:
            await ending.unless_asked(warm(parts.embedder, default))
        except BaseException:
            await health.stop()
            await app.end(server, draining)
            raise
        phases.ended("warming")
        await health.set_ready()
        await parts.trainer.start()
        write_server_json(
            folder.server_json,
            address=address,
            listen=listen,
            metrics=shown,
            is_tls=settings.tls_cert is not None,
        )
        telemetry.log(
            "serving",
            address=address,
            listen=listen,
            metrics=shown,
            admin_key_file=str(folder.admin_key),
            pid=os.getpid(),
            start_ms=phases.ms,
        )
        try:
            yield app
        finally:
            await health.stop()
            folder.server_json.unlink(missing_ok=True)
            telemetry.log("stopping", n_in_flight=activity.n_in_flight)
            await app.end(server, draining)
    telemetry.log("stopped")
