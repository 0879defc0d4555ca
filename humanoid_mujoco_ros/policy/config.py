# SPDX-License-Identifier: Apache-2.0
"""How a policy is run, and how its observations are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DEFAULT_POLICY = "walk"


@dataclass(frozen=True)
class PolicyConfig:
    """How policy_node runs its policy."""

    policy: str = DEFAULT_POLICY
    """A shipped policy's name, a checkpoint file, or hf://owner/repo[@revision][/file]. Read when
    the node is configured."""
    autostart: bool = True
    """Configure and activate at the start, unless the policy was stopped in this run."""
    mode: Literal["realtime", "lockstep"] = "realtime"
    """That of the simulation. In lockstep, which waits, observation_timeout does not apply."""
    action: Literal["mean", "sample"] = "mean"
    """mean: the most likely action; sample: drawn from the Gaussian, as CleanRL evaluates."""
    seed: int = 0
    """Seed of sampled actions."""
    ramp_s: float = 0.1
    """Time in which efforts fade in after activation and after an interruption."""
    observation_timeout_s: float = 0.05
    """Zero effort after this time without an observation, on the steady clock; 0: never."""
    run_directory: str = ""
    """Folder of this run, in which a stop is remembered: a policy that was deactivated stays so
    when its node is started again. Empty: nothing is remembered."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: A time is negative.
        """
        for name in ("ramp_s", "observation_timeout_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")


@dataclass(frozen=True)
class ObservationConfig:
    """How messages become an observation."""

    mode: Literal["realtime", "lockstep"] = "realtime"
    """That of the simulation; a robot is realtime. In lockstep input_timeout does not apply."""
    input_timeout_s: float = 0.05
    """Silence of the robot, on the steady clock, that counts as an error; 0: none. Unless it is a
    simulation, a state does not count that comes so much later than others, nor does a foot wrench
    so much older than the state."""
    use_foot_wrenches: bool = False
    """Observe left_foot/wrench and right_foot/wrench; otherwise no contact forces."""

    def __post_init__(self) -> None:
        """Checks the range.

        Raises:
            ValueError: The time is negative.
        """
        if not self.input_timeout_s >= 0:
            raise ValueError(f"input_timeout must not be negative, not {self.input_timeout_s}")
