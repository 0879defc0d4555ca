# SPDX-License-Identifier: Apache-2.0
"""policy_node in a process of its own, driven by a real simulation or by the test."""

import itertools
import shutil
import signal
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy")

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.policy import checkpoint
from humanoid_mujoco_ros.policy import locate as policy_source
from humanoid_mujoco_ros.policy.card import ActionCard, InputTerm, PolicyCard
from humanoid_mujoco_ros.policy.inference import Policy
from humanoid_mujoco_ros.policy.recovery import LEAD_IN_S
from humanoid_mujoco_ros.policy.state_vector import observation_layout
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.share import share_directory
from humanoid_mujoco_ros.simulation.simulation import Simulation

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def robot():
    return RobotModel()


@pytest.fixture(scope="module")
def walk(robot):
    return Policy(checkpoint.load(policy_source.resolve("walk"), robot), robot)


class Robot:
    """The test in the robot's place: it sends observations and hears commands."""

    def __init__(self, graph):
        self.graph = graph
        self.commands = graph.listen(Float64MultiArray, "effort_controller/commands", 100)
        self.publisher = graph.node.create_publisher(Float64MultiArray, "observation", 1)

    def find_policy(self):
        self.graph.spin_until(lambda: self.publisher.get_subscription_count() == 1)

    def ask(self, observation):
        """Sends an observation and returns the command that answers it."""
        count = len(self.commands)
        self.publisher.publish(Float64MultiArray(data=list(observation)))
        self.graph.spin_until(lambda: len(self.commands) > count)
        return np.array(self.commands[-1].data)


def change_state(graph, transition):
    request = ChangeState.Request(transition=Transition(id=transition))
    return graph.call(ChangeState, "policy_node/change_state", request).success


def state(graph):
    return graph.call(GetState, "policy_node/get_state", GetState.Request()).current_state.id


def set_policy(graph, name):
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=name)
    request = SetParameters.Request(parameters=[Parameter(name="policy", value=value)])
    return graph.call(SetParameters, "policy_node/set_parameters", request).results[0]


def test_each_observation_is_answered_once_with_the_policys_efforts(graph, robot, walk):
    names = list(robot.joints)
    np.random.default_rng(0).shuffle(names)
    graph.start(
        "policy_node", {"ramp": 0.0, "observation_timeout": 0.0, "joints": f"[{', '.join(names)}]"}
    )
    stand_in = Robot(graph)
    stand_in.find_policy()
    simulation = Simulation(robot)
    current = simulation.state()
    for _ in range(50):
        command = stand_in.ask(current.observation)
        efforts = walk.efforts(current.observation)
        by_name = dict(zip(robot.joints, efforts, strict=True))
        np.testing.assert_allclose(command, [by_name[name] for name in names], atol=1e-3)
        current = simulation.step(efforts)
    graph.spin_for(0.2)
    assert len(stand_in.commands) == 50


def test_efforts_fade_in_after_activation(graph, robot, walk):
    graph.start("policy_node", {"ramp": 0.05, "observation_timeout": 0.0})
    stand_in = Robot(graph)
    stand_in.find_policy()
    observation = Simulation(robot).state().observation
    full = walk.efforts(observation)
    for fraction in (0.2, 0.4, 0.6, 0.8, 1.0, 1.0):
        np.testing.assert_allclose(stand_in.ask(observation), fraction * full, atol=1e-3)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda values: values[:-1], "observation has 375 values, expected 376"),
        (lambda values: [*values[:-1], float("nan")], "value 375 is nan"),
    ],
)
def test_a_bad_observation_means_zero_effort_and_an_error(graph, robot, spoil, reason):
    graph.start("policy_node", {"ramp": 0.0, "observation_timeout": 0.0})
    health = graph.health()
    stand_in = Robot(graph)
    stand_in.find_policy()
    observation = Simulation(robot).state().observation
    assert stand_in.ask(observation).any()
    assert not stand_in.ask(spoil(list(observation))).any()
    graph.spin_until(lambda: health.value("policy_node", "rejected_messages") == "1")
    assert reason in health.value("policy_node", "last_rejection")
    assert health.levels["policy_node"] == 2


def test_efforts_that_are_not_finite_never_leave(graph, robot, tmp_path):
    path = tmp_path / "overflow.safetensors"
    walk = checkpoint.load(policy_source.resolve("walk"), robot)
    walk.weights[-1][2, 0::2], walk.weights[-1][2, 1::2] = 3e38, -3e38
    walk.save(path)  # each weight is finite, and their sum with another sign is inf - inf
    graph.start("policy_node", {"ramp": 0.0, "observation_timeout": 0.0, "policy": path})
    health = graph.health()
    stand_in = Robot(graph)
    stand_in.find_policy()
    observation = Simulation(robot).state().observation
    assert np.isnan(Policy(walk, robot).efforts(observation)).any()
    for _ in range(3):
        np.testing.assert_array_equal(stand_in.ask(observation), np.zeros(17))
    graph.spin_until(lambda: health.value("policy_node", "rejected_messages") == "3")
    assert "the policy's answer is not finite: value" in health.value(
        "policy_node", "last_rejection"
    )
    assert health.levels["policy_node"] == 2


def test_a_stale_observation_means_one_zero_command_and_an_error(graph, robot):
    graph.start("policy_node", {"ramp": 0.05, "observation_timeout": 0.05})
    health = graph.health()
    stand_in = Robot(graph)
    stand_in.find_policy()
    observation = Simulation(robot).state().observation
    assert stand_in.ask(observation).any()
    graph.spin_until(lambda: len(stand_in.commands) == 2)
    assert not any(stand_in.commands[-1].data)
    graph.spin_until(lambda: health.levels.get("policy_node") == 2)
    assert "no observation for" in health.messages["policy_node"]
    assert len(stand_in.commands) == 2
    first = stand_in.ask(observation)  # it comes back: the ramp begins again
    # On a busy machine the next question may come too late as well.
    graph.spin_until(lambda: np.abs(stand_in.ask(observation)).max() > np.abs(first).max() > 0)


def test_the_lifecycle_loads_starts_and_stops(graph, robot):
    graph.start("policy_node", {"autostart": False, "observation_timeout": 0.0, "ramp": 0.0})
    stand_in = Robot(graph)
    assert state(graph) == State.PRIMARY_STATE_UNCONFIGURED
    assert change_state(graph, Transition.TRANSITION_CONFIGURE)
    assert change_state(graph, Transition.TRANSITION_ACTIVATE)
    assert state(graph) == State.PRIMARY_STATE_ACTIVE
    stand_in.find_policy()
    assert stand_in.ask(Simulation(robot).state().observation).any()
    count = len(stand_in.commands)
    assert change_state(graph, Transition.TRANSITION_DEACTIVATE)
    graph.spin_until(lambda: len(stand_in.commands) == count + 1)
    assert not any(stand_in.commands[-1].data)
    graph.spin_until(lambda: stand_in.publisher.get_subscription_count() == 0)


def test_a_policy_that_was_stopped_stays_so_when_its_node_is_started_again(graph, robot, tmp_path):
    parameters = {"run_directory": tmp_path, "observation_timeout": 0.0, "ramp": 0.0}
    policy = graph.start("policy_node", parameters)
    health = graph.health()
    stand_in = Robot(graph)
    stand_in.find_policy()
    observation = Simulation(robot).state().observation
    assert stand_in.ask(observation).any()
    assert change_state(graph, Transition.TRANSITION_DEACTIVATE)
    for _ in range(2):
        assert not change_state(graph, Transition.TRANSITION_DEACTIVATE)
    assert policy.poll() is None
    graph.spin_until(lambda: "stopped by deactivate" in health.messages.get("policy_node", ""))
    assert health.value("policy_node", "active") == "False"
    policy.kill()
    policy.wait()

    health.messages.clear()
    graph.start("policy_node", parameters)
    graph.spin_until(lambda: "stopped by deactivate" in health.messages.get("policy_node", ""))
    assert health.value("policy_node", "policy") == "walk"
    assert state(graph) == State.PRIMARY_STATE_INACTIVE
    assert change_state(graph, Transition.TRANSITION_ACTIVATE)
    stand_in.find_policy()
    assert stand_in.ask(observation).any()
    graph.spin_until(lambda: health.messages["policy_node"] == "ok")
    assert health.value("policy_node", "stopped_by") == ""


@pytest.fixture
def other(robot, tmp_path):
    """A policy that acts otherwise than walk, and its file."""
    path = tmp_path / "other.safetensors"
    changed = checkpoint.load(policy_source.resolve("walk"), robot)
    changed.biases[-1][:] += 0.05
    changed.save(path)
    return Policy(changed, robot), path


def test_the_parameter_switches_to_another_policy_at_once_and_refuses_a_wrong_one(
    graph, robot, walk, other
):
    other, path = other
    graph.start("policy_node", {"observation_timeout": 0.0, "ramp": 0.02})
    stand_in = Robot(graph)
    stand_in.find_policy()
    observation = Simulation(robot).state().observation
    first, second = walk.efforts(observation), other.efforts(observation)
    stand_in.ask(observation)
    np.testing.assert_allclose(stand_in.ask(observation), first, atol=1e-3)

    refused = set_policy(graph, "nonsense")
    assert not refused.successful
    assert "policy 'nonsense' is neither shipped nor a file" in refused.reason
    np.testing.assert_allclose(stand_in.ask(observation), first, atol=1e-3)

    assert set_policy(graph, str(path)).successful
    # The ramp of two commands leads from the one policy to the other.
    np.testing.assert_allclose(stand_in.ask(observation), (first + second) / 2, atol=1e-3)
    np.testing.assert_allclose(stand_in.ask(observation), second, atol=1e-3)
    assert "no policy to switch to" in set_policy(graph, "none").reason
    assert state(graph) == State.PRIMARY_STATE_ACTIVE

    # Before it is configured, the parameter only says what is to be loaded.
    assert change_state(graph, Transition.TRANSITION_DEACTIVATE)
    assert change_state(graph, Transition.TRANSITION_CLEANUP)
    assert not set_policy(graph, "nonsense").successful
    assert set_policy(graph, "balance").successful
    assert state(graph) == State.PRIMARY_STATE_UNCONFIGURED
    assert change_state(graph, Transition.TRANSITION_CONFIGURE)
    health = graph.health()
    graph.spin_until(lambda: health.value("policy_node", "policy") == "balance")


def test_the_command_line_switches_to_another_policy_while_the_robot_moves(
    graph, robot, walk, other, monkeypatch
):
    other, path = other
    graph.start("policy_node", {"observation_timeout": 0.0, "ramp": 0.0})
    stand_in = Robot(graph)
    stand_in.find_policy()
    observation = Simulation(robot).state().observation
    np.testing.assert_allclose(stand_in.ask(observation), walk.efforts(observation), atol=1e-3)
    monkeypatch.chdir(path.parent)  # so that the address has to be made absolute
    command = graph.spawn(
        [sys.executable, "-m", "humanoid_mujoco_ros.cli", "policy", "use", path.name]
    )
    graph.spin_until(lambda: command.poll() is not None)
    output, _ = command.communicate()
    assert (command.returncode, output.strip()) == (0, f"'{path}' is loaded")
    np.testing.assert_allclose(stand_in.ask(observation), other.efforts(observation), atol=1e-3)


def test_a_policy_whose_file_is_followed_changes_with_it(graph, robot, walk, other, tmp_path):
    other, path = other
    followed = tmp_path / "followed.safetensors"
    shutil.copy(policy_source.resolve("walk"), followed)
    parameters = {"observation_timeout": 0.0, "ramp": 0.0, "policy": followed, "follow": True}
    graph.start("policy_node", parameters)
    health = graph.health()
    stand_in = Robot(graph)
    stand_in.find_policy()
    observation = Simulation(robot).state().observation
    np.testing.assert_allclose(stand_in.ask(observation), walk.efforts(observation), atol=1e-3)

    followed.write_bytes(path.read_bytes()[:1000])
    graph.spin_until(lambda: "the old policy goes on" in health.messages.get("policy_node", ""))
    assert str(followed) in health.messages["policy_node"]
    np.testing.assert_allclose(stand_in.ask(observation), walk.efforts(observation), atol=1e-3)

    path.replace(followed)
    graph.spin_until(lambda: health.messages["policy_node"] == "ok")
    np.testing.assert_allclose(stand_in.ask(observation), other.efforts(observation), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("some.yaml", b"policy: walk\n", "names no file"),
        ("some.txt", b"policy: walk\n", "neither a .safetensors file of this package nor"),
        ("random.cleanrl_model", b"\x80\x02" + bytes(range(256)), "torch"),
        ("random.safetensors", bytes(range(256)), "not a safetensors file"),
    ],
)
def test_a_file_that_is_no_policy_shows_in_the_diagnostics(graph, tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    graph.start("policy_node", {"autostart": False, "policy": path})
    health = graph.health()
    assert not change_state(graph, Transition.TRANSITION_CONFIGURE)
    graph.spin_until(lambda: reason in health.messages.get("policy_node", ""))
    assert str(path) in health.messages["policy_node"]
    assert health.levels["policy_node"] == 2
    assert state(graph) == State.PRIMARY_STATE_UNCONFIGURED


def test_an_unknown_policy_is_one_clear_line_and_a_failed_start(graph):
    process = graph.start("policy_node", {"policy": "run"})
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "policy 'run' is neither shipped nor a file" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_policy_that_is_told_to_end_leaves_a_zero_command(graph, robot, number):
    policy = graph.start("policy_node", {"observation_timeout": 0.0, "ramp": 0.0})
    stand_in = Robot(graph)
    stand_in.find_policy()
    assert stand_in.ask(Simulation(robot).state().observation).any()
    policy.send_signal(number)
    graph.spin_until(lambda: len(stand_in.commands) == 2)
    assert not any(stand_in.commands[-1].data)
    output, _ = policy.communicate(timeout=60)
    assert policy.returncode == 0, output
    assert "Traceback" not in output


def test_killing_the_policy_leaves_the_robot_without_effort(graph):
    graph.start("simulation_node", {"command_timeout": 0.1, "on_fall": "stay"})
    states = graph.listen(JointState, "joint_states", 100)
    policy = graph.start("policy_node")
    graph.spin_until(lambda: states and np.abs(states[-1].effort).max() > 5.0)
    policy.send_signal(signal.SIGKILL)
    policy.wait()
    count = len(states)
    graph.spin_until(lambda: len(states) > count and not any(states[-1].effort))


def test_the_command_comes_once_per_observation_while_walking(graph):
    # In lockstep, since in real time a busy machine may skip one.
    commands = graph.listen(Float64MultiArray, "effort_controller/commands", 1000)
    graph.start("policy_node", {"mode": "lockstep"})
    graph.spin_until(lambda: graph.node.count_publishers("effort_controller/commands"))
    graph.spin_for(2.0)  # for discovery
    process = graph.start("simulation_node", {"mode": "lockstep", "duration": 2.0})
    graph.spin_until(lambda: process.poll() is not None)
    graph.spin_for(0.5)
    # Whether the last state is still answered depends on who ends first.
    assert len(commands) in (200, 201)


def constant_policy(path, robot, control):
    """Writes a policy that always answers with the same control of each motor, and returns it."""
    joints = tuple(robot.driven_joints)
    n = len(joints)
    card = PolicyCard(joints, 100.0, (InputTerm("joint_pos"),), ActionCard("effort"))
    checkpoint.Checkpoint(
        weights=(np.zeros((n, n), np.float32),),
        biases=(np.full(n, control, np.float32),),
        log_std=np.zeros(n, np.float32),
        joints=joints,
        model=robot.name,
        control_rate_hz=100.0,
        normalization="stored",
        observation_mean=np.zeros(n),
        observation_var=np.ones(n),
        input=checkpoint.CARD_INPUT,
        card=card,
    ).save(path)
    return path


def test_a_fall_switches_to_the_recovery_and_standing_still_switches_back(graph, robot, tmp_path):
    path = constant_policy(tmp_path / "push_up.safetensors", robot, 0.1)
    own = {"ramp": 0.05, "observation_timeout": 0.0, "recovery": path, "recover": True}
    graph.start("policy_node", own)
    health = graph.health()
    stand_in = Robot(graph)
    stand_in.find_policy()
    blocks = {block.name: block.slice for block in observation_layout(robot)}
    stands = Simulation(robot).state().observation

    def at(height_m, quaternion=(1.0, 0.0, 0.0, 0.0)):
        observation = stands.copy()
        observation[blocks["height"]], observation[blocks["orientation"]] = height_m, quaternion
        return observation

    def ask_often(observation, count):
        return [stand_in.ask(observation) for _ in range(count)]

    walking = ask_often(at(1.28), 6)[-1]
    pushing_up = 0.1 * robot.gear
    for share in (0.2, 0.4, 0.6, 0.8, 1.0):
        command = stand_in.ask(at(0.2, (0.7, 0.0, -0.7, 0.0)))
        np.testing.assert_allclose(command, walking + share * (pushing_up - walking), atol=1e-4)
    graph.spin_until(lambda: health.value("policy_node", "getting_up") == "True")
    assert health.messages["policy_node"] == "the robot is getting up"
    assert health.value("policy_node", "recovery") == str(path)
    for height_m in np.arange(0.3, 1.3, 0.1):
        np.testing.assert_allclose(stand_in.ask(at(height_m)), pushing_up, atol=1e-4)
    lead_in = round(LEAD_IN_S * robot.control_rate_hz)
    after = ask_often(at(1.28), 120 + lead_in)
    led_in = next(i for i, c in enumerate(after) if not np.allclose(c, pushing_up, atol=1e-4))
    assert 90 < led_in < 100  # the last steps up were high enough
    before = after[led_in + lead_in - 1]
    expected = before + 0.2 * (walking - before)
    np.testing.assert_allclose(after[led_in + lead_in], expected, atol=1e-3)
    np.testing.assert_allclose(after[-1], walking, atol=1e-3)
    graph.spin_until(lambda: health.value("policy_node", "recoveries") == "1")
    assert health.value("policy_node", "getting_up") == "False"
    assert health.messages["policy_node"] == "ok"


def test_a_robot_that_does_not_get_up_in_time_is_reset_and_starts_with_its_policy(
    graph, robot, tmp_path
):
    limp = constant_policy(tmp_path / "limp.safetensors", robot, 0.0)
    push_up = constant_policy(tmp_path / "push_up.safetensors", robot, 0.1)
    card = tmp_path / "faller.yaml"
    own = (share_directory("config") / "robots" / "humanoid.yaml").read_text()
    kept = [line for line in own.splitlines() if not line.startswith(("policy:", "recovery:"))]
    card.write_text("\n".join((*kept, f"policy: {limp}", f"recovery: {push_up}", "")))
    both = {"mode": "lockstep", "robot": card}
    commands = graph.listen(Float64MultiArray, "effort_controller/commands", 2000)
    health = graph.health()
    graph.start("policy_node", {**both, "recover": True})
    graph.spin_until(lambda: graph.node.count_publishers("effort_controller/commands"))
    graph.spin_for(2.0)  # for discovery
    on_fall = {"on_fall": "recover", "recovery_timeout": 2.0, "fall_reset_delay": 0.5}
    # It falls after 0.6 s, and lies when the run ends.
    process = graph.start("simulation_node", {**both, **on_fall, "duration": 6.5})
    graph.spin_until(lambda: process.poll() is not None)
    moving = [bool(np.any(command.data)) for command in commands]
    spans = [(recovers, len(list(group))) for recovers, group in itertools.groupby(moving)]
    assert [recovers for recovers, _ in spans[:5]] == [False, True, False, True, False], spans
    assert {count for recovers, count in spans[:4] if recovers} <= {199, 200, 201}, spans
    graph.spin_until(lambda: health.value("policy_node", "getting_up") == "True")
    assert health.messages["policy_node"] == "the robot is getting up"
    assert health.value("policy_node", "recoveries") == "0"
    assert change_state(graph, Transition.TRANSITION_DEACTIVATE)
    graph.spin_until(lambda: health.value("policy_node", "getting_up") == "False")
