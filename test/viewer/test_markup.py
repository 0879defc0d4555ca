# SPDX-License-Identifier: Apache-2.0
"""The panel's figures as HTML."""

import html

from humanoid_mujoco_ros.viewer.markup import health_html, note_html, number, tiles_html
from humanoid_mujoco_ros.viewer.readings import Readings


def test_a_figure_that_is_not_known_is_a_dash():
    assert number(float("nan"), "{:.1f}") == "–"
    assert number(1.25, "{:.2f}") == "1.25"
    assert tiles_html(Readings()).count("–") == 8


def test_a_robot_that_stands_has_no_minus_before_its_speed():
    assert "-0.00" not in tiles_html(Readings(forward_speed_m_s=-0.001))
    assert "-0.01" in tiles_html(Readings(forward_speed_m_s=-0.01))


def test_errors_come_before_warnings_and_a_few_of_them_are_enough():
    readings = Readings(
        errors=tuple(f"error {i}" for i in range(3)),
        warnings=tuple(f"policy_node: not active: stopped by {i}" for i in range(3)),
        is_policy_active=False,
    )
    shown = health_html(readings)
    assert shown.index("error 2") < shown.index("stopped by 0")
    assert "stopped by 1" not in shown


def test_who_controls_the_robot_is_told():
    active = Readings(policy="walk", is_policy_active=True)
    assert "policy 'walk' is in control" in html.unescape(health_html(active))
    assert "paused" in health_html(Readings(is_paused=True, is_policy_active=True))
    assert "robot seen" in health_html(Readings())


def test_text_of_others_is_no_html():
    assert "<script>" not in note_html("<script>") + health_html(Readings(errors=("<script>",)))
    assert note_html(None) == ""
