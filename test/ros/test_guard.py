# SPDX-License-Identifier: Apache-2.0
"""A node goes on, whatever its callbacks raise; here in the test's own process."""

import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.clock import Clock as SteadyClock
from rclpy.clock import ClockType
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String
from std_srvs.srv import Trigger

from humanoid_mujoco_ros.ros.diagnostics import DiagnosticsPublisher, Health
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.managed_node import ManagedNode

pytestmark = pytest.mark.processes


def boom(*_):
    raise KeyError("surprise")


@pytest.fixture
def node(graph):
    node = GuardedNode("clumsy", context=graph.context)
    graph.executor.add_node(node)
    yield node
    graph.executor.remove_node(node)
    node.destroy_node()


def test_what_a_subscription_raises_is_counted_and_told_in_the_diagnostics(graph, node):
    node.create_subscription(String, "words", boom, 10)
    DiagnosticsPublisher(node, "task", "robot", Health)
    publisher = graph.node.create_publisher(String, "words", 10)
    health = graph.health()
    graph.spin_until(publisher.get_subscription_count)
    for _ in range(3):
        publisher.publish(String())
    graph.spin_until(lambda: node.callback_errors.count == 3)
    assert node.callback_errors.last.startswith("words: KeyError: 'surprise' (test_guard.py:")
    graph.spin_until(lambda: "callbacks failed: words" in health.messages.get("clumsy", ""))
    assert health.levels["clumsy"] == 2
    # The next second is good again; the count stays.
    graph.spin_until(lambda: health.messages["clumsy"] == "ok")
    assert health.value("clumsy", "callback_errors") == "3"


def test_a_timer_goes_on(graph, node):
    node.create_timer(0.001, boom, clock=SteadyClock(clock_type=ClockType.STEADY_TIME))
    graph.spin_until(lambda: node.callback_errors.count > 3)


def test_a_service_answers_that_it_failed(graph, node):
    node.create_service(Trigger, "help", boom)
    response = graph.call(Trigger, "help", Trigger.Request())
    assert not response.success
    assert "KeyError: 'surprise'" in response.message


def test_a_failing_health_is_told_too(graph, node):
    health = graph.health()
    DiagnosticsPublisher(node, "task", "robot", boom)
    graph.spin_until(lambda: "diagnostics: KeyError" in health.messages.get("clumsy", ""))


def test_parameters_of_no_known_type_are_refused_and_the_others_set(graph, node):
    node.declare_parameter("size", 1.0)
    good = Parameter(name="size", value=ParameterValue(type=3, double_value=2.0))
    bad = Parameter(name="size", value=ParameterValue(type=99))
    request = SetParameters.Request(parameters=[good, bad, good])
    results = graph.call(SetParameters, "clumsy/set_parameters", request).results
    assert [result.successful for result in results] == [True, False, False]
    assert "99" in results[1].reason
    request = SetParametersAtomically.Request(parameters=[bad])
    response = graph.call(SetParametersAtomically, "clumsy/set_parameters_atomically", request)
    assert not response.result.successful
    assert node.get_parameter("size").value == 2.0


def test_a_time_before_zero_is_survived(graph):
    override = ["--ros-args", "-p", "use_sim_time:=true"]
    node = GuardedNode("follower", context=graph.context, cli_args=override)
    graph.executor.add_node(node)
    clock = graph.node.create_publisher(Clock, "/clock", 1)
    graph.spin_until(clock.get_subscription_count)
    clock.publish(Clock(clock=Time(sec=-5)))
    graph.spin_until(lambda: node.callback_errors.count == 1)
    assert node.callback_errors.last.startswith("/clock: ")
    clock.publish(Clock(clock=Time(sec=7)))
    graph.spin_until(lambda: node.get_clock().now().nanoseconds == 7_000_000_000)
    node.destroy_node()


class Worker(ManagedNode):
    """Does nothing, but notes that it does."""

    def __init__(self, graph):
        self.is_working = False
        self.fault = None
        super().__init__("worker", context=graph.context)

    def load(self):
        if self.fault is not None:
            raise self.fault
        return "loaded"

    def start(self):
        self.is_working = True
        if self.fault is not None:
            raise self.fault

    def stop(self):
        self.is_working = False

    def unload(self):
        pass


@pytest.fixture
def worker(graph):
    worker = Worker(graph)
    graph.executor.add_node(worker)
    yield worker
    graph.executor.remove_node(worker)
    worker.destroy_node()


def change(graph, transition=0, label=""):
    request = ChangeState.Request(transition=Transition(id=transition, label=label))
    return graph.call(ChangeState, "worker/change_state", request).success


def state(graph):
    return graph.call(GetState, "worker/get_state", GetState.Request()).current_state.id


def test_a_lifecycle_call_that_does_not_apply_is_refused_and_changes_nothing(graph, worker):
    assert not change(graph, Transition.TRANSITION_DEACTIVATE)
    assert change(graph, Transition.TRANSITION_CONFIGURE)
    assert change(graph, Transition.TRANSITION_ACTIVATE)
    assert not change(graph, Transition.TRANSITION_ACTIVATE)
    assert worker.is_working
    assert change(graph, Transition.TRANSITION_DEACTIVATE)
    for transition in (Transition.TRANSITION_DEACTIVATE, 0, 60, 255):
        assert not change(graph, transition)
    assert not change(graph, label="dance")
    assert state(graph) == State.PRIMARY_STATE_INACTIVE
    assert not worker.is_working
    assert worker.callback_errors.count == 0


def test_work_that_cannot_be_loaded_says_why(graph, worker):
    worker.fault = ValueError("it is too heavy")
    assert not change(graph, Transition.TRANSITION_CONFIGURE)
    assert worker.error == "it is too heavy"
    worker.fault = None
    assert change(graph, Transition.TRANSITION_CONFIGURE)
    assert worker.error is None


def test_work_that_fails_at_its_start_is_stopped_and_said(graph, worker):
    assert change(graph, Transition.TRANSITION_CONFIGURE)
    worker.fault = KeyError("surprise")
    assert not change(graph, Transition.TRANSITION_ACTIVATE)
    assert not worker.is_working
    assert "KeyError: 'surprise'" in worker.callback_errors.last
    assert state(graph) == State.PRIMARY_STATE_UNCONFIGURED
    worker.fault = None
    assert change(graph, Transition.TRANSITION_CONFIGURE)
    assert change(graph, Transition.TRANSITION_ACTIVATE)
    assert worker.is_working


def test_what_was_stopped_in_a_run_stays_so_until_somebody_starts_it(graph, tmp_path):
    def worker_of_this_run():
        worker = Worker(graph)
        worker.begin(str(tmp_path), autostart=True)
        graph.executor.add_node(worker)
        return worker

    first = worker_of_this_run()
    assert first.is_working
    assert first.inactivity is None
    assert change(graph, Transition.TRANSITION_DEACTIVATE)
    graph.executor.remove_node(first)
    first.destroy_node()

    second = worker_of_this_run()
    assert not second.is_working
    assert second.inactivity.startswith("not active: stopped by deactivate at ")
    assert state(graph) == State.PRIMARY_STATE_INACTIVE
    assert change(graph, Transition.TRANSITION_ACTIVATE)
    graph.executor.remove_node(second)
    second.destroy_node()

    third = worker_of_this_run()
    assert third.is_working
    graph.executor.remove_node(third)
    third.destroy_node()


def test_a_stop_that_cannot_be_kept_is_a_stop_all_the_same(graph, worker, tmp_path):
    (tmp_path / "file").touch()
    worker.begin(str(tmp_path / "file" / "run"), autostart=False)
    change(graph, Transition.TRANSITION_CONFIGURE)
    change(graph, Transition.TRANSITION_ACTIVATE)
    assert worker.is_working
    assert change(graph, Transition.TRANSITION_DEACTIVATE)
    assert not worker.is_working
    assert worker.stopped_by
