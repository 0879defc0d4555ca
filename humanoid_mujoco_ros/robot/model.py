# SPDX-License-Identifier: Apache-2.0
"""The robot model: MuJoCo's MJCF with the sensors a physical humanoid would have."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

BASE_LINK = "base_link"
"""ROS name of the root link (REP-120); its frame is the frame of the root body."""
IMU_LINK = "imu_link"
"""Frame of the IMU, also the name of its site in the model."""
SOLE_LINKS = {"left": "l_sole", "right": "r_sole"}
"""Frames under the feet (REP-120), also the names of their sites in the model."""

GYMNASIUM_HUMANOID = "humanoid"
"""Name of the model that is used when no path is given."""

_CONTACT_FIELDS = sum(
    1 << field.value
    for field in (
        mujoco.mjtConDataField.mjCONDATA_FORCE,
        mujoco.mjtConDataField.mjCONDATA_TORQUE,
        mujoco.mjtConDataField.mjCONDATA_POS,
    )
)
_NET_FORCE = 3
"""MJCF's reduce="netforce" of the contact sensor: all contacts as one wrench at their centre."""


class ModelError(ValueError):
    """The model file cannot be used; the message says why."""


@dataclass(frozen=True)
class ModelConfig:
    """Which robot, and how its time is cut into steps."""

    path: str = ""
    """MJCF file of a torque-driven robot with a floating base; empty: Gymnasium's humanoid."""
    timestep_s: float = 0.0025
    """Physics time step."""
    steps_per_control: int = 4
    """Physics steps per control period (Gymnasium's frame_skip)."""
    integrator: str = "RK4"
    """Euler, RK4, implicit or implicitfast."""
    left_foot: str = "left_foot"
    """Body that carries the left foot's contact sensor; empty: none."""
    right_foot: str = "right_foot"
    """Body that carries the right foot's contact sensor; empty: none."""


def gymnasium_humanoid_path() -> Path:
    """Path of the humanoid.xml that Gymnasium installs, found without importing gymnasium."""
    spec = importlib.util.find_spec("gymnasium")
    if spec is None or spec.origin is None:
        raise ModelError(
            "the default model is Gymnasium's humanoid.xml, and gymnasium is not installed: "
            "pip install gymnasium, or name an MJCF file"
        )
    path = Path(spec.origin).parent / "envs" / "mujoco" / "assets" / "humanoid.xml"
    if not path.is_file():
        raise ModelError(f"gymnasium is installed, but its humanoid model is not at {path}")
    return path


class RobotModel:
    """A torque-driven robot with a floating base, compiled by MuJoCo.

    Everything indexed "by joint" follows `joints`, the order of the hinges in the model. The order
    of the actuators, which is the order of a Gymnasium action, is `action_joints`.

    Attributes:
        mj: The compiled model. Shared: do not modify it.
        name: The name that a policy's checkpoint records: "humanoid" or the file's stem.
        joints: Names of the hinge joints (n), in model order.
        action_joints: The same names in the order of the actuators.
        bodies: Names of the bodies without the world, in model order; the first is the root.
        qpos_indices: (n,) index of each joint in qpos.
        dof_indices: (n,) index of each joint in qvel.
        actuator_indices: (n,) index in ctrl of the motor of each joint.
        gear: (n,) [N·m per unit of control], by joint.
        effort_limits: (n,) [N·m], gear × ctrlrange, by joint.
        foot_sensors: Side ("left", "right"), body and contact sensor of each foot; the sensor reads
            force, torque and point (9,) of the foot's net wrench on the ground, in world axes.
        position_limits: (n, 2) [rad], by joint; -inf and inf where the joint has none.
    """

    def __init__(self, config: ModelConfig | None = None) -> None:
        """Compiles the model that `config` names.

        Raises:
            ModelError: The file is missing or broken, is no torque-driven robot with a floating
                base, or lacks a body that the config names.
        """
        config = config or ModelConfig()
        if not config.timestep_s > 0:
            raise ModelError(f"timestep_s must be positive, not {config.timestep_s}")
        if config.steps_per_control < 1:
            raise ModelError(
                f"steps_per_control must be at least 1, not {config.steps_per_control}"
            )
        self.config = config
        self.path = Path(config.path) if config.path else gymnasium_humanoid_path()
        self.name = self.path.stem
        self.foot_sensors: list[tuple[str, str, str]] = []
        self.mj = self._compile()
        self._index()

    @property
    def control_period_s(self) -> float:
        """Time between two commands [s]."""
        return self.config.timestep_s * self.config.steps_per_control

    @property
    def control_rate_hz(self) -> float:
        """Commands per second of simulated time [Hz]."""
        return 1.0 / self.control_period_s

    def body_of_link(self, link: str) -> int:
        """MuJoCo id of the body whose frame is `link` (a body's name or base_link).

        Raises:
            ModelError: There is no such link.
        """
        if link in (BASE_LINK, self.bodies[0]):
            return 1
        try:
            return self.bodies.index(link) + 1
        except ValueError:
            raise ModelError(
                f"link '{link}' is not in the model; "
                f"its links are {', '.join((BASE_LINK, *self.bodies))}"
            ) from None

    def joint_order(self, names: tuple[str, ...] | list[str]) -> NDArray[np.intp]:
        """Indices that turn a vector by joint into the order of `names`: `vector[indices]`.

        Raises:
            ModelError: A name is unknown, missing or given twice.
        """
        known = set(self.joints)
        for name in names:
            if name not in known:
                raise ModelError(
                    f"joint '{name}' is not in the model; its joints are {', '.join(self.joints)}"
                )
        missing = [name for name in self.joints if name not in names]
        if missing:
            raise ModelError(f"the list of joints lacks {', '.join(missing)}")
        if len(names) != len(self.joints):
            twice = sorted({name for name in names if list(names).count(name) > 1})
            raise ModelError(f"the list of joints names {', '.join(twice)} more than once")
        return np.array([self.joints.index(name) for name in names], dtype=np.intp)

    def efforts_of_action(self, action: NDArray[np.float64]) -> NDArray[np.float64]:
        """Joint torques [N·m] by joint of a Gymnasium action (control signals by actuator)."""
        efforts: NDArray[np.float64] = self.gear * action[self.actuator_indices]
        return efforts

    def _compile(self) -> mujoco.MjModel:
        if not self.path.is_file():
            raise ModelError(f"model file {self.path} does not exist")
        try:
            spec = mujoco.MjSpec.from_file(str(self.path))
            self._add_sensors(spec)
            model = spec.compile()
        except ModelError:
            raise
        except Exception as error:  # MuJoCo raises ValueError, KeyError and its own errors
            raise ModelError(f"MuJoCo cannot load {self.path}: {error}") from error
        model.opt.timestep = self.config.timestep_s
        integrators = {
            name.removeprefix("mjINT_").lower(): value
            for name, value in mujoco.mjtIntegrator.__members__.items()
        }
        if self.config.integrator.lower() not in integrators:
            raise ModelError(
                f"integrator '{self.config.integrator}' is unknown; "
                f"MuJoCo has {', '.join(integrators)}"
            )
        model.opt.integrator = integrators[self.config.integrator.lower()]
        return model

    def _add_sensors(self, spec: mujoco.MjSpec) -> None:
        roots = spec.worldbody.bodies
        if len(roots) != 1:
            raise ModelError(
                f"{self.path} has {len(roots)} bodies in the world, expected one robot"
            )
        root = roots[0]
        root.add_site(name=IMU_LINK)
        for kind, name in (
            (mujoco.mjtSensor.mjSENS_ACCELEROMETER, "imu_accelerometer"),
            (mujoco.mjtSensor.mjSENS_GYRO, "imu_gyro"),
        ):
            spec.add_sensor(
                name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=IMU_LINK
            )
        names = [body.name for body in spec.bodies if body.name != "world"]
        for side, foot in (("left", self.config.left_foot), ("right", self.config.right_foot)):
            if not foot:
                continue
            body = spec.body(foot)
            if body is None:
                raise ModelError(
                    f"{side}_foot '{foot}' is not in {self.path}; its bodies are {', '.join(names)}"
                )
            # The sole is the foot's lowest point when the foot stands level.
            lowest = min(
                (geom.pos[2] - _half_height(geom) for geom in body.geoms if geom.size[0] > 0),
                default=0.0,
            )
            body.add_site(name=SOLE_LINKS[side], pos=[0, 0, lowest])
            sensor = f"{side}_foot_contact"
            spec.add_sensor(
                name=sensor,
                type=mujoco.mjtSensor.mjSENS_CONTACT,
                objtype=mujoco.mjtObj.mjOBJ_BODY,
                objname=foot,
                intprm=[_CONTACT_FIELDS, _NET_FORCE, 1],
            )
            self.foot_sensors.append((side, foot, sensor))

    def _index(self) -> None:
        m = self.mj
        if m.njnt == 0 or m.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE:
            raise ModelError(f"{self.path} has no floating base: its first joint must be free")
        self.bodies = tuple(m.body(i).name for i in range(1, m.nbody))
        hinges = range(1, m.njnt)
        self.joints = tuple(m.joint(j).name for j in hinges)
        motors: dict[str, int] = {}
        for a in range(m.nu):
            joint = m.joint(m.actuator_trnid[a, 0]).name
            is_motor = (
                m.actuator_trntype[a] == mujoco.mjtTrn.mjTRN_JOINT
                and m.actuator_gaintype[a] == mujoco.mjtGain.mjGAIN_FIXED
                and m.actuator_biastype[a] == mujoco.mjtBias.mjBIAS_NONE
                and m.actuator_ctrllimited[a]
            )
            if not is_motor or joint in motors:
                raise ModelError(
                    f"{self.path}: actuator '{m.actuator(a).name}' is not the one "
                    f"torque motor with a ctrlrange of joint '{joint}'"
                )
            motors[joint] = a
        for j in hinges:
            name = m.joint(j).name
            if m.jnt_type[j] != mujoco.mjtJoint.mjJNT_HINGE or name not in motors:
                raise ModelError(f"{self.path}: joint '{name}' is not a hinge driven by a motor")
        if not self.joints:
            raise ModelError(f"{self.path} has no joints")
        self.action_joints = tuple(m.joint(m.actuator_trnid[a, 0]).name for a in range(m.nu))
        self.qpos_indices = m.jnt_qposadr[1:].astype(np.intp)
        self.dof_indices = m.jnt_dofadr[1:].astype(np.intp)
        self.actuator_indices = np.array([motors[name] for name in self.joints], dtype=np.intp)
        by_joint = self.actuator_indices
        self.gear = m.actuator_gear[by_joint, 0] * m.actuator_gainprm[by_joint, 0]
        self.effort_limits = np.abs(self.gear) * np.abs(m.actuator_ctrlrange[by_joint]).min(axis=1)
        self.position_limits = np.where(
            m.jnt_limited[1:, None].astype(bool), m.jnt_range[1:], [[-np.inf, np.inf]]
        )


def _half_height(geom: mujoco.MjsGeom) -> float:
    """Of an upright box, a sphere or a capsule that lies level [m]."""
    is_box = geom.type == mujoco.mjtGeom.mjGEOM_BOX
    return float(geom.size[2] if is_box else geom.size[0])
