# SPDX-License-Identifier: Apache-2.0
"""observation_node in a process of its own: the simulation's observation from a robot's topics."""

import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import WrenchStamped
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_graph import Graph
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger

from humanoid_mujoco_ros.policy.observation import layout
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.ros import conversions
from humanoid_mujoco_ros.simulation.simulation import Simulation

pytestmark = pytest.mark.processes

DEPTH = QoSProfile(depth=2000)
PATIENT = {"input_timeout": 1.0}
"""A busy machine may be late by more than the default."""
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope="module")
def robot():
    return RobotModel()


@pytest.fixture(scope="module")
def moving(robot):
    """A humanoid under random efforts."""
    simulation = Simulation(robot)
    random = np.random.default_rng(4)

    def states():
        while True:
            efforts = robot.effort_limits * random.uniform(-1, 1, len(robot.joints))
            yield simulation.step(efforts)

    return states()


@pytest.fixture
def states(moving):
    """States that no other test has sent."""
    return [next(moving) for _ in range(20)]


class Measurements:
    """The test in the robot's place: it says what the joints and the base do."""

    def __init__(self, graph, robot):
        self.graph, self.robot = graph, robot
        self.joint_states = graph.node.create_publisher(JointState, "joint_states", 10)
        self.odom = graph.node.create_publisher(Odometry, "odom", 10)
        self.commands = graph.node.create_publisher(
            Float64MultiArray, "effort_controller/commands", 1
        )
        self.observations = graph.listen(Float64MultiArray, "observation", DEPTH)

    def find_node(self):
        self.graph.spin_until(
            lambda: (
                all(
                    p.get_subscription_count()
                    for p in (self.joint_states, self.odom, self.commands)
                )
                and self.graph.node.count_publishers("observation")
            )
        )

    def messages(self, state, stamp_ns=None):
        """What the robot says about a state: now, unless a stamp is given."""
        stamp = conversions.to_time(time.time_ns() if stamp_ns is None else stamp_ns)
        joints = conversions.to_joint_state(state, self.robot.joints, stamp)
        return joints, conversions.to_odometry(state, "", stamp)

    def send(self, state, stamp_ns=None):
        joints, odom = self.messages(state, stamp_ns)
        self.joint_states.publish(joints)
        self.odom.publish(odom)

    def observe(self, *publications):
        """Publishes and returns the observation that follows."""
        count = len(self.observations)
        for publisher, message in publications:
            publisher.publish(message)
        self.graph.spin_until(lambda: len(self.observations) > count)
        assert len(self.observations) == count + 1
        return np.array(self.observations[-1].data)


@pytest.fixture
def measurements(graph, robot):
    return Measurements(graph, robot)


@pytest.fixture(scope="module")
def shared(robot):
    """A graph with a node for the tests that leave it as it was."""
    graph = Graph()
    try:
        graph.start("observation_node", PATIENT)
        measurements = Measurements(graph, robot)
        measurements.find_node()
        yield measurements
    finally:
        graph.close()


@pytest.fixture
def default(shared, moving):
    # What the last test sent has been dealt with once this state has been.
    state = next(moving)
    shared.send(state)
    shared.graph.spin_until(
        lambda: shared.observations and shared.observations[-1].data[0] == state.qpos[2]
    )
    shared.observations.clear()
    return shared


def blocks(robot, vector):
    return {block.name: vector[block.slice] for block in layout(robot.mj)}


def assert_same(robot, actual, expected):
    """State blocks to 1e-9; the derived ones within what the simulation's lag behind its state."""
    tolerance = {"cinert": 1e-3, "cvel": 1.0}
    expected = blocks(robot, expected)
    for name, values in blocks(robot, actual).items():
        if name == "cfrc_ext":
            assert not values.any()
        else:
            np.testing.assert_allclose(
                values, expected[name], rtol=0, atol=tolerance.get(name, 1e-9), err_msg=name
            )


def test_a_pair_of_messages_makes_the_simulations_observation(robot, states, default):
    for state in states:
        joints, odom = default.messages(state)
        pair = [(default.joint_states, joints), (default.odom, odom)]
        if state is states[-1]:
            pair.reverse()
        assert_same(robot, default.observe(*pair), state.observation)
    names = [dimension.label for dimension in default.observations[0].layout.dim]
    assert names == [block.name for block in layout(robot.mj)]


def test_joints_come_in_any_order_among_others(robot, states, default):
    joints, odom = default.messages(states[5])
    order = np.random.default_rng(0).permutation(len(robot.joints)).tolist()
    shuffled = JointState(header=joints.header, name=["finger"])
    shuffled.name += [joints.name[i] for i in order]
    for field in ("position", "velocity", "effort"):
        values = getattr(joints, field)
        setattr(shuffled, field, [7.0] + [values[i] for i in order])
    observation = default.observe((default.joint_states, shuffled), (default.odom, odom))
    assert_same(robot, observation, states[5].observation)


def test_unmeasured_efforts_are_those_last_commanded(graph, robot, states, measurements):
    order = [*robot.joints[5:], *robot.joints[:5]]
    graph.start("observation_node", {**PATIENT, "joints": "[" + ",".join(order) + "]"})
    measurements.find_node()
    state = states[5]
    efforts = state.joint_efforts[robot.joint_order(order)]
    measurements.commands.publish(Float64MultiArray(data=efforts.tolist()))

    def observed():
        joints, odom = measurements.messages(state)
        joints.effort = []
        return measurements.observe((measurements.joint_states, joints), (measurements.odom, odom))

    # Two topics, no order between them: the command may come after the first state.
    graph.spin_until(lambda: blocks(robot, observed())["qfrc_actuator"].any())
    assert_same(robot, observed(), state.observation)


def test_foot_wrenches_are_observed_when_asked_for_and_as_new_as_the_state(
    graph, robot, measurements
):
    health = graph.health()
    simulation = Simulation(robot)
    state = next(
        s
        for s in (simulation.step(np.zeros(17)) for _ in range(200))
        if s.foot_wrenches["left"].force[2] > 50
    )
    graph.start("observation_node", {**PATIENT, "use_foot_wrenches": True})
    feet = {
        side: graph.node.create_publisher(WrenchStamped, f"{side}_foot/wrench", 10)
        for side in ("left", "right")
    }
    measurements.find_node()
    graph.spin_until(lambda: all(p.get_subscription_count() for p in feet.values()))

    def feel(side, stamp_ns):
        wrench = conversions.to_wrench(
            state.foot_wrenches[side], side, conversions.to_time(stamp_ns)
        )
        feet[side].publish(wrench)

    def vertical_forces():
        joints, odom = measurements.messages(state)
        values = measurements.observe(
            (measurements.joint_states, joints), (measurements.odom, odom)
        )
        forces = blocks(robot, values)["cfrc_ext"].reshape(-1, 6)[:, 5]
        return {side: forces[robot.mj.body(f"{side}_foot").id] for side in feet}

    expected = {side: state.foot_wrenches[side].force[2] for side in feet}

    def are_felt():
        for side in feet:
            feel(side, time.time_ns())
        return vertical_forces() == pytest.approx(expected, abs=5.0)

    graph.spin_until(are_felt)
    graph.spin_until(lambda: "foot" not in health.messages.get("observation_node", "foot"))

    frozen_ns = time.time_ns()

    def is_only_the_right_felt():
        feel("left", frozen_ns)  # it comes, but always the same
        feel("right", time.time_ns())
        return vertical_forces() == pytest.approx({**expected, "left": 0.0}, abs=5.0)

    graph.spin_until(is_only_the_right_felt)
    assert time.time_ns() - frozen_ns > 1e9
    graph.spin_until(
        lambda: (
            is_only_the_right_felt()
            and "no current left_foot/wrench" in health.messages["observation_node"]
        )
    )


def test_a_missing_joint_is_named_and_stops_the_output(robot, states, default):
    health = default.graph.health()
    joints, odom = default.messages(states[0])
    joints.name = ["hip" if name == "right_knee" else name for name in joints.name]
    default.joint_states.publish(joints)
    default.odom.publish(odom)
    default.graph.spin_until(
        lambda: "lacks right_knee" in health.messages.get("observation_node", "")
    )
    assert health.levels["observation_node"] == 2
    assert not default.observations


@pytest.mark.parametrize("what", ["a joint", "the base", "the orientation"])
def test_input_that_is_not_finite_stops_the_output(states, default, what):
    health = default.graph.health()
    joints, odom = default.messages(states[0])
    if what == "a joint":
        joints.velocity[3] = float("nan")
        expected = "joint velocity is not finite: right_hip_x is nan"
    elif what == "the base":
        odom.twist.twist.angular.y = float("inf")
        expected = "odom angular velocity is not finite: y is inf"
    else:
        odom.pose.pose.orientation.w = 0.0
        odom.pose.pose.orientation.x = 0.0
        expected = "odom orientation is no unit quaternion"
    default.joint_states.publish(joints)
    default.odom.publish(odom)
    default.graph.spin_until(lambda: expected in health.messages.get("observation_node", ""))
    assert health.levels["observation_node"] == 2
    assert not default.observations
    good, odom = default.messages(states[1])
    default.observe((default.joint_states, good), (default.odom, odom))


def test_a_silent_robot_is_reported_with_the_topic(states, default):
    health = default.graph.health()
    default.send(states[0])
    default.graph.spin_until(lambda: default.observations)
    _, odom = default.messages(states[1])

    def is_noticed():
        default.odom.publish(odom)
        return "nothing usable comes on joint_states" in health.messages.get("observation_node", "")

    default.graph.spin_until(is_noticed)
    assert health.levels["observation_node"] == 2
    assert "no new state for" in health.messages["observation_node"]

    def is_well():
        default.send(states[2])
        return "no new state" not in health.messages["observation_node"]

    default.graph.spin_until(is_well)


def test_stamps_that_do_not_pair_are_reported(states, default):
    health = default.graph.health()
    now_ns = time.time_ns()
    joints, _ = default.messages(states[0], now_ns)
    _, odom = default.messages(states[1], now_ns + 10_000_000)

    def is_noticed():
        default.joint_states.publish(joints)
        default.odom.publish(odom)
        return "stamps differ by 0.01 s" in health.messages.get("observation_node", "")

    default.graph.spin_until(is_noticed)
    assert not default.observations


def test_stamps_within_the_tolerance_pair(graph, states, measurements):
    graph.start("observation_node", {**PATIENT, "pairing_tolerance": 0.012})
    measurements.find_node()
    now_ns = time.time_ns()
    joints, _ = measurements.messages(states[0], now_ns)
    _, odom = measurements.messages(states[1], now_ns + 10_000_000)
    measurements.observe((measurements.joint_states, joints), (measurements.odom, odom))


@pytest.mark.parametrize("apart_ns", [0, 4_000_000])
def test_a_robot_that_repeats_its_state_is_silent(graph, states, measurements, apart_ns):
    graph.start("observation_node", {**PATIENT, "pairing_tolerance": 0.005})
    health = graph.health()
    measurements.find_node()
    now_ns = time.time_ns()
    joints, _ = measurements.messages(states[0], now_ns)
    _, odom = measurements.messages(states[0], now_ns + apart_ns)
    frozen = [(measurements.joint_states, joints), (measurements.odom, odom)]
    measurements.observe(*frozen)

    def is_noticed():
        frozen.reverse()
        for publisher, message in frozen:
            publisher.publish(message)
        return "its stamp stays at" in health.messages.get("observation_node", "")

    graph.spin_until(is_noticed)
    assert health.levels["observation_node"] == 2
    assert len(measurements.observations) == 1

    def is_well():
        measurements.send(states[1])
        return health.levels["observation_node"] < 2

    graph.spin_until(is_well)
    assert measurements.observations[-1].data[0] == states[1].qpos[2]


@pytest.mark.parametrize("ages_ms", [(10, 0), (0, 10, 20, 30, 40), (40, 30, 20, 10, 0)])
def test_a_frozen_state_whose_stamps_go_round_is_not_new(graph, states, measurements, ages_ms):
    graph.start("observation_node", PATIENT)
    health = graph.health()
    measurements.find_node()
    start_ns = time.time_ns()

    def is_refused():
        for age_ms in ages_ms:
            measurements.send(states[0], start_ns - age_ms * 1_000_000)
        return (
            "stamps jump" in health.messages.get("observation_node", "")
            and health.levels["observation_node"] == 2
        )

    graph.spin_until(is_refused)
    assert len(measurements.observations) <= len(ages_ms)


def test_a_backlog_is_not_taken_for_the_present(graph, states, measurements):
    graph.start("observation_node", PATIENT)
    health = graph.health()
    measurements.find_node()
    for state in states[:5]:
        count = len(measurements.observations)
        measurements.send(state)
        graph.spin_until(lambda count=count: len(measurements.observations) > count)
    stalled_ns = time.time_ns()
    graph.spin_for(2.5)
    for tick, state in enumerate(states[5:14]):
        measurements.send(state, stalled_ns + tick * 10_000_000)
    measurements.send(states[14])
    graph.spin_until(lambda: len(measurements.observations) > 5)
    graph.spin_until(lambda: health.value("observation_node", "stale_states") == "9")
    assert [message.data[0] for message in measurements.observations[5:]] == [states[14].qpos[2]]


def test_a_robot_that_starts_again_with_older_stamps_is_heard_after_an_interruption(
    graph, states, measurements
):
    graph.start("observation_node", PATIENT)
    health = graph.health()
    measurements.find_node()
    day_ns = 86_400_000_000_000
    for offset_ns in (0, day_ns):
        joints, odom = measurements.messages(states[0], time.time_ns() + offset_ns)
        measurements.observe((measurements.joint_states, joints), (measurements.odom, odom))
    first_ns = time.time_ns()

    def is_heard():
        measurements.send(states[1])
        return len(measurements.observations) > 2

    graph.spin_until(is_heard)
    assert time.time_ns() - first_ns >= 500_000_000
    graph.spin_until(lambda: health.value("observation_node", "stale_states") not in ("", "0"))


def test_best_effort_publishers_are_heard_too(graph, robot, states, measurements):
    graph.start("observation_node", PATIENT)
    measurements.find_node()
    best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    measurements.joint_states = graph.node.create_publisher(JointState, "joint_states", best_effort)
    measurements.odom = graph.node.create_publisher(Odometry, "odom", best_effort)
    measurements.find_node()

    def is_heard():
        measurements.send(states[0])
        return measurements.observations

    graph.spin_until(is_heard)


def test_a_simulation_may_pause_and_run_slowly(graph):
    health = graph.health()
    observations = graph.listen(Float64MultiArray, "observation", DEPTH)
    graph.start("simulation_node", {"publish_observation": False, "real_time_factor": 0.25})
    graph.start("observation_node", PATIENT)
    # Without a command it stands still.
    graph.spin_until(lambda: len(observations) > 100)
    graph.start("policy_node", {"policy": "balance", "observation_timeout": 1.0})
    graph.spin_until(lambda: health.value("simulation_node", "watchdog") == "ok")
    count = len(observations)
    # In the second of its time that this takes it falls behind by three.
    graph.spin_until(lambda: len(observations) > count + 100)
    assert "not new" not in health.messages["observation_node"]
    assert graph.call(SetBool, "simulation/pause", SetBool.Request(data=True)).success
    count = len(observations)
    graph.spin_until(lambda: len(observations) > count + 100)
    assert "not new" not in health.messages["observation_node"]
    height_m = observations[-1].data[0]
    assert graph.call(Trigger, "simulation/step", Trigger.Request()).success
    graph.spin_until(lambda: observations[-1].data[0] != height_m)


def run_lockstep(graph, simulation, observation, policy):
    """Joint states by stamp of a lockstep run through observation_node."""
    states = graph.listen(JointState, "joint_states", DEPTH)
    process = graph.start(
        "simulation_node",
        {"mode": "lockstep", "seed": 7, "publish_observation": False, **simulation},
    )
    # Only then does the run begin whose every state is to be heard.
    descriptions = graph.listen(String, "robot_description", LATCHED)
    graph.spin_until(lambda: descriptions and graph.node.count_publishers("joint_states"))
    others = [
        graph.start("observation_node", {"mode": "lockstep", **observation}),
        graph.start("policy_node", {"mode": "lockstep", "seed": 3, **policy}),
    ]
    graph.spin_until(lambda: process.poll() is not None, 60.0)
    graph.spin_for(0.3)
    assert process.returncode == 0
    for other in others:
        other.terminate()
        other.wait()
    return {
        conversions.from_time(m.header.stamp): np.array([m.position, m.velocity, m.effort])
        for m in states
    }


def test_lockstep_through_the_topics_is_the_same_bit_for_bit(graph):
    first, second = (
        run_lockstep(graph, {"duration": 3.0}, {}, {"action": "sample"}) for _ in range(2)
    )
    # On a busy machine the listener may be found only after the start.
    both = sorted(first.keys() & second.keys())
    assert both[-1] >= 3_000_000_000
    for stamp in both:
        np.testing.assert_array_equal(first[stamp], second[stamp])


def test_lockstep_asks_a_policy_that_comes_later_once(graph, robot):
    observations = graph.listen(Float64MultiArray, "observation", DEPTH)
    descriptions = graph.listen(String, "robot_description", LATCHED)
    graph.start("observation_node", {"mode": "lockstep"})
    simulation = graph.start(
        "simulation_node", {"mode": "lockstep", "publish_observation": False, "duration": 0.5}
    )
    graph.spin_until(lambda: descriptions and graph.node.count_publishers("observation"))
    graph.start("policy_node", {"mode": "lockstep"})
    graph.spin_until(lambda: simulation.poll() is not None)
    graph.spin_for(0.3)
    assert simulation.returncode == 0
    assert len(observations) <= 51
    assert len({tuple(message.data) for message in observations}) == len(observations)
