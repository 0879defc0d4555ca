# SPDX-License-Identifier: Apache-2.0
"""The MuJoCo simulation of the robot, one control tick at a time."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property

import mujoco
import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy.observer import Observer
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.link_tree import LinkMount, LinkTree
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.ranges import bounded, check_ranges
from humanoid_mujoco_ros.robot.state import ImuReading, RobotState, Wrench
from humanoid_mujoco_ros.robot.vectors import VectorError, checked_vector
from humanoid_mujoco_ros.simulation.drive import actuators_of

FORWARD_REWARD_WEIGHT = 1.25
HEALTHY_REWARD = 5.0
CONTROL_COST_WEIGHT = 0.1

Float64Array = NDArray[np.float64]

_STANDARD_GRAVITY = 9.81
_NEAR = 1e-6
"""How far from the pose [m, rad] or twist [m/s, rad/s] that is asked for the base may be."""
_reported: set[str] = set()


def _report_once(text: str) -> None:
    """Logs each kind of MuJoCo's warnings once."""
    kind = text.split(" at ")[0].split("Time =")[0].strip()
    if kind not in _reported:
        _reported.add(kind)
        logging.getLogger("mujoco").warning("MuJoCo: %s (said once)", kind)


# By default MuJoCo appends each warning to a file in the user's folder.
mujoco.set_mju_user_warning(_report_once)


@dataclass(frozen=True)
class SimulationConfig:
    """How an episode starts and what is observed."""

    seed: int = bounded(0, 0)
    """Seed of the noise of the initial states."""
    reset_noise_scale: float = bounded(0.01, 0.0)
    """Each initial position and velocity is off by up to this much (Humanoid-v4's noise)."""
    mask_cfrc_ext: bool = False
    """Observe zeros for the contact forces, as on a robot that cannot measure them."""
    wrench_limit: float = bounded(5.0, 0.0)
    """Largest external force on a link, in body weights of the robot, and largest torque as that
    force on a lever of 1 m. A larger wrench is refused."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: A value is out of its range.
        """
        check_ranges(self)


@dataclass(frozen=True)
class BaseMotion:
    """Where base_link is in the world and how it moves, all in the axes of the world."""

    position: Float64Array
    """(3,) [m]."""
    quaternion_wxyz: Float64Array
    """(4,)."""
    linear_velocity: Float64Array
    """(3,) [m/s] of the origin of base_link."""
    angular_velocity: Float64Array
    """(3,) [rad/s]."""


class Simulation:
    """Steps the robot through control ticks.

    With the time step, integrator and noise of Gymnasium's Humanoid-v4 it produces exactly that
    environment's states, observations and rewards.
    """

    def __init__(self, robot: RobotModel, config: SimulationConfig | None = None) -> None:
        """Creates the simulation in its first initial state.

        Attributes:
            robot: The model.
            config: The configuration.
            start_qpos: (nq,) [m, rad] pose in which an episode starts, before noise.
            largest_wrench: Largest force [N] and torque [N·m] of an external wrench.
        """
        self.robot = robot
        self.config = config or SimulationConfig()
        self.start_qpos = robot.start_qpos
        self._actuators = actuators_of(robot)
        self._model = self._actuators.model
        self._data = mujoco.MjData(self._model)
        self._observer = Observer(robot, mask_cfrc_ext=self.config.mask_cfrc_ext)
        self._random = np.random.default_rng(self.config.seed)
        self._period_ns = round(robot.control_period_s * 1e9)
        # rclpy reads a time of 0 as "no clock yet", so the first state is one period old.
        self._tick = 1
        self._episode = -1
        self._dt = self._model.opt.timestep * robot.card.steps_per_control
        self._x_com = 0.0
        body_weight = float(self._model.body_subtreemass[robot.root]) * _STANDARD_GRAVITY
        self.largest_wrench = self.config.wrench_limit * body_weight
        self._wrenches: dict[str, tuple[LinkMount, Wrench]] = {}
        self._applied = np.zeros(self._model.nv)
        self._mass = self._model.body_mass[:, None]
        self._total_mass = np.sum(self._mass)
        self._feet = {
            side: (self._model.body(foot).id, self._model.sensor(sensor).adr[0])
            for side, foot, sensor in robot.foot_sensors
        }
        self._accelerometer = slice(*self._sensor_range(robot.accelerometer))
        self._gyro = slice(*self._sensor_range(robot.gyro))
        self._imu_site = self._model.site(robot.imu_site).id
        self.reset()

    @cached_property
    def tree(self) -> LinkTree:
        """The robot's links; made when first asked for.

        Raises:
            ModelError: The model's names do not make a tree of links.
        """
        return LinkTree(self.robot)

    def reset(self) -> RobotState:
        """Puts the robot into a new initial state and starts an episode.

        Time goes on. External wrenches end. The seed's sequence of initial states is that of
        `gymnasium.make("Humanoid-v4").reset(seed=seed)` and its following resets.
        """
        m, d = self._model, self._data
        scale = self.config.reset_noise_scale
        mujoco.mj_resetData(m, d)
        d.qpos[:] = self.start_qpos
        self._actuators.reset(d)
        d.qpos[:] += self._random.uniform(-scale, scale, size=m.nq)
        d.qvel[:] += self._random.uniform(-scale, scale, size=m.nv)
        mujoco.mj_forward(m, d)
        # The sensors made mj_forward compute contact forces; Humanoid-v4 starts with zeros.
        d.cfrc_ext[:] = 0.0
        self._begin_episode()
        return self.state()

    def set_state(self, qpos: Float64Array, qvel: Float64Array) -> RobotState:
        """Puts the robot into a given state and starts an episode.

        Args:
            qpos: (nq,) [m, rad].
            qvel: (nv,) [m/s, rad/s].
        """
        m, d = self._model, self._data
        mujoco.mj_resetData(m, d)
        self._actuators.reset(d)
        d.qpos[:] = qpos
        d.qvel[:] = qvel
        mujoco.mj_forward(m, d)
        d.cfrc_ext[:] = 0.0
        self._begin_episode()
        return self.state()

    def place_base(self, motion: BaseMotion) -> RobotState:
        """Puts the base elsewhere; the joints stay as they are, and the episode goes on.

        Raises:
            ValueError: The base's joints do not let it be there, or move so; nothing has changed.
        """
        m, d, base = self._model, self._data, self.robot.base
        qpos, qvel = d.qpos.copy(), d.qvel.copy()
        to_base = rotation.conjugate(rotation.normalized(motion.quaternion_wxyz))
        base.set_pose(qpos, motion.position, motion.quaternion_wxyz)
        position, quaternion = base.pose(qpos)
        turn = rotation.multiply(to_base, quaternion)[1:]
        if np.abs(position - motion.position).max() > _NEAR or np.abs(turn).max() > _NEAR:
            raise ValueError(
                f"the base of {self.robot.card.name} cannot be at that pose: its joints do not "
                "let it"
            )
        twist = np.stack((motion.linear_velocity, motion.angular_velocity))
        wanted = rotation.rotate(to_base, twist)
        base.set_twist(qpos, qvel, *wanted)
        if np.abs(np.stack(base.twist(qpos, qvel, quaternion)) - wanted).max() > _NEAR:
            raise ValueError(
                f"the base of {self.robot.card.name} cannot move so: its joints do not let it"
            )
        d.qpos[:], d.qvel[:] = qpos, qvel
        d.qacc_warmstart[:] = 0.0
        mujoco.mj_forward(m, d)
        self._x_com = self._center_of_mass_x()  # or the next reward would be for the jump
        return self.state()

    def base_acceleration(self) -> tuple[Float64Array, Float64Array]:
        """Linear (3,) [m/s²] and angular (3,) [rad/s²] acceleration of base_link in the world.

        As everything that MuJoCo derives, it belongs to the start of the last physics step.
        """
        if self.robot.base.body == 0:
            return np.zeros(3), np.zeros(3)
        acceleration = np.empty(6)
        kind = mujoco.mjtObj.mjOBJ_XBODY
        mujoco.mj_objectAcceleration(
            self._model, self._data, kind, self.robot.base.body, acceleration, 0
        )
        # MuJoCo has gravity as an acceleration of the world.
        return acceleration[3:] + self._model.opt.gravity, acceleration[:3]

    def step(self, command: Float64Array | None) -> RobotState:
        """Advances one control period with the command held.

        Args:
            command: (n,) by joint: torques [N·m], which MuJoCo limits to the motors' range, or the
                targets [rad] of a robot with position drives. Those of passive joints are ignored.
                None: there is no command, so motors rest, and drives do as the card says.

        Returns:
            The state after the step.
        """
        m, d = self._model, self._data
        self._actuators.command(d, command)
        steps = self.robot.card.steps_per_control
        if self._wrenches:
            # The wrench turns with its link, so it is applied again before every physics step.
            for _ in range(steps):
                d.qfrc_applied[:] = self.external_forces()
                mujoco.mj_step(m, d)
            d.qfrc_applied[:] = 0.0
        else:
            mujoco.mj_step(m, d, nstep=steps)
        mujoco.mj_rnePostConstraint(m, d)
        self._tick += 1
        if not np.isfinite(d.qpos).all() or self._diverged():
            raise FloatingPointError(
                "the simulation diverged: MuJoCo reported a bad state; "
                "a smaller time step or smaller forces may help"
            )
        x_before = self._x_com
        self._x_com = self._center_of_mass_x()
        forward = FORWARD_REWARD_WEIGHT * ((self._x_com - x_before) / self._dt)
        self._reward = float(
            forward + HEALTHY_REWARD - CONTROL_COST_WEIGHT * np.sum(np.square(d.ctrl))
        )
        self._episode_steps += 1
        self._episode_return += self._reward
        return self.state()

    def check_external_wrench(self, link: str, wrench: Wrench) -> None:
        """Refuses a wrench that must not act; may be called from any thread.

        Raises:
            ModelError: There is no such link.
            VectorError: The force or the torque is not finite or larger than `wrench_limit` allows.
        """
        self.tree.mount(link)
        for name, unit, vector in (("force", "N", wrench.force), ("torque", "N·m", wrench.torque)):
            largest = float(np.abs(checked_vector(vector.tolist(), 3, f"external {name}")).max())
            # The norm of 1e300 would overflow, its largest component does not.
            if largest > self.largest_wrench or np.linalg.norm(vector) > self.largest_wrench:
                raise VectorError(
                    f"external {name} on {link} has a component of {largest:.4g} {unit}; all of it "
                    f"may be {self.largest_wrench:.4g} {unit} (parameter wrench_limit)"
                )

    def set_external_wrench(self, link: str, wrench: Wrench | None) -> None:
        """Lets a wrench act at the origin of `link`, expressed in its frame, until changed.

        It reaches the joints through mj_applyFT and so stays out of the observation, as a push
        does on a robot without a skin. Wrenches on several links add up.

        Args:
            link: Any link of the robot's `LinkTree`.
            wrench: None ends it.

        Raises:
            ModelError: There is no such link.
            VectorError: The wrench is refused, see `check_external_wrench`.
        """
        mount = self.tree.mount(link)
        if wrench is None:
            self._wrenches.pop(link, None)
        else:
            self.check_external_wrench(link, wrench)
            self._wrenches[link] = mount, wrench

    def external_forces(self) -> Float64Array:
        """What the external wrenches do to each degree of freedom now (nv,) [N, N·m]."""
        m, d = self._model, self._data
        mujoco.mj_kinematics(m, d)
        mujoco.mj_comPos(m, d)
        forces = np.zeros(m.nv)
        for mount, wrench in self._wrenches.values():
            point, axes_world = mount.pose(d)
            self._applied[:] = 0.0
            mujoco.mj_applyFT(
                m,
                d,
                axes_world @ wrench.force,
                axes_world @ wrench.torque,
                point,
                mount.body,
                self._applied,
            )
            self._applied[list(mount.still_dofs)] = 0.0
            forces += self._applied
        return forces

    def state(self) -> RobotState:
        """The present state, copied."""
        d = self._data
        base = self.robot.base
        position, quaternion = base.pose(d.qpos)
        linear, angular = base.twist(d.qpos, d.qvel, quaternion)
        return RobotState(
            time_ns=self._tick * self._period_ns,
            qpos=d.qpos.copy(),
            qvel=d.qvel.copy(),
            joint_positions=d.qpos[self.robot.qpos_indices],
            joint_velocities=d.qvel[self.robot.dof_indices],
            joint_efforts=d.qfrc_actuator[self.robot.dof_indices],
            base_position=position,
            base_quaternion_wxyz=quaternion,
            base_linear_velocity=linear,
            base_angular_velocity=angular,
            imu=self._imu(),
            foot_wrenches=self._foot_wrenches(),
            observation=self.observe(),
            reward=self._reward,
            fallen=bool(self.robot.fall_rule.is_fallen(position[2], quaternion)),
            episode=self._episode,
            episode_steps=self._episode_steps,
            episode_return=self._episode_return,
        )

    def controls(self) -> Float64Array:
        """The control signals (nu,) of the last step, copied."""
        controls: Float64Array = self._data.ctrl.copy()
        return controls

    def observe(self) -> Float64Array:
        """The present observation (size,), copied."""
        return self._observer.observe(self._data)

    def _begin_episode(self) -> None:
        self._wrenches.clear()
        self._episode += 1
        self._episode_steps = 0
        self._episode_return = 0.0
        self._reward = 0.0
        self._x_com = self._center_of_mass_x()

    def _center_of_mass_x(self) -> float:
        return float((np.sum(self._mass * self._data.xipos, axis=0) / self._total_mass)[0])

    def _diverged(self) -> bool:
        warnings = self._data.warning
        kinds = (
            mujoco.mjtWarning.mjWARN_BADQPOS,
            mujoco.mjtWarning.mjWARN_BADQVEL,
            mujoco.mjtWarning.mjWARN_BADQACC,
        )
        return any(warnings[kind].number for kind in kinds)

    def _sensor_range(self, name: str) -> tuple[int, int]:
        sensor = self._model.sensor(name)
        return sensor.adr[0], sensor.adr[0] + sensor.dim[0]

    def _imu(self) -> ImuReading:
        d = self._data
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, d.site_xmat[self._imu_site])
        return ImuReading(
            quaternion_wxyz=quaternion,
            angular_velocity=d.sensordata[self._gyro].copy(),
            linear_acceleration=d.sensordata[self._accelerometer].copy(),
        )

    def _foot_wrenches(self) -> dict[str, Wrench]:
        d = self._data
        wrenches = {}
        for side, (body, address) in self._feet.items():
            # The sensor gives the net wrench of the foot on the ground, in world axes, at the
            # centre of pressure; the ground's on the foot is its negative.
            force, torque, point = d.sensordata[address : address + 9].reshape(3, 3)
            if not force.any():
                wrenches[side] = Wrench(force=np.zeros(3), torque=np.zeros(3))
                continue
            moment = np.empty(3)
            mujoco.mju_cross(moment, point - d.xpos[body], force)
            to_foot = -d.xmat[body].reshape(3, 3).T
            wrenches[side] = Wrench(force=to_foot @ force, torque=to_foot @ (torque + moment))
        return wrenches
