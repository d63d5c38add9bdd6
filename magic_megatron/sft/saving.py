"""Write checkpoints while training goes on: copied first, written by a thread, renamed when all ranks are done.

A thread and not a process, as upstream would have it: a fork carries the folder's lock and the sockets of the
process groups along, outlives a killed rank and disturbs InfiniBand; a thread dies with its run.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import dist_checkpointing
from megatron.core.dist_checkpointing.core import CheckpointingConfig, save_config
from megatron.core.dist_checkpointing.dict_utils import nested_values
from megatron.core.dist_checkpointing.mapping import ShardedTensor, ShardedTensorFactory
from megatron.core.dist_checkpointing.strategies.async_utils import AsyncRequest
from megatron.core.dist_checkpointing.strategies.filesystem_async import FileSystemWriterAsync
from torch.distributed.checkpoint.api import CheckpointException

from magic_megatron.models.main_rank import on_main
from magic_megatron.models.training_state import TrainingState
from magic_megatron.sft.checkpoints import complete_checkpoints, step_of
from magic_megatron.sft.integrity import MANIFEST, file_sha256, manifest
from recipes.command import InputError


class CheckpointWriter:
    """Writes the checkpoints of one run, one at a time. All methods are collective but ``is_busy``.

    Args:
        output_dir: of the run.
        tokenizer: folder that goes with every checkpoint.
        keep: number of newest checkpoints that are kept.
        in_background: ``save`` returns when the state is copied, and ``finish`` waits for the rest.
    """

    def __init__(self, output_dir: Path, tokenizer: Path, keep: int, in_background: bool) -> None:
        self.output_dir, self.tokenizer, self.keep = output_dir, tokenizer, keep
        self.in_background = in_background
        self.last_step: int | None = None
        self._write: _Write | None = None

    @property
    def is_busy(self) -> bool:
        """This rank is writing."""
        return self._write is not None and self._write.thread.is_alive()

    def save(self, state: TrainingState, step: int, trainer: dict[str, Any], *, prune: bool = True) -> None:
        """Begin the checkpoint of ``step``, after the one before is finished.

        Args:
            trainer: goes into ``trainer.json``.
            prune: older checkpoints beyond the newest ``keep`` go when this one is whole.

        Raises:
            InputError: no room, or a folder that can't be written; the checkpoints before are intact.
        """
        self.finish()
        partial = self.output_dir / "checkpoints" / f".step_{step:07d}.partial"
        self._guard(step, 0, lambda: on_main(lambda: _make_room(partial)))
        sharded = state.sharded(step)
        live = _memory(sharded)
        request = dist_checkpointing.save(
            sharded, str(partial), async_sharded_save=True, async_strategy="mcore"
        )
        buckets = [] if request.async_fn is None else request.preload_fn()
        num_bytes = _num_bytes(buckets)
        self._guard(step, num_bytes, lambda: on_main(lambda: _check_space(partial, num_bytes)))
        if self.in_background:
            buckets = [_copied(bucket, live) for bucket in buckets]
        self._write = _Write(step, partial, request, buckets, num_bytes, trainer, prune)
        self._write.thread.start()
        self.last_step = step
        if not self.in_background:
            self.finish()

    def finish(self) -> None:
        """Wait for the checkpoint under way, if there is one, and make it complete.

        Raises:
            InputError: as ``save``.
        """
        if self._write is None:
            return
        write, self._write = self._write, None
        write.thread.join()
        self._guard(write.step, write.num_bytes, lambda: self._complete(write))

    def _complete(self, write: _Write) -> None:
        outcomes: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(outcomes, write.error or write.digests)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        _write_index(write.request)
        digests = {name: digest for outcome in outcomes for name, digest in outcome.items()}
        on_main(lambda: self._seal(write, digests))

    def _seal(self, write: _Write, digests: dict[str, str]) -> None:
        """Add what goes with the shards, give the folder its final name, drop what is too old."""
        partial = write.partial
        save_config(CheckpointingConfig("torch_dist", 1), str(partial))
        (partial / "trainer.json").write_text(json.dumps(write.trainer, indent=1))
        shutil.copy(self.output_dir / "recipe.yaml", partial / "recipe.yaml")
        shutil.copytree(self.tokenizer, partial / "tokenizer")
        for path in partial.rglob("*"):
            if path.is_file() and path.name not in digests:
                digests[str(path.relative_to(partial))] = file_sha256(path)
        (partial / MANIFEST).write_text(manifest(digests))
        for path in (*partial.rglob("*"), partial):
            _flush(path)
        final = partial.with_name(f"step_{write.step:07d}")
        _remove(final)
        partial.rename(final)
        _flush(final.parent)
        if write.prune:
            for old in complete_checkpoints(self.output_dir)[: -self.keep]:
                _remove(old)

    def _guard(self, step: int, num_bytes: int, action: Callable[[], None]) -> None:
        """``action``, whose ``OSError`` on any rank all ranks get; it becomes the user's message.

        The partial folder goes, so that its space is free again.
        """
        try:
            action()
        except OSError as error:
            folder = self.output_dir / "checkpoints"
            if dist.get_rank() == 0:
                _remove_partial(folder)
            size = f", {num_bytes / 1e9:.3f} GB," if num_bytes else ""
            raise no_room(self.output_dir, f"the checkpoint of step {step}{size}", error) from error


class _Write:
    """One checkpoint on its way to the disk. ``digests`` or ``error`` are there when the thread has ended."""

    def __init__(
        self,
        step: int,
        partial: Path,
        request: AsyncRequest,
        buckets: list[Any],
        num_bytes: int,
        trainer: dict[str, Any],
        prune: bool,
    ) -> None:
        self.step, self.partial, self.num_bytes = step, partial, num_bytes
        self.trainer, self.prune = trainer, prune
        self.request, self._buckets = request, buckets
        self.digests: dict[str, str] = {}
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, name=f"checkpoint {step}")

    def _run(self) -> None:
        try:
            self._write_shards()
        except Exception as error:  # for the main thread, which tells all ranks
            self.error = error

    def _write_shards(self) -> None:
        if not self._buckets:
            return
        transforms, _ = self.request.async_fn.args
        _, _, results = self.request.async_fn_args
        written = {}
        for number, bucket in enumerate(self._buckets):
            _, outcome = FileSystemWriterAsync.write_preloaded_data(
                transforms, number, bucket, None, None, use_fsync=True
            )
            if isinstance(outcome, Exception):
                raise _first_cause(outcome)
            written[number] = outcome
        self._buckets = []
        results.put(written)
        for path, name, _ in self.request.async_fn_args[1]:
            self.digests[name] = file_sha256(Path(path))


def _first_cause(error: BaseException) -> BaseException:
    """Where the chain of ``error`` began: torch's writer hides the disk's answer behind one of its own."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return error


def no_room(output_dir: Path, what: str, error: OSError) -> InputError:
    """For the user: ``what`` could not be written, how much is free, and where the run stands."""
    whole = complete_checkpoints(output_dir)
    go_on = f"goes on from step {step_of(whole[-1])}" if whole else "starts anew"
    free = shutil.disk_usage(output_dir).free
    return InputError(
        f"output_dir={output_dir}: {what} could not be written ({error.strerror}); {free / 1e9:.3f} GB are free there;"
        f" make room, and the same command {go_on}"
    )


def _write_index(request: AsyncRequest) -> None:
    """``.metadata``, which says what lies where in the shards. Collective.

    Upstream gathers the ranks' results, rank 0 writes, then tells the others how it went. If it can't write, it
    raises before telling, and they would wait for ever: it is told here in its place.
    """
    failure: OSError | None = None
    try:
        request.finalize_fns[0]()
    except CheckpointException as error:
        failure = OSError(0, str(error))
    except OSError as error:
        failure = error
        dist.broadcast(torch.ones(1, dtype=torch.int, device=torch.cuda.current_device()), src=0)
    if failure is not None:
        raise failure


def _make_room(partial: Path) -> None:
    """An empty folder at ``partial``, and nothing left of writes that a kill cut short."""
    partial.parent.mkdir(parents=True, exist_ok=True)
    _remove_partial(partial.parent)
    partial.mkdir()


def _remove_partial(checkpoints: Path) -> None:
    for partial in checkpoints.glob(".step_*.partial"):
        shutil.rmtree(partial)


def _remove(checkpoint: Path) -> None:
    """Its name goes first: a folder that has one is whole, even if a kill comes in between."""
    if checkpoint.exists():
        doomed = checkpoint.with_name(f".{checkpoint.name}.old.partial")
        checkpoint.rename(doomed)
        shutil.rmtree(doomed)


def _check_space(partial: Path, num_bytes: int) -> None:
    if shutil.disk_usage(partial).free < num_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _flush(path: Path) -> None:
    """Have the kernel write a file or a folder's entries to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _num_bytes(buckets: list[Any]) -> int:
    """What all ranks together write. Collective."""
    mine = sum(
        sum(data.getbuffer().nbytes for _, data in texts) + sum(tensor.nbytes for _, tensor in tensors)
        for _, _, (texts, tensors) in buckets
    )
    total = torch.tensor(mine, device=torch.cuda.current_device())
    dist.all_reduce(total)
    return int(total.item())


def _memory(sharded: dict[str, Any]) -> set[int]:
    """Addresses of the storages that training goes on to change."""
    return {
        entry.data.untyped_storage().data_ptr()
        for entry in nested_values(sharded)
        if isinstance(entry, ShardedTensor | ShardedTensorFactory)
    }


def _copied(bucket: Any, live: set[int]) -> Any:
    """``bucket`` of a file, its tensors copied where they are still the model's or the optimizer's own memory."""
    path, name, (texts, tensors) = bucket
    copies = [
        (item, tensor.clone() if tensor.untyped_storage().data_ptr() in live else tensor)
        for item, tensor in tensors
    ]
    return path, name, (texts, copies)
