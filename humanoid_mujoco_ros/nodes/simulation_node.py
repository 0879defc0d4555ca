# SPDX-License-Identifier: Apache-2.0
"""simulation_node: a MuJoCo simulation that behaves on the ROS graph as a robot does."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from humanoid_mujoco_ros.ros import parameters, runtime
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.simulated_robot import SimulatedRobot
from humanoid_mujoco_ros.simulation.lockstep_loop import LockstepLoop
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig
from humanoid_mujoco_ros.simulation.realtime_loop import RealTimeLoop
from humanoid_mujoco_ros.simulation.world import Member, World


class SimulationNode(GuardedNode):
    """Steps the simulation and publishes what a robot would.

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
        config = parameters.declare(self, LoopConfig, changeable=("real_time_factor",))
        self._robot = SimulatedRobot(self, config)
        world = World([Member("", self._robot.simulation)])
        loop = LockstepLoop if config.mode == "lockstep" else RealTimeLoop
        self._loop = loop(world, config, [self._robot.listener])
        self._robot.connect(self._loop, self._loop.ports[0])
        self._loop.start()
        self._robot.start(self._on_end)

    def destroy_node(self) -> None:
        """Stops the physics, then the node."""
        self._robot.close()
        self._loop.stop()
        self._robot.join()
        super().destroy_node()

    def _on_end(self, error: str | None) -> None:
        self.exit_status = 0 if error is None else 1
        self.is_done = True


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; the exit status is 2 when it could not start, 1 when nobody answered."""
    return runtime.run(SimulationNode, args)


if __name__ == "__main__":
    sys.exit(main())
