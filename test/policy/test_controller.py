# SPDX-License-Identifier: Apache-2.0
"""The controller's input, memory and gait clock; and the G1's, against a plain second version."""

import dataclasses
import math

import numpy as np
import pytest

from humanoid_mujoco_ros.policy.card import (
    ActionCard,
    CardError,
    Gait,
    InputTerm,
    PolicyCard,
    from_mapping,
)
from humanoid_mujoco_ros.policy.controller import Controller
from humanoid_mujoco_ros.policy.measurement import Measurement

JOINTS = ("hip", "knee")
CARD = PolicyCard(
    joints=JOINTS,
    control_rate_hz=50.0,
    inputs=(InputTerm("joint_pos"), InputTerm("last_action"), InputTerm("command")),
    action=ActionCard("position", scale=(0.5, 0.25), limit=2.0),
    default_joint_positions=(0.1, -0.1),
    command_ranges={"vx": (-0.5, 1.0)},
)
ZERO = np.zeros(3)


def measured(positions=(0.0, 0.0)):
    zero = np.zeros(2)
    return Measurement(
        np.ones(1), np.array((1.0, 0, 0, 0)), np.array(positions), ZERO, ZERO, zero, zero
    )


def echo(size):
    """A network that returns the first values of its input, and keeps what it was given."""
    seen = []

    def network(values):
        seen.append(values.copy())
        return values[:size]

    return network, seen


def test_targets_are_the_default_pose_plus_the_scaled_action():
    network, seen = echo(2)
    controller = Controller(CARD, network)
    targets = controller.targets(measured((0.4, 0.5)), ZERO)
    np.testing.assert_allclose(seen[0], (0.3, 0.6, 0, 0, 0, 0, 0), atol=1e-7)
    np.testing.assert_allclose(targets, (0.1 + 0.5 * 0.3, -0.1 + 0.25 * 0.6), atol=1e-7)


def test_the_last_action_is_remembered_within_its_limit_until_a_reset():
    network, seen = echo(2)
    controller = Controller(CARD, network)
    controller.targets(measured((9.0, 0.0)), ZERO)
    controller.targets(measured(), ZERO)
    np.testing.assert_allclose(seen[1][2:4], (2.0, 0.1), atol=1e-6)
    controller.reset()
    controller.targets(measured(), ZERO)
    np.testing.assert_array_equal(seen[2][2:4], (0.0, 0.0))


def test_commands_are_clipped_to_what_was_trained():
    network, seen = echo(2)
    controller = Controller(CARD, network)
    controller.targets(measured(), (3.0, 3.0, -3.0))
    np.testing.assert_array_equal(seen[0][-3:], (1.0, 3.0, -3.0))
    assert controller.clipped
    controller.targets(measured(), (1.0, 0.0, 0.0))
    assert not controller.clipped


def test_a_history_holds_the_last_values_the_oldest_first():
    network, seen = echo(2)
    card = dataclasses.replace(CARD, inputs=(InputTerm("joint_pos", 2.0, history=3),))
    controller = Controller(card, network)
    for value in (0.1, 0.2, 0.3, 0.4):
        controller.targets(measured((value, value)), ZERO)
    np.testing.assert_allclose(seen[0], (0.0, 0.4, 0.0, 0.4, 0.0, 0.4), atol=1e-7)
    np.testing.assert_allclose(seen[3][::2], (0.2, 0.4, 0.6), atol=1e-7)
    assert card.input_size(0) == 6


@pytest.mark.parametrize(("standing", "cosine"), [(None, 0.0), (math.pi, -1.0)])
def test_the_gait_clock_runs_while_a_walk_is_wanted(standing, cosine):
    network, seen = echo(2)
    card = dataclasses.replace(
        CARD,
        inputs=(InputTerm("phase_cos"), InputTerm("phase_sin")),
        gait=Gait(period_s=0.8, standing=standing),
        command_ranges={},
    )
    controller = Controller(card, network)
    walk = (0.5, 0.0, 0.0)
    for command in (ZERO, walk, walk, walk, ZERO, walk):
        controller.targets(measured(), command)
    np.testing.assert_allclose(seen[0], (cosine, cosine, 0, 0), atol=1e-6)
    for tick, values in enumerate(seen[1:4]):
        phase = 2.0 * math.pi * 0.02 * tick / 0.8
        expected = (math.cos(phase), -math.cos(phase), math.sin(phase), -math.sin(phase))
        np.testing.assert_allclose(values, expected, atol=1e-6)
    np.testing.assert_array_equal(seen[4], seen[0])
    np.testing.assert_array_equal(seen[5], seen[1])


GOOD = {
    "joints": list(JOINTS),
    "control_rate_hz": 50,
    "inputs": ["joint_pos", {"name": "joint_vel", "scale": 0.05}],
    "action": {"kind": "position", "scale": 0.25},
}


def test_a_card_is_read_from_a_mapping_and_from_its_own_json():
    import json

    card = from_mapping(GOOD)
    assert card.inputs == (InputTerm("joint_pos"), InputTerm("joint_vel", 0.05))
    assert card.action.scale == (0.25, 0.25)
    assert from_mapping(json.loads(card.to_json())) == card
    assert from_mapping({**GOOD, "task": None, "robot": None}) == card


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"inputs": ["tail"]}, "no input term 'tail'; the terms are"),
        ({"inputs": ["phase"]}, "input 'phase' needs a gait"),
        ({"inputs": []}, "no input terms"),
        ({"inputs": 3}, "inputs is '3', expected a list of terms"),
        ({"inputs": "joint_pos"}, "inputs is 'joint_pos', expected a list of terms"),
        ({"inputs": [{"scale": 2}]}, r"inputs\[0\] has no name"),
        (
            {"inputs": [{"name": "joint_pos", "scale": [1]}]},
            r"inputs\[0\]: scale is '\[1\]', expec",
        ),
        (
            {"inputs": [{"name": "joint_pos", "history": True}]},
            "history is 'True', expected a whol",
        ),
        ({"inputs": ["phase"], "gait": {"offsets": []}}, "input 'phase' needs a gait"),
        ({"gait": [1]}, r"gait is '\[1\]', expected keys such as period_s"),
        ({"gait": {"offsets": "ab"}}, "gait: offsets is 'ab', expected a list of numbers"),
        ({"gait": {"offsets": [0.0, float("inf")]}}, "the gait's offsets is not finite"),
        ({"gait": {"standing": "yes"}}, "gait: standing is 'yes', expected a number"),
        ({"gait": {"period_s": float("inf")}}, "period_s is inf, expected a finite time"),
        ({"joints": "abc"}, "joints is 'abc', expected a list of names"),
        ({"joints": ["hip", 3]}, r"joints\[1\] is '3', expected a text"),
        ({"task": ["walk"]}, r"task is '\['walk'\]', expected a text"),
        ({"robot": 7}, "robot is '7', expected a text"),
        ({"command_ranges": "all"}, "command_ranges is 'all', expected keys such as vx"),
        ({"command_ranges": {"vx": [0, 1, 2]}}, "command_ranges: vx has 3 numbers, expected two"),
        ({"command_ranges": {"vx": [float("nan"), 1]}}, r"vx\[0\] is 'nan', expected a number"),
        ({"action": "position"}, "action is 'position', expected keys such as kind"),
        ({"joints": ["hip", "hip"]}, "each once"),
        ({"control_rate_hz": "fast"}, "control_rate_hz is 'fast', expected a number"),
        ({"control_rate_hz": 0}, "expected more than 0"),
        ({"action": {"kind": "position", "scale": [1, 2, 3]}}, "3 values for 2 joints"),
        (
            {"action": {"kind": "position", "gain": 1}},
            "action has no key 'gain'; it has kind, scale",
        ),
        ({"action": {"kind": "velocity"}}, "expected effort or position"),
        ({"default_joint_positions": [0.0]}, "1 values for 2 joints"),
        ({"command_ranges": {"vz": [-1, 1]}}, "has no key 'vz'; it has vx, vy, yaw_rate"),
        ({"command_ranges": {"vx": [0.5, 1]}}, "has to hold zero"),
        ({"colour": "red"}, "the card has no key 'colour'"),
        (
            {"inputs": [{"name": "joint_pos", "history": 2.5}]},
            "history is '2.5', expected a whole number",
        ),
        (
            {"action": {"kind": "position", "limit": float("nan")}},
            "limit is 'nan', expected a number",
        ),
        ({"joints": None}, "the card lacks joints"),
    ],
)
def test_a_card_that_does_not_fit_is_refused_with_the_reason(change, match):
    with pytest.raises(CardError, match=match):
        from_mapping({**GOOD, **change})
