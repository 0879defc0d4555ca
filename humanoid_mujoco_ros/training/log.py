# SPDX-License-Identifier: Apache-2.0
"""The log of a training: a line for people, a table of numbers, the learning curve, the options."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from humanoid_mujoco_ros.training import curves
from humanoid_mujoco_ros.training.options import TrainOptions


class Log:
    """Progress for people; beside the policy a table of numbers, a curve and the options."""

    def __init__(self, output: Path, options: TrainOptions, *, symmetric: bool) -> None:
        self._output, self._name = output, options.task.name
        self._options = options.resolved()
        self._symmetric = symmetric
        self._rows: list[dict[str, float]] = []
        self._table = (output / f"{self._name}.jsonl").open("w", encoding="utf-8")
        self._last_print = 0.0
        self._write_options({})

    def write(self, row: dict[str, float], limit_s: float) -> None:
        """Takes the numbers of an iteration."""
        row = {key: float(f"{value:.6g}") for key, value in row.items()}
        self._rows.append(row)
        self._table.write(json.dumps(row) + "\n")
        terminal = sys.stdout.isatty()
        if row["elapsed_s"] - self._last_print < (0.2 if terminal else 10.0):
            return
        self._last_print = row["elapsed_s"]
        self._table.flush()
        left_s = max(0.0, limit_s - row["elapsed_s"])
        line = (
            f"{row['steps'] / 1e6:7.2f} M steps  return {row['return']:7.0f}  "
            f"reward {row['reward']:5.2f}  falls/min {row['falls_per_minute']:6.2f}  "
            f"falls/push {row['falls_per_push']:4.2f}  push level {row['push_level']:.2f}  "
            f"std {row['std']:.3f}  kl {row['kl']:.4f}  lr {row['learning_rate']:.1e}  "
            f"{row['steps_per_s']:6.0f} steps/s  {left_s / 60:5.1f} min left"
        )
        print(f"\r{line}\x1b[K" if terminal else line, end="" if terminal else "\n", flush=True)

    def draw(self) -> None:
        """Writes the learning curve; without matplotlib there is none."""
        curves.draw_learning_curve(self._rows, self._output / f"{self._name}.png", self._name)

    def close(self, steps: int, elapsed_s: float) -> None:
        """Completes the files."""
        if sys.stdout.isatty():
            print()
        self.draw()
        self._table.close()
        self._write_options({"steps": steps, "elapsed_s": round(elapsed_s, 1)})

    def _write_options(self, result: dict[str, float]) -> None:
        content = {"options": self._options, "symmetric_robot": self._symmetric, **result}
        path = self._output / f"{self._name}.json"
        path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
