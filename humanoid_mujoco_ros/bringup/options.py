# SPDX-License-Identifier: Apache-2.0
"""The options that `humanoid sim` and `humanoid hardware` have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from humanoid_mujoco_ros.bringup.config import config_file
from humanoid_mujoco_ros.ros.namespaces import checked_namespace


@dataclass(frozen=True)
class GraphOptions:
    """A policy, the robot's names, and the views."""

    config_names: ClassVar[tuple[str, ...]]
    """The configurations that ship for the command."""

    robot: str = ""
    """The robot: the name of a card (see `humanoid robots`), a card FILE.yaml, or a model FILE.xml;
    empty: the config's."""
    policy: str = ""
    """The policy: walk, balance, steer or rise for the humanoid, g1_fastsac or g1_ppo for the g1,
    ant, half_cheetah, hopper or walker2d for the robots of these names, a file, or
    hf://owner/repo[@revision][/file] (see `humanoid policy`); none: your own controller commands
    the robot; empty: the config's, or the robot's own."""
    namespace: str = ""
    """Namespace of every node and topic, for one robot of several."""
    network: bool = False
    """Let other machines see the graph; otherwise it stays on this one."""
    viewer: bool = False
    """Start the browser view."""
    viewer_port: int | None = None
    """Port of the browser view; default: the config's, or 8080."""
    force_marker: bool = False
    """Start the interactive marker, for an RViz that runs elsewhere (see --network)."""

    config: str = ""
    """A name of `config_names`, or a ROS parameter file."""

    def __post_init__(self) -> None:
        """Takes a namespace with and without slashes around it."""
        object.__setattr__(self, "namespace", self.namespace.strip("/"))

    def check(self) -> None:
        """Finds names that ROS would refuse.

        Raises:
            ValueError: The namespace is none.
        """
        checked_namespace(self.namespace)

    @property
    def config_path(self) -> Path:
        """The parameter file.

        Raises:
            ConfigError: There is no such file.
        """
        return config_file(self.config, self.config_names)

    def chosen_robot(self) -> dict[str, Any]:
        """What `robot` sets for every node."""
        return {"robot": self.robot} if self.robot else {}

    def frames(self) -> dict[str, Any]:
        """What the namespace sets for a node that names frames."""
        return {"frame_prefix": f"{self.namespace}/"} if self.namespace else {}

    def views(self) -> dict[str, dict[str, Any]]:
        """View → the parameters to set for it, for each view to start."""
        nodes: dict[str, dict[str, Any]] = {}
        if self.viewer:
            nodes["viewer_node"] = self.frames()
            if self.network:
                nodes["viewer_node"]["host"] = "0.0.0.0"
            if self.viewer_port is not None:
                nodes["viewer_node"]["port"] = self.viewer_port
        if self.force_marker:
            nodes["force_marker_node"] = self.frames()
        return nodes
