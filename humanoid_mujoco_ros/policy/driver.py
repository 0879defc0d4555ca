# SPDX-License-Identifier: Apache-2.0
"""A loaded policy that drives a robot's joints."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from humanoid_mujoco_ros.policy import fit, locate, policy_file
from humanoid_mujoco_ros.policy.brain import Brain, brain_of
from humanoid_mujoco_ros.policy.checkpoint import Checkpoint, CheckpointError
from humanoid_mujoco_ros.policy.command_gate import EffortRamp, Observation, PositionRamp, Ramp
from humanoid_mujoco_ros.policy.file_watch import FileWatch
from humanoid_mujoco_ros.policy.measurement import BASE_SOURCES, BaseSource
from humanoid_mujoco_ros.policy.recovery import Recovering
from humanoid_mujoco_ros.policy.restart_watch import RestartWatch
from humanoid_mujoco_ros.policy.state_vector import observation_layout
from humanoid_mujoco_ros.robot.card import Actuation
from humanoid_mujoco_ros.robot.joint_map import JointMap
from humanoid_mujoco_ros.robot.model import ModelError, RobotModel
from humanoid_mujoco_ros.robot.vectors import Float64Array, VectorError, checked_vector


class PolicyError(ValueError):
    """A policy cannot be loaded; the message names it and says why."""


@dataclass(frozen=True, eq=False)
class LoadedPolicy:
    """A policy that is ready to drive the robot."""

    name: str
    """What was asked for."""
    watch: FileWatch
    """Follows its file, as it was before it was read."""
    brain: Brain
    samples: bool
    """Whether its actions are drawn."""
    base: BaseSource
    """What has to measure the robot's base for it."""
    reads: str
    """The input that needs that."""


class Driver:
    """Answers observations with commands in the order and with the signs of the robot's.

    Attributes:
        kind: What the commands are: efforts [N·m] or positions [rad]; None: no policy is loaded.
        takes_commands: Whether the policy follows velocity commands.
        name: What was loaded; empty before.
        file: Its file; None before.
        recovery: What was loaded to get the robot up; empty: nothing.
    """

    def __init__(self, robot: RobotModel, joint_map: JointMap, joints: Sequence[str]) -> None:
        """Has no policy yet.

        Args:
            robot: What the policy is to fit.
            joint_map: What the robot calls its joints.
            joints: The robot's driven joints in the order of the commands.

        Raises:
            ValueError: `joints` are not the robot's.
        """
        self._robot = robot
        self._joint_map = joint_map
        self._to_command_order = joint_map.command_order(joints)
        # What measures the base shows in the size; where that changes nothing, all of it counts.
        layouts = {base: observation_layout(robot, base) for base in BASE_SOURCES}
        self._sizes = {layout[-1].slice.stop: base for base, layout in layouts.items()}
        self._blocks = {
            layout[-1].slice.stop: {block.name: block.slice for block in layout}
            for layout in layouts.values()
        }
        self._restarts = RestartWatch(robot.control_period_s)
        self._observed: BaseSource | None = None
        self._needed: tuple[BaseSource, str] = ("none", "")
        self._durations_s: list[float] = []
        self._brain: Brain | None = None
        self._recovering: Recovering | None = None
        self._action = ""
        self.kind: Actuation | None = None
        self.takes_commands = False
        self.name = self.recovery = ""
        self.file: Path | None = None

    def load(self, name: str, *, sample: bool | None, seed: int) -> None:
        """Loads the policy `name` and drives with it; see `prepare`."""
        self.use(self.prepare(name, sample=sample, seed=seed))

    def prepare(
        self, name: str, *, sample: bool | None, seed: int, download: bool = True
    ) -> LoadedPolicy:
        """Loads the policy `name`; what drives the robot stays as it is.

        Args:
            name: A named policy, a file or an address.
            sample: Draw actions from the Gaussian; None: for a policy without observation
                statistics of its own, as CleanRL does.
            seed: Of the drawn actions.
            download: Get it from the hub if it is not on this machine.

        Raises:
            PolicyError: It cannot be used.
        """
        try:
            found = locate.find(name, download=download)
            watch = FileWatch(found.file)
            loaded = policy_file.load(found, self._robot)
            if sample is None:
                sample = isinstance(loaded, Checkpoint) and loaded.normalization == "running"
            brain = brain_of(loaded, self._robot, sample=sample, seed=seed)
            needed = fit.needed_base(loaded, self._robot)
            self._check_observed(*needed)
        except Exception as error:  # whatever a file from elsewhere provokes
            known = isinstance(error, CheckpointError | ModelError | VectorError)
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            named = f"policy '{name}'"
            raise PolicyError(
                reason if reason.startswith(named) else f"{named}: {reason}"
            ) from error
        return LoadedPolicy(name, watch, brain, sample, *needed)

    def use(
        self,
        policy: LoadedPolicy,
        recovery: LoadedPolicy | None = None,
        lead_in: LoadedPolicy | None = None,
    ) -> None:
        """Drives with policies that were prepared, which know nothing of what happened before.

        Args:
            policy: What drives the robot.
            recovery: What drives it while it lies; None: that policy too.
            lead_in: What drives it from there until the policy can take over; see `Recovering`.
        """
        self._brain, self.kind = policy.brain, self._robot.actuation
        self._recovering = None
        self.recovery = ""
        if recovery is not None:
            between = None if lead_in is None else lead_in.brain
            self._brain = self._recovering = Recovering(
                policy.brain, recovery.brain, self._robot, between
            )
            self.recovery = recovery.name
        self.takes_commands = policy.brain.takes_commands
        self._needed = policy.base, policy.reads
        self._action = "sample" if policy.samples else "mean"
        self.name, self.file = policy.name, policy.watch.path

    def unload(self) -> None:
        """Forgets the policy."""
        self._brain = self._recovering = self.kind = self._observed = None
        self.takes_commands = False
        self.name, self.file, self.recovery = "", None, ""

    def reset(self) -> None:
        """Lets the policy forget what happened, as at the start of an episode."""
        if self._brain is not None:
            self._brain.reset()

    @property
    def clipped(self) -> bool:
        """Whether the last velocity command was beyond what the policy was trained for."""
        return self._brain is not None and self._brain.clipped

    @property
    def has_handed_over(self) -> bool:
        """Whether the last answer came from another policy than the one before."""
        return self._recovering is not None and self._recovering.has_handed_over

    @property
    def is_getting_up(self) -> bool:
        """Whether the recovery drives the robot."""
        return self._recovering is not None and self._recovering.watch.is_getting_up

    def answer(self, values: Observation, velocity: Float64Array) -> Float64Array:
        """Commands (n,) that answer the observation `values`.

        A robot that was put into another pose starts anew: the policy forgets what happened.

        Args:
            values: What the robot observed.
            velocity: (3,) wanted vx, vy [m/s] and yaw rate [rad/s] in the heading frame.

        Raises:
            VectorError: The observation or the answer is not finite or of the wrong size, or the
                observation lacks what the policy reads.
        """
        assert self._brain is not None
        start_s = time.monotonic()
        size = len(values) if len(values) in self._sizes else max(self._sizes)
        observation = checked_vector(values, size, "observation")
        self._observed = self._sizes[size]
        self._check_observed(*self._needed)
        blocks = self._blocks[size]
        joints = observation[blocks["joint_positions"]], observation[blocks["joint_velocities"]]
        if self._restarts.update(*joints):
            self._brain.reset()
        # Finite weights may still overflow, and no clip would stop NaN.
        answer = self._brain.answer(observation, velocity).tolist()
        try:
            commands = checked_vector(answer, len(self._robot.joints), "the policy's answer")
        except ValueError:
            self._brain.reset()  # it must not remember what was no number
            raise
        if self.kind == "position":
            commands = self._joint_map.positions_to_robot(commands)
        else:
            commands = self._joint_map.signed(commands)
        self._durations_s.append(time.monotonic() - start_s)
        return commands[self._to_command_order]

    def ramp(self) -> Ramp:
        """How the robot's commands are to begin and end."""
        if self._robot.actuation == "position":
            ranges = self._joint_map.target_ranges[self._to_command_order]
            return PositionRamp(ranges, self._measured_positions)
        return EffortRamp(self._joint_map.effort_ranges[self._to_command_order])

    def _measured_positions(self, values: Observation) -> Float64Array:
        """Positions (n,) [rad] of the joints in an observation, in the order of the commands."""
        blocks = self._blocks[len(values)]
        positions = np.asarray(values, dtype=np.float64)[blocks["joint_positions"]]
        return self._joint_map.positions_to_robot(positions)[self._to_command_order]

    def _check_observed(self, needed: BaseSource, reads: str) -> None:
        observed = self._observed
        if observed is None or BASE_SOURCES.index(observed) >= BASE_SOURCES.index(needed):
            return
        made_of = "joint_states alone" if observed == "none" else "joint_states and imu/data"
        topic = "odom" if needed == "odom" else "imu/data"
        raise VectorError(
            f"the policy reads {reads}, which needs {topic}; the observation is made of {made_of}"
        )

    def figures(self) -> dict[str, object]:
        """What is loaded, and what it did since the last call."""
        durations_ms = np.array(self._durations_s or (np.nan,)) * 1e3
        answered, self._durations_s = len(self._durations_s), []
        brain = self._brain
        return {
            "policy": self.name,
            "task": brain.task if brain else "",
            "normalization": brain.normalization if brain else "",
            "action": self._action if brain else "",
            "answered_observations": answered,
            "inference_p50_ms": float(np.percentile(durations_ms, 50)),
            "inference_p99_ms": float(np.percentile(durations_ms, 99)),
            "recovery": self.recovery,
            "getting_up": self.is_getting_up,
            "recoveries": self._recovering.watch.recoveries if self._recovering else 0,
        }
