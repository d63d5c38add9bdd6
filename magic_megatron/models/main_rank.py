"""What one rank does for all: files that must be written once."""

from __future__ import annotations

from collections.abc import Callable

import torch.distributed as dist


def on_main(action: Callable[[], None]) -> None:
    """``action`` on rank 0 while the others wait. Collective.

    Raises:
        OSError: on every rank, if it was raised on rank 0.
    """
    failure: list[OSError | None] = [None]
    if dist.get_rank() == 0:
        try:
            action()
        except OSError as error:
            failure = [error]
    dist.broadcast_object_list(failure, src=0)
    if failure[0] is not None:
        raise failure[0]
