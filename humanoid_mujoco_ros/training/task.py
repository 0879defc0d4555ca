# SPDX-License-Identifier: Apache-2.0
"""What a task is: what a policy reads, what it earns, how an episode starts and ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy import observation
from humanoid_mujoco_ros.policy.card import PolicyCard
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.simulation.simulation import (
    CONTROL_COST_WEIGHT,
    FORWARD_REWARD_WEIGHT,
    HEALTHY_REWARD,
)
from humanoid_mujoco_ros.training.batch import humanoid_v4_start
from humanoid_mujoco_ros.training.mirror import Mirror, RobotMirror, find_mirror

if TYPE_CHECKING:
    from humanoid_mujoco_ros.training.environment import EnvironmentConfig

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass
class BatchState:
    """N robots after a control period, as a task sees them. The first six arrays are live."""

    qpos: Array
    """(N, nq) [m, rad]."""
    qvel: Array
    """(N, nv) [m/s, rad/s]."""
    cinert: Array
    """(N, nbody, 10), see `observation.observe`."""
    cvel: Array
    """(N, nbody, 6), see `observation.observe`."""
    qfrc_actuator: Array
    """(N, nv) [N, N·m]."""
    age: NDArray[np.int64]
    """(N,) control periods since the episode's start."""
    action: Array
    """(N, nu) control signals that the policy asked for."""
    previous_action: Array
    """(N, nu) what it asked for one period before."""
    com_velocity: Array
    """(N, 2) of the centre of mass, mean over the period, world [m/s]."""
    mean_velocity: Array
    """(N, 2) the same, low-pass filtered over about half a second."""
    foot_height_m: Array
    """(N, 2) of the left and right sole above the ground; 0 without feet."""
    foot_speed_m_s: Array
    """(N, 2) horizontal, of the left and right foot, mean over the period [m/s]."""
    com_from_feet_m: Array
    """(N,) horizontal distance from the centre of mass to the middle of the feet; 0 without."""
    standing: Bools
    """(N, 2) which foot is on the ground."""
    phase_s: Array
    """(N, 2) how long each foot has been on the ground or in the air."""
    push_n: Array
    """(N, 2) the present or next push, world axes [N]."""
    push_in_s: Array
    """(N,) time until it begins; 0 while it acts, inf without one."""
    push_left_s: Array
    """(N,) for how long it will act; 0 unless it acts."""
    is_late: Bools
    """(N,) whether commands act one control period late."""
    ramp_left_s: Array
    """(N,) for how long torques are still ramped up."""

    @staticmethod
    def still(robot: RobotModel, n: int) -> BatchState:
        """N robots at rest in the model's reference pose, at the start of their episodes."""
        m = robot.mj
        return BatchState(
            qpos=np.tile(m.qpos0, (n, 1)),
            qvel=np.zeros((n, m.nv)),
            cinert=np.zeros((n, m.nbody, 10)),
            cvel=np.zeros((n, m.nbody, 6)),
            qfrc_actuator=np.zeros((n, m.nv)),
            age=np.zeros(n, dtype=np.int64),
            action=np.zeros((n, m.nu)),
            previous_action=np.zeros((n, m.nu)),
            com_velocity=np.zeros((n, 2)),
            mean_velocity=np.zeros((n, 2)),
            foot_height_m=np.zeros((n, 2)),
            foot_speed_m_s=np.zeros((n, 2)),
            com_from_feet_m=np.zeros(n),
            standing=np.ones((n, 2), dtype=bool),
            phase_s=np.zeros((n, 2)),
            push_n=np.zeros((n, 2)),
            push_in_s=np.full(n, np.inf),
            push_left_s=np.zeros(n),
            is_late=np.zeros(n, dtype=bool),
            ramp_left_s=np.zeros(n),
        )

    def facing_x(self) -> Array:
        """(N,) x component of the root's forward axis: 1 looking along world +x."""
        return rotation.rotate(self.qpos[:, 3:7], (1.0, 0.0, 0.0))[:, 0]

    def upright(self) -> Array:
        """(N,) z component of the root's up axis: 1 standing straight."""
        return rotation.rotate(self.qpos[:, 3:7], (0.0, 0.0, 1.0))[:, 2]

    def stride_s(self) -> Array:
        """(N,) while exactly one foot stands: the shorter of its standing and the other's swing.

        It is 0 while both or none stand.
        """
        single = self.standing[:, 0] != self.standing[:, 1]
        return np.where(single, self.phase_s.min(axis=1), 0.0)


class Task(ABC):
    """What N robots learn; by itself the input, start and end of Gymnasium's Humanoid-v4.

    A task is one dataclass in a file of the folder `tasks`. Its fields are its options on the
    command line, described by the docstrings under them. What it does not redefine stays as here.
    The order of the calls in a control period: `controls`, `advance`, `reward`, `failed`,
    `finished`, `start` for the episodes that ended, then `observe` and `privileged`.
    """

    name: ClassVar[str]
    """What it is called on the command line and in its checkpoints."""
    input_name: ClassVar[str] = observation.INPUT_NAME
    """What its policy reads, as a checkpoint records it (`Checkpoint.input`)."""
    privileged_mirror: ClassVar[Mirror] = Mirror.join(
        Mirror.signs(1, -1, 1, 1, -1, 1, 1, 1, 1, -1), Mirror.swap(2), Mirror.swap(2)
    )
    """How `privileged` looks in a mirror."""
    robot_card: ClassVar[str | None] = None
    """Card of the robot that learns it, in the card's own physics; None: as the options say."""
    level = 0.0
    """How far the curriculum has come, 0 to 1; kept when a training is resumed."""
    pushes_may_grow = True
    """False while the curriculum wants pushes as they are."""

    def prepare(self, robot: RobotModel, n: int, random: np.random.Generator) -> None:
        """Called once, before all else.

        Args:
            robot: The model of every robot.
            n: Number of robots.
            random: The source of all that is random in this task.
        """
        self.robot = robot
        self.random = random
        self._fall_rule = robot.fall_rule

    def conditions(self, config: EnvironmentConfig, period_s: float) -> EnvironmentConfig:
        """What the robot meets: as the options say, unless the task wants it otherwise.

        Args:
            config: What the options say.
            period_s: Control period of the robot.
        """
        return config

    def mirror(self, robot: RobotModel) -> RobotMirror | None:
        """How input and actions look in a mirror; None without a left-right symmetry."""
        return find_mirror(robot)

    def start(self, ids: NDArray[np.intp]) -> tuple[Array, Array]:
        """Start of an episode of k robots: qpos (k, nq), qvel (k, nv).

        A task with a memory clears it here for the robots `ids` (k,).
        """
        return humanoid_v4_start(self.robot, self.random, ids.size)

    def card(self, robot: RobotModel) -> PolicyCard | None:
        """What a policy of this task reads and what its actions mean.

        Here: None, it reads what `input_name` says and its actions are control signals.
        """
        return None

    def controls(self, state: BatchState, action: Array) -> Array:
        """(N, nu) control signals for the actions (N, nu); here: the actions themselves."""
        return action

    def lift(self, state: BatchState) -> Array | float:
        """(N,) or one: a force that lifts the root in the next control period [N]; here: none."""
        return 0.0

    def advance(self, state: BatchState) -> None:  # noqa: B027 - most tasks have no memory
        """A control period has passed: commands, clocks and filters go on."""

    def observe(self, state: BatchState) -> Array:
        """(N, observations) what the policy reads; a new array.

        Here: Humanoid-v4's vector without contact forces, which a robot cannot measure.
        """
        return observation.observe(
            state.qpos, state.qvel, state.cinert, state.cvel, state.qfrc_actuator, None
        )

    def privileged(self, state: BatchState) -> Array:
        """(N, privileged) what only the critic sees.

        Here: push, next push, delay, ramp, drift, feet on the ground.
        """
        active = state.push_left_s > 0
        push = state.push_n / 200.0
        return np.column_stack(
            (
                np.where(active[:, None], push, 0.0),
                state.push_left_s * 5.0,
                np.where(active[:, None], 0.0, push),
                np.minimum(state.push_in_s, 2.0),
                state.is_late,
                state.ramp_left_s * 10.0,
                state.mean_velocity,
                state.standing,
                2.0 * np.minimum(state.phase_s, 1.0),
            )
        )

    @abstractmethod
    def reward(self, state: BatchState) -> Array:
        """(N,) what each robot earns in this control period."""

    def failed(self, state: BatchState) -> Bools:
        """(N,) whether each robot's episode ends here, as a fall."""
        return self._fall_rule.is_fallen(state.qpos[:, 2], state.qpos[:, 3:7])

    def finished(self, state: BatchState) -> Bools:
        """(N,) whether each robot's episode ends here, done; what comes after earns nothing."""
        return np.zeros(len(state.qpos), dtype=bool)

    def figures(self) -> dict[str, float]:
        """Sums over what happened since the last call; those of all processes are added up."""
        return {}

    def adapt(self, figures: dict[str, float], falls_per_minute: float) -> dict[str, float]:
        """Moves `level` after an iteration.

        Args:
            figures: The sums of `figures` over all processes.
            falls_per_minute: Of all robots.

        Returns:
            Numbers for the log.
        """
        return {}


def humanoid_v4_reward(forward_velocity: Array, action: Array) -> Array:
    """The reward of Gymnasium's Humanoid-v4 for a step that did not fail.

    Args:
        forward_velocity: (N,) of the centre of mass along world x [m/s].
        action: (N, nu) control signals.
    """
    reward: Array = HEALTHY_REWARD + FORWARD_REWARD_WEIGHT * forward_velocity - control_cost(action)
    return reward


def control_cost(action: Array) -> Array:
    """(N,) Humanoid-v4's cost of the control signals (N, nu)."""
    cost: Array = CONTROL_COST_WEIGHT * np.square(action).sum(axis=-1)
    return cost


def carries_a_foot(robot: RobotModel) -> Bools:
    """(n,) by joint: whether a foot hangs on it, as on the joints of legs and waist.

    True of every joint where the robot's description names no feet.
    """
    m = robot.mj
    carriers = set()
    for _, foot, _ in robot.foot_sensors:
        body = m.body(foot).id
        while body > 0:
            carriers.add(body)
            body = int(m.body_parentid[body])
    joints = [int(m.jnt_bodyid[m.joint(name).id]) for name in robot.joints]
    return np.array([not carriers or body in carriers for body in joints])
