# SPDX-License-Identifier: Apache-2.0
"""simulation_node in a process of its own, over real DDS."""

import signal
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import WrenchStamped
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger
from tf2_msgs.msg import TFMessage

from humanoid_mujoco_ros.robot.link_tree import LinkTree
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.urdf import urdf
from humanoid_mujoco_ros.ros import conversions
from humanoid_mujoco_ros.ros.conflicts import GHOST_S

pytestmark = pytest.mark.processes

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
COMMANDS = "effort_controller/commands"
RUN_FREE = {"hold_until_command": False}


def command(graph):
    """A publisher of effort commands that the simulation has found."""
    publisher = graph.node.create_publisher(Float64MultiArray, COMMANDS, 1)
    graph.spin_until(lambda: publisher.get_subscription_count() == 1)
    return publisher


def stamps(messages):
    return [conversions.from_time(message.header.stamp) for message in messages]


def test_joints_are_commanded_by_name_in_any_order(graph):
    robot = RobotModel()
    names = list(robot.joints)
    np.random.default_rng(0).shuffle(names)
    joints = "[" + ", ".join(names) + "]"
    graph.start("simulation_node", {"joints": joints, "command_timeout": 10.0})
    states = graph.listen(JointState, "joint_states")
    publisher = command(graph)
    efforts = {name: 0.5 * i for i, name in enumerate(names)}
    publisher.publish(Float64MultiArray(data=list(efforts.values())))
    graph.spin_until(lambda: states and any(states[-1].effort))
    measured = dict(zip(states[-1].name, states[-1].effort, strict=True))
    assert measured == pytest.approx(efforts)


def test_time_stands_still_until_the_first_command(graph):
    graph.start("simulation_node")
    states = graph.listen(JointState, "joint_states", 100)
    graph.spin_until(lambda: len(states) > 20)
    # A late listener gets the clock and the links all the same.
    transforms, clock = graph.listen(TFMessage, "/tf", 100), graph.listen(Clock, "/clock", 100)
    graph.spin_until(lambda: transforms and clock)
    graph.spin_for(0.3)
    assert len(transforms) <= 2  # one for each of the two listeners
    publisher = command(graph)
    assert set(stamps(states)) == {10_000_000}
    publisher.publish(Float64MultiArray(data=[0.0] * 17))
    graph.spin_until(lambda: stamps(states)[-1] > 10_000_000)


def test_a_bad_command_is_refused_counted_and_changes_nothing(graph):
    graph.start("simulation_node", {"command_timeout": 60.0, "on_fall": "stay"})
    health = graph.health()
    states = graph.listen(JointState, "joint_states", 100)
    publisher = command(graph)
    good = [0.25] * 17
    publisher.publish(Float64MultiArray(data=good))
    graph.spin_until(lambda: states and states[-1].effort[0] == pytest.approx(0.25))
    bad = [
        ([1.0] * 16, "has 16 values, expected 17"),
        ([], "has 0 values, expected 17"),
        ([0.0] * 16 + [float("nan")], "value 16 is nan"),
        ([float("inf")] + [0.0] * 16, "value 0 is inf"),
    ]
    for count, (data, reason) in enumerate(bad, start=1):
        publisher.publish(Float64MultiArray(data=data))
        graph.spin_until(lambda count=count: rejected(health) == count)
        assert reason in health.value("simulation_node", "last_rejection")
        assert health.levels["simulation_node"] == 2
        np.testing.assert_allclose(states[-1].effort, good)


def test_without_commands_the_effort_goes_to_zero_and_diagnostics_say_so(graph):
    graph.start("simulation_node", {"command_timeout": 0.1, "on_fall": "stay"})
    health = graph.health()
    states = graph.listen(JointState, "joint_states", 100)
    command(graph).publish(Float64MultiArray(data=[1.0] * 17))
    graph.spin_until(lambda: states and any(states[-1].effort))
    started_ns = stamps(states)[-1]
    graph.spin_until(lambda: not any(states[-1].effort))
    assert (stamps(states)[-1] - started_ns) * 1e-9 < 0.2
    graph.spin_until(lambda: health.value("simulation_node", "watchdog") == "timeout")
    assert "no effort command" in health.messages["simulation_node"]


def is_at_rest(odometry):
    """Whether the base hardly moved in the last second."""
    places = [(p.x, p.y, p.z) for p in (m.pose.pose.position for m in odometry[-100:])]
    return len(places) == 100 and np.ptp(places, axis=0).max() < 0.01


def test_a_push_beyond_all_measure_is_refused_and_nothing_diverges(graph):
    process = graph.start("simulation_node", RUN_FREE)
    health = graph.health()
    odometry = graph.listen(Odometry, "odom", 100)
    publisher = graph.node.create_publisher(WrenchStamped, "external_wrench", 10)
    graph.spin_until(lambda: publisher.get_subscription_count() == 1 and odometry)
    push = WrenchStamped()
    push.header.frame_id = "torso"
    forces = (1e300, 3000.0, float("nan"))
    for force in forces:
        push.wrench.force.x = force
        before = rejected(health)
        graph.spin_until(lambda: publisher.publish(push) or rejected(health) > before + 100)  # noqa: B023
        assert health.value("simulation_node", "divergences") == "0"
        assert "external force" in health.value("simulation_node", "last_rejection")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert output.count("refused: ") <= 2 * len(forces)
    assert "MuJoCo" not in output


def rejected(health):
    return int(health.value("simulation_node", "rejected_messages") or 0)


def test_a_second_robot_lives_in_a_namespace_with_prefixed_frames(graph):
    parameters = {**RUN_FREE, "frame_prefix": "r2/", "publish_clock": False}
    graph.start("simulation_node", parameters, "-r", "__ns:=/r2")
    odometry = graph.listen(Odometry, "/r2/odom")
    tf = graph.listen(TFMessage, "/tf", 100)
    graph.spin_until(lambda: odometry and tf)
    assert odometry[0].header.frame_id == "r2/odom"
    assert all(t.child_frame_id.startswith("r2/") for t in tf[0].transforms)
    assert graph.node.count_publishers("/clock") == 0


@pytest.mark.parametrize(
    ("simulation", "policy"),
    [
        ({}, {"observation_timeout": 1.0}),
        ({"real_time_factor": 0.2}, {"observation_timeout": 1.0}),
    ],
    ids=["realtime", "slow"],
)
@pytest.mark.slow
def test_two_commanders_of_one_name_are_refused_at_once(graph, simulation, policy):
    health = graph.health()
    states = graph.listen(JointState, "joint_states", 100)
    graph.start("simulation_node", {"on_fall": "stay", "command_timeout": 1.0, **simulation})
    graph.spin_until(
        lambda: (
            health.messages.get("simulation_node") and graph.node.count_publishers("joint_states")
        )
    )
    policies = [graph.start("policy_node", policy) for _ in range(2)]
    graph.spin_until(lambda: graph.node.count_publishers(COMMANDS) == 2)
    conflict = f"2 nodes called /policy_node publish /{COMMANDS}: all commands are refused"
    start_s = time.monotonic()
    graph.spin_until(lambda: conflict in health.messages.get("simulation_node", ""))
    # Before a publisher that was left behind would be given up.
    assert time.monotonic() - start_s < GHOST_S
    assert health.levels["simulation_node"] == 2
    graph.spin_until(lambda: not any(states[-1].effort))
    # Without a simulation that refuses, they would have to notice themselves.
    graph.spin_until(lambda: "commanding no longer" in health.messages.get("policy_node", ""))

    policies[0].send_signal(signal.SIGINT)
    graph.spin_until(lambda: "nodes called" not in health.messages["simulation_node"])
    count = len(states)
    graph.spin_until(lambda: len(states) > count + 50 and any(states[-1].effort))
    policies[1].send_signal(signal.SIGINT)
    graph.processes[0].send_signal(signal.SIGINT)
    output, _ = graph.processes[0].communicate(timeout=60)
    assert output.count("all commands are refused") == 1
    assert output.count("one node commands the joints again") == 1


@pytest.mark.slow
def test_a_policy_that_is_killed_again_and_again_is_never_refused(graph):
    """Each leaves a ghost behind, and together they haunt the graph for longer than GHOST_S."""
    robots = [KilledPolicy(graph, mode) for mode in ("realtime", "lockstep")]
    health = graph.health()
    first_kill_s = None
    while (
        first_kill_s is None
        or time.monotonic() - first_kill_s < GHOST_S + 5
        or any(robot.rounds_driven < 2 for robot in robots)
    ):
        for robot in robots:
            robot.start_policy()
        start_s = time.monotonic()
        # DDS may take long to introduce a newcomer among ghosts; that is not the subject here.
        while time.monotonic() - start_s < 8.0 or first_kill_s is None:
            graph.spin_for(0.1)
            if all(robot.is_driven for robot in robots):
                graph.spin_for(1.5)
                break
        assert not any("nodes called" in message for message in health.messages.values())
        for robot in robots:
            robot.kill_policy()
        first_kill_s = first_kill_s or time.monotonic()
        graph.spin_for(2.5)
    for robot in robots:
        robot.simulation.send_signal(signal.SIGINT)
        output, _ = robot.simulation.communicate(timeout=60)
        assert "refused" not in output, output


class KilledPolicy:
    """A simulation in a namespace of its own, and its policy, which does not live long."""

    def __init__(self, graph, mode):
        self._graph = graph
        self._mode = mode
        self._namespace = ("-r", f"__ns:=/{mode}")
        parameters = {"on_fall": "stay", "mode": mode, "publish_clock": mode == "realtime"}
        self.simulation = graph.start("simulation_node", parameters, *self._namespace)
        self._states = graph.listen(JointState, f"/{mode}/joint_states", 100)
        self.rounds_driven = 0

    def start_policy(self):
        parameters = {"mode": self._mode, "observation_timeout": 1.0}
        self._policy = self._graph.start("policy_node", parameters, *self._namespace)
        self._states.clear()

    @property
    def is_driven(self):
        return sum(any(state.effort) for state in self._states) > 50

    def kill_policy(self):
        self.rounds_driven += self.is_driven
        self._policy.kill()
        self._policy.wait()


def test_a_second_clock_is_reported_with_its_remedy(graph):
    health = graph.health()
    graph.start("simulation_node", RUN_FREE)
    second = graph.start("simulation_node", {**RUN_FREE, "frame_prefix": "r2/"}, "-r", "__ns:=/r2")
    expected = (
        "several nodes publish /clock: /r2/simulation_node, /simulation_node: time jumps back and "
        "forth; set publish_clock to false (humanoid sim --no-clock, clock:=false)"
    )
    for node in ("simulation_node", "r2/simulation_node"):
        graph.spin_until(lambda node=node: expected in health.messages.get(node, ""))
        assert health.levels[node] == 2
    second.send_signal(signal.SIGINT)
    graph.spin_until(lambda: "/clock" not in health.messages["simulation_node"])
    graph.start("simulation_node", RUN_FREE)
    same_name = "2 nodes called /simulation_node publish /clock"
    graph.spin_until(lambda: same_name in health.messages["simulation_node"])


@pytest.mark.slow
def test_a_simulation_that_was_killed_and_restarted_is_one_clock(graph):
    health = graph.health()
    for is_restarted in (False, True):
        health.messages.clear()
        simulation = graph.start("simulation_node", RUN_FREE)
        graph.spin_until(lambda: health.messages)
        if not is_restarted:
            simulation.kill()
            simulation.wait()
            graph.spin_for(1.5)
    for _ in range(6):
        graph.spin_for(0.5)
        assert "/clock" not in health.messages["simulation_node"]


def set_real_time_factor(graph, factor):
    value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=factor)
    request = SetParameters.Request(parameters=[Parameter(name="real_time_factor", value=value)])
    response = graph.call(SetParameters, "simulation_node/set_parameters", request)
    return response.results[0]


@pytest.mark.slow
def test_the_real_time_factor_is_set_while_it_runs(graph):
    health = graph.health()
    graph.start("simulation_node")
    # So short that it would miss the robot in the slowest motion, were the state not repeated.
    graph.start("policy_node", {"observation_timeout": 0.16, "policy": "balance"})
    graph.spin_until(lambda: health.value("simulation_node", "watchdog") == "ok")
    for factor in (0.5, 0.05, 0.8):
        assert set_real_time_factor(graph, factor).successful
        graph.spin_until(
            lambda factor=factor: (
                health.value("simulation_node", "real_time_factor_target") == f"{factor:g}"
                and float(health.value("simulation_node", "real_time_factor"))
                == pytest.approx(factor, rel=0.2)
            )
        )
        graph.spin_until(
            lambda: "no observation" not in health.messages.get("policy_node", "no observation")
        )
        graph.spin_for(1.0)
        assert health.value("simulation_node", "watchdog") == "ok"
    for factor in (0.0, -1.0, float("nan")):
        result = set_real_time_factor(graph, factor)
        assert not result.successful
        assert "real_time_factor" in result.reason
    graph.spin_until(lambda: health.value("simulation_node", "real_time_factor_target") == "0.8")


def test_lockstep_has_no_real_time_factor_to_set(graph):
    graph.start("simulation_node", {"mode": "lockstep"})
    result = set_real_time_factor(graph, 0.5)
    assert not result.successful
    assert "in lockstep time runs as fast as commands come" in result.reason


def test_it_ends_by_itself_after_the_duration(graph):
    process = graph.start("simulation_node", {**RUN_FREE, "duration": 0.5})
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"model": "nowhere.xml"}, "nowhere.xml does not exist"),
        ({"timestep": -0.001}, "timestep_s must be positive, not -0.001"),
        ({"real_time_factor": 0.0}, "real_time_factor"),
        ({"mode": "turbo"}, "mode is 'turbo', expected realtime or lockstep"),
        ({"joints": "[knee]"}, "joint 'knee' is not in the model; its joints are abdomen_z"),
        ({"real_time_factor": 2}, "expecting type 'DOUBLE'"),
    ],
)
def test_a_wrong_parameter_is_one_clear_line_and_a_failed_start(graph, capfd, parameters, reason):
    assert graph.run_here("simulation_node", parameters) == 2
    output = "".join(capfd.readouterr())
    assert reason in output
    assert "Traceback" not in output


@pytest.fixture(scope="module")
def running(shared_graph):
    """A graph with a simulation that runs without commands, for tests that leave it running."""
    shared_graph.start("simulation_node", {**RUN_FREE, "on_fall": "stay"})
    return shared_graph


def test_every_state_topic_comes_at_100_hz(running):
    graph = running
    topics = {
        "joint_states": graph.listen(JointState, "joint_states", 100),
        "odom": graph.listen(Odometry, "odom", 100),
        "imu/data": graph.listen(Imu, "imu/data", 100),
        "left_foot/wrench": graph.listen(WrenchStamped, "left_foot/wrench", 100),
        "right_foot/wrench": graph.listen(WrenchStamped, "right_foot/wrench", 100),
        "/tf": graph.listen(TFMessage, "/tf", 100),
        "/clock": graph.listen(Clock, "/clock", 100),
        "observation": graph.listen(Float64MultiArray, "observation", 100),
    }
    graph.spin_until(lambda: all(len(messages) >= 100 for messages in topics.values()))
    for name in ("joint_states", "odom", "imu/data", "left_foot/wrench", "right_foot/wrench"):
        assert set(np.diff(stamps(topics[name]))) == {10_000_000}, name
    assert set(np.diff([conversions.from_time(m.clock) for m in topics["/clock"]])) == {10_000_000}


def test_what_is_latched_describes_every_link(running):
    graph = running
    descriptions = graph.listen(String, "robot_description", LATCHED)
    static = graph.listen(TFMessage, "/tf_static", LATCHED)
    moving = graph.listen(TFMessage, "/tf", 100)
    graph.spin_until(lambda: descriptions and static and moving)
    robot = RobotModel()
    assert descriptions[0].data == urdf(robot)
    frames = {t.child_frame_id for t in [*static[0].transforms, *moving[0].transforms]}
    assert frames == {*LinkTree(robot).links, "base_footprint"}


def test_pause_step_resume_and_reset(running):
    graph = running
    states = graph.listen(JointState, "joint_states", 100)
    odometry = graph.listen(Odometry, "odom", 100)
    clock = graph.listen(Clock, "/clock", 100)
    refused = graph.call(Trigger, "simulation/step", Trigger.Request())
    assert not refused.success
    assert "pause it first" in refused.message

    assert graph.call(SetBool, "simulation/pause", SetBool.Request(data=True)).success
    # A paused simulation repeats its state; nothing else does.
    graph.spin_until(lambda: len(states) >= 5 and len(set(stamps(states)[-5:])) == 1)
    paused_ns = stamps(states)[-1]
    for step in range(1, 4):
        assert graph.call(Trigger, "simulation/step", Trigger.Request()).success
        graph.spin_until(lambda step=step: stamps(states)[-1] == paused_ns + step * 10_000_000)
    again = graph.call(SetBool, "simulation/pause", SetBool.Request(data=True))
    assert again.success
    assert "already" in again.message

    assert graph.call(SetBool, "simulation/pause", SetBool.Request(data=False)).success
    # Without a policy it falls.
    graph.spin_until(lambda: odometry[-1].pose.pose.position.z < 1.0)
    assert graph.call(Trigger, "simulation/reset", Trigger.Request()).success
    graph.spin_until(lambda: odometry[-1].pose.pose.position.z > 1.3)
    times = [conversions.from_time(message.clock) for message in clock]
    assert np.all(np.diff(times) >= 0)
    assert np.all(np.diff(stamps(states)) >= 0)


def test_a_push_through_external_wrench_moves_the_robot_and_ends(running):
    graph = running
    health = graph.health()
    odometry = graph.listen(Odometry, "odom", 100)
    publisher = graph.node.create_publisher(WrenchStamped, "external_wrench", 10)
    assert graph.call(Trigger, "simulation/reset", Trigger.Request()).success
    graph.spin_until(lambda: publisher.get_subscription_count() == 1 and odometry)
    push = WrenchStamped()
    push.header.frame_id = "torso"
    push.wrench.force.y = 900.0  # more than friction can hold
    while odometry[-1].pose.pose.position.y < 0.5:
        publisher.publish(push)
        graph.spin_for(0.02)
    graph.spin_until(lambda: is_at_rest(odometry))
    push.header.frame_id = "tail"
    publisher.publish(push)
    graph.spin_until(lambda: health.value("simulation_node", "rejected_messages") == "1")
    assert "link 'tail' is not in the model" in health.value("simulation_node", "last_rejection")
