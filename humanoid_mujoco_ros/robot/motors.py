# SPDX-License-Identifier: Apache-2.0
"""The motors of a robot: which joints are driven, how, and by how much.

Two kinds of actuation are known. `effort`: a command is a torque, passed on by MuJoCo's motors.
`position`: a command is a target that drives close a loop on, torque = kp (target - position) -
kd velocity. Drives are MuJoCo's own affine actuators, so the loop is closed at every physics step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot.card import Actuation, Drive, RobotCard
from humanoid_mujoco_ros.robot.errors import ModelError

Array = NDArray[np.float64]

_TRANSMISSIONS = {
    int(value): name.removeprefix("mjTRN_").lower()
    for name, value in mujoco.mjtTrn.__members__.items()
}
_ON_JOINTS = ("joint", "jointinparent")


@dataclass(frozen=True, eq=False)
class Motors:
    """What drives the joints; arrays are by joint unless they say otherwise."""

    actuation: Actuation
    """What a command is: efforts [N·m] or position targets [rad]."""
    driven: NDArray[np.intp]
    """(m,) indices of the driven joints in the list of joints; the others are passive."""
    actuators: NDArray[np.intp]
    """(m,) MuJoCo ids of the actuators of the driven joints."""
    gear: Array
    """(n,) [N·m per unit of control] (effort); 1 for a passive joint and for drives."""
    effort_ranges: Array
    """(n, 2) [N·m] least and greatest torque; zeros for a passive joint."""
    kp: Array
    """(n,) [N·m/rad] (position); zeros for effort."""
    kd: Array
    """(n,) [N·m·s/rad] (position); zeros for effort."""
    target_ranges: Array
    """(n, 2) [rad] that may be commanded (position): the joint's range, and in it the drive's;
    -inf and inf where neither has one."""


def driven_names(spec: mujoco.MjSpec) -> set[str]:
    """Names of the joints that the model's actuators turn."""
    kinds = (mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT)
    return {actuator.target for actuator in spec.actuators if actuator.trntype in kinds}


def add_drives(spec: mujoco.MjSpec, names: list[str], drives: Mapping[str, Drive]) -> None:
    """Gives the joints that have no actuator the drives that a card names.

    Args:
        spec: The model, changed in place.
        names: The robot's hinges.
        drives: What the card says by joint.
    """
    taken = {actuator.name for actuator in spec.actuators}
    driven = driven_names(spec)
    for name in names:
        drive = drives.get(name)
        if drive is None or drive.kp is None or name in driven:
            continue
        spec.add_actuator(
            name=free_name(name, taken),
            target=name,
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            gaintype=mujoco.mjtGain.mjGAIN_FIXED,
            biastype=mujoco.mjtBias.mjBIAS_AFFINE,
        )


def free_name(wanted: str, taken: set[str]) -> str:
    """`wanted`, or with a number behind it if that is taken; `taken` then has it too."""
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    taken.add(name)
    return name


def read_motors(
    mj: mujoco.MjModel,
    joints: NDArray[np.intp],
    drives: Mapping[str, Drive],
    card: RobotCard,
) -> Motors:
    """Reads the actuators of a compiled model, and makes drives of them where the card wants it.

    Args:
        mj: The model. Actuators of drives, and limits that the card lowers, are changed in place.
        joints: (n,) MuJoCo ids of the robot's hinges.
        drives: What the card says by joint.
        card: The robot's card.

    Raises:
        ModelError: An actuator is of a kind that cannot be used, or has no limit.
    """
    names = [mj.joint(j).name for j in joints]
    actuator_of = _by_joint(mj, joints)
    if not actuator_of:
        raise ModelError(
            f"robot {card.name}: none of its joints {', '.join(names)} is driven by a motor; "
            "a card (config/robots) can say how they are"
        )
    kinds = {i: _kind(mj, a) for i, a in actuator_of.items()}
    actuation = card.actuation or _common(mj, actuator_of, kinds, card)
    n = len(joints)
    gear, kp, kd = np.ones(n), np.zeros(n), np.zeros(n)
    ranges = np.zeros((n, 2))
    targets = np.tile((-np.inf, np.inf), (n, 1))
    for i, a in sorted(actuator_of.items()):
        drive = drives.get(names[i], Drive())
        ranges[i] = _effort_range(mj, a, int(joints[i]), kinds[i], drive)
        if actuation == "position":
            kp[i], kd[i] = _gains(mj, a, kinds[i], drive, names[i], card)
            _make_drive(mj, a, kinds[i], kp[i], kd[i], ranges[i])
            targets[i] = _target_range(mj, a, int(joints[i]))
            continue
        if kinds[i] == "position":
            _make_motor(mj, a)
        gear[i] = mj.actuator_gear[a, 0] * mj.actuator_gainprm[a, 0]
        _check_motor(mj, a, gear[i], ranges[i], names[i], card)
        if drive.effort_limit is not None or kinds[i] == "position":
            mj.actuator_forcelimited[a] = 1
            mj.actuator_forcerange[a] = np.sort(ranges[i] / mj.actuator_gear[a, 0])
    driven = np.array(sorted(actuator_of), dtype=np.intp)
    actuators = np.array([actuator_of[int(i)] for i in driven], dtype=np.intp)
    return Motors(actuation, driven, actuators, gear, ranges, kp, kd, targets)


def _by_joint(mj: mujoco.MjModel, joints: NDArray[np.intp]) -> dict[int, int]:
    """Index of each driven joint in `joints` → its actuator."""
    index = {int(j): i for i, j in enumerate(joints)}
    robot = int(mj.body_rootid[mj.jnt_bodyid[joints[0]]])
    found: dict[int, int] = {}
    for a in range(mj.nu):
        kind = _TRANSMISSIONS[int(mj.actuator_trntype[a])]
        target = int(mj.actuator_trnid[a, 0])
        if kind not in _ON_JOINTS:
            bodies = {"site": mj.site_bodyid, "body": range(mj.nbody)}.get(kind)
            if bodies is not None and int(mj.body_rootid[bodies[target]]) != robot:
                continue  # it drives another thing in the world
            raise ModelError(
                f"actuator '{mj.actuator(a).name}' acts on a {kind}; "
                "only actuators on joints can be used"
            )
        if target not in index:
            if int(mj.body_rootid[mj.jnt_bodyid[target]]) == robot:
                raise ModelError(
                    f"actuator '{mj.actuator(a).name}' drives joint '{mj.joint(target).name}', "
                    "which is no hinge of the robot; only hinges can be driven"
                )
            continue
        if index[target] in found:
            first = mj.actuator(found[index[target]]).name
            raise ModelError(
                f"joint '{mj.joint(target).name}' has two actuators, '{first}' and "
                f"'{mj.actuator(a).name}'; expected one"
            )
        found[index[target]] = a
    return found


def _kind(mj: mujoco.MjModel, a: int) -> Actuation:
    """Whether MuJoCo's actuator is a torque motor or a position servo."""
    name, joint = mj.actuator(a).name, mj.joint(mj.actuator_trnid[a, 0]).name
    is_fixed = mj.actuator_gaintype[a] == mujoco.mjtGain.mjGAIN_FIXED
    is_direct = mj.actuator_dyntype[a] == mujoco.mjtDyn.mjDYN_NONE and mj.actuator_plugin[a] < 0
    gain = mj.actuator_gainprm[a, 0] * mj.actuator_gear[a, 0]
    if is_fixed and is_direct and gain == 0 and mj.actuator_gear[a, 0] == 0:
        raise ModelError(f"actuator '{name}' of joint '{joint}' has gear 0, so it never acts")
    if is_fixed and is_direct and gain != 0:
        if mj.actuator_biastype[a] == mujoco.mjtBias.mjBIAS_NONE:
            return "effort"
        _, stiffness, damping = mj.actuator_biasprm[a, :3]
        is_affine = mj.actuator_biastype[a] == mujoco.mjtBias.mjBIAS_AFFINE
        # A drive that a card adds has no stiffness yet.
        if is_affine and (stiffness < 0 or not mj.actuator_biasprm[a].any()) and damping <= 0:
            return "position"
    raise ModelError(
        f"actuator '{name}' of joint '{joint}' is neither a torque motor nor a position servo; "
        "velocity servos, muscles and actuators with dynamics of their own cannot be used"
    )


def _common(
    mj: mujoco.MjModel, actuator_of: dict[int, int], kinds: dict[int, Actuation], card: RobotCard
) -> Actuation:
    """The kind that all actuators have."""
    if len(set(kinds.values())) > 1:
        examples = [
            mj.actuator(actuator_of[next(i for i, kind in kinds.items() if kind == wanted)]).name
            for wanted in ("effort", "position")
        ]
        raise ModelError(
            f"robot {card.name}: '{examples[0]}' is a torque motor and '{examples[1]}' a position "
            "servo; a card's actuation can make them the same"
        )
    return next(iter(kinds.values()))


def _effort_range(mj: mujoco.MjModel, a: int, joint: int, kind: Actuation, drive: Drive) -> Array:
    """(2,) [N·m] least and greatest torque: what every limit on the way allows."""
    gear = mj.actuator_gear[a, 0]
    ranges = []
    if mj.actuator_ctrllimited[a] and kind == "effort":
        with np.errstate(over="ignore"):
            ranges.append(gear * mj.actuator_gainprm[a, 0] * mj.actuator_ctrlrange[a])
    if mj.actuator_forcelimited[a]:
        ranges.append(gear * mj.actuator_forcerange[a])
    if mj.jnt_actfrclimited[joint]:
        ranges.append(mj.jnt_actfrcrange[joint])
    if drive.effort_limit is not None:
        ranges.append(np.array([-drive.effort_limit, drive.effort_limit]))
    both = np.sort(np.array([*ranges, (-np.inf, np.inf)]), axis=1)
    return np.array([both[:, 0].max(), both[:, 1].min()])


def _check_motor(
    mj: mujoco.MjModel, a: int, gear: float, limits: Array, joint: str, card: RobotCard
) -> None:
    if not np.isfinite(limits).all():
        raise ModelError(
            f"robot {card.name}: motor '{mj.actuator(a).name}' of joint '{joint}' has no limit: "
            "give it a ctrlrange or forcerange, its joint an actuatorfrcrange, "
            "or the card an effort_limit"
        )
    if not limits[0] <= 0 <= limits[1]:
        raise ModelError(
            f"robot {card.name}: motor '{mj.actuator(a).name}' of joint '{joint}' cannot be off: "
            f"its torque is within {limits[0]:g} and {limits[1]:g} N·m"
        )


def _gains(
    mj: mujoco.MjModel, a: int, kind: Actuation, drive: Drive, joint: str, card: RobotCard
) -> tuple[float, float]:
    """Stiffness and damping of a joint's drive, seen at the joint."""
    squared = mj.actuator_gear[a, 0] ** 2 if kind == "position" else 0.0
    kp = -squared * mj.actuator_biasprm[a, 1] if drive.kp is None else drive.kp
    kd = -squared * mj.actuator_biasprm[a, 2] if drive.kd is None else drive.kd
    if not kp > 0:
        raise ModelError(
            f"robot {card.name}: its actuation is position, and joint '{joint}' has no stiffness: "
            "give its drive a kp"
        )
    return float(kp), float(kd)


def _make_drive(
    mj: mujoco.MjModel, a: int, kind: Actuation, kp: float, kd: float, limits: Array
) -> None:
    """Rewrites an actuator so that its control signal is the joint's target [rad]."""
    if kind == "position" and mj.actuator_ctrllimited[a] and mj.actuator_biasprm[a, 1]:
        constant, stiffness = mj.actuator_biasprm[a, :2]
        forces = mj.actuator_gainprm[a, 0] * mj.actuator_ctrlrange[a] + constant
        mj.actuator_ctrlrange[a] = np.sort(forces / (-stiffness * mj.actuator_gear[a, 0]))
    else:
        mj.actuator_ctrllimited[a] = 0
    mj.actuator_gear[a] = (1, 0, 0, 0, 0, 0)
    mj.actuator_biastype[a] = mujoco.mjtBias.mjBIAS_AFFINE
    mj.actuator_gainprm[a] = 0.0
    mj.actuator_biasprm[a] = 0.0
    mj.actuator_gainprm[a, 0] = kp
    mj.actuator_biasprm[a, 1:3] = -kp, -kd
    mj.actuator_forcelimited[a] = bool(np.isfinite(limits).any())
    mj.actuator_forcerange[a] = np.clip(limits, -1e9, 1e9)


def _target_range(mj: mujoco.MjModel, a: int, joint: int) -> Array:
    """(2,) [rad] least and greatest target of a drive."""
    target: Array = np.array((-np.inf, np.inf))
    if mj.actuator_ctrllimited[a]:
        target = mj.actuator_ctrlrange[a].copy()
    return np.clip(target, *mj.jnt_range[joint]) if mj.jnt_limited[joint] else target


def _make_motor(mj: mujoco.MjModel, a: int) -> None:
    """Rewrites a position servo as a motor whose control signal is a torque [N·m]."""
    mj.actuator_gear[a] = (1, 0, 0, 0, 0, 0)
    mj.actuator_biastype[a] = mujoco.mjtBias.mjBIAS_NONE
    mj.actuator_ctrllimited[a] = 0
    mj.actuator_gainprm[a] = 0.0
    mj.actuator_biasprm[a] = 0.0
    mj.actuator_gainprm[a, 0] = 1.0
