# SPDX-License-Identifier: Apache-2.0
"""simulation_node: a MuJoCo simulation that behaves on the ROS graph as a robot does."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence

from tf2_msgs.msg import TFMessage

from humanoid_mujoco_ros.robot.model import ODOM_FRAME
from humanoid_mujoco_ros.ros import conversions, parameters, runtime
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.loop_control import LoopControl
from humanoid_mujoco_ros.ros.shared_config import ProcessConfig
from humanoid_mujoco_ros.ros.simulated_robot import SimulatedRobot, simulated_robot_nodes
from humanoid_mujoco_ros.ros.state_publisher import LATCHED
from humanoid_mujoco_ros.ros.topics import WORLD_FRAME
from humanoid_mujoco_ros.simulation.lockstep_loop import LockstepLoop
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig
from humanoid_mujoco_ros.simulation.realtime_loop import RealTimeLoop
from humanoid_mujoco_ros.simulation.robot_spec import RobotSpec, WorldConfig, parse_robots
from humanoid_mujoco_ros.simulation.world import Member, World


class SimulationNode(GuardedNode):
    """Steps the simulation and publishes what a robot would.

    With the parameter `robots` there are several in one world. Each then has a node of this name,
    with all that follows, in its own namespace; /clock comes once. This node has the services, of
    which simulation/reset is for all robots, and the parameter real_time_factor.

    Publishes (every control tick): joint_states, odom, imu/data, left_foot/wrench,
    right_foot/wrench, /tf, /clock, observation. Latched: robot_description, /tf_static. Every
    second: /diagnostics.

    Subscribes: effort_controller/commands [N·m] or, of a robot with drives,
    position_controller/commands [rad], in the order of the parameter `joints`; external_wrench.

    Services: simulation/reset, simulation/pause, simulation/step.

    Parameters: the fields of the configurations declared below, and
    `joints`. `real_time_factor` may be set at any time (realtime).
    """

    def __init__(self) -> None:
        """Loads the model and starts the physics.

        Raises:
            ValueError: A parameter cannot be used; the message says why.
        """
        super().__init__("simulation_node")
        self.exit_status = 0
        self.is_done = False
        self._ending = threading.Lock()
        config = parameters.declare(self, LoopConfig, changeable=("real_time_factor",))
        specs = parse_robots(parameters.declare(self, WorldConfig).robots)
        process = parameters.declare(self, ProcessConfig)
        process.check(specs)
        owners = simulated_robot_nodes(self, specs) if specs else [self]
        self._robots = [SimulatedRobot(owner, config) for owner in owners]
        self._running = len(self._robots)
        world = World(
            [
                Member(spec.name, robot.simulation, spec.placement)
                for spec, robot in zip(specs or [RobotSpec("")], self._robots, strict=True)
            ]
        )
        loop = LockstepLoop if config.mode == "lockstep" else RealTimeLoop
        self._loop = loop(world, config, [robot.listener for robot in self._robots])
        if specs:
            self._control = LoopControl(self, self._loop, self._loop.reset)
            self._publish_placements(specs)
        for robot, port in zip(self._robots, self._loop.ports, strict=True):
            robot.connect(self._loop, port)
        if process.with_policy:
            self.subnodes.append(_policy_node())
        self._loop.start()
        for robot in self._robots:
            robot.start(self._on_end)

    def destroy_node(self) -> None:
        """Stops the physics, then the node."""
        for robot in self._robots:
            robot.close()
        self._loop.stop()
        for robot in self._robots:
            robot.join()
        super().destroy_node()

    def _publish_placements(self, specs: Sequence[RobotSpec]) -> None:
        prefix = self.get_parameter("frame_prefix").value
        places = {f"{prefix}{spec.name}/{ODOM_FRAME}": spec.placement for spec in specs}
        self._tf_static = self.create_publisher(TFMessage, "/tf_static", LATCHED)
        self._tf_static.publish(conversions.to_placements(f"{prefix}{WORLD_FRAME}", places))

    def _on_end(self, error: str | None) -> None:
        """A robot's last state is published: the loop has ended by itself."""
        with self._ending:
            self.exit_status = 0 if error is None else 1
            self._running -= 1
            self.is_done = not self._running


def _policy_node() -> GuardedNode:
    from humanoid_mujoco_ros.nodes.policy_node import PolicyNode

    # The process's own arguments may give it the name of this node.
    return PolicyNode(cli_args=["--ros-args", "-r", "__node:=policy_node"])


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; the exit status is 2 when it could not start, 1 when nobody answered."""
    return runtime.run(SimulationNode, args)


if __name__ == "__main__":
    sys.exit(main())
