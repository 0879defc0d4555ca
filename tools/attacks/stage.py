# SPDX-License-Identifier: Apache-2.0
"""All nodes of the package on a ROS graph of their own, and how to bring them back."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from ros_graph import Graph
from std_srvs.srv import SetBool

from attacks.mutations import Mutator
from attacks.victims import Victims, Watch

NODES = ("simulation_node", "policy_node", "observation_node", "force_marker_node", "viewer_node")
FROZEN = "frozen"
"""Namespace of a robot that is no simulation, and of its policy."""
_RECORDER = "recorder"
_TIMEOUT_S = 60.0
"""For what takes a few seconds on an idle machine."""
_ATTEMPT_S = 3.0
_UNCONFIGURED, _INACTIVE, _ACTIVE, _FINALIZED = 1, 2, 3, 4
_CONFIGURE, _ACTIVATE = 1, 3


class Stage:
    """The nodes under attack, and one node of the attack's own.

    Attributes:
        victims: The processes.
        watch: What they say.
        mutator: Spoils messages.
        page_port: Port of the browser view.
        faults: What did not come back after an attack.
    """

    def __init__(self, seed: int, directory: Path, logs: Path | None) -> None:
        """Starts nothing yet.

        Args:
            seed: Of everything that is spoiled.
            directory: For the recording.
            logs: Folder for what the nodes print; None: it is only counted.
        """
        self._graph = Graph()
        self.node = self._graph.node
        self.context = self._graph.context
        self.environment = self._graph.environment
        self.victims = Victims(self.environment, logs)
        self.watch = Watch(self.context)
        self.mutator = Mutator(seed)
        self.faults: list[str] = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.page_port = int(probe.getsockname()[1])
        self._bag = directory / "recording"

    def __enter__(self) -> Stage:
        """Starts the nodes and waits until the robot moves."""
        topics = ("joint_states", "odom", "external_wrench", "effort_controller/commands")
        self.victims.start(_RECORDER, str(self._bag), "--topics", *topics)
        for name in NODES:
            arguments = ["-p", f"port:={self.page_port}"] if name == "viewer_node" else []
            self.victims.start(name, "--ros-args", *arguments)
        for node in ("observation_node", "policy_node"):
            namespace = ["--ros-args", "-r", f"__ns:=/{FROZEN}"]
            self.victims.start(f"{FROZEN}/{node}", *namespace, node=node)
        if not self._have_all_reported() or not self.until(self.is_moving):
            self.victims.check()
            self.__exit__()
            raise SystemExit("\n".join(["error: the nodes do not start", *self.victims.ended]))
        return self

    def __exit__(self, *_: object) -> None:
        """Ends all of it."""
        self.victims.close()
        self.watch.close()
        self._graph.close()

    def _have_all_reported(self) -> bool:
        """Waits until every node publishes its diagnostics; whether they all did."""
        missing = {*NODES, _RECORDER}

        def on_diagnostics(array: DiagnosticArray) -> None:
            missing.difference_update(status.name.split(":")[0] for status in array.status)

        subscription = self.node.create_subscription(
            DiagnosticArray, "/diagnostics", on_diagnostics, 10
        )
        have_reported = self.until(lambda: not missing, 2 * _TIMEOUT_S)
        self.node.destroy_subscription(subscription)
        return have_reported

    def end_all_but(self, namespace: str) -> None:
        """Ends the nodes outside a namespace; they take processor time from those in it."""
        self.victims.check()
        for name in reversed(self.victims.all):
            if not name.startswith(namespace):
                self.victims.end(name)

    def spin(self, duration_s: float = 0.0) -> None:
        """Answers what has come, then for so long whatever comes."""
        end_s = time.monotonic() + duration_s
        self._graph.executor.spin_once(timeout_sec=0.0)
        while time.monotonic() < end_s:
            self._graph.executor.spin_once(timeout_sec=0.005)

    def until(self, condition: Callable[[], object], timeout_s: float = _TIMEOUT_S) -> bool:
        """Spins until a condition holds; whether it came to hold."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                return False
            self.spin(0.005)
        return True

    def is_moving(self, since_ns: int = 0) -> bool:
        """Whether the robot had an effort since a time on the system's clock."""
        return self.watch.last_effort_ns > since_ns

    def subscribed(self) -> dict[str, str]:
        """Topic → type, for every topic that a node under attack listens to."""
        return {
            topic: types[0]
            for name in (*NODES, _RECORDER)
            if self._is_there(name)
            for topic, types in self.node.get_subscriber_names_and_types_by_node(name, "/")
        }

    def services(self) -> dict[str, str]:
        """Service → type, of every node under attack."""
        return {
            service: types[0]
            for name in (*NODES, _RECORDER)
            if self._is_there(name)
            for service, types in self.node.get_service_names_and_types_by_node(name, "/")
        }

    def _is_there(self, name: str) -> bool:
        return (name, "/") in self.node.get_node_names_and_namespaces()

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Calls a service, again where the answer stays out; None: none came at all.

        A call may go to the server of a process that was killed: DDS keeps it for a while.
        """
        client = self.node.create_client(kind, name)
        deadline_s = time.monotonic() + _TIMEOUT_S
        try:
            while time.monotonic() < deadline_s:
                if self.until(client.service_is_ready, _ATTEMPT_S):
                    future = client.call_async(request)
                    if self.until(future.done, _ATTEMPT_S):
                        return future.result()
            return None
        finally:
            self.node.destroy_client(client)

    def change_policy(self, transition: int) -> Any:
        """Calls for a lifecycle transition of the policy."""
        request = ChangeState.Request()
        request.transition.id = transition
        return self.call(ChangeState, "policy_node/change_state", request)

    def recover(self) -> None:
        """Sets back what attacks may set rightly, until the robot is driven again."""
        self.victims.check()
        for name, victim in self.victims.all.items():
            if victim.process is None and name != _RECORDER:
                self.victims.start(name)
        self.call(SetBool, "simulation/pause", SetBool.Request(data=False))
        for name in NODES:
            self._set(name, "use_sim_time", type=ParameterType.PARAMETER_BOOL)
        self._set("simulation_node", "real_time_factor", type=3, double_value=1.0)
        self._set("policy_node", "policy", type=4, string_value="walk")
        if not self.until(self._has_started_policy):
            self.faults.append("the policy does not become active any more")
        start_ns = time.time_ns()
        if not self.until(lambda: self.is_moving(start_ns)):
            self.faults.append("the robot is not driven any more")

    def _has_started_policy(self) -> bool:
        state = self.call(GetState, "policy_node/get_state", GetState.Request())
        if state is None or state.current_state.id == _ACTIVE:
            return state is not None
        if state.current_state.id == _FINALIZED:  # for good, as it was told
            self.victims.restart("policy_node")
        elif state.current_state.id in (_UNCONFIGURED, _INACTIVE):
            self.change_policy(_CONFIGURE if state.current_state.id == 1 else _ACTIVATE)
        return False

    def _set(self, node: str, name: str, **value: Any) -> None:
        parameter = Parameter(name=name, value=ParameterValue(**value))
        request = SetParameters.Request(parameters=[parameter])
        self.call(SetParameters, f"{node}/set_parameters", request)
