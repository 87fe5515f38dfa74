"""`holdfast controller`: tells Kubernetes what the pods say of themselves, and the pods what Kubernetes knows."""

import argparse
import asyncio
import signal

from holdfast import settings, telemetry
from holdfast.bootstrap import ControllerProcess
from holdfast.telemetry.exposition import Exposition


def run(_args: argparse.Namespace) -> int:
    """Until a signal; the process's exit status.

    Raises:
        ConfigurationError: a setting is missing, or there is no access to Kubernetes.
    """
    loaded = settings.load()
    telemetry.configure_logging(loaded.log.level, loaded.log.format)
    asyncio.run(_control(ControllerProcess(loaded), loaded.kubernetes.metrics_port))
    return 0


async def _control(process: ControllerProcess, port: int) -> None:
    controller = process.controller
    loop, task = asyncio.get_running_loop(), asyncio.create_task(controller.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    checks = {"/livez": lambda: controller.is_alive, "/readyz": lambda: controller.is_ready}
    try:
        async with Exposition(process.telemetry.registry, None, port, checks):
            await task
    except asyncio.CancelledError:
        return
    finally:
        await process.close()
