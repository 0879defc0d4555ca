# SPDX-License-Identifier: Apache-2.0
"""The figures of `humanoid bench`: histogram, report, and references that do the same work."""

import dataclasses
import json

import numpy as np
import pytest

from humanoid_mujoco_ros.bench import core, load
from humanoid_mujoco_ros.bench.graph import GraphFigures, falls_in
from humanoid_mujoco_ros.bench.hold import save_hold
from humanoid_mujoco_ros.bench.report import Figure, picture, to_json
from humanoid_mujoco_ros.policy.driver import Driver
from humanoid_mujoco_ros.robot.joint_map import JointMap
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.ros.latency_histogram import LatencyHistogram
from humanoid_mujoco_ros.simulation.simulation import Simulation


def test_a_histogram_keeps_percentiles_to_a_bin():
    latencies_s = np.random.default_rng(1).lognormal(-7.0, 0.8, 5000)
    histogram = LatencyHistogram(latencies_s)
    for percent in (1, 50, 99):
        expected_ms = np.percentile(latencies_s, percent) * 1e3
        assert histogram.percentile_ms(percent) == pytest.approx(expected_ms, rel=0.05)


def test_histograms_add_up_and_survive_as_text():
    first, second = LatencyHistogram([1e-3] * 3), LatencyHistogram([1e-2, 0.0, 1e9])
    total = LatencyHistogram.parse(str(first))
    total += LatencyHistogram.parse(str(second))
    assert total.count == 6
    assert total.shares([0.9, 1.1]) == pytest.approx([0.5])
    assert np.isnan(LatencyHistogram.parse("").percentile_ms(50))


def test_a_reference_that_went_another_way_is_refused():
    robot = RobotModel()
    driver = Driver(robot, JointMap(robot, {}), robot.driven_joints)
    driver.load("walk", sample=False, seed=0)
    drive = core.drive_of(robot, driver)
    core.step_raw(robot, drive)
    environment = core.humanoid_v4(robot)
    if environment is not None:
        core.step_gymnasium(environment, drive)
    start = dataclasses.replace(drive.start, qpos=robot.start_qpos)  # without the start's noise
    with pytest.raises(RuntimeError, match=r"mj_step ended .* away from where the policy drove to"):
        core.step_raw(robot, dataclasses.replace(drive, start=start))


def test_the_hold_policy_pulls_joints_back_at_its_own_rate(tmp_path):
    robot = RobotModel(ModelConfig(timestep_s=1e-3, steps_per_control=1, integrator="Euler"))
    path = tmp_path / "hold.safetensors"
    save_hold(path, robot, 1000.0)
    driver = Driver(robot, JointMap(robot, {}), robot.driven_joints)
    driver.load(str(path), sample=False, seed=0)
    qpos = robot.start_qpos.copy()
    qpos[robot.qpos_indices] += 0.1
    observation = Simulation(robot).set_state(qpos, np.zeros(robot.mj.nv)).observation
    assert (driver.answer(observation, np.zeros(3)) < 0).all()


def test_a_report_has_ratios_and_a_picture_without_any_latency():
    figure = Figure.against("loop", 3.0, "ms", ("ping-pong", 2.0), "≤ 1.3")
    histograms = {"loop": LatencyHistogram([1e-3, 1e-3, 2e-3]), "none": LatencyHistogram()}
    report = json.loads(json.dumps(to_json([figure], histograms)))
    assert report["figures"][0]["ratio"] == 1.5
    assert report["latencies_ms"]["none"]["p50"] is None
    assert "66.7 %" in picture(histograms).plain
    assert picture({"none": LatencyHistogram()}).plain == "no latency was measured"


def test_a_condition_that_ended_a_node_stays_in_the_table():
    results = {"40": "policy_node ended\nlines", "0": GraphFigures(factors=[1.0, 0.5], falls=2)}
    found = load.to_json(results)
    assert found[0] == {"condition": "40", "error": "policy_node ended\nlines"}
    assert (found[1]["falls"], found[1]["real_time_factor"]) == (2, 0.75)
    assert found[1]["worst_second"] == 0.5
    assert load.table(results).row_count == 2


@pytest.mark.parametrize(
    ("episode", "fallen", "falls"), [(0, False, 0), (0, True, 1), (2, True, 3)]
)
def test_a_fall_counts_whether_or_not_the_robot_is_up_again(episode, fallen, falls):
    assert falls_in({"episode": str(episode), "fallen": str(fallen)}) == falls
