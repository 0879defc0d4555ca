# SPDX-License-Identifier: Apache-2.0
"""The topics of a robot, by the names that they have in its namespace."""

from __future__ import annotations

RECORDED = {
    "joint_states": "sensor_msgs/msg/JointState",
    "odom": "nav_msgs/msg/Odometry",
    "imu/data": "sensor_msgs/msg/Imu",
    "left_foot/wrench": "geometry_msgs/msg/WrenchStamped",
    "right_foot/wrench": "geometry_msgs/msg/WrenchStamped",
    "/tf": "tf2_msgs/msg/TFMessage",
    "/tf_static": "tf2_msgs/msg/TFMessage",
    "/clock": "rosgraph_msgs/msg/Clock",
    "robot_description": "std_msgs/msg/String",
    "observation": "std_msgs/msg/Float64MultiArray",
    "effort_controller/commands": "std_msgs/msg/Float64MultiArray",
    "position_controller/commands": "std_msgs/msg/Float64MultiArray",
    "external_wrench": "geometry_msgs/msg/WrenchStamped",
    "force_marker/update": "visualization_msgs/msg/InteractiveMarkerUpdate",
    "force_marker/feedback": "visualization_msgs/msg/InteractiveMarkerFeedback",
    "cmd_vel": "geometry_msgs/msg/Twist",
    "policy_node/transition_event": "lifecycle_msgs/msg/TransitionEvent",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
    "/parameter_events": "rcl_interfaces/msg/ParameterEvent",
    "/rosout": "rcl_interfaces/msg/Log",
}
"""What a recording holds unless told otherwise: all that a run needs to be understood again."""

LATCHED = frozenset({"/tf_static", "robot_description", "/rosout"})
"""Kept by their publishers for whoever comes later (transient local)."""

_STREAMS = tuple(f"/{name.lstrip('/')}" for name in RECORDED if name not in LATCHED)

COMMANDS = (
    "effort_controller/commands",
    "position_controller/commands",
    "external_wrench",
    "force_marker/feedback",
    "cmd_vel",
)
"""What moves a robot."""

OWN_TO_EACH_NODE = ("/parameter_events", "/rosout")
"""Every node publishes these, about itself."""

SHARED = (*OWN_TO_EACH_NODE, "/diagnostics", "/tf_static")
"""Several nodes may publish these beside each other."""

VIEWS = ("external_wrench", "force_marker/update", "force_marker/feedback")
"""Published by whoever looks at a robot."""

JOINT_STATES = "joint_states"


def is_stream(name: str) -> bool:
    """Whether a full name is that of a robot's topic whose messages are events, not a state."""
    return name.endswith(_STREAMS)


def full_name(name: str, namespace: str) -> str:
    """The full name of a topic in a namespace such as "/" or "/robot2"."""
    return name if name.startswith("/") else f"{namespace.rstrip('/')}/{name}"
