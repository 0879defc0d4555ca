# SPDX-License-Identifier: Apache-2.0
"""The robot model: MuJoCo's MJCF with the sensors a physical robot would have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot.base import Base
from humanoid_mujoco_ros.robot.card import (
    FallRule,
    RobotCard,
    bare_card,
    drives_of,
    load_card,
    matching,
)
from humanoid_mujoco_ros.robot.errors import ModelError
from humanoid_mujoco_ros.robot.mjcf import BASE_LINK, IMU_LINK, ODOM_FRAME, SOLE_LINKS, assemble
from humanoid_mujoco_ros.robot.motors import read_motors
from humanoid_mujoco_ros.share import share_directory

__all__ = [
    "BASE_LINK",
    "GYMNASIUM_HUMANOID",
    "HEALTHY_HEIGHT_M",
    "IMU_LINK",
    "ODOM_FRAME",
    "SOLE_LINKS",
    "ModelConfig",
    "ModelError",
    "RobotModel",
    "gymnasium_humanoid_path",
    "order_of",
]

GYMNASIUM_HUMANOID = "humanoid"
"""The robot that is used unless another is named."""
HEALTHY_HEIGHT_M = (1.0, 2.0)
"""Humanoid-v4's healthy_z_range of the root: outside, Gymnasium's humanoid has fallen."""
HUMANOID_HEIGHT_M = 1.4
"""Height of that humanoid's root in the model's reference pose."""
HOME = "home"
"""Keyframe in which a robot starts unless its card says otherwise."""


@dataclass(frozen=True)
class ModelConfig:
    """Which robot, and what is to be otherwise than its card says."""

    robot: str = GYMNASIUM_HUMANOID
    """The robot: the name of a card (see `humanoid robots`), a card FILE.yaml, or a model
    FILE.xml."""
    model: str = ""
    """MJCF file in place of the card's. With the default robot it is a robot of its own, without
    a card. Empty: the card's."""
    timestep_s: float = 0.0
    """Physics time step; 0: the card's."""
    steps_per_control: int = 0
    """Physics steps per control period (Gymnasium's frame_skip); 0: the card's."""
    integrator: str = ""
    """Euler, RK4, implicit or implicitfast; empty: the card's."""

    def card(self) -> RobotCard:
        """The robot's card, with what is otherwise.

        Raises:
            RobotCardError: There is no such card, or a value is out of its range.
        """
        if self.model and self.robot == GYMNASIUM_HUMANOID:
            card = bare_card(Path(self.model))
        else:
            card = load_card(self.robot, share_directory("config") / "robots")
        names = ("model", "timestep_s", "steps_per_control", "integrator")
        return replace(card, **{name: getattr(self, name) for name in names if getattr(self, name)})


def gymnasium_humanoid_path() -> Path:
    """Path of the humanoid.xml that Gymnasium installs, found without importing gymnasium."""
    return ModelConfig().card().model_path()


def order_of(
    names: Sequence[str], joints: Sequence[str], passive: Sequence[str] = (), owner: str = "its"
) -> NDArray[np.intp]:
    """Indices that turn a vector by joint into the order of `names`: `vector[indices]`.

    Args:
        names: All joints that are driven, each once.
        joints: All joints, in the order of the vector.
        passive: Those of them that no motor drives.
        owner: The one that has the joints, for the error.

    Raises:
        ModelError: A name is unknown, passive, missing or given twice.
    """
    for name in names:
        if name not in joints:
            raise ModelError(
                f"joint '{name}' is not in the model; {owner} joints are {', '.join(joints)}"
            )
        if name in passive:
            raise ModelError(f"joint '{name}' is passive: no motor drives it")
    missing = [name for name in joints if name not in names and name not in passive]
    if missing:
        raise ModelError(f"the list of joints lacks {', '.join(missing)}")
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ModelError(f"the list of joints names {', '.join(twice)} more than once")
    return np.array([joints.index(name) for name in names], dtype=np.intp)


class RobotModel:
    """A robot, compiled by MuJoCo, alone or in a world with other things.

    Everything indexed "by joint" follows `joints`, the order of the robot's hinges in the model;
    the joints by which a base moves in the world are none of them. A joint without a motor is
    passive: it is measured, and not commanded. The order of the actuators, which is the order of a
    Gymnasium action, is `action_joints`.

    Attributes:
        card: What the model was made from.
        mj: The compiled model of the whole world. Shared: do not modify it.
        path: The model's file.
        name: The name that a policy's checkpoint records: the stem of the model's file.
        base: How the base moves in the world.
        root: MuJoCo id of the first of the robot's bodies.
        joints: Names of the hinge joints (n), in model order.
        driven: (m,) indices in `joints` of those with a motor, ascending.
        driven_joints: Their names.
        passive_joints: The names of the others.
        action_joints: The names of the driven joints in the order of the actuators.
        bodies: Names of the robot's bodies, in model order; the first is the root.
        actuation: "effort": a command is a torque [N·m]; "position": a target [rad].
        qpos_indices: (n,) index of each joint in qpos.
        dof_indices: (n,) index of each joint in qvel.
        actuator_indices: (m,) index in ctrl of the motor of each driven joint.
        gear: (n,) [N·m per unit of control], by joint; 1 where actuation is position.
        effort_ranges: (n, 2) [N·m] least and greatest torque, by joint: what gear × ctrlrange,
            forcerange, the joint's actuatorfrcrange and the card all allow; 0 for passive joints.
        effort_limits: (n,) [N·m] torque that is allowed either way, by joint.
        kp: (n,) [N·m/rad] stiffness of the drives, by joint; zeros where actuation is effort.
        kd: (n,) [N·m·s/rad] damping of the drives, by joint.
        position_limits: (n, 2) [rad], by joint; -inf and inf where the joint has none.
        target_ranges: (n, 2) [rad] that drives take as targets, by joint: within its limits and
            the drive's own; -inf and inf where there are none.
        imu_site: Name of the IMU's site.
        accelerometer: Name of its accelerometer.
        gyro: Name of its gyroscope.
        foot_sensors: Side ("left", "right"), body and contact sensor of each foot; the sensor reads
            force, torque and point (9,) of the foot's net wrench on the ground, in world axes.
        sole_sites: Side → name of the site under that foot.
        mesh_files: File (STL, OBJ) of each mesh that has one, by MuJoCo id.
        start_qpos: (nq,) [m, rad] pose in which an episode starts, read-only.
        fall_rule: When the robot counts as fallen.
    """

    def __init__(self, config: RobotCard | ModelConfig | None = None) -> None:
        """Compiles the model of a card, or that `config` names.

        Raises:
            ModelError: The file is missing or broken, holds no robot that can be used, or lacks
                something that the card names.
        """
        card = config if isinstance(config, RobotCard) else (config or ModelConfig()).card()
        self.card = card
        self.path = card.model_path()
        self.name = self.path.stem
        self._build()

    @property
    def control_period_s(self) -> float:
        """Time between two commands [s]."""
        return self.card.control_period_s

    @property
    def control_rate_hz(self) -> float:
        """Commands per second of simulated time [Hz]."""
        return self.card.control_rate_hz

    @property
    def start_joints(self) -> NDArray[np.float64]:
        """(n,) [rad] joint positions in which an episode starts, copied."""
        positions: NDArray[np.float64] = self.start_qpos[self.qpos_indices]
        return positions

    def body_of_link(self, link: str) -> int:
        """MuJoCo id of the body whose frame is `link` (a body's name or base_link).

        Raises:
            ModelError: There is no such link.
        """
        if link == BASE_LINK:
            return self.base.body
        try:
            return self.bodies.index(link) + self.root
        except ValueError:
            raise ModelError(
                f"link '{link}' is not in the model; "
                f"its links are {', '.join((BASE_LINK, *self.bodies))}"
            ) from None

    def link_of_body(self, body: int) -> str | None:
        """The link whose frame is a body's, by MuJoCo id; None if it is no body of the robot."""
        if body == self.base.body:
            return BASE_LINK
        index = body - self.root
        return self.bodies[index] if 0 <= index < len(self.bodies) else None

    def joint_order(self, names: Sequence[str]) -> NDArray[np.intp]:
        """Indices that turn a vector by joint into the order of `names`: `vector[indices]`.

        Args:
            names: The driven joints, in any order.

        Raises:
            ModelError: A name is unknown, passive, missing or given twice.
        """
        return order_of(names, self.joints, self.passive_joints)

    def _build(self) -> None:
        card = self.card
        assembly = assemble(self.path, card)
        self.mj = m = assembly.mj
        for name in ("gravity", "wind", "magnetic", "density", "viscosity"):
            if not np.isfinite(getattr(m.opt, name)).all():
                raise ModelError(f"{self.path}: its option {name} has numbers that are none")
        m.opt.timestep = card.timestep_s
        m.opt.integrator = next(
            value
            for name, value in mujoco.mjtIntegrator.__members__.items()
            if name.removeprefix("mjINT_").lower() == card.integrator.lower()
        )
        # MuJoCo's choice for all but large worlds, for which its sparse solver is not reliable.
        m.opt.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
        self.root = int(m.body(assembly.root).id)
        in_tree = np.flatnonzero(m.body_rootid == self.root)
        self.bodies = tuple(m.body(int(b)).name for b in in_tree)
        base_joints = tuple(int(m.joint(name).id) for name in assembly.base_joints)
        hangs_from_motor = not base_joints and m.body_jntnum[self.root] > 0
        self.base = Base(m, 0 if hangs_from_motor else self.root, base_joints)
        self.imu_site = assembly.imu_site
        self.accelerometer, self.gyro = assembly.accelerometer, assembly.gyro
        self.foot_sensors = [(foot.side, foot.body, foot.sensor) for foot in assembly.feet]
        self.sole_sites = {foot.side: foot.site for foot in assembly.feet}
        self.mesh_files = assembly.mesh_files
        self._index(in_tree, base_joints)
        self.start_qpos = self._start()
        self.start_qpos.setflags(write=False)
        self.fall_rule = card.fallen or self._scaled_fall_rule()

    def _index(self, bodies: NDArray[np.intp], base_joints: tuple[int, ...]) -> None:
        m = self.mj
        ids = np.array(
            [j for j in range(m.njnt) if m.jnt_bodyid[j] in bodies and j not in base_joints],
            dtype=np.intp,
        )
        self.joints = tuple(m.joint(int(j)).name for j in ids)
        self.qpos_indices = m.jnt_qposadr[ids].astype(np.intp)
        self.dof_indices = m.jnt_dofadr[ids].astype(np.intp)
        motors = read_motors(m, ids, drives_of(self.card, self.joints), self.card)
        self.actuation = motors.actuation
        self.driven = motors.driven
        self.driven_joints = tuple(self.joints[i] for i in motors.driven)
        self.passive_joints = tuple(j for j in self.joints if j not in self.driven_joints)
        self.actuator_indices = motors.actuators
        by_actuator = np.argsort(motors.actuators)
        self.action_joints = tuple(self.driven_joints[i] for i in by_actuator)
        self.gear, self.kp, self.kd = motors.gear, motors.kp, motors.kd
        self.effort_ranges = motors.effort_ranges
        self.target_ranges = motors.target_ranges
        self.effort_limits = np.abs(self.effort_ranges).min(axis=1)
        self.position_limits = np.where(
            m.jnt_limited[ids, None].astype(bool), m.jnt_range[ids], [[-np.inf, np.inf]]
        )

    def _start(self) -> NDArray[np.float64]:
        m, start, name = self.mj, self.card.start, self.card.name
        keys = [m.key(k).name for k in range(m.nkey)]
        keyframe = start.keyframe
        if keyframe is None and HOME in keys and start.height is None and not start.joints:
            keyframe = HOME
        qpos: NDArray[np.float64] = m.qpos0.copy()
        if keyframe is not None:
            if keyframe not in keys:
                raise ModelError(
                    f"robot {name}: keyframe '{keyframe}' is not in {self.path}; "
                    f"its keyframes are {', '.join(key for key in keys if key) or 'none'}"
                )
            qpos = m.key_qpos[keys.index(keyframe)].copy()
            if not np.isfinite(qpos).all():
                raise ModelError(f"{self.path}: keyframe '{keyframe}' has numbers that are none")
        for joint, angles in matching(
            start.joints, self.joints, f"robot {name}: start: joints"
        ).items():
            qpos[self.qpos_indices[self.joints.index(joint)]] = angles[-1]
        if start.height is not None:
            position, quaternion = self.base.pose(qpos)
            position[2] = start.height
            self.base.set_pose(qpos, position, quaternion)
            if not np.isclose(self.base.pose(qpos)[0][2], start.height):
                raise ModelError(
                    f"robot {name}: its base cannot be at the start height of {start.height:g} m: "
                    "it does not move up and down"
                )
        return qpos

    def _scaled_fall_rule(self) -> FallRule:
        """Humanoid-v4's rule, in proportion to the base's height at the start.

        A base that starts at or below height 0 gives no scale: such a robot never falls.
        """
        height = float(self.base.pose(self.start_qpos)[0][2])
        if height <= 0:
            return FallRule()
        scale = height / HUMANOID_HEIGHT_M
        return FallRule(*(bound * scale for bound in HEALTHY_HEIGHT_M))
