"""Being connected to a Ray cluster: one that there is, or one on this machine while it is used."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from headgen.errors import InputError, MissingExtraError

__all__ = ["check_resources", "ray_session"]

logger = logging.getLogger(__name__)

_STORE = 100_000_000  # bytes for each worker of a local cluster: pictures on their way to the encoder


@contextmanager
def ray_session(address: str | None, workers: int, cpus: float, gpus: float) -> Iterator[Any]:
    """Inside, Ray is connected. A connection that there is already is used, and stays.

    Args:
        address: of a cluster: ``HOST:PORT``, or ``auto`` on one of its nodes; None for one on this machine.
        workers: that will be started; a cluster on this machine is made for them.
        cpus: cores of each.
        gpus: GPUs of each.

    Yields:
        The ``ray`` module.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: no cluster answers, or one of other versions.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise MissingExtraError("ray", "cluster", "Working on a Ray cluster") from None
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray's workers give way to all other programs; these here are what the machine is for.
        os.environ.setdefault("RAY_worker_niceness", "0")
        ray.init(
            address="local", num_cpus=math.ceil(workers * cpus), num_gpus=math.ceil(workers * gpus),
            object_store_memory=workers * _STORE, include_dashboard=False, **quiet,
        )  # fmt: skip
    else:
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{address}: no Ray cluster to work on ({reason}); give HOST:PORT as `ray start --head` "
                "prints it, or auto on one of the cluster's machines"
            ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def check_resources(ray: Any, workers: int, cpus: float, gpus: float) -> None:
    """Warns if a cluster is too small at present for so many workers.

    It may grow, so that this is no error: workers begin as machines join.

    Args:
        ray: the module, connected.
        workers: wanted.
        cpus: cores of each.
        gpus: GPUs of each.
    """
    fitting = 0
    for node in ray.nodes():
        there = node["Resources"] if node["Alive"] else {}
        rooms = [there.get(kind, 0) // each for kind, each in (("CPU", cpus), ("GPU", gpus)) if each]
        fitting += int(min(rooms, default=workers))
    if fitting < workers:
        logger.warning(
            "the cluster has room for %d of %d workers with %g cores%s each; the others wait for machines",
            fitting,
            workers,
            cpus,
            f" and {gpus:g} GPUs" if gpus else "",
        )
