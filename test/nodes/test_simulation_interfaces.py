# SPDX-License-Identifier: Apache-2.0
"""The services of simulation_interfaces, over real DDS, against what the definitions say."""

import math
import signal
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip(
    "simulation_interfaces", reason="simulation_interfaces is not built (make interfaces)"
)

import simulation_interfaces.srv as srv
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import Twist, Vector3
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.parameter import Parameter as NodeParameter
from simulation_interfaces.action import SimulateSteps
from simulation_interfaces.msg import (
    Bounds,
    EntityCategory,
    EntityFilters,
    Result,
    SimulationState,
    TagsFilter,
)
from std_srvs.srv import SetBool, Trigger

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.ros import conversions
from humanoid_mujoco_ros.ros.simulation_services import UNSUPPORTED, SimulationServices
from humanoid_mujoco_ros.simulation.extent import extent
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig
from humanoid_mujoco_ros.simulation.realtime_loop import RealTimeLoop
from humanoid_mujoco_ros.simulation.simulation import Simulation

pytestmark = pytest.mark.processes

OK, NOT_FOUND, FAILED, UNSUPPORTED_CODE = (
    Result.RESULT_OK,
    Result.RESULT_NOT_FOUND,
    Result.RESULT_OPERATION_FAILED,
    Result.RESULT_FEATURE_UNSUPPORTED,
)
STOPPED, PLAYING, PAUSED = (
    SimulationState.STATE_STOPPED,
    SimulationState.STATE_PLAYING,
    SimulationState.STATE_PAUSED,
)
ROBOT = "humanoid"
PERIOD_NS = 10_000_000
RUN_FREE = {"hold_until_command": False, "on_fall": "stay"}


class Simulator:
    """What a user of the standard can do to a simulation."""

    def __init__(self, graph):
        self.graph = graph
        self._clients = {}

    def call(self, name, **fields):
        type_name = "".join(word.capitalize() for word in name.split("_"))
        service = getattr(srv, type_name)
        if name not in self._clients:
            self._clients[name] = self.graph.node.create_client(service, name)
        client = self._clients[name]
        self.graph.spin_until(client.service_is_ready)
        future = client.call_async(service.Request(**fields))
        self.graph.spin_until(future.done)
        return future.result()

    def set_state(self, state):
        response = self.call("set_simulation_state", state=SimulationState(state=state))
        return response.result.result

    @property
    def state(self):
        response = self.call("get_simulation_state")
        assert response.result.result == OK
        return response.state.state

    @property
    def robot(self):
        response = self.call("get_entity_state", entity=ROBOT)
        assert response.result.result == OK, response.result
        return response.state

    @property
    def time_ns(self):
        return conversions.from_time(self.robot.header.stamp)

    def place(self, state):
        return self.call("set_entity_state", entity=ROBOT, state=state).result

    def entities(self, **filters):
        response = self.call("get_entities", filters=EntityFilters(**filters))
        return response.result.result, list(response.entities)


def position(state):
    p = state.pose.position
    return np.array([p.x, p.y, p.z])


class Goal:
    """A goal of the action simulate_steps."""

    def __init__(self, graph, steps):
        self._graph = graph
        self.feedback = []
        if not hasattr(graph, "goals_client"):
            graph.goals_client = ActionClient(graph.node, SimulateSteps, "simulate_steps")
        graph.spin_until(graph.goals_client.server_is_ready)
        sent = graph.goals_client.send_goal_async(
            SimulateSteps.Goal(steps=steps), lambda message: self.feedback.append(message.feedback)
        )
        graph.spin_until(sent.done)
        self.handle = sent.result()
        assert self.handle.accepted
        self._result = self.handle.get_result_async()

    def cancel(self):
        sent = self.handle.cancel_goal_async()
        self._graph.spin_until(sent.done)
        return len(sent.result().goals_canceling)

    def result(self):
        self._graph.spin_until(self._result.done)
        response = self._result.result()
        return response.status, response.result.result


def test_in_lockstep_a_policy_answers_every_step_and_two_runs_are_the_same(graph):
    runs = []
    for _ in range(2):
        simulation = graph.start("simulation_node", {"mode": "lockstep", "on_fall": "stay"})
        policy = graph.start("policy_node", {"mode": "lockstep", "policy": "balance"})
        simulator = Simulator(graph)
        graph.spin_until(lambda s=simulator: s.time_ns > 10 * PERIOD_NS)
        assert simulator.set_state(STOPPED) == OK
        assert simulator.state == STOPPED
        state = simulator.robot
        state.pose.position.x = 4.0
        assert simulator.place(state).result == OK
        start_ns = simulator.time_ns
        assert simulator.call("step_simulation", steps=20).result.result == OK
        status, _ = Goal(graph, 80).result()
        assert status == GoalStatus.STATUS_SUCCEEDED
        end = simulator.robot
        assert conversions.from_time(end.header.stamp) == start_ns + 100 * PERIOD_NS
        assert end.pose.position.z > 1.1  # it balances
        assert end.pose.position.x == pytest.approx(4.0, abs=0.5)
        runs.append(position(end))
        for process in (policy, simulation):
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
    np.testing.assert_array_equal(runs[0], runs[1])


def test_in_lockstep_without_a_policy_a_step_fails_in_time_and_the_rest_works(graph):
    graph.start("simulation_node", {"mode": "lockstep", "lockstep_timeout": 0.5})
    simulator = Simulator(graph)
    assert simulator.set_state(PAUSED) == OK
    time_ns = simulator.time_ns
    result = simulator.call("step_simulation", steps=3).result
    assert result.result == FAILED
    assert "no command answered" in result.error_message
    goal = Goal(graph, 3)
    assert goal.result()[0] == GoalStatus.STATUS_ABORTED
    assert simulator.call("reset_simulation").result.result == OK
    assert simulator.place(simulator.robot).result == OK
    assert simulator.set_state(STOPPED) == OK
    assert simulator.time_ns == time_ns
    assert simulator.state == STOPPED


def test_after_the_end_every_service_still_answers(graph):
    loop = RealTimeLoop(
        Simulation(RobotModel()), LoopConfig(), lambda state, *, ask: None, frozenset
    )
    loop.start()
    owner = Node("simulation_node", context=graph.context)
    owner.declare_parameter("frame_prefix", "")
    services = SimulationServices(owner, loop)
    simulator = Simulator(graph)
    try:
        assert simulator.set_state(PAUSED) == OK
        loop.stop()
        incorrect = Result.RESULT_INCORRECT_STATE
        assert simulator.set_state(PLAYING) == incorrect
        assert simulator.call("step_simulation").result.result == incorrect
        assert simulator.call("reset_simulation").result.result == incorrect
        assert simulator.call("get_entity_state", entity=ROBOT).result.result == incorrect
        status, result = Goal(graph, 1).result()
        assert (status, result.result) == (GoalStatus.STATUS_ABORTED, incorrect)
        assert len(simulator.call("get_simulator_features").features.features) > 0
    finally:
        services.close()
        owner.destroy_node()


def test_it_ends_in_order_while_a_goal_is_under_way(graph):
    process = graph.start("simulation_node", RUN_FREE, "-r", "__ns:=/r2")
    client = ActionClient(graph.node, SimulateSteps, "/r2/simulate_steps")
    graph.spin_until(client.server_is_ready)
    service = srv.SetSimulationState
    request = service.Request(state=SimulationState(state=PAUSED))
    assert graph.call(service, "/r2/set_simulation_state", request).result.result == OK
    feedback = []
    client.send_goal_async(SimulateSteps.Goal(steps=2**63), feedback.append)
    graph.spin_until(lambda: len(feedback) > 10)
    start_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert time.monotonic() - start_s < 30
    client.destroy()


def set_parameters(graph, **values):
    request = SetParameters.Request()
    for name, value in values.items():
        request.parameters.append(NodeParameter(name, value=value).to_parameter_msg())
    return graph.call(SetParameters, "simulation_node/set_parameters", request).results


def test_the_first_episode_starts_where_the_parameters_say(graph):
    graph.start("simulation_node", {"start_posture": "supine", "start_pose": "[1.0, 2.0, 0.0]"})
    state = Simulator(graph).robot
    assert position(state)[2] < 0.3
    np.testing.assert_allclose(position(state)[:2], (1.0, 2.0), atol=0.02)


def test_a_start_that_the_robot_does_not_have_is_one_clear_line(graph):
    process = graph.start("simulation_node", {"start_posture": "handstand"})
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "start_posture 'handstand' is unknown; there are supine, prone" in output
    assert "Traceback" not in output


def test_without_the_package_one_line_says_so(graph, tmp_path):
    (tmp_path / "simulation_interfaces.py").write_text("raise ImportError(name=__name__)\n")
    graph.environment["PYTHONPATH"] = f"{tmp_path}:{graph.environment.get('PYTHONPATH', '')}"
    process = graph.start("simulation_node", {**RUN_FREE, "duration": 0.2})
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert output.count("simulation_interfaces") == 1
    assert "it is not installed" in output


@pytest.fixture(scope="module")
def started(shared_graph):
    process = shared_graph.start("simulation_node", RUN_FREE)
    yield Simulator(shared_graph)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert "Error" not in output


@pytest.fixture
def simulator(started):
    """A simulation that has just begun to run, whatever the test before did to it."""
    start = {"start_pose": [0.0, 0.0, 0.0], "start_posture": ""}
    assert all(result.successful for result in set_parameters(started.graph, **start))
    started.set_state(STOPPED)
    assert started.set_state(PLAYING) == OK
    return started


def test_what_is_announced_and_what_is_not_supported(simulator):
    features = simulator.call("get_simulator_features").features
    assert list(features.features) == [2, 4, 5, 6, 8, 10, 11, 12, 20, 22, 24, 25, 26, 31, 32, 33]
    assert not features.spawn_formats
    for name in UNSUPPORTED:
        result = simulator.call(name).result
        assert result.result == UNSUPPORTED_CODE, name
        assert "no such feature" in result.error_message
    convex = Bounds(type=Bounds.TYPE_CONVEX_HULL, points=[Vector3()] * 3)
    assert simulator.entities(bounds=convex)[0] == UNSUPPORTED_CODE


def test_the_states_and_every_way_between_them(simulator):
    assert simulator.state == PLAYING
    already = srv.SetSimulationState.Response.ALREADY_IN_TARGET_STATE
    for target in (PLAYING, PAUSED, PLAYING, STOPPED, PAUSED, STOPPED, PLAYING, PAUSED):
        expected = already if simulator.state == target else OK
        assert simulator.set_state(target) == expected
        assert simulator.state == target
        assert simulator.set_state(target) == already
    for target in (
        SimulationState.STATE_QUITTING,
        SimulationState.STATE_NO_WORLD,
        SimulationState.STATE_LOADING_WORLD,
        77,
    ):
        assert simulator.set_state(target) == UNSUPPORTED_CODE
        assert simulator.state == PAUSED


def test_stopped_is_paused_at_the_start_and_time_never_goes_back(simulator):
    simulator.graph.spin_until(lambda: simulator.robot.pose.position.z < 1.0)
    before_ns = simulator.time_ns
    assert simulator.set_state(STOPPED) == OK
    assert simulator.robot.pose.position.z > 1.3
    stopped_ns = simulator.time_ns
    assert stopped_ns >= before_ns
    simulator.graph.spin_for(0.2)
    assert simulator.time_ns == stopped_ns
    assert simulator.call("step_simulation").result.result == OK
    assert simulator.state == PAUSED
    assert simulator.time_ns == stopped_ns + PERIOD_NS


@pytest.mark.parametrize(
    ("scope", "code"),
    [(0, OK), (1, 0), (2, OK), (3, 0), (4, 0), (6, 0), (8, 0), (255, OK)],
)
def test_a_reset_of_the_state_and_no_other(simulator, scope, code):
    simulator.graph.spin_until(lambda: simulator.robot.pose.position.z < 1.0)
    assert simulator.set_state(PAUSED) == OK
    time_ns = simulator.time_ns
    assert simulator.call("reset_simulation", scope=scope).result.result == code
    assert (simulator.robot.pose.position.z > 1.3) == (code == OK)
    assert simulator.time_ns == time_ns
    assert simulator.state == PAUSED


def test_steps_are_made_while_paused_only_and_all_of_them(simulator):
    for steps in (1, 5):
        result = simulator.call("step_simulation", steps=steps).result
        assert result.result == FAILED
        assert "pause it first" in result.error_message
    assert simulator.set_state(PAUSED) == OK
    for steps in (0, 1, 7):
        time_ns = simulator.time_ns
        assert simulator.call("step_simulation", steps=steps).result.result == OK
        assert simulator.time_ns == time_ns + steps * PERIOD_NS
        assert simulator.state == PAUSED


def test_the_action_tells_of_each_step(simulator):
    status, result = Goal(simulator.graph, 3).result()
    assert (status, result.result) == (GoalStatus.STATUS_ABORTED, FAILED)
    assert simulator.set_state(PAUSED) == OK
    for _ in range(5):  # the server may learn late of who listens to its feedback
        time_ns = simulator.time_ns
        goal = Goal(simulator.graph, 5)
        status, result = goal.result()
        assert (status, result.result) == (GoalStatus.STATUS_SUCCEEDED, OK)
        assert simulator.time_ns == time_ns + 5 * PERIOD_NS
        simulator.graph.spin_for(0.5)
        if len(goal.feedback) == 5:
            break
    counts = [(f.completed_steps, f.remaining_steps) for f in goal.feedback]
    assert counts == [(1, 4), (2, 3), (3, 2), (4, 1), (5, 0)]


def test_the_action_is_cancelled_or_interrupted(simulator):
    assert simulator.set_state(PAUSED) == OK
    goal = Goal(simulator.graph, 2**64 - 1)
    simulator.graph.spin_until(lambda: goal.feedback)
    assert simulator.state == PAUSED  # it answers meanwhile
    assert goal.cancel() == 1
    status, result = goal.result()
    assert (status, result.result) == (GoalStatus.STATUS_CANCELED, FAILED)
    time_ns = simulator.time_ns
    simulator.graph.spin_for(0.2)
    assert simulator.time_ns == time_ns
    goal = Goal(simulator.graph, 2**64 - 1)
    simulator.graph.spin_until(lambda: goal.feedback)
    assert simulator.set_state(PLAYING) == OK
    status, result = goal.result()
    assert (status, result.result) == (GoalStatus.STATUS_ABORTED, FAILED)
    assert simulator.state == PLAYING


def test_the_robot_is_placed_and_its_state_is_the_truth(simulator):
    assert simulator.set_state(PAUSED) == OK
    state = simulator.robot
    assert state.header.frame_id == "odom"
    state.header.frame_id = "world"
    state.pose.position.x, state.pose.position.y, state.pose.position.z = 3.0, -2.0, 5.0
    turn = rotation.from_axis_angle((0.0, 0.0, 1.0), 2.0)
    state.pose.orientation = conversions.to_quaternion(turn)
    state.twist = Twist(linear=Vector3(x=1.5), angular=Vector3(z=0.5))  # it may have been falling
    assert simulator.place(state).result == OK
    placed = simulator.robot
    np.testing.assert_allclose(position(placed), (3.0, -2.0, 5.0))
    np.testing.assert_allclose(conversions.from_quaternion(placed.pose.orientation), turn)
    assert placed.twist.linear.x == pytest.approx(1.5)
    assert placed.twist.angular.z == pytest.approx(0.5)
    assert simulator.call("step_simulation", steps=10).result.result == OK
    flown = simulator.robot
    duration_s = 10 * PERIOD_NS * 1e-9
    np.testing.assert_allclose(position(flown)[:2], (3.0 + 1.5 * duration_s, -2.0), atol=0.02)
    assert position(flown)[2] == pytest.approx(5.0 - 0.5 * 9.81 * duration_s**2, abs=0.02)
    states = simulator.call("get_entities_states")
    assert list(states.entities) == [ROBOT]
    assert states.states[0] == flown


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda s: setattr(s.pose.position, "x", math.nan), 101),
        (lambda s: setattr(s.pose.position, "x", 1e300), 101),
        (lambda s: setattr(s.pose.orientation, "w", math.inf), 101),
        (lambda s: setattr(s.pose.orientation, "w", 7.0), 101),
        (lambda s: setattr(s.pose, "orientation", type(s.pose.orientation)(w=0.0)), 101),
        (lambda s: setattr(s.twist.linear, "x", math.nan), FAILED),
        (lambda s: setattr(s.twist.angular, "x", 1e300), FAILED),
        (lambda s: setattr(s.header, "frame_id", "moon"), UNSUPPORTED_CODE),
    ],
)
def test_a_state_that_no_robot_can_have_is_refused(simulator, change, code):
    simulator.set_state(PAUSED)
    before = simulator.robot
    state = simulator.robot
    change(state)
    result = simulator.place(state)
    assert result.result == code
    assert result.error_message
    assert simulator.robot == before


def test_who_is_there_and_the_filters(simulator):
    simulator.set_state(STOPPED)
    robot_category = EntityCategory(category=EntityCategory.CATEGORY_ROBOT)
    human = EntityCategory(category=EntityCategory.CATEGORY_HUMAN)
    here, empty = (OK, [ROBOT]), (OK, [])
    sphere = lambda x, r: Bounds(  # noqa: E731
        type=Bounds.TYPE_SPHERE, points=[Vector3(x=x, z=1.0), Vector3(x=r)]
    )
    corners = [Vector3(x=1.0, y=1.0, z=3.0), Vector3(x=-1.0, y=-1.0, z=1.0)]
    for filters, expected in [
        ({}, here),
        ({"filter": "^hum.*d$"}, here),
        ({"filter": "cat|dog"}, empty),
        ({"filter": "("}, (FAILED, [])),
        ({"filter": "a" * 1000}, (FAILED, [])),
        ({"categories": [human, robot_category]}, here),
        ({"categories": [human]}, empty),
        ({"tags": TagsFilter(tags=["effort", "cat"])}, here),
        ({"tags": TagsFilter(tags=["effort", "cat"], filter_mode=1)}, empty),
        ({"tags": TagsFilter(filter_mode=9)}, (FAILED, [])),
        ({"bounds": sphere(0.0, 0.1)}, here),
        ({"bounds": sphere(5.0, 1.0)}, empty),
        ({"bounds": sphere(5.0, 5.0)}, here),
        ({"bounds": sphere(5.0, -1.0)}, (FAILED, [])),
        ({"bounds": sphere(math.nan, 1.0)}, (FAILED, [])),
        ({"bounds": Bounds(type=Bounds.TYPE_SPHERE)}, (FAILED, [])),
        ({"bounds": Bounds(type=Bounds.TYPE_BOX, points=corners)}, here),
        ({"bounds": Bounds(type=Bounds.TYPE_BOX, points=corners[::-1])}, (FAILED, [])),
        ({"bounds": Bounds(type=99)}, (UNSUPPORTED_CODE, [])),
        ({"filter": "cat", "bounds": sphere(0.0, 9.0)}, empty),
    ]:
        assert simulator.entities(**filters) == expected, filters


def test_an_entity_that_is_not_there_is_not_found(simulator):
    for name in ("get_entity_state", "set_entity_state", "get_entity_info", "get_entity_bounds"):
        result = simulator.call(name, entity="cat").result
        assert result.result == NOT_FOUND
        assert result.error_message == f"there is no entity 'cat'; there is {ROBOT}"


def test_information_bounds_and_named_poses(simulator):
    simulator.set_state(PAUSED)
    assert simulator.call("reset_simulation").result.result == OK
    info = simulator.call("get_entity_info", entity=ROBOT)
    assert info.result.result == OK
    assert info.info.category.category == EntityCategory.CATEGORY_ROBOT
    assert list(info.info.tags) == ["effort"]
    bounds = simulator.call("get_entity_bounds", entity=ROBOT).bounds
    assert bounds.type == Bounds.TYPE_BOX
    upper, lower = (conversions.from_vector3(point) for point in bounds.points)
    robot = RobotModel()
    expected = extent(robot, robot.start_qpos, in_base=True)
    np.testing.assert_allclose(np.array([lower, upper]), expected, atol=0.05)
    assert upper[2] - lower[2] == pytest.approx(1.5, abs=0.15)  # as tall as the humanoid
    poses = simulator.call("get_named_poses")
    assert poses.poses[0].name == "start"
    assert poses.poses[0].pose.position.z == pytest.approx(1.4)
    tagged = simulator.call("get_named_poses", tags=TagsFilter(tags=["parking"]))
    assert (tagged.result.result, list(tagged.poses)) == (OK, [])


def test_the_services_of_std_srvs_do_the_same(simulator):
    graph = simulator.graph
    assert graph.call(SetBool, "simulation/pause", SetBool.Request(data=True)).success
    assert simulator.state == PAUSED
    time_ns = simulator.time_ns
    assert graph.call(Trigger, "simulation/step", Trigger.Request()).success
    graph.spin_until(lambda: simulator.time_ns == time_ns + PERIOD_NS)
    assert simulator.set_state(STOPPED) == OK
    assert graph.call(SetBool, "simulation/pause", SetBool.Request(data=False)).success
    assert simulator.state == PLAYING


def test_a_reset_starts_where_the_parameters_say(simulator):
    graph = simulator.graph
    assert simulator.set_state(PAUSED) == OK
    before = simulator.robot
    assert all(r.successful for r in set_parameters(graph, start_pose=[2.0, -1.0, 1.57]))
    assert simulator.robot == before
    assert simulator.call("reset_simulation").result.result == OK
    state = simulator.robot
    np.testing.assert_allclose(position(state), (2.0, -1.0, 1.4), atol=0.02)
    yaw = rotation.heading(conversions.from_quaternion(state.pose.orientation))
    assert yaw == pytest.approx(1.57, abs=0.05)
    for posture, x_axis_up in (("supine", 1.0), ("prone", -1.0)):
        assert all(r.successful for r in set_parameters(graph, start_posture=posture))
        assert graph.call(Trigger, "simulation/reset", Trigger.Request()).success
        state = simulator.robot
        up = rotation.rotate(conversions.from_quaternion(state.pose.orientation), (1.0, 0.0, 0.0))
        assert up[2] == pytest.approx(x_axis_up, abs=0.01)
        assert 0.0 < state.pose.position.z < 0.5  # prone, it lies on its forearms
    for wrong, reason in [
        ({"start_posture": "handstand"}, "there are"),
        ({"start_pose": [1.0]}, "has 1 values, expected 3"),
        ({"start_pose": [math.nan, 0.0, 0.0]}, "not finite"),
        ({"start_pose": [1e9, 0.0, 0.0]}, "1000 m"),
    ]:
        (result,) = set_parameters(graph, **wrong)
        assert not result.successful
        assert reason in result.reason
    value = ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=True)
    request = SetParameters.Request(parameters=[Parameter(name="start_pose", value=value)])
    assert (
        not graph.call(SetParameters, "simulation_node/set_parameters", request)
        .results[0]
        .successful
    )
    assert simulator.state == PAUSED
