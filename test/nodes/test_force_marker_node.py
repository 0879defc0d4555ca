# SPDX-License-Identifier: Apache-2.0
"""force_marker_node in a process of its own, driven as RViz's client drives a marker."""

import dataclasses
import itertools
import signal
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from following import follow
from geometry_msgs.msg import WrenchStamped
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_graph import Graph
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import (
    InteractiveMarkerFeedback,
    InteractiveMarkerUpdate,
    Marker,
)
from visualization_msgs.srv import GetInteractiveMarkers

from humanoid_mujoco_ros.interaction.spring import SpringConfig, pull
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.ros import conversions
from humanoid_mujoco_ros.ros.force_marker import MarkerConfig
from humanoid_mujoco_ros.ros.marker_drawing import BODY_MENU_ID
from humanoid_mujoco_ros.simulation.simulation import Simulation

pytestmark = pytest.mark.processes

MARKER = "force_marker"
DEPTH = QoSProfile(depth=2000)
LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
Feedback = InteractiveMarkerFeedback


def has_ended(wrenches):
    """Whether the last of the wrenches is zero."""
    return bool(wrenches) and not np.any(conversions.from_wrench(wrenches[-1]).force)


class Client:
    """RViz's side of an interactive marker: one snapshot, then updates without a gap."""

    def __init__(self, graph, name="rviz"):
        self.graph, self.name = graph, name
        self.markers, self.sequence_number = {}, None
        self.inserts = self.updates = 0
        self.publisher = graph.node.create_publisher(Feedback, f"{MARKER}/feedback", 100)
        self._early = []
        self.subscription = graph.node.create_subscription(
            InteractiveMarkerUpdate, f"{MARKER}/update", self._on_update, 100
        )

    def connect(self):
        graph = self.graph
        graph.spin_until(
            lambda: (
                self.publisher.get_subscription_count()
                and graph.node.count_publishers(f"{MARKER}/update")
            )
        )
        response = graph.call(
            GetInteractiveMarkers,
            f"{MARKER}/get_interactive_markers",
            GetInteractiveMarkers.Request(),
        )
        self.markers = {marker.name: marker for marker in response.markers}
        self.sequence_number = response.sequence_number
        for update in self._early:
            self._on_update(update)
        graph.spin_until(lambda: MARKER in self.markers)
        return self

    def close(self):
        self.graph.node.destroy_publisher(self.publisher)
        self.graph.node.destroy_subscription(self.subscription)

    def _on_update(self, update):
        if self.sequence_number is None:
            self._early.append(update)
            return
        if update.seq_num <= self.sequence_number:
            return
        assert update.seq_num == self.sequence_number + 1
        self.sequence_number = update.seq_num
        self.updates += 1
        self.inserts += len(update.markers)
        self.markers.update({marker.name: marker for marker in update.markers})
        for pose in update.poses:
            self.markers[pose.name].pose = pose.pose
        for name in update.erases:
            del self.markers[name]

    @property
    def marker(self):
        return self.markers[MARKER]

    @property
    def position(self):
        p = self.marker.pose.position
        return np.array([p.x, p.y, p.z])

    def away(self, *offset):
        return self.position + np.array(offset)

    def send(self, event, position=None, quaternion=(1.0, 0.0, 0.0, 0.0), **fields):
        feedback = Feedback(client_id=self.name, marker_name=MARKER, event_type=event, **fields)
        feedback.header.frame_id = self.marker.header.frame_id
        x, y, z = self.position if position is None else position
        p = feedback.pose.position
        p.x, p.y, p.z = float(x), float(y), float(z)
        feedback.pose.orientation = conversions.to_quaternion(np.array(quaternion))
        self.publisher.publish(feedback)

    def press(self, position=None):
        """As RViz: a pose, then the button."""
        self.send(Feedback.POSE_UPDATE, position)
        self.send(Feedback.MOUSE_DOWN, position)

    def drag(self, position, **options):
        self.send(Feedback.POSE_UPDATE, position, **options)

    def release(self, position=None):
        self.send(Feedback.POSE_UPDATE, position)
        self.send(Feedback.MOUSE_UP, position)

    def select(self, title):
        entry = next(e for e in self.marker.menu_entries if e.title.endswith(title))
        self.send(Feedback.MENU_SELECT, menu_entry_id=entry.id)


class Arrows(dict):
    """RViz's display of the arrows: those that are shown, by frame."""

    def __init__(self, graph):
        super().__init__()
        graph.node.create_subscription(Marker, f"{MARKER}/arrow", self._on_marker, DEPTH)

    def _on_marker(self, marker):
        if marker.action == Marker.DELETE:
            self.pop(marker.ns, None)
        else:
            assert marker.header.frame_id == marker.ns
            self[marker.ns] = marker

    def shafts(self):
        """Start and tip of each, in its link's frame."""
        return {frame: np.array([(p.x, p.y, p.z) for p in m.points]) for frame, m in self.items()}


def carried_pull(posed, target, body):
    position, quaternion = posed.link_pose(body)
    grab = posed.center_of_mass(body)
    point = position + rotation.rotate(quaternion, grab)
    base_position, _ = posed.link_pose("base_link")
    velocity = posed.point_velocity(body, point) - posed.point_velocity("base_link", base_position)
    target_world = position + rotation.rotate(quaternion, target)
    return pull(
        SpringConfig(),
        target_world=target_world,
        grab_point=grab,
        link_position=position,
        link_quaternion_wxyz=quaternion,
        point_velocity=velocity,
    )


class StillRobot:
    """The test in the robot's place: it stands where it is told to, and hears the pushes."""

    def __init__(self, graph):
        self.graph = graph
        self.model = RobotModel()
        self.state = self.initial = Simulation(self.model).state()
        self.posed = PosedModel(self.model)
        self.joint_states = graph.node.create_publisher(JointState, "joint_states", 10)
        self.odom = graph.node.create_publisher(Odometry, "odom", 10)
        self.odom_delay_ns = 0
        self.wrenches = graph.listen(WrenchStamped, "external_wrench", DEPTH)
        graph.node.create_timer(0.01, self.report)

    def report(self):
        stamp = conversions.to_time(self.state.time_ns)
        self.joint_states.publish(conversions.to_joint_state(self.state, self.model.joints, stamp))
        stamp = conversions.to_time(self.state.time_ns + self.odom_delay_ns)
        self.odom.publish(conversions.to_odometry(self.state, "", stamp))

    def expected(self, target, body="torso"):
        """The spring between the body's centre of mass and a target that the body carries.

        The target is in the body's frame; damping acts on the velocity relative to the base.
        """
        follow(self.posed, self.state)
        return carried_pull(self.posed, target, body)

    def home(self, body):
        """(3,) [m] where the marker waits, in the body's frame."""
        return self.posed.center_of_mass(body)

    def shaft(self, link, force):
        """(2, 3) Start and tip of the arrow of a force, both in the link's frame."""
        center = self.posed.center_of_mass(link)
        return np.array((center, center + 0.005 * np.array(force)))

    def pushes_with(self, wrench, body="torso"):
        if not self.wrenches:
            return False
        last = conversions.from_wrench(self.wrenches[-1])
        return (
            self.wrenches[-1].header.frame_id == body
            and np.allclose(last.force, wrench.force, atol=1e-6)
            and np.allclose(last.torque, wrench.torque, atol=1e-6)
        )

    def pushes(self):
        """Whether a force came within the last 0.2 s."""
        self.wrenches.clear()
        self.graph.spin_for(0.2)
        return any(np.any(conversions.from_wrench(w).force) for w in self.wrenches)


@pytest.fixture(scope="module")
def robot():
    """A still robot and the node."""
    graph = Graph()
    try:
        parameters = {
            # Nobody publishes /clock: to the node, time stands still.
            "use_sim_time": True,
        }
        graph.start("force_marker_node", parameters)
        yield StillRobot(graph)
    finally:
        graph.close()


@pytest.fixture
def client(robot):
    """RViz, with the marker at rest at the torso of a robot in its first state."""
    robot.state = robot.initial
    client = Client(robot.graph).connect()

    def is_at_torso():
        # A server hears no second client within a second of the first.
        client.send(Feedback.MENU_SELECT, (0, 0, 0), menu_entry_id=BODY_MENU_ID)
        robot.graph.spin_for(0.05)
        return client.inserts and np.allclose(client.position, robot.home("torso"), atol=1e-9)

    robot.graph.spin_until(is_at_torso)
    robot.wrenches.clear()
    yield client
    client.close()


def test_the_marker_waits_at_the_torso_with_six_degrees_of_freedom(client, robot):
    np.testing.assert_allclose(client.position, robot.home("torso"), atol=1e-9)
    # A stamp of zero makes RViz move the marker with its frame.
    assert client.marker.header.frame_id == "torso"
    assert client.marker.header.stamp == Time()
    names = {control.name for control in client.marker.controls}
    assert {f"{verb}_{axis}" for verb in ("move", "turn") for axis in "xyz"} <= names
    assert not robot.pushes()


def test_a_drag_pulls_by_the_spring_law_and_a_release_ends_it(client, robot):
    graph = robot.graph
    arrows = Arrows(graph)
    home, updates = client.position, client.updates
    target = home + np.array((0.5, 0.1, 0.0))
    client.press()
    client.drag(target)
    wrench = robot.expected(target).wrench
    graph.spin_until(lambda: robot.pushes_with(wrench))
    # The target is kept, and the force sent with every state of the robot.
    robot.wrenches.clear()
    graph.spin_until(lambda: len(robot.wrenches) >= 35)
    assert robot.pushes_with(wrench)
    assert list(arrows) == ["torso"]
    expected = robot.shaft("torso", wrench.force)
    np.testing.assert_allclose(arrows.shafts()["torso"], expected, atol=1e-6)
    # RViz moves the marker that it drags by itself.
    assert client.updates == updates
    robot.wrenches.clear()
    client.release(target)
    graph.spin_until(lambda: has_ended(robot.wrenches))
    graph.spin_until(lambda: client.updates == updates + 1)
    np.testing.assert_allclose(client.position, home, atol=1e-9)
    graph.spin_until(lambda: not arrows)
    assert not robot.pushes()


def test_whoever_pushes_the_force_is_shown_until_it_ends(client, robot):
    graph = robot.graph
    arrows, health = Arrows(graph), graph.health()
    publisher = graph.node.create_publisher(WrenchStamped, "external_wrench", 10)
    graph.spin_until(lambda: publisher.get_subscription_count() == 2)

    def push(link, force):
        message = conversions.to_wrench(Wrench(np.array(force), np.zeros(3)), link, Time())
        publisher.publish(message)

    forces = {"torso": (0.0, 100.0, 0.0), "left_foot": (20.0, 0.0, -30.0)}

    def both_are_shown():
        for link, force in forces.items():
            push(link, force)
        graph.spin_for(0.05)
        return set(arrows) == set(forces)

    graph.spin_until(both_are_shown)
    for link, force in forces.items():
        np.testing.assert_allclose(arrows.shafts()[link], robot.shaft(link, force), atol=1e-9)
    # MuJoCo has no body here: the arrow starts at the link's origin.
    push("imu_link", (0.0, 0.0, 50.0))
    graph.spin_until(lambda: "imu_link" in arrows)
    np.testing.assert_allclose(arrows.shafts()["imu_link"], ((0, 0, 0), (0, 0, 0.25)))

    def is_gone_while_messages_come():
        push("left_foot", (0.0, 0.0, 0.0))
        graph.spin_for(0.05)
        return "left_foot" not in arrows

    graph.spin_until(is_gone_while_messages_come)
    push("torso", forces["torso"])
    start_s = time.monotonic()
    graph.spin_until(lambda: not arrows)
    assert time.monotonic() - start_s > 0.19
    push("torso", (np.nan, 0.0, 0.0))
    graph.spin_until(lambda: "not finite" in health.messages.get("force_marker_node", ""))
    assert not arrows
    graph.node.destroy_publisher(publisher)


def test_the_force_follows_the_moving_body_without_new_feedback(client, robot):
    graph = robot.graph
    target = client.away(0.4, 0.0, 0.0)
    client.press()
    client.drag(target)
    graph.spin_until(lambda: robot.pushes_with(robot.expected(target).wrench))
    simulation = Simulation(robot.model)
    for _ in range(20):
        robot.state = simulation.step(np.zeros(17))
    graph.spin_until(lambda: robot.pushes_with(robot.expected(target).wrench))


def test_nothing_is_sent_while_nobody_touches_the_marker_of_a_walking_robot(client, robot):
    graph, updates = robot.graph, client.updates
    states = graph.listen(JointState, "joint_states", DEPTH)
    simulation = Simulation(robot.model)
    for _ in range(100):
        robot.state = simulation.step(np.zeros(17))
        seen = len(states)
        graph.spin_until(lambda seen=seen: len(states) > seen)
    assert client.updates == updates


def test_a_click_on_a_walking_robot_does_not_brake_it(client, robot):
    robot.state = dataclasses.replace(robot.state, base_linear_velocity=np.array((2.0, 0.0, 0.0)))
    client.press()
    robot.graph.spin_until(lambda: robot.wrenches)
    for message in robot.wrenches:
        np.testing.assert_allclose(conversions.from_wrench(message).force, 0.0, atol=0.1)


def test_the_ground_and_the_trail_follow_the_robot_until_it_jumps(client, robot):
    graph = robot.graph
    shown = {}
    graph.node.create_subscription(
        Marker, f"{MARKER}/scene", lambda marker: shown.update({marker.ns: marker}), LATCHED
    )

    def put(x):
        robot.state = dataclasses.replace(robot.state, base_position=np.array((x, 0.0, 1.3)))

    put(0.0)
    graph.spin_until(lambda: "ground" in shown)
    for x in np.arange(0.0, 75.0, 0.4):
        put(x)
        graph.spin_until(
            lambda x=x: (
                "trail" in shown
                and shown["trail"].points[-1:]
                and abs(shown["trail"].points[-1].x - x) < 0.2
            )
        )
    assert abs(shown["ground"].pose.position.x - 75.0) < 15.0
    put(0.0)
    graph.spin_until(lambda: shown["trail"].action == Marker.DELETE)


def test_a_turned_marker_turns_the_body(client, robot):
    graph = robot.graph
    client.press()
    client.drag(client.position, quaternion=(np.cos(0.25), 0.0, 0.0, np.sin(0.25)))

    def torque():
        return conversions.from_wrench(robot.wrenches[-1]).torque if robot.wrenches else np.zeros(3)

    # Half a radian at 60 N·m/rad; the robot is upright.
    graph.spin_until(lambda: abs(torque()[2] - 30.0) < 1.0)


def test_the_menu_chooses_the_body(client, robot):
    graph = robot.graph
    client.select("] right_lower_arm")
    graph.spin_until(lambda: client.marker.description == "right_lower_arm")
    titles = [entry.title for entry in client.marker.menu_entries]
    assert "[x] right_lower_arm" in titles
    assert "[ ] torso" in titles
    home = robot.home("right_lower_arm")
    assert client.marker.header.frame_id == "right_lower_arm"
    np.testing.assert_allclose(client.position, home, atol=1e-9)
    target = home + np.array((0.0, 0.2, 0.0))
    client.press()
    client.drag(target)
    wrench = robot.expected(target, "right_lower_arm").wrench
    graph.spin_until(lambda: robot.pushes_with(wrench, "right_lower_arm"))


def test_a_silent_client_lets_go_and_its_next_move_grabs_again(client, robot):
    graph = robot.graph
    target = client.away(0.3, 0.0, 0.0)
    client.press()
    client.drag(target)
    graph.spin_until(lambda: robot.pushes())
    graph.spin_until(lambda: not robot.pushes())
    client.drag(target)
    graph.spin_until(lambda: robot.pushes_with(robot.expected(target).wrench))


def test_a_client_that_vanishes_in_mid_drag_lets_go(client, robot):
    graph = robot.graph
    client.press()
    client.drag(client.away(0.3, 0.0, 0.0))
    graph.spin_until(lambda: robot.pushes())
    start_s = time.monotonic()
    client.close()
    graph.spin_until(lambda: not robot.pushes())
    assert time.monotonic() - start_s < MarkerConfig().client_timeout_s


def test_a_second_client_takes_over_only_after_a_second(client, robot):
    graph = robot.graph
    other = Client(graph, "second rviz").connect()
    target = client.away(0.3, 0.0, 0.0)
    client.press()
    client.drag(target)
    wrench = robot.expected(target).wrench
    graph.spin_until(lambda: robot.pushes_with(wrench))
    other.drag(target + np.array((0.0, 0.3, 0.0)))
    other.send(Feedback.MOUSE_UP)
    graph.spin_for(0.3)
    assert robot.pushes_with(wrench)
    second = target + np.array((0.0, 0.3, 0.0))

    def taken_over():
        other.drag(second)
        graph.spin_for(0.1)
        return robot.pushes_with(robot.expected(second).wrench)

    graph.spin_until(taken_over)
    client.send(Feedback.MOUSE_UP)
    graph.spin_for(0.2)
    assert robot.pushes_with(robot.expected(second).wrench)
    other.close()


def test_feedback_that_cannot_be_used_is_refused(client, robot):
    graph = robot.graph
    health = graph.health()
    client.drag((np.nan, 0.0, 0.0))
    graph.spin_until(lambda: "not finite" in health.messages.get("force_marker_node", ""))
    client.drag((1e308, 0.0, 0.0))
    graph.spin_until(lambda: "over 100 m away" in health.messages["force_marker_node"])
    feedback = Feedback(client_id="rviz", marker_name=MARKER, event_type=Feedback.POSE_UPDATE)
    feedback.header.frame_id = "map"
    client.publisher.publish(feedback)
    graph.spin_until(lambda: "frame 'map'" in health.messages["force_marker_node"])
    assert not robot.pushes()


def test_a_missing_simulation_is_said_not_waited_for(client, robot):
    graph = robot.graph
    health = graph.health()
    client.select("Pause")
    expected = "there is no simulation/pause"
    graph.spin_until(lambda: expected in health.messages.get("force_marker_node", ""))


def test_nothing_pushes_once_the_node_has_ended(graph):
    robot = StillRobot(graph)
    arrows = Arrows(graph)
    process = graph.start("force_marker_node")
    client = Client(graph).connect()
    client.press()
    client.drag(client.away(0.3, 0.0, 0.0))
    graph.spin_until(lambda: robot.pushes() and arrows)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    graph.spin_for(0.1)
    assert not robot.pushes()
    assert not arrows


def test_measurements_pair_within_the_tolerance(graph):
    robot = StillRobot(graph)
    robot.odom_delay_ns = 4_000_000
    health = graph.health()
    graph.start("force_marker_node", {"pairing_tolerance": 0.003})
    expected = "stamps differ by 0.004 s"
    graph.spin_until(lambda: expected in health.messages.get("force_marker_node", ""))
    second = Graph()
    try:
        robot = StillRobot(second)
        robot.odom_delay_ns = 4_000_000
        second.start("force_marker_node", {"pairing_tolerance": 0.005})
        Client(second).connect()
    finally:
        second.close()


def test_an_unknown_body_is_refused_with_the_bodies_that_exist(graph):
    process = graph.start("force_marker_node", {"body": "tail"})
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "link 'tail' is not in the model; its links are base_link, torso" in output


def test_the_menu_runs_the_simulation_and_the_policy(graph):
    states = graph.listen(JointState, "joint_states", DEPTH)
    odom = graph.listen(Odometry, "odom", DEPTH)
    graph.start("simulation_node")
    graph.start("policy_node", {"policy": "balance"})
    graph.start("force_marker_node")
    client = Client(graph).connect()

    def policy_state():
        response = graph.call(GetState, "policy_node/get_state", GetState.Request())
        return response.current_state.id

    def stamp():
        return conversions.from_time(states[-1].header.stamp)

    graph.spin_until(lambda: states and stamp() > 50_000_000)
    client.select("Pause")

    def stands_still():
        before = stamp()
        graph.spin_for(0.1)
        return stamp() == before

    graph.spin_until(stands_still)
    before = stamp()
    client.select("Step")
    graph.spin_until(lambda: stamp() == before + 10_000_000)
    client.select("Reset")
    graph.spin_until(lambda: np.abs(states[-1].position).max() < 0.011)
    # Paused, a drag still pulls: nothing here hangs on the simulated clock.
    wrenches = graph.listen(WrenchStamped, "external_wrench", DEPTH)
    client.press()
    client.drag(client.away(0.3, 0.0, 0.0))
    graph.spin_until(lambda: wrenches)
    client.release()
    graph.spin_until(lambda: not np.any(conversions.from_wrench(wrenches[-1]).force))
    client.select("Resume")
    graph.spin_until(lambda: not stands_still())
    client.select("Disable policy")
    graph.spin_until(lambda: policy_state() == State.PRIMARY_STATE_INACTIVE)
    client.select("Enable policy")
    graph.spin_until(lambda: policy_state() == State.PRIMARY_STATE_ACTIVE)
    assert odom


def test_a_drag_accelerates_the_humanoid_as_the_spring_law_says(graph):
    """A torso dragged half a metre forward: measured wrenches, measured acceleration."""
    states = graph.listen(JointState, "joint_states", DEPTH)
    odom = graph.listen(Odometry, "odom", DEPTH)
    wrenches = graph.listen(WrenchStamped, "external_wrench", DEPTH)
    # Held at its first state until the drag is on, so that it starts from rest.
    graph.start("simulation_node", {"on_fall": "stay", "hold_until_command": False})
    graph.start("force_marker_node")
    client = Client(graph).connect()
    graph.call(SetBool, "simulation/pause", SetBool.Request(data=True))
    graph.call(Trigger, "simulation/reset", Trigger.Request())
    graph.spin_until(lambda: np.abs(states[-1].position).max() < 0.011)
    client.press()
    target = client.away(0.5, 0.0, 0.0)
    client.drag(target)
    graph.spin_until(lambda: wrenches and wrenches[-1].wrench.force.x > 1.0)
    for messages in (states, odom, wrenches):
        messages.clear()
    graph.call(SetBool, "simulation/pause", SetBool.Request(data=False))
    graph.spin_until(lambda: len(odom) > 40)
    client.release(target)
    graph.spin_until(lambda: has_ended(wrenches))

    joints_at = {conversions.from_time(m.header.stamp): m for m in states}
    base_at = {conversions.from_time(m.header.stamp): m for m in odom}
    check_pulls(wrenches[:-1], base_at, joints_at, target)
    check_acceleration(wrenches, base_at, joints_at)


def torso_of(odom, joint_state):
    """A posed model at a measured state."""
    robot = RobotModel()
    posed = PosedModel(robot)
    base = conversions.from_odometry(odom)
    joints = conversions.from_joint_state(joint_state, robot.joints)
    posed.set_state(
        base.position,
        base.quaternion_wxyz,
        base.linear_velocity,
        base.angular_velocity,
        joints.positions,
        joints.velocities,
        joints.efforts,
    )
    return posed


def check_pulls(wrenches, base_at, joints_at, target):
    """Each wrench is the spring's at the state whose stamp it bears."""
    checked = 0
    for message in wrenches:
        stamp = conversions.from_time(message.header.stamp)
        if stamp not in joints_at or stamp not in base_at:
            continue
        posed = torso_of(base_at[stamp], joints_at[stamp])
        expected = carried_pull(posed, target, "torso").wrench
        measured = conversions.from_wrench(message)
        np.testing.assert_allclose(measured.force, expected.force, atol=1e-6)
        np.testing.assert_allclose(measured.torque, expected.torque, atol=1e-6)
        checked += 1
    assert checked


def check_acceleration(wrenches, base_at, joints_at):
    """Each tick's velocities are those that MuJoCo gives for one of the last wrenches."""
    ticks = [t for t in sorted(base_at) if t in joints_at]
    errors, pushes = [], []
    simulation = Simulation(RobotModel())
    for now, then in itertools.pairwise(ticks[:30]):
        assert then - now == 10_000_000
        sent = [m for m in wrenches if 0 <= now - conversions.from_time(m.header.stamp) <= 2e8]
        after = conversions.from_odometry(base_at[then]).linear_velocity
        reached = [
            velocity_after_a_tick(simulation, base_at[now], joints_at[now], wrench)
            for wrench in (None, *map(conversions.from_wrench, sent))
        ]
        errors.append(min(np.linalg.norm(velocity - after) for velocity in reached[1:]))
        pushes.append(np.linalg.norm(reached[0] - after))
    assert np.max(errors) < 1e-3
    # Without a wrench it would be off by 0.03 m/s and more, each tick.
    assert np.median(pushes) > 0.02


def velocity_after_a_tick(simulation, odom, joint_state, wrench):
    """Velocity of the base a control tick after a measured state, with a wrench on the torso."""
    base = conversions.from_odometry(odom)
    joints = conversions.from_joint_state(joint_state, simulation.robot.joints)
    velocity = rotation.rotate(base.quaternion_wxyz, base.linear_velocity)
    qpos = np.concatenate((base.position, base.quaternion_wxyz, joints.positions))
    qvel = np.concatenate((velocity, base.angular_velocity, joints.velocities))
    simulation.set_state(qpos, qvel)
    simulation.set_external_wrench("torso", wrench)
    return simulation.step(np.zeros(17)).base_linear_velocity
