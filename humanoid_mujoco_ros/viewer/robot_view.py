# SPDX-License-Identifier: Apache-2.0
"""One robot on the page: what is drawn of it, and what people do to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import viser
from numpy.typing import NDArray

from humanoid_mujoco_ros.interaction.arrow import Arrow, contact_arrow
from humanoid_mujoco_ros.interaction.drag import Drag
from humanoid_mujoco_ros.interaction.push import MeasuredPush, PushPlan
from humanoid_mujoco_ros.interaction.spring import Pull, SpringConfig
from humanoid_mujoco_ros.robot.model import BASE_LINK
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.robot.vectors import VectorError
from humanoid_mujoco_ros.simulation.placement import Placement
from humanoid_mujoco_ros.viewer.actions import PolicyActions, SimulationActions
from humanoid_mujoco_ros.viewer.inbox import ActionInbox, Faults
from humanoid_mujoco_ros.viewer.mouse_drag import MouseDrag
from humanoid_mujoco_ros.viewer.pad import HeldVelocity
from humanoid_mujoco_ros.viewer.readings import Readings
from humanoid_mujoco_ros.viewer.scene import RobotScene, Scene
from humanoid_mujoco_ros.viewer.shapes import Batch

Float64Array = NDArray[np.float64]

_LOST_CLIENT_S = 2.0
"""A browser that holds the robot and does not answer for this long has lost it."""


@dataclass(frozen=True, eq=False)
class RobotSource:
    """A robot that a page is to show."""

    posed: PosedModel
    """The robot; its owner keeps it up to date."""
    spring: SpringConfig
    """How hard the mouse pulls."""
    policies: Sequence[str]
    """Names of the policies that fit the robot."""
    simulation: SimulationActions
    """Carries out what people ask of the simulation."""
    policy: PolicyActions
    """Carries out what people ask of the policy."""
    readings: Callable[[], Readings]
    """What to show now; called a few times a second."""
    efforts: Callable[[], Float64Array]
    """(n,) [N·m] by joint, NaN where not measured; called as often."""
    name: str = ""
    """Its name among several robots; empty: it is alone."""
    placement: Placement = field(default_factory=Placement)
    """Where its odom frame lies in the world."""


class RobotView:
    """Draws a robot and turns what people do to it into wrenches. For the node's thread.

    Attributes:
        source: The robot.
    """

    def __init__(
        self,
        scene: Scene,
        source: RobotSource,
        inbox: ActionInbox,
        faults: Faults,
        on_grab: Callable[[viser.ClientHandle], None],
    ) -> None:
        """Draws the robot.

        Args:
            scene: Where.
            source: The robot.
            inbox: Takes what people do to the node's thread.
            faults: Counts what they do in vain.
            on_grab: Called there when a browser grabs the robot.
        """
        self.source = source
        self._inbox = inbox
        self._faults = faults
        self._on_grab = on_grab
        posed = source.posed
        self._scene = RobotScene(scene, posed.robot, source.name, source.placement)
        self._foot_wrenches: dict[str, Wrench] = {}
        self._feet = {side: foot for side, foot, _ in posed.robot.foot_sensors}
        self._arrow: Arrow | None = None
        self._held = HeldVelocity()
        self._push = MeasuredPush(posed)
        drag = Drag(posed, source.spring, _LOST_CLIENT_S)
        self._drag = MouseDrag(posed, drag, self._scene.to_odom)
        for batch, handle in self._scene.batch_handles:
            self._listen_to_mouse(batch, handle)

    @property
    def outcomes(self) -> Sequence[str]:
        """What came of the last pushes."""
        return self._push.outcomes

    @property
    def is_held(self) -> bool:
        """Whether a browser drags the robot."""
        return self._drag.client is not None

    @property
    def position(self) -> Float64Array:
        """(3,) [m] of the base in the world."""
        return self._scene.to_world(self.source.posed.link_pose(BASE_LINK)[0])

    def on_foot_wrench(self, side: str, wrench: Wrench) -> None:
        """Takes the ground's wrench on the "left" or "right" foot, in the foot's frame."""
        self._foot_wrenches[side] = wrench

    def on_state(self, stamp_ns: int) -> dict[str, Wrench]:
        """Takes the robot's next state, which the posed model has.

        Returns:
            Link → wrench at its origin, in its frame, that acts on it from now.
        """
        wrenches: dict[str, Wrench] = {}
        self._arrow = None
        push = self._push.update(stamp_ns)
        if push is not None:
            self._arrow = push.arrow
            wrenches[push.link] = push.wrench
        link, pull = self._drag.link, self._pull()
        if link is not None and pull is not None:
            self._arrow = Arrow(pull.point_world, pull.force_world)
            other = wrenches.get(link, Wrench(np.zeros(3), np.zeros(3)))
            wrenches[link] = Wrench(
                other.force + pull.wrench.force, other.torque + pull.wrench.torque
            )
        return wrenches

    def draw(self) -> None:
        """Draws the next frame."""
        posed = self.source.posed
        contacts = [
            arrow
            for side, wrench in self._foot_wrenches.items()
            if (arrow := contact_arrow(*posed.link_pose(self._feet[side]), wrench))
        ]
        self._scene.show(posed, contacts, self._arrow, self._drag.target)

    def push(self, plan: PushPlan) -> None:
        """Starts a measured push.

        Raises:
            ModelError: There is no such link.
        """
        self._push.start(plan)

    def hold(self, velocity: Float64Array) -> None:
        """Takes the velocity (3,) of a button that is held now."""
        self._held.hold(velocity, time.monotonic())

    def release(self) -> None:
        """Lets go of the button."""
        self._held.release()

    def velocity(self) -> Float64Array | None:
        """What to command now: (3,) vx, vy [m/s], yaw rate [rad/s]; None: nobody drives."""
        return self._held.take(time.monotonic())

    def let_go(self) -> None:
        """Ends whatever the page does to the robot."""
        self._push.cancel()
        self._drag.release()
        self._arrow = None

    def robot_lost(self) -> None:
        """Clears what only a robot that is seen can have."""
        self._foot_wrenches.clear()
        self.let_go()

    def _pull(self) -> Pull | None:
        try:
            return self._drag.pull(time.monotonic())
        except VectorError as error:  # the robot says that it is beyond all bounds
            self._faults.add(error)
            self._drag.release()
            return None

    def _listen_to_mouse(self, batch: Batch, handle: viser.BatchedMeshHandle) -> None:
        # A coroutine keeps the phases in order, and hands over to the node's thread at once.
        @handle.on_drag("left")
        async def _(event: viser.SceneNodeDragEvent[viser.BatchedMeshHandle]) -> None:
            self._inbox.post(
                (event.client_id, event.phase),
                lambda: self._on_drag(batch, event, time.monotonic()),
            )

    def _on_drag(
        self,
        batch: Batch,
        event: viser.SceneNodeDragEvent[viser.BatchedMeshHandle],
        now_s: float,
    ) -> None:
        client = str(event.client_id)
        match event.phase:
            case "start":
                geom = batch.geom(event.instance_index)
                point, mouse = event.start_position, event.end_position
                self._drag.start(client, geom, point, mouse, now_s)
                self._on_grab(event.client)
            case "update":
                self._drag.move(client, event.end_position, now_s)
            case "end":
                self._drag.end(client)

    def hear(self, client: str, now_s: float) -> None:
        """Notes that the browser is alive while its mouse stands still."""
        self._drag.hear(client, now_s)
