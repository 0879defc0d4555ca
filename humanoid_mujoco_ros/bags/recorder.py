# SPDX-License-Identifier: Apache-2.0
"""`humanoid record`: a run as a rosbag2 bag, where there is no `ros2 bag record`."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import platform
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import rclpy
import tyro
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

from humanoid_mujoco_ros.bags import qos, topics
from humanoid_mujoco_ros.bags.definitions import definition
from humanoid_mujoco_ros.bags.errors import BagError, plain, reason
from humanoid_mujoco_ros.bags.message_types import message_class
from humanoid_mujoco_ros.bags.writer import BagWriter
from humanoid_mujoco_ros.ros import diagnostics
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.namespaces import checked_namespace
from humanoid_mujoco_ros.ros.network import stay_local

_DISCOVERY_PERIOD_S = 0.2
_FLUSH_PERIOD_S = 0.5
"""A killed recorder loses the messages of this time at most."""
_PARAMETERS_TIMEOUT_S = 10.0
_QUIET_S = 0.3
_DRAIN_TIMEOUT_S = 2.0
_MAX_NODES = 200
"""Nodes that are asked for their parameters; a graph may hold any number of names."""
_MAX_PARAMETERS = 1000
"""Parameters of a node that are kept."""
_PACKAGES = ("mujoco", "gymnasium", "numpy")
"""Packages that decide by their version whether a run can be repeated bit for bit."""


@dataclass(frozen=True)
class RecordOptions:
    """Record a run as a rosbag2 bag (MCAP) until Ctrl-C.

    Start it before the robot to have the first message too. `humanoid report` shows what was
    recorded, `humanoid bag play` plays it; `ros2 bag` and Foxglove read it as well.
    """

    directory: tyro.conf.Positional[Path | None] = None
    """Folder of the bag, which must not exist; default: humanoid_<date>-<time>."""
    topics: tuple[str, ...] = ()
    """Only these, by full name or by the name within the namespace; default: everything that a run
    needs to be understood again."""
    namespace: str = ""
    """Namespace of the robot."""
    use_sim_time: bool = False
    """Stamp messages with the simulated time of /clock instead of the time of reception."""
    network: bool = False
    """Also hear other machines; otherwise only nodes on this one."""


class RecorderNode(GuardedNode):
    """Writes what others publish to a bag, as the bytes that came.

    Subscribes: the topics asked for, with the QoS that their publishers offer. Calls
    list_parameters and get_parameters of every node, once, for the bag's custom data. Publishes
    /diagnostics, which says which topics have a publisher that is heard.
    """

    def __init__(self, writer: BagWriter, options: RecordOptions) -> None:
        """Starts to listen."""
        super().__init__(
            "recorder",
            namespace=options.namespace,
            start_parameter_services=False,
            parameter_overrides=[Parameter("use_sim_time", value=options.use_sim_time)],
        )
        self._writer = writer
        self._use_sim_time = options.use_sim_time
        known = {self._resolve(name): type_name for name, type_name in topics.RECORDED.items()}
        self._wanted = {self._resolve(name) for name in options.topics} or set(known)
        self._latched = {self._resolve(name) for name in topics.LATCHED}
        self._expected_types = {name: t for name, t in known.items() if name in self._wanted}
        self._subscriptions_by_topic: dict[str, Subscription] = {}
        self._types: dict[str, str] = {}
        self._unusable: set[str] = set()
        self.lost: dict[str, int] = {}
        """Topic → messages that came too fast."""
        self.disk_error: OSError | None = None
        """Why nothing more can be written; None: it can."""
        self._parameters: dict[str, dict[str, Any]] = {}
        self._asked: set[str] = set()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_DISCOVERY_PERIOD_S, self._writing(self._discover), clock=steady)
        self.create_timer(_FLUSH_PERIOD_S, self._writing(writer.flush), clock=steady)
        self._diagnostics = diagnostics.DiagnosticsPublisher(self, "recording", "", self._health)
        self._discover()

    def silent(self) -> list[str]:
        """The topics asked for that had no message."""
        counts = self._writer.counts()
        return sorted(name for name in self._wanted if not counts.get(name))

    def _health(self) -> diagnostics.Health:
        health = diagnostics.Health()
        heard = [
            name
            for name, subscription in self._subscriptions_by_topic.items()
            if subscription.get_publisher_count()
        ]
        lost = sum(self.lost.values())
        if lost:
            health.report(diagnostics.WARN, f"{lost} messages came too fast and are lost")
        health.values = {
            "bag": self._writer.path,
            "messages": self._writer.message_count,
            "topics_heard": " ".join(sorted(heard)),
            "parameters_of": " ".join(sorted(self._parameters)),
            "lost_messages": lost,
        }
        return health

    def _resolve(self, name: str) -> str:
        return topics.full_name(name, self.get_namespace())

    def _discover(self) -> None:
        if self._use_sim_time and self.get_clock().now().nanoseconds == 0:
            return  # as rosbag2: nothing can be stamped before the first /clock
        for name in self._wanted - self._unusable:
            self._follow(name)
        self._ask_for_parameters()

    def _follow(self, name: str) -> None:
        """Subscribes to a topic, again if its publishers turn out to be others than expected."""
        publishers = self.get_publishers_info_by_topic(name)
        type_name = publishers[0].topic_type if publishers else self._expected_types.get(name)
        if not type_name:
            return
        offered = [info.qos_profile for info in publishers]
        subscription = self._subscriptions_by_topic.get(name)
        if subscription is not None:
            has_messages = self._writer.has_topic(name)
            is_expected = has_messages or (
                self._types[name] == type_name
                and not qos.is_late(subscription.qos_profile, offered)
            )
            if is_expected and qos.is_met(subscription.qos_profile, offered):
                return
            self.destroy_subscription(subscription)
        try:
            profile = qos.request(offered, latched=name in self._latched)
            self._subscriptions_by_topic[name] = self._subscribe(name, type_name, profile)
            self._types[name] = type_name
        except BagError as error:
            self.get_logger().warning(plain(f"{name} is not recorded: {reason(error)}"))
            self._unusable.add(name)

    def _subscribe(self, name: str, type_name: str, profile: QoSProfile) -> Subscription:
        message_type = message_class(type_name)
        described = definition(type_name)
        write = self._writer.write

        def receive(data: bytes, info: dict[str, int]) -> None:
            if not self._writer.has_topic(name):
                offered = [info.qos_profile for info in self.get_publishers_info_by_topic(name)]
                if qos.is_late(profile, offered):
                    # The publishers keep this message, and those before it that were missed.
                    self._follow(name)
                    return
                profiles = [qos.to_bag(profile) for profile in offered or [profile]]
                self._writer.add_topic(name, type_name, described, profiles)
            write(name, self._stamp(info), info["source_timestamp"], data)
            # The executor takes one message a turn; taking what waits behind it costs far less.
            handle = subscription.handle
            with handle:
                while (taken := handle.take_message(message_type, True)) is not None:
                    data, info = taken
                    write(name, self._stamp(info), info["source_timestamp"], data)

        subscription = self.create_subscription(
            message_type,
            name,
            self._writing(receive),  # with two parameters it gets the info as well
            profile,
            raw=True,
            event_callbacks=SubscriptionEventCallbacks(message_lost=self._on_lost(name)),
        )
        return subscription

    def _writing(self, callback: Callable[..., None]) -> Callable[..., None]:
        """A callback after whose disk error the recording ends."""

        @functools.wraps(callback)
        def writing(*args: Any) -> None:
            try:
                callback(*args)
            except OSError as error:
                self.disk_error = error

        return writing

    def _stamp(self, info: dict[str, int]) -> int:
        if self._use_sim_time:
            return int(self.get_clock().now().nanoseconds)
        return info["received_timestamp"]

    def _on_lost(self, name: str) -> Callable[[Any], None]:
        def on_lost(status: Any) -> None:
            self.lost[name] = status.total_count

        return on_lost

    def _ask_for_parameters(self) -> None:
        own = (self.get_name(), self.get_namespace())
        for name, namespace in self.get_node_names_and_namespaces():
            full_name = f"{namespace.rstrip('/')}/{name}"
            is_new = (name, namespace) != own and full_name not in self._asked
            if is_new and len(self._asked) < _MAX_NODES:
                self._asked.add(full_name)
                _ParameterQuery(self, full_name, self._writing(self._on_parameters))

    def _on_parameters(self, node: str, values: dict[str, Any]) -> None:
        self._parameters[node] = values
        self._writer.set_custom_data("parameters", json.dumps(self._parameters, sort_keys=True))


class _ParameterQuery:
    """Gets all parameters of a node, once its services are there."""

    def __init__(
        self, node: GuardedNode, target: str, done: Callable[[str, dict[str, Any]], None]
    ) -> None:
        self._node = node
        self._target = target
        self._done = done
        self._names: list[str] = []
        self._list = node.create_client(ListParameters, f"{target}/list_parameters")
        self._get = node.create_client(GetParameters, f"{target}/get_parameters")
        self._deadline_s = time.monotonic() + _PARAMETERS_TIMEOUT_S
        self._timer = node.create_timer(
            _DISCOVERY_PERIOD_S, self._try, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def _try(self) -> None:
        if self._list.service_is_ready() and self._get.service_is_ready():
            self._node.destroy_timer(self._timer)
            future = self._list.call_async(ListParameters.Request())
            future.add_done_callback(self._guarded(self._on_list))
        elif time.monotonic() > self._deadline_s:
            self._node.destroy_timer(self._timer)
            self._close()

    def _guarded(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        return self._node.guarded(callback, f"parameters of {self._target}")

    def _on_list(self, future: Any) -> None:
        self._names = list(future.result().result.names)[:_MAX_PARAMETERS]
        request = GetParameters.Request(names=self._names)
        self._get.call_async(request).add_done_callback(self._guarded(self._on_values))

    def _on_values(self, future: Any) -> None:
        values = map(parameter_value_to_python, future.result().values)
        pairs = zip(self._names, values, strict=False)
        self._done(self._target, {name: _as_json(value) for name, value in pairs})
        self._close()

    def _close(self) -> None:
        self._node.destroy_client(self._list)
        self._node.destroy_client(self._get)


def default_folder() -> Path:
    """The folder of a recording that begins now and was given no name."""
    return Path(time.strftime("humanoid_%Y_%m_%d-%H_%M_%S"))


def _as_json(value: Any) -> Any:
    """A parameter's value as JSON can hold it."""
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    # The elements of a byte array are of the type bytes.
    return [part[0] if isinstance(part, bytes) else part for part in value]


def record(options: RecordOptions) -> int:
    """Records until SIGINT or SIGTERM.

    Returns:
        Exit status: 1 when the disk is full, 2 when the folder or the namespace cannot be used.
    """
    try:
        options = replace(options, namespace=checked_namespace(options.namespace))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    path = options.directory or default_folder()
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        writer = BagWriter(path)
    except BagError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    try:
        writer.set_custom_data("versions", json.dumps(_versions()))
        node = RecorderNode(writer, options)
        executor.add_node(node)
        print(f"recording to {path}; Ctrl-C ends it", flush=True)
        while not stopping:
            _spin(executor, node, _DISCOVERY_PERIOD_S)
        _drain(executor, node, writer)
        if node.lost:
            writer.set_custom_data("lost_messages", json.dumps(node.lost))
        writer.close()
    except OSError as error:
        writer.abort()
        saved = f"; `humanoid bag repair {path}` saves what was written" if path.exists() else ""
        print(
            f"error: cannot write {path}: {error.strerror}. The recording ends here{saved}",
            file=sys.stderr,
        )
        return 1
    except BaseException:
        writer.close()
        raise
    finally:
        executor.shutdown()
        rclpy.try_shutdown()
    counts = writer.counts()
    print(f"wrote {writer.message_count} messages of {len(counts)} topics to {path}")
    if silent := node.silent():
        print(f"no messages on {', '.join(silent)}")
    for name, count in node.lost.items():
        print(f"warning: {count} messages of {name} were lost", file=sys.stderr)
    return 0


def _spin(executor: SingleThreadedExecutor, node: RecorderNode, timeout_s: float) -> None:
    executor.spin_once(timeout_sec=timeout_s)
    if node.disk_error is not None:
        raise node.disk_error


def _drain(executor: SingleThreadedExecutor, node: RecorderNode, writer: BagWriter) -> None:
    """Takes the last words of nodes that end at the same time."""
    end_s = time.monotonic() + _DRAIN_TIMEOUT_S
    quiet_s = time.monotonic() + _QUIET_S
    count = writer.message_count
    while time.monotonic() < min(end_s, quiet_s):
        _spin(executor, node, 0.05)
        if writer.message_count != count:
            count = writer.message_count
            quiet_s = time.monotonic() + _QUIET_S


def _versions() -> dict[str, str]:
    versions = {"machine": platform.machine(), "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def run(options: RecordOptions) -> int:
    """Runs `humanoid record`."""
    stay_local(network=options.network)
    return record(options)


def main(argv: Sequence[str]) -> int:
    """Runs the recorder as a process of its own."""
    return run(tyro.cli(RecordOptions, args=list(argv), prog="humanoid record"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
