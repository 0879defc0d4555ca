# SPDX-License-Identifier: Apache-2.0
"""A run with known figures, written as a bag by rosbags, not by the package's own writer."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability
from rosbags.interfaces import QosTime as Time
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
START_NS = 1_800_000_000_000_000_000
PERIOD_NS = 10_000_000
JOINTS = ("knee", "hip")
URDF = """<robot name="two"><joint name="knee" type="revolute">
<limit lower="-1.5" upper="0.5" velocity="20" effort="40"/></joint>
<joint name="hip" type="continuous"><limit velocity="20" effort="80"/></joint></robot>"""

SPEED_M_S = 1.2
FALL_S = 4.0
RESET_S = 6.0
PUSH_S = (1.0, 3.5)
"""The second one makes the robot fall."""
PUSH_DURATION_S = 0.2
PUSH_N = (100.0, 400.0)
DURATION_S = 8.0
LATENCY_NS = 2_000_000


def write(
    path: Path,
    storage: StoragePlugin = StoragePlugin.MCAP,
    without: Collection[str] = (),
    namespace: str = "",
    duration_s: float = DURATION_S,
    **options: Any,
) -> None:
    """Writes the run: it walks, is pushed twice, falls, lies, is put back and walks on.

    The options are those of `Robot`.
    """
    with Writer(path, version=9, storage_plugin=storage) as bag:
        robot = Robot(bag, without, namespace, **options)
        robot.latch()
        for tick in range(round(duration_s * 1e9) // PERIOD_NS + 1):
            robot.tick(tick)


def message(type_name: str, **fields: Any) -> Any:
    """A message of rosbags' own classes."""
    return STORE.types[type_name](**fields)


def stamp(time_ns: int) -> Any:
    return message("builtin_interfaces/msg/Time", sec=time_ns // 10**9, nanosec=time_ns % 10**9)


def header(time_ns: int, frame: str = "") -> Any:
    return message("std_msgs/msg/Header", stamp=stamp(time_ns), frame_id=frame)


def vector(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Any:
    return message("geometry_msgs/msg/Vector3", x=float(x), y=float(y), z=float(z))


def numbers(values: Collection[float]) -> Any:
    layout = message("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
    return message(
        "std_msgs/msg/Float64MultiArray", layout=layout, data=np.array(values, dtype=np.float64)
    )


def wrench(time_ns: int, frame: str, force: tuple[float, float, float]) -> Any:
    return message(
        "geometry_msgs/msg/WrenchStamped",
        header=header(time_ns, frame),
        wrench=message("geometry_msgs/msg/Wrench", force=vector(*force), torque=vector()),
    )


def qos(latched: bool = False) -> Qos:
    forever = Time(9223372036, 854775807)
    return Qos(
        QosHistory.KEEP_LAST,
        10,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )


def robot_time_ns(tick: int) -> int:
    """The robot's clock began long before the recording."""
    return 5_000_000_000 + tick * PERIOD_NS


class Robot:
    """Publishes into a bag.

    Args:
        bag: Open for writing.
        without: Topics to leave out.
        namespace: Of the robot.
        stamp_ns: Tick → the stamp of the states.
        scale: Size of the robot.
        commands: Topic of the commands to the joints.
        edit: Topic, tick and message → the message to write instead, the bytes of one, or None.
    """

    def __init__(
        self,
        bag: Writer,
        without: Collection[str] = (),
        namespace: str = "",
        stamp_ns: Callable[[int], int] = robot_time_ns,
        scale: float = 1.0,
        commands: str = "effort_controller/commands",
        edit: Callable[[str, int, Any], Any] = lambda topic, tick, content: content,
    ) -> None:
        self._stamp_ns = stamp_ns
        self._scale = scale
        self._commands = commands
        self._edit = edit
        self._tick = 0
        self._bag = bag
        self._without = without
        self._namespace = namespace
        self._connections: dict[str, Any] = {}

    def send(self, topic: str, time_ns: int, content: Any, latched: bool = False) -> None:
        if topic in self._without:
            return
        kind = content.__msgtype__
        content = self._edit(topic, self._tick, content)
        if content is None:
            return
        kind = getattr(content, "__msgtype__", kind)
        if topic not in self._connections:
            name = topic if topic.startswith("/") else f"{self._namespace}/{topic}"
            self._connections[topic] = self._bag.add_connection(
                name, kind, typestore=STORE, offered_qos_profiles=[qos(latched)]
            )
        is_raw = isinstance(content, bytes)
        data = content if is_raw else STORE.serialize_cdr(content, kind)
        self._bag.write(self._connections[topic], time_ns, data)

    def latch(self) -> None:
        text = message("std_msgs/msg/String", data=URDF)
        self.send("robot_description", START_NS, text, latched=True)

    def tick(self, tick: int) -> None:
        # The recorder hears all 1 ms late.
        self._tick = tick
        time_s = tick * PERIOD_NS * 1e-9
        now_ns = self._stamp_ns(tick)
        wall_ns = START_NS + tick * PERIOD_NS + 1_000_000
        fallen = FALL_S <= time_s < RESET_S
        walked_s = min(time_s, FALL_S) if time_s < RESET_S else time_s - RESET_S
        self.send("observation", wall_ns, numbers(np.full(376, time_s)))
        self.send(self._commands, wall_ns + LATENCY_NS, numbers([40.0, -1.0]))
        swing = np.sin(2 * np.pi * time_s)
        self.send(
            "joint_states",
            wall_ns + 100_000,
            message(
                "sensor_msgs/msg/JointState",
                header=header(now_ns),
                name=list(JOINTS),
                position=np.array([0.5 * swing, 0.1]),
                velocity=np.array([3.0 * swing, 0.0]),
                effort=np.array([40.0, -1.0]),
            ),
        )
        self.send("odom", wall_ns + 200_000, self._odometry(now_ns, walked_s, fallen))
        for side, force_n in (("left", 400.0), ("right", 0.0)):
            up = (0.0, 0.0, force_n if tick % 50 < 25 else 400.0 - force_n)
            self.send(f"{side}_foot/wrench", wall_ns + 300_000, wrench(now_ns, f"{side}_foot", up))
        for start_s, force_n in zip(PUSH_S, PUSH_N, strict=True):
            if start_s <= time_s < start_s + PUSH_DURATION_S:
                push = wrench(0, "torso", (force_n, 0.0, 0.0))
                self.send("external_wrench", wall_ns + 400_000, push)
        if tick % 100 == 50:
            self.send("/diagnostics", wall_ns + 500_000, _diagnostics(time_s, fallen))

    def _odometry(self, now_ns: int, walked_s: float, fallen: bool) -> Any:
        height = self._scale * (0.3 if fallen else 1.3)
        return odometry(now_ns, walked_s * SPEED_M_S, height, 0.0 if fallen else SPEED_M_S)


def odometry(now_ns: int, x: float, height: float, speed: float) -> Any:
    zeros = np.zeros(36)
    pose = message(
        "geometry_msgs/msg/Pose",
        position=message("geometry_msgs/msg/Point", x=x, y=0.0, z=height),
        orientation=message("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
    )
    twist = message("geometry_msgs/msg/Twist", linear=vector(speed), angular=vector())
    return message(
        "nav_msgs/msg/Odometry",
        header=header(now_ns, "odom"),
        child_frame_id="base_link",
        pose=message("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=zeros),
        twist=message("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=zeros),
    )


def _diagnostics(time_s: float, fallen: bool) -> Any:
    is_second = time_s >= RESET_S
    values = {
        "control_rate_hz": "100.0",
        "command_latency_p50_ms": "1.5",
        "command_latency_p99_ms": "nan",
        "overruns": "3",
        "episode": str(int(is_second)),
        "step_count": str(round((time_s - RESET_S * is_second) * 100)),
        "episode_return": "777.0" if is_second else "1234.0",
        "fallen": str(fallen),
    }
    status = message(
        "diagnostic_msgs/msg/DiagnosticStatus",
        level=1 if fallen else 0,
        name="simulation_node: control loop",
        message="the robot has fallen" if fallen else "ok",
        hardware_id="",
        values=[
            message("diagnostic_msgs/msg/KeyValue", key=key, value=value)
            for key, value in values.items()
        ],
    )
    return message("diagnostic_msgs/msg/DiagnosticArray", header=header(0), status=[status])
