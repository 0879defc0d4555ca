# SPDX-License-Identifier: Apache-2.0
"""How a policy is run, and how its observations are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from humanoid_mujoco_ros.robot.card import RobotCard
from humanoid_mujoco_ros.robot.ranges import bounded, check_ranges

NO_POLICY = "none"
"""Name that stands for no policy: another node commands the robot."""


def policy_of(card: RobotCard, wanted: str) -> str:
    """The policy that drives a robot: the one that is wanted, or the card's; NO_POLICY: none."""
    return wanted or card.policy or NO_POLICY


def recovery_of(card: RobotCard, config: PolicyConfig) -> str:
    """The policy that gets a robot up; NO_POLICY: none."""
    if not config.recover:
        return NO_POLICY
    return config.recovery or card.recovery or NO_POLICY


@dataclass(frozen=True)
class PolicyConfig:
    """How policy_node runs its policy."""

    policy: str = ""
    """A policy's name, a file, or hf://owner/repo[@revision][/file]; empty: that of the robot's
    card; none: no policy. Setting it later switches to that policy at once, and is refused if it
    cannot be used."""
    recovery: str = ""
    """The policy that gets the robot up; empty: that of the robot's card, if it fits; none: no
    policy."""
    recover: bool = False
    """Run the recovery from a fall until the robot has stood still for a second, as config/sim.yaml
    asks for. It needs the height of the base: odom."""
    follow: bool = False
    """Load the policy's file again whenever it changes, such as that of a training under way."""
    autostart: bool = True
    """Configure and activate at the start, unless the policy was stopped in this run."""
    mode: Literal["realtime", "lockstep"] = "realtime"
    """That of the simulation. In lockstep, which waits, observation_timeout does not apply."""
    action: Literal["auto", "mean", "sample"] = "auto"
    """mean: the most likely action; sample: drawn from the Gaussian; auto: sample for a policy
    without observation statistics of its own, as CleanRL evaluates such a one, else mean."""
    seed: int = bounded(0, 0)
    """Seed of sampled actions."""
    ramp_s: float = bounded(0.1, 0.0)
    """Time in which efforts fade in after activation and after an interruption; positions go in it
    from the measured pose to the policy's."""
    observation_timeout_s: float = bounded(0.05, 0.0)
    """After this time without an observation, on the steady clock, efforts are zero, and positions
    are commanded no more; 0: never."""
    run_directory: str = ""
    """Folder of this run, in which a stop is remembered: a policy that was deactivated stays so
    when its node is started again. Empty: nothing is remembered."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: A time is negative.
        """
        check_ranges(self)

    @property
    def samples(self) -> bool | None:
        """Whether actions are drawn; None: as the policy was evaluated."""
        return None if self.action == "auto" else self.action == "sample"


@dataclass(frozen=True)
class VelocityMessageConfig:
    """What a velocity command is."""

    stamped_cmd_vel: bool = False
    """Whether cmd_vel is a TwistStamped; otherwise it is a Twist."""


@dataclass(frozen=True)
class VelocityConfig:
    """How long a velocity command holds."""

    cmd_vel_timeout_s: float = 0.5
    """The robot is to stand after this time without a command: on the steady clock, in lockstep in
    simulated time."""

    def __post_init__(self) -> None:
        """Checks the range.

        Raises:
            ValueError: The time is not positive.
        """
        if not self.cmd_vel_timeout_s > 0:
            raise ValueError(f"cmd_vel_timeout must be positive, not {self.cmd_vel_timeout_s}")


@dataclass(frozen=True)
class ObservationConfig:
    """How messages become an observation."""

    mode: Literal["realtime", "lockstep"] = "realtime"
    """That of the simulation; a robot is realtime. In lockstep input_timeout does not apply."""
    input_timeout_s: float = bounded(0.05, 0.0)
    """Silence of the robot, on the steady clock, that counts as an error; 0: none. Unless it is a
    simulation, a state does not count that comes later than others by this time, nor does a foot
    wrench that is older than the state by this time."""
    base_from: Literal["odom", "imu", "none"] = "odom"
    """What measures the base, besides joint_states: odom; imu/data, its orientation and angular
    velocity alone; none, for a policy that reads nothing of it. `humanoid hardware` and its launch
    file choose the least that the policy needs, unless this is set."""
    use_foot_wrenches: bool = False
    """Observe left_foot/wrench and right_foot/wrench; otherwise no contact forces."""

    def __post_init__(self) -> None:
        """Checks the range.

        Raises:
            ValueError: The time is negative.
        """
        check_ranges(self)
