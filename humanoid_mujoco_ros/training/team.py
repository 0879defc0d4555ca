# SPDX-License-Identifier: Apache-2.0
"""The processes that train together, started here or by torchrun."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn


class Team:
    """The processes that train together; alone it does nothing."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum over the processes."""
        if self.size == 1:
            return values
        tensor = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
        dist.all_reduce(tensor)
        return tensor.numpy()

    def sum_each(self, values: dict[str, float]) -> dict[str, float]:
        """The sum of each value over the processes, which all have the same names."""
        sums = self.sum(np.array(list(values.values()), dtype=np.float64))
        return dict(zip(values, sums.tolist(), strict=True))

    def average_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Replaces each gradient with its mean over the processes."""
        if self.size == 1:
            return
        flat = torch.cat([p.grad.ravel() for p in parameters if p.grad is not None])
        dist.all_reduce(flat)
        flat /= self.size
        start = 0
        for p in parameters:
            if p.grad is not None:
                p.grad.copy_(flat[start : start + p.numel()].view_as(p))
                start += p.numel()


def run_together(processes: int, work: Callable[[Team], None]) -> None:
    """Runs `work` in one or more processes and waits until all have ended.

    Started by torchrun, this process is one of torchrun's, and `processes` does not count.

    Args:
        processes: How many, this one included.
        work: What each does with its team; it must pickle.
    """
    torch.set_num_threads(1)
    if dist.is_torchelastic_launched():
        _join(work, "env://", int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
        return
    if processes == 1:
        work(Team(0, 1))
        return
    with tempfile.TemporaryDirectory() as folder:
        meeting = f"file://{Path(folder) / 'rendezvous'}"
        context = torch.multiprocessing.get_context("spawn")
        helpers = [
            context.Process(target=_join, args=(work, meeting, rank, processes), daemon=True)
            for rank in range(1, processes)
        ]
        for helper in helpers:
            helper.start()
        try:
            _join(work, meeting, 0, processes)
        finally:
            for helper in helpers:
                helper.join(timeout=20)
                if helper.is_alive():
                    helper.terminate()


def _join(work: Callable[[Team], None], meeting: str, rank: int, size: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
    try:
        work(Team(rank, size))
        # A process that leaves while another still talks to it is ended by gloo's own threads.
        dist.barrier()
    finally:
        dist.destroy_process_group()
