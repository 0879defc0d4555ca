# SPDX-License-Identifier: Apache-2.0
"""The services of simulation_interfaces for what is in the world: the robot.

Importing this needs the package simulation_interfaces.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Pose
from numpy.typing import NDArray
from simulation_interfaces.msg import (
    Bounds,
    EntityCategory,
    EntityFilters,
    EntityInfo,
    EntityState,
    NamedPose,
    Result,
    SimulatorFeatures,
    TagsFilter,
)
from simulation_interfaces.srv import (
    GetEntities,
    GetEntitiesStates,
    GetEntityBounds,
    GetEntityInfo,
    GetEntityState,
    GetNamedPoses,
    SetEntityState,
)

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import ODOM_FRAME
from humanoid_mujoco_ros.ros import conversions
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.service_result import Refusal, answer
from humanoid_mujoco_ros.ros.topics import WORLD_FRAME
from humanoid_mujoco_ros.simulation.extent import extent
from humanoid_mujoco_ros.simulation.robot_port import RobotPort
from humanoid_mujoco_ros.simulation.simulation import BaseMotion, Simulation
from humanoid_mujoco_ros.simulation.start import WORLD_LIMIT_M, keyframes

FEATURES = (
    SimulatorFeatures.NAMED_POSES,
    SimulatorFeatures.ENTITY_TAGS,
    SimulatorFeatures.ENTITY_BOUNDS,
    SimulatorFeatures.ENTITY_BOUNDS_BOX,
    SimulatorFeatures.ENTITY_CATEGORIES,
    SimulatorFeatures.ENTITY_STATE_GETTING,
    SimulatorFeatures.ENTITY_STATE_SETTING,
    SimulatorFeatures.ENTITY_INFO_GETTING,
)
_LARGEST_SPEED = 100.0
"""Of a base that is set in motion [m/s, rad/s]."""
_LONGEST_FILTER = 64
"""Characters of a filter: an expression that takes long keeps the simulation waiting."""
_UNIT = 1e-3
"""How far the length of a quaternion may be from one."""

Array = NDArray[np.float64]
Settled = Callable[[Future[Any]], Awaitable[Any]]


class EntityServices:
    """The robot as the one entity of the world, under the name of its card."""

    def __init__(self, node: GuardedNode, port: RobotPort, prefix: str, settled: Settled) -> None:
        """Creates the services.

        Args:
            node: Owns the services.
            port: The robot in its loop.
            prefix: Goes before every frame's name.
            settled: Waits for an answer of the physics thread.
        """
        self._port = port
        self._robot = port.robot
        self._name = port.robot.card.name
        self._frames = [prefix + ODOM_FRAME]
        if not port.name:  # a robot among others may be anywhere in the world
            self._frames.append(WORLD_FRAME)
        self._settled = settled
        for name, service_type, callback in (
            ("get_entities", GetEntities, self.on_get_entities),
            ("get_entity_state", GetEntityState, self.on_get_state),
            ("get_entities_states", GetEntitiesStates, self.on_get_states),
            ("set_entity_state", SetEntityState, self.on_set_state),
            ("get_entity_info", GetEntityInfo, self.on_get_info),
            ("get_entity_bounds", GetEntityBounds, self.on_get_bounds),
            ("get_named_poses", GetNamedPoses, self.on_get_named_poses),
        ):
            node.create_service(service_type, name, callback)

    async def on_get_entities(
        self, request: GetEntities.Request, response: GetEntities.Response
    ) -> GetEntities.Response:
        """Lists what passes the filters."""
        response.entities = await self._matching(request.filters)
        return answer(response)

    async def on_get_state(
        self, request: GetEntityState.Request, response: GetEntityState.Response
    ) -> GetEntityState.Response:
        """Tells how an entity moves."""
        self._check_name(request.entity)
        response.state = await self._state()
        return answer(response)

    async def on_get_states(
        self, request: GetEntitiesStates.Request, response: GetEntitiesStates.Response
    ) -> GetEntitiesStates.Response:
        """Tells how everything moves that passes the filters."""
        response.entities = await self._matching(request.filters)
        response.states = [await self._state() for _ in response.entities]
        return answer(response)

    async def on_set_state(
        self, request: SetEntityState.Request, response: SetEntityState.Response
    ) -> SetEntityState.Response:
        """Puts the robot's base elsewhere, with another velocity; its joints stay as they are."""
        self._check_name(request.entity)
        frame = request.state.header.frame_id
        if frame and frame not in self._frames:
            raise Refusal(
                Result.RESULT_FEATURE_UNSUPPORTED,
                f"frame '{frame}' is not supported; expected {' or '.join(self._frames)}",
            )
        motion = _motion(request.state)
        try:
            await self._settled(self._port.place_base(motion))
        except ValueError as error:
            raise Refusal(SetEntityState.Response.INVALID_POSE, str(error)) from error
        return answer(response)

    def on_get_info(
        self, request: GetEntityInfo.Request, response: GetEntityInfo.Response
    ) -> GetEntityInfo.Response:
        """Tells what an entity is."""
        self._check_name(request.entity)
        robot = self._robot
        response.info = EntityInfo(
            category=EntityCategory(category=EntityCategory.CATEGORY_ROBOT),
            description=f"{robot.name}: {len(robot.joints)} joints, {robot.control_rate_hz:g} Hz",
            tags=self._tags(),
        )
        return answer(response)

    async def on_get_bounds(
        self, request: GetEntityBounds.Request, response: GetEntityBounds.Response
    ) -> GetEntityBounds.Response:
        """Tells how much room an entity takes now, in base_link."""
        self._check_name(request.entity)
        state = await self._settled(self._port.read(Simulation.state))
        lower, upper = extent(self._robot, state.qpos, in_base=True)
        response.bounds.type = Bounds.TYPE_BOX
        response.bounds.points = [conversions.to_vector3(upper), conversions.to_vector3(lower)]
        return answer(response)

    async def on_get_named_poses(
        self, request: GetNamedPoses.Request, response: GetNamedPoses.Response
    ) -> GetNamedPoses.Response:
        """Lists where the base is at the start of an episode and in the model's keyframes."""
        start = await self._settled(self._port.read(lambda simulation: simulation.start_qpos))
        known = [("start", "where an episode starts", "start", start)]
        known += [
            (name, f"keyframe of {self._robot.name}", "keyframe", qpos)
            for name, qpos in keyframes(self._robot).items()
            if name != "start"
        ]
        response.poses = [
            NamedPose(
                name=name,
                description=description,
                tags=[tag, self._name],
                pose=_to_pose(*self._robot.base.pose(qpos)),
            )
            for name, description, tag, qpos in known
            if _matches_tags(request.tags, [tag, self._name])
        ]
        return answer(response)

    def _tags(self) -> list[str]:
        return [self._robot.actuation]

    def _check_name(self, name: str) -> None:
        if name != self._name:
            raise Refusal(
                Result.RESULT_NOT_FOUND, f"there is no entity '{name}'; there is {self._name}"
            )

    async def _matching(self, filters: EntityFilters) -> list[str]:
        matches = _matches_name(filters.filter, self._name)
        categories = [category.category for category in filters.categories]
        matches &= not categories or EntityCategory.CATEGORY_ROBOT in categories
        matches &= _matches_tags(filters.tags, self._tags())
        overlaps = _overlap(filters.bounds)
        if overlaps is not None and matches:
            state = await self._settled(self._port.read(Simulation.state))
            matches = overlaps(*extent(self._robot, state.qpos))
        return [self._name] if matches else []

    async def _state(self) -> EntityState:
        state, (linear, angular) = await self._settled(
            self._port.read(lambda simulation: (simulation.state(), simulation.base_acceleration()))
        )
        message, to_world = EntityState(), state.base_quaternion_wxyz
        message.header.stamp = conversions.to_time(state.time_ns)
        message.header.frame_id = self._frames[0]
        message.pose = _to_pose(state.base_position, to_world)
        message.twist.linear = conversions.to_vector3(
            rotation.rotate(to_world, state.base_linear_velocity)
        )
        message.twist.angular = conversions.to_vector3(
            rotation.rotate(to_world, state.base_angular_velocity)
        )
        message.acceleration.linear = conversions.to_vector3(linear)
        message.acceleration.angular = conversions.to_vector3(angular)
        return message


def _to_pose(position: Array, quaternion_wxyz: Array) -> Pose:
    x, y, z = position.tolist()
    return Pose(
        position=Point(x=x, y=y, z=z), orientation=conversions.to_quaternion(quaternion_wxyz)
    )


def _motion(state: EntityState) -> BaseMotion:
    """What a message asks for.

    Raises:
        Refusal: The pose is invalid or outside of the world, or a velocity is too large.
    """
    place = state.pose.position
    position = np.array([place.x, place.y, place.z])
    quaternion = conversions.from_quaternion(state.pose.orientation)
    length = np.abs(quaternion).max() and np.linalg.norm(quaternion)
    if not np.abs(position).max() <= WORLD_LIMIT_M:
        raise Refusal(
            SetEntityState.Response.INVALID_POSE,
            f"position {_text(position)} is not within {WORLD_LIMIT_M:g} m of the origin",
        )
    if not abs(length - 1.0) <= _UNIT:
        raise Refusal(
            SetEntityState.Response.INVALID_POSE,
            f"orientation {_text(quaternion)} (w, x, y, z) is no quaternion of length one",
        )
    linear = conversions.from_vector3(state.twist.linear)
    angular = conversions.from_vector3(state.twist.angular)
    for name, vector in (("linear", linear), ("angular", angular)):
        if not np.abs(vector).max() <= _LARGEST_SPEED:
            raise Refusal(
                Result.RESULT_OPERATION_FAILED,
                f"{name} velocity {_text(vector)} is not within {_LARGEST_SPEED:g}",
            )
    return BaseMotion(position, quaternion / length, linear, angular)


def _text(vector: Array) -> str:
    return ", ".join(f"{value:.4g}" for value in vector.tolist())


def _matches_name(pattern: str, name: str) -> bool:
    if len(pattern) > _LONGEST_FILTER:
        raise Refusal(
            Result.RESULT_OPERATION_FAILED,
            f"the filter has {len(pattern)} characters, expected {_LONGEST_FILTER} at most",
        )
    try:
        return re.search(pattern, name) is not None
    except (re.error, OverflowError, RecursionError) as error:
        raise Refusal(
            Result.RESULT_OPERATION_FAILED, f"filter '{pattern}' is no regular expression: {error}"
        ) from error


def _matches_tags(wanted: TagsFilter, tags: list[str]) -> bool:
    if wanted.filter_mode not in (TagsFilter.FILTER_MODE_ANY, TagsFilter.FILTER_MODE_ALL):
        raise Refusal(
            Result.RESULT_OPERATION_FAILED,
            f"filter_mode of the tags is {wanted.filter_mode}, expected any (0) or all (1)",
        )
    if not wanted.tags:
        return True
    mode = any if wanted.filter_mode == TagsFilter.FILTER_MODE_ANY else all
    return mode(tag in tags for tag in wanted.tags)


def _overlap(bounds: Bounds) -> Callable[[Array, Array], bool] | None:
    """Tells whether bounds overlap with a box of the world, by its corners; None: no bounds.

    Raises:
        Refusal: The type is not supported, or the points make no such volume.
    """
    if bounds.type == Bounds.TYPE_EMPTY:
        return None
    if bounds.type not in (Bounds.TYPE_BOX, Bounds.TYPE_SPHERE):
        raise Refusal(
            Result.RESULT_FEATURE_UNSUPPORTED,
            f"bounds of type {bounds.type} are not supported; "
            f"expected box ({Bounds.TYPE_BOX}) or sphere ({Bounds.TYPE_SPHERE})",
        )
    points = [conversions.from_vector3(point) for point in bounds.points]
    if len(points) != 2 or not np.isfinite(points).all():
        raise Refusal(
            Result.RESULT_OPERATION_FAILED,
            f"the bounds have {len(points)} points, expected 2 with finite coordinates",
        )
    first, second = points
    if bounds.type == Bounds.TYPE_SPHERE:
        if second[0] < 0:
            raise Refusal(Result.RESULT_OPERATION_FAILED, "the sphere has a negative radius")
        return lambda lower, upper: bool(
            np.linalg.norm(np.clip(first, lower, upper) - first) <= second[0]
        )
    if (first < second).any():
        raise Refusal(
            Result.RESULT_OPERATION_FAILED,
            "the first point of the box is not its upper corner, the second its lower one",
        )
    return lambda lower, upper: bool((lower <= first).all() and (upper >= second).all())
