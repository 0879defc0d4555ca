# SPDX-License-Identifier: Apache-2.0
"""Messages from values and back. Quaternions are wxyz outside of messages, xyzw in them."""

from __future__ import annotations

import array
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion, TransformStamped, Twist, Vector3, WrenchStamped
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension, MultiArrayLayout
from tf2_msgs.msg import TFMessage

from humanoid_mujoco_ros.policy.observation import Block
from humanoid_mujoco_ros.robot.link_tree import LinkTree
from humanoid_mujoco_ros.robot.model import BASE_LINK, IMU_LINK, ODOM_FRAME
from humanoid_mujoco_ros.robot.state import ImuReading, RobotState, Wrench
from humanoid_mujoco_ros.simulation.placement import Placement

FOOTPRINT_FRAME = "base_footprint"
"""REP-120: the base on the ground, turned by its heading alone."""

Float64Array = NDArray[np.float64]


def to_time(time_ns: int) -> Time:
    """Nanoseconds as a stamp."""
    return Time(sec=time_ns // 1_000_000_000, nanosec=time_ns % 1_000_000_000)


def from_time(stamp: Time) -> int:
    """A stamp in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def to_quaternion(wxyz: Float64Array) -> Quaternion:
    """(4,) wxyz as a message."""
    w, x, y, z = wxyz.tolist()
    return Quaternion(x=x, y=y, z=z, w=w)


def from_quaternion(message: Quaternion) -> Float64Array:
    """A message as (4,) wxyz."""
    return np.array([message.w, message.x, message.y, message.z])


def to_vector3(vector: Float64Array) -> Vector3:
    """(3,) as a message."""
    x, y, z = vector.tolist()
    return Vector3(x=x, y=y, z=z)


def from_vector3(message: Vector3) -> Float64Array:
    """A message as (3,)."""
    return np.array([message.x, message.y, message.z])


def to_joint_state(state: RobotState, joints: Sequence[str], stamp: Time) -> JointState:
    """Positions [rad], velocities [rad/s] and efforts [N·m] of all joints."""
    message = JointState(name=list(joints))
    message.header.stamp = stamp
    message.position = to_array(state.joint_positions)
    message.velocity = to_array(state.joint_velocities)
    message.effort = to_array(state.joint_efforts)
    return message


def to_odometry(state: RobotState, prefix: str, stamp: Time) -> Odometry:
    """Pose of base_link in odom, twist in base_link; zero covariances mean: unknown."""
    message = Odometry(child_frame_id=prefix + BASE_LINK)
    message.header.stamp = stamp
    message.header.frame_id = prefix + ODOM_FRAME
    position = message.pose.pose.position
    position.x, position.y, position.z = state.base_position.tolist()
    message.pose.pose.orientation = to_quaternion(state.base_quaternion_wxyz)
    message.twist.twist.linear = to_vector3(state.base_linear_velocity)
    message.twist.twist.angular = to_vector3(state.base_angular_velocity)
    return message


def to_imu(imu: ImuReading, prefix: str, stamp: Time) -> Imu:
    """REP-145: orientation in the world, rates and specific force in the IMU's frame.

    Zero covariances mean: unknown.
    """
    message = Imu()
    message.header.stamp = stamp
    message.header.frame_id = prefix + IMU_LINK
    message.orientation = to_quaternion(imu.quaternion_wxyz)
    message.angular_velocity = to_vector3(imu.angular_velocity)
    message.linear_acceleration = to_vector3(imu.linear_acceleration)
    return message


def to_wrench(wrench: Wrench, frame: str, stamp: Time) -> WrenchStamped:
    """Force [N] and torque [N·m] at the origin of `frame`, expressed in it."""
    message = WrenchStamped()
    message.header.stamp = stamp
    message.header.frame_id = frame
    message.wrench.force = to_vector3(wrench.force)
    message.wrench.torque = to_vector3(wrench.torque)
    return message


def from_wrench(message: WrenchStamped) -> Wrench:
    """The wrench of a message; its frame stays in the message's header."""
    return Wrench(
        force=from_vector3(message.wrench.force), torque=from_vector3(message.wrench.torque)
    )


def to_twist(velocity: Float64Array) -> Twist:
    """A velocity command (3,): vx, vy [m/s] and yaw rate [rad/s]."""
    message = Twist()
    message.linear.x, message.linear.y, message.angular.z = velocity.tolist()
    return message


def from_twist(message: Twist) -> Float64Array:
    """(3,) vx, vy [m/s] and yaw rate [rad/s] of a velocity command."""
    return np.array([message.linear.x, message.linear.y, message.angular.z])


def to_clock(stamp: Time) -> Clock:
    """The simulated time."""
    return Clock(clock=stamp)


def to_array(vector: Float64Array) -> array.array[float]:
    """The cheapest value for a float64[] field."""
    return array.array("d", vector.tobytes())


def to_layout(blocks: Iterable[Block]) -> MultiArrayLayout:
    """The observation's blocks: each dimension names one, with its size and where it starts.

    The blocks follow each other; they are no axes of one array, so `stride` is no product of sizes.
    """
    return MultiArrayLayout(
        dim=[
            MultiArrayDimension(label=block.name, size=block.size, stride=block.start)
            for block in blocks
        ]
    )


def to_observation(observation: Float64Array, layout: MultiArrayLayout) -> Float64MultiArray:
    """The observation vector with its layout."""
    return Float64MultiArray(layout=layout, data=to_array(observation))


def to_commands(commands: Float64Array) -> Float64MultiArray:
    """Commands [N·m or rad] in the order of the topic's joints."""
    return Float64MultiArray(data=to_array(commands))


def to_static_transforms(tree: LinkTree, prefix: str) -> TFMessage:
    """The fixed joints of the tree, for /tf_static; their stamp is 0, valid at any time."""
    return TFMessage(
        transforms=[
            _transform(prefix + j.parent, prefix + j.child, j.position, j.quaternion_wxyz)
            for j in tree.fixed
        ]
    )


def to_placements(world: str, placements: Mapping[str, Placement]) -> TFMessage:
    """Where frames such as odom lie in the frame `world`, for /tf_static."""
    return TFMessage(
        transforms=[
            _transform(world, frame, placement.position, placement.quaternion_wxyz)
            for frame, placement in placements.items()
        ]
    )


class Transforms:
    """odom → base_link → base_footprint and the moving joints, for /tf.

    Attributes:
        size: Numbers of all transforms.
    """

    def __init__(self, tree: LinkTree, prefix: str, *, has_footprint: bool) -> None:
        """Prepares the transforms of `tree`.

        Args:
            tree: The robot's links.
            prefix: Goes before every frame's name.
            has_footprint: Whether there is a base_footprint, as of every base that floats.
        """
        self._tree = tree
        self._frames = [(prefix + ODOM_FRAME, prefix + BASE_LINK)]
        self._frames += [(prefix + j.parent, prefix + j.child) for j in tree.moving]
        if has_footprint:
            self._frames.append((prefix + BASE_LINK, prefix + FOOTPRINT_FRAME))
        self._has_footprint = has_footprint
        self._numbers = np.zeros((len(self._frames), 7))
        self._numbers[1 : 1 + len(tree.moving), :3] = [j.position for j in tree.moving]
        self.size = self._numbers.size

    def numbers(self, state: RobotState) -> Float64Array:
        """(size,) what `message` takes of a state: for each frame x, y, z [m] and w, x, y, z."""
        rows = self._numbers.copy()
        moving = slice(1, 1 + len(self._tree.moving))
        rows[0, :3], rows[0, 3:] = state.base_position, state.base_quaternion_wxyz
        rows[moving, 3:] = self._tree.moving_quaternions(state.joint_positions)
        if self._has_footprint:
            rows[-1, :3], rows[-1, 3:] = footprint(state.base_position, state.base_quaternion_wxyz)
        return rows.ravel()

    def message(self, numbers: Float64Array, stamp: Time) -> TFMessage:
        """The message of such numbers."""
        transforms = []
        for (parent, child), row in zip(self._frames, numbers.reshape(-1, 7), strict=True):
            transform = _transform(parent, child, row[:3], row[3:])
            transform.header.stamp = stamp
            transforms.append(transform)
        return TFMessage(transforms=transforms)


def footprint(
    base_position: Float64Array, base_quaternion_wxyz: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Position (3,) [m] and quaternion (4,) of base_footprint in base_link.

    It is under the base on the ground, z = 0 of odom, and has the base's heading.

    Args:
        base_position: (3,) [m] of base_link in odom.
        base_quaternion_wxyz: (4,) of base_link in odom.
    """
    # Numbers, not arrays: this runs at every control tick, and tenfold faster so.
    height = float(base_position[2])
    w, x, y, z = base_quaternion_wxyz.tolist()
    half_yaw = 0.5 * math.atan2(2.0 * (x * y + w * z), 1.0 - 2.0 * (y * y + z * z))
    cos, sin = math.cos(half_yaw), math.sin(half_yaw)
    down = (2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y))
    turn = (w * cos + z * sin, -x * cos - y * sin, x * sin - y * cos, w * sin - z * cos)
    return -height * np.array(down), np.array(turn)


def _transform(
    parent: str, child: str, position: Float64Array, quaternion_wxyz: Float64Array
) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.transform.translation = to_vector3(position)
    message.transform.rotation = to_quaternion(quaternion_wxyz)
    return message


@dataclass(frozen=True)
class JointReadings:
    """What a JointState says about the joints asked for, in the order asked for."""

    positions: Float64Array
    """(n,) [rad]."""
    velocities: Float64Array
    """(n,) [rad/s]."""
    efforts: Float64Array
    """(n,) [N·m]; NaN where the message has none."""


def from_joint_state(message: JointState, joints: Sequence[str]) -> JointReadings:
    """The joints of a message, which come by name in any order; others are ignored.

    Raises:
        ValueError: A joint is missing, or the message has no position or velocity for each name.
    """
    index = {name: i for i, name in enumerate(message.name)}
    missing = [name for name in joints if name not in index]
    if missing:
        raise ValueError(
            f"joint state lacks {', '.join(missing)}; it has {', '.join(index) or 'no joints'}"
        )
    for field in ("position", "velocity"):
        size = len(getattr(message, field))
        if size != len(message.name):
            raise ValueError(
                f"joint state has {size} values of {field} for {len(message.name)} joints"
            )
    order = [index[name] for name in joints]
    has_effort = len(message.effort) == len(message.name)
    return JointReadings(
        positions=np.array(message.position)[order],
        velocities=np.array(message.velocity)[order],
        efforts=np.array(message.effort)[order] if has_effort else np.full(len(order), np.nan),
    )


@dataclass(frozen=True)
class ImuReadings:
    """What an Imu says of how it turns."""

    quaternion_wxyz: Float64Array
    """(4,) of imu_link in the world."""
    angular_velocity: Float64Array
    """(3,) [rad/s], expressed in imu_link."""


def from_imu(message: Imu) -> ImuReadings:
    """Orientation and angular velocity of a message.

    Raises:
        ValueError: It says that it has none of one of them.
    """
    for name in ("orientation", "angular_velocity"):
        if getattr(message, f"{name}_covariance")[0] == -1.0:
            raise ValueError(f"imu/data has no {name}: the first of its covariances is -1")
    return ImuReadings(from_quaternion(message.orientation), from_vector3(message.angular_velocity))


@dataclass(frozen=True)
class BaseReadings:
    """What an Odometry says about the base."""

    position: Float64Array
    """(3,) [m] of base_link in odom."""
    quaternion_wxyz: Float64Array
    """(4,) of base_link in odom."""
    linear_velocity: Float64Array
    """(3,) [m/s], expressed in base_link."""
    angular_velocity: Float64Array
    """(3,) [rad/s], expressed in base_link."""


def from_odometry(message: Odometry) -> BaseReadings:
    """Pose and twist of a message; its frames stay in the message."""
    position = message.pose.pose.position
    return BaseReadings(
        position=np.array([position.x, position.y, position.z]),
        quaternion_wxyz=from_quaternion(message.pose.pose.orientation),
        linear_velocity=from_vector3(message.twist.twist.linear),
        angular_velocity=from_vector3(message.twist.twist.angular),
    )
