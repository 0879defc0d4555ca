# SPDX-License-Identifier: Apache-2.0
"""What the robots of a world do to each other where they touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.mjcf import compiled, draft
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.simulation.placement import Placement

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_ACTUATOR_FIELDS = (
    "biasprm",
    "biastype",
    "ctrllimited",
    "ctrlrange",
    "forcelimited",
    "forcerange",
    "gainprm",
    "gear",
)
"""What a robot's card, or its drives, change in the actuators after the model was compiled."""
_OPTIONS = ("timestep", "impratio", "gravity", "wind", "density", "viscosity", "cone")
"""What the forces depend on. `MjSpec.attach` keeps those of the model that is attached to."""


@dataclass(frozen=True, eq=False)
class _Part:
    """Where the model of all robots has what a robot's own model has."""

    placement: Placement
    is_free: bool
    root: int
    """MuJoCo id of the root body in the robot's own model."""
    shared_root: int
    bodies: int
    """How many bodies follow each other from the root."""
    base_qpos: int
    """Index of the first coordinate of the base in the shared model's qpos."""
    base_dof: int
    qpos: tuple[Indices, Indices]
    """Indices in the robot's own qpos, and in the shared one."""
    dofs: tuple[Indices, Indices]
    actuators: tuple[Indices, Indices]


class ContactModel:
    """All robots in one MuJoCo model, which says what they do to each other.

    It is not stepped: each physics step it is given the robots' states, and MuJoCo computes the
    contact forces of the whole. Those between robots then act in each robot's own simulation. So a
    robot that nothing touches moves bit for bit as if it were alone.
    """

    def __init__(self, robots: Sequence[RobotModel], placements: Sequence[Placement]) -> None:
        """Compiles the model. The ground is that of the first robot's model.

        Raises:
            ModelError: The robots' models cannot be joined.
        """
        first = robots[0]
        base = draft(first.path, first.card)
        base.spec.delete(base.root)
        for key in list(base.spec.keys):
            base.spec.delete(key)
        for number, (robot, placement) in enumerate(zip(robots, placements, strict=True)):
            one = draft(robot.path, robot.card)
            for thing in (*one.spec.sensors, *one.spec.keys):
                one.spec.delete(thing)
            frame = base.spec.worldbody.add_frame(
                pos=placement.position, quat=placement.quaternion_wxyz
            )
            frame.attach_body(one.root, _prefix(number), "")
        self._model = m = compiled(base.spec, first.path)
        for name in _OPTIONS:
            setattr(m.opt, name, getattr(first.mj.opt, name))
        m.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
        # MuJoCo's sparse solver is not reliable, and it would choose that for a large model.
        m.opt.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
        self._data = mujoco.MjData(m)
        self._parts = [
            _part(m, robot, placement, _prefix(number))
            for number, (robot, placement) in enumerate(zip(robots, placements, strict=True))
        ]
        owner = np.full(m.nbody, -1, dtype=np.intp)
        for number, part in enumerate(self._parts):
            owner[part.shared_root : part.shared_root + part.bodies] = number
        self._owners = owner[m.geom_bodyid]

    def wrenches(
        self, models: Sequence[mujoco.MjModel], states: Sequence[mujoco.MjData]
    ) -> list[Array | None]:
        """What the other robots do to each robot in the states given.

        Args:
            models: Each robot's own model; drives may be without power in it.
            states: Each robot's own data, with its coordinates, controls and applied forces.

        Returns:
            For each robot (nbody, 6) [N, N·m] force and torque on each body of its own model at its
            centre of mass, along the axes of its odom; None: nothing touches it.
        """
        m, d = self._model, self._data
        wrenches: list[Array | None] = [None] * len(self._parts)
        contacts, owners = self._find(models, states)
        if not len(contacts):
            return wrenches
        mujoco.mj_fwdVelocity(m, d)
        mujoco.mj_fwdActuation(m, d)
        mujoco.mj_fwdAcceleration(m, d)
        mujoco.mj_fwdConstraint(m, d)
        for contact, pair in zip(contacts.tolist(), owners, strict=True):
            self._add(contact, pair, wrenches, models)
        return wrenches

    def touching(
        self, models: Sequence[mujoco.MjModel], states: Sequence[mujoco.MjData]
    ) -> tuple[int, int] | None:
        """The numbers of two robots that touch in the states given; None: no two do."""
        _, owners = self._find(models, states)
        return (int(owners[0].min()), int(owners[0].max())) if len(owners) else None

    def _find(
        self, models: Sequence[mujoco.MjModel], states: Sequence[mujoco.MjData]
    ) -> tuple[Indices, Indices]:
        """The contacts (k,) between robots, and the numbers (k, 2) of the robots."""
        for part, own, state in zip(self._parts, models, states, strict=True):
            self._take(part, own, state)
        d = self._data
        mujoco.mj_fwdPosition(self._model, d)
        owners = self._owners[d.contact.geom.reshape(-1, 2)]
        found = np.flatnonzero((owners.min(axis=1) >= 0) & (owners[:, 0] != owners[:, 1]))
        return found, owners[found]

    def _take(self, part: _Part, own: mujoco.MjModel, state: mujoco.MjData) -> None:
        """Copies a robot's state into the shared model."""
        m, d, placement = self._model, self._data, part.placement
        d.qpos[part.qpos[1]] = state.qpos[part.qpos[0]]
        for name in ("qvel", "qfrc_applied", "qacc_warmstart"):
            getattr(d, name)[part.dofs[1]] = getattr(state, name)[part.dofs[0]]
        d.ctrl[part.actuators[1]] = state.ctrl[part.actuators[0]]
        m.actuator_gainprm[part.actuators[1]] = own.actuator_gainprm[part.actuators[0]]
        m.actuator_biasprm[part.actuators[1]] = own.actuator_biasprm[part.actuators[0]]
        if not part.is_free:
            return
        q, v = part.base_qpos, part.base_dof
        d.qpos[q : q + 3] = placement.to_world(d.qpos[q : q + 3])
        d.qpos[q + 3 : q + 7] = rotation.multiply(placement.quaternion_wxyz, d.qpos[q + 3 : q + 7])
        # MuJoCo has the free joint's linear part in the world, its angular part in the body.
        for vector in (d.qvel, d.qfrc_applied, d.qacc_warmstart):
            vector[v : v + 3] = placement.turn_to_world(vector[v : v + 3])

    def _add(
        self,
        contact: int,
        owners: Indices,
        wrenches: list[Array | None],
        models: Sequence[mujoco.MjModel],
    ) -> None:
        """Adds what one contact does to the two robots that touch there."""
        m, d = self._model, self._data
        wrench = np.zeros(6)
        mujoco.mj_contactForce(m, d, contact, wrench)
        touch = d.contact[contact]
        # The normal points from the first geom to the second, and pushes that one.
        force, torque = wrench.reshape(2, 3) @ touch.frame.reshape(3, 3)
        for sign, geom, owner in zip((-1.0, 1.0), touch.geom, owners.tolist(), strict=True):
            part, body = self._parts[owner], int(m.geom_bodyid[geom])
            moment = torque + np.cross(touch.pos - d.xipos[body], force)
            on_robot = wrenches[owner]
            if on_robot is None:
                on_robot = wrenches[owner] = np.zeros((models[owner].nbody, 6))
            row = on_robot[part.root + body - part.shared_root]
            row[:3] += sign * part.placement.turn_to_odom(force)
            row[3:] += sign * part.placement.turn_to_odom(moment)


def _prefix(number: int) -> str:
    return f"{number}/"


def _part(shared: mujoco.MjModel, robot: RobotModel, placement: Placement, prefix: str) -> _Part:
    """Finds a robot in the shared model, and gives its actuators there what its card says."""
    own = robot.mj
    shared_root = int(shared.body(prefix + robot.bodies[0]).id)
    for offset, name in enumerate(robot.bodies):
        assert shared.body(shared_root + offset).name == prefix + name
    last = robot.root + len(robot.bodies) - 1
    qpos: tuple[list[int], list[int]] = ([], [])
    dofs: tuple[list[int], list[int]] = ([], [])
    for j in np.flatnonzero((own.jnt_bodyid >= robot.root) & (own.jnt_bodyid <= last)).tolist():
        k = int(shared.joint(prefix + own.joint(j).name).id)
        for m, joint, q, v in ((own, j, qpos[0], dofs[0]), (shared, k, qpos[1], dofs[1])):
            is_free = m.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE
            q.extend(range(m.jnt_qposadr[joint], m.jnt_qposadr[joint] + (7 if is_free else 1)))
            v.extend(range(m.jnt_dofadr[joint], m.jnt_dofadr[joint] + (6 if is_free else 1)))
    ours = robot.actuator_indices
    theirs = np.array(
        [shared.actuator(prefix + own.actuator(int(a)).name).id for a in ours], dtype=np.intp
    )
    for field in _ACTUATOR_FIELDS:
        getattr(shared, f"actuator_{field}")[theirs] = getattr(own, f"actuator_{field}")[ours]
    return _Part(
        placement=placement,
        is_free=robot.base.is_free,
        root=robot.root,
        shared_root=shared_root,
        bodies=len(robot.bodies),
        base_qpos=qpos[1][0] if qpos[1] else 0,
        base_dof=dofs[1][0] if dofs[1] else 0,
        qpos=_arrays(qpos),
        dofs=_arrays(dofs),
        actuators=(ours, theirs),
    )


def _arrays(lists: tuple[list[int], list[int]]) -> tuple[Indices, Indices]:
    return np.array(lists[0], dtype=np.intp), np.array(lists[1], dtype=np.intp)
