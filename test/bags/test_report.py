# SPDX-License-Identifier: Apache-2.0
"""The report of a run whose figures are known, from bags that rosbags wrote."""

import dataclasses
import html
import io
import re
import shutil
import sys

import numpy as np
import pytest

pytest.importorskip("plotly")
pytest.importorskip("rosbags")

import synthetic_run
from PIL import Image
from plotly.offline import get_plotlyjs
from rosbags.rosbag2 import StoragePlugin

from humanoid_mujoco_ros.bags import charts
from humanoid_mujoco_ros.bags.analysis import analyse
from humanoid_mujoco_ros.bags.charts import decimate
from humanoid_mujoco_ros.bags.errors import BagError
from humanoid_mujoco_ros.bags.reader import open_bag
from humanoid_mujoco_ros.bags.recorded_run import WHAT_IS_MISSED, JointGroup, Track
from humanoid_mujoco_ros.bags.report import main
from humanoid_mujoco_ros.bags.run_reader import read_run

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def bag_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "walk"
    synthetic_run.write(path)
    return path


@pytest.fixture(scope="module")
def run(bag_path):
    with open_bag(bag_path) as bag:
        return read_run(bag)


@pytest.fixture(scope="module")
def figures(run):
    return analyse(run)


def page_of(bag_path, output):
    assert main([str(bag_path), "-o", str(output)]) == 0
    return output.read_text()


def test_time_begins_with_the_robots_first_state(run):
    assert run.joint_states.times_s[0] == 0.0
    assert run.duration_s == pytest.approx(synthetic_run.DURATION_S)
    # Commands carry no stamp: they are placed by the time of their reception.
    latency_s = synthetic_run.LATENCY_NS * 1e-9
    np.testing.assert_allclose(np.diff(run.commands.times_s)[:-1], 0.01, atol=1e-6)
    assert run.commands.received_s[0] - run.observations.received_s[0] == pytest.approx(latency_s)


def test_the_latency_of_position_commands_is_known_too(tmp_path, run):
    synthetic_run.write(tmp_path / "run", commands="position_controller/commands", duration_s=2.0)
    with open_bag(tmp_path / "run") as bag:
        driven = read_run(bag)
    assert not {name for name in driven.missing if name.endswith("commands")}
    latency_s = driven.commands.received_s[0] - driven.observations.received_s[0]
    assert latency_s == pytest.approx(synthetic_run.LATENCY_NS * 1e-9)
    with_none = tmp_path / "none"
    synthetic_run.write(with_none, without=["effort_controller/commands"], duration_s=1.0)
    with open_bag(with_none) as bag:
        assert "effort_controller/commands" in read_run(bag).missing


def test_distance_leaves_out_the_reset(figures):
    walked_s = synthetic_run.FALL_S + synthetic_run.DURATION_S - synthetic_run.RESET_S
    assert figures.distance_m == pytest.approx(walked_s * synthetic_run.SPEED_M_S, rel=0.01)
    assert figures.falls_s == pytest.approx([synthetic_run.FALL_S])
    # The fall is a jump of the synthetic body too.
    assert synthetic_run.RESET_S in figures.resets_s.round(6)


def test_getting_up_counts_once_the_body_stays_up(run):
    """Down from 2 to 4 s; then up for good, with dips, or because it was reset."""
    times_s = np.arange(0.0, 8.0, 0.01)
    values = np.zeros((len(times_s), 13))
    values[:, 3] = 1.0
    values[:, 2] = np.interp(times_s, (2.0, 2.5, 3.0, 4.0), (1.25, 0.3, 0.3, 1.25))

    def recoveries(values):
        base = Track(times_s, times_s, values)
        return analyse(dataclasses.replace(run, base=base, statuses=[])).recoveries

    assert recoveries(values) == 1
    dipping = values.copy()
    dipping[(times_s * 2 % 1 < 0.1) & (times_s > 4), 2] = 0.95
    assert recoveries(dipping) == 0
    reset = values.copy()
    reset[times_s >= 3.9, 0] = 3.0
    assert recoveries(reset) == 0


def test_pushes_and_how_they_were_taken(figures):
    first, second = figures.pushes
    assert (first.peak_n, second.peak_n) == synthetic_run.PUSH_N
    assert first.time_s == pytest.approx(synthetic_run.PUSH_S[0], abs=0.01)
    assert first.duration_s == pytest.approx(synthetic_run.PUSH_DURATION_S, abs=0.01)
    assert first.impulse_ns == pytest.approx(20.0, rel=0.02)
    assert first.link == "torso"
    # The fall is the second push's doing.
    assert first.outcome == "still up 2.3 s later, at the next push or the end"
    assert first.lowest_height_m == pytest.approx(1.3)
    assert second.fall_after_s == pytest.approx(0.5, abs=0.01)
    assert second.outcome == "fell 0.5 s later"
    assert second.lowest_height_m == pytest.approx(0.3)


def test_a_fall_long_after_a_push_is_not_its_doing(run):
    earlier = dataclasses.replace(run.pushes, times_s=run.pushes.times_s - 10.0)
    figures = analyse(dataclasses.replace(run, pushes=earlier))
    assert np.isnan(figures.pushes[0].fall_after_s)


def test_joints_against_their_limits(figures):
    knee, hip = figures.joints
    assert (knee.name, hip.name) == synthetic_run.JOINTS
    assert (knee.limits.lower, knee.limits.upper, knee.limits.effort) == (-1.5, 0.5, 40.0)
    assert np.isnan(hip.limits.upper)
    assert knee.highest == pytest.approx(0.5, abs=1e-3)
    assert knee.fastest == pytest.approx(3.0, abs=1e-2)
    assert (knee.saturated, hip.saturated) == (1.0, 0.0)
    assert hip.effort_rms == pytest.approx(1.0)


def test_feet(figures):
    assert figures.feet["left"].standing == pytest.approx(0.5, abs=0.01)
    assert figures.feet["left"].peak_n == pytest.approx(400.0)
    assert figures.feet["left"].steps_per_s == pytest.approx(2.0, abs=0.15)


def test_timing(figures):
    timing = figures.timing
    assert timing.period_s == pytest.approx(0.01)
    np.testing.assert_allclose(timing.periods_ms, 10.0)
    np.testing.assert_allclose(timing.latencies_ms, synthetic_run.LATENCY_NS * 1e-6)
    assert (timing.missing_ticks, timing.late_ticks) == (0, 0)
    assert timing.real_time_factor == pytest.approx(1.0)


def test_missing_ticks_are_counted(run):
    track = run.joint_states
    keep = np.ones(len(track), dtype=bool)
    keep[[100, 300, 301]] = False
    thinned = Track(track.times_s[keep], track.received_s[keep], track.values[keep])
    group = JointGroup(run.joint_groups[0].joints, thinned)
    timing = analyse(dataclasses.replace(run, joint_groups=[group])).timing
    assert (timing.missing_ticks, timing.late_ticks) == (3, 2)


def test_episodes_and_their_returns(figures):
    assert [(e.number, e.reward) for e in figures.episodes] == [(0, 1234.0), (1, 777.0)]
    assert [e.fallen for e in figures.episodes] == [True, False]


def test_the_page_holds_the_figures_and_no_link(bag_path, tmp_path):
    page = page_of(bag_path, tmp_path / "report.html")
    for text in ("7.2", "fell 0.5 s later", "1,234", "torso", "the robot has fallen"):
        assert text in page
    assert "What to know" not in page
    assert len(page) < 6e6
    # Plotly's source names addresses; that none is asked for is tested in the browser.
    assert get_plotlyjs() in page
    content = page.replace(get_plotlyjs(), "")
    assert not re.search(r"""(src|href)=|https?://(?!www\.w3\.org)""", content)


def test_without_plotly_one_line_says_what_to_install(bag_path, tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "humanoid_mujoco_ros.bags.sections", raising=False)
    monkeypatch.delitem(sys.modules, "humanoid_mujoco_ros.bags.charts", raising=False)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    assert main([str(bag_path), "-o", str(tmp_path / "report.html")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: a report needs the Python packages plotly and jinja2")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("topic", sorted(WHAT_IS_MISSED))
def test_a_bag_without_a_topic_gives_a_report_that_says_so(topic, tmp_path):
    path = tmp_path / "walk"
    synthetic_run.write(path, without={topic})
    page = html.unescape(page_of(path, tmp_path / "report.html"))
    assert f"{topic} is not in the bag: no {WHAT_IS_MISSED[topic]}" in page
    assert page.count("is not in the bag") == 1


def test_a_bag_of_nothing_known_gives_a_report(tmp_path):
    synthetic_run.write(tmp_path / "walk", without=WHAT_IS_MISSED)  # pushes are left
    page = page_of(tmp_path / "walk", tmp_path / "report.html")
    assert page.count("is not in the bag") == len(WHAT_IS_MISSED)


def test_an_sqlite_bag_of_another_namespace(tmp_path):
    synthetic_run.write(tmp_path / "walk", StoragePlugin.SQLITE3, namespace="/robot2")
    page = page_of(tmp_path / "walk", tmp_path / "report.html")
    assert "What to know" not in page
    assert "fell 0.5 s later" in page
    with (
        open_bag(tmp_path / "walk") as bag,
        pytest.raises(BagError, match="joint states are in /robot2"),
    ):
        read_run(bag, "robot3")


def test_of_two_robots_one_is_shown(tmp_path):
    path = tmp_path / "walk"
    with synthetic_run.Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        for namespace in ("/robot1", "/robot2"):
            robot = synthetic_run.Robot(bag, {"/diagnostics"}, namespace)
            robot.latch()
            for tick in range(50):
                robot.tick(tick)
    with open_bag(path) as bag:
        with pytest.raises(BagError, match=r"several robots.*--namespace: /robot1, /robot2"):
            read_run(bag)
        assert len(read_run(bag, "robot2").base) == 50


def test_a_cut_bag_gives_a_report_of_what_there_is(bag_path, tmp_path):
    cut = shutil.copytree(bag_path, tmp_path / "cut")
    (file,) = cut.glob("*.mcap")
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size // 2)
    page = page_of(cut, tmp_path / "report.html")
    assert "breaks off after" in page
    assert "Height of base_link" in page


def test_hardware_that_stamps_nothing_is_placed_by_reception(run, tmp_path):
    synthetic_run.write(tmp_path / "walk", stamp_ns=lambda tick: 0)
    with open_bag(tmp_path / "walk") as bag:
        unstamped = read_run(bag)
    times_s = unstamped.joint_states.times_s
    np.testing.assert_allclose(times_s, run.joint_states.times_s, atol=1e-5)
    assert "801 of 801 states of the robot carry no stamp" in unstamped.notes


def test_a_first_stamp_of_zero_is_a_missing_one(run, tmp_path):
    synthetic_run.write(
        tmp_path / "walk", stamp_ns=lambda tick: tick and 10**18 + synthetic_run.PERIOD_NS * tick
    )
    with open_bag(tmp_path / "walk") as bag:
        late = read_run(bag)
    for track, expected in ((late.joint_states, run.joint_states), (late.base, run.base)):
        np.testing.assert_allclose(track.times_s, expected.times_s, atol=1e-3)
    assert analyse(late).distance_m == pytest.approx(analyse(run).distance_m, rel=1e-3)
    assert "1 of 801 states of the robot carry no stamp" in late.notes


def test_a_clock_that_is_set_back_changes_no_figure(run, figures, tmp_path):
    def stamp_ns(tick):
        return synthetic_run.PERIOD_NS * (tick + 1 if tick < 250 else tick - 249)

    synthetic_run.write(tmp_path / "walk", stamp_ns=stamp_ns)
    with open_bag(tmp_path / "walk") as bag:
        reset = read_run(bag)
    assert any("set once, first back by 2.49 s at 2.50 s" in note for note in reset.notes)
    for track, expected in ((reset.joint_states, run.joint_states), (reset.base, run.base)):
        np.testing.assert_allclose(track.times_s, expected.times_s, atol=1e-3)
    again = analyse(reset)
    assert again.speed_m_s == pytest.approx(figures.speed_m_s, rel=0.01)
    assert again.falls_s == pytest.approx(figures.falls_s, abs=1e-3)


def test_states_of_another_clock_than_the_joints_are_placed_by_reception(run, tmp_path):
    def edit(topic, tick, content):
        if topic == "odom":
            content.header.stamp.sec += 1_000_000
        return content

    synthetic_run.write(tmp_path / "walk", edit=edit)
    with open_bag(tmp_path / "walk") as bag:
        other = read_run(bag)
    np.testing.assert_allclose(other.base.times_s[:-1], run.base.times_s[:-1], atol=1e-3)


def test_every_joint_is_shown_when_their_names_change(tmp_path):
    def edit(topic, tick, content):
        if topic == "joint_states" and tick % 4 == 0:
            content.name = ["wrist"]
            content.position = np.array([0.25])
            content.velocity = content.effort = np.empty(0)
        elif topic == "joint_states" and tick % 4 == 1:
            content.name = content.name[::-1]
        return content

    synthetic_run.write(tmp_path / "walk", edit=edit)
    with open_bag(tmp_path / "walk") as bag:
        run = read_run(bag)
    assert [group.joints for group in run.joint_groups] == [["hip", "knee"], ["wrist"]]
    assert [len(group.track) for group in run.joint_groups] == [600, 201]
    wrist = analyse(run).joints[2]
    assert (wrist.name, wrist.lowest, wrist.highest) == ("wrist", 0.25, 0.25)
    assert np.isnan(wrist.effort_peak)
    # The order of the names says which value is which.
    hip = run.joint_groups[0].track.values[:, 0, 0]
    assert set(hip[1:3]) == {0.1}
    assert any("2 different sets of joints" in note for note in run.notes)


@pytest.mark.parametrize("without", [(), ("/diagnostics",)])
def test_a_small_robot_falls_by_its_own_measure(without, tmp_path):
    synthetic_run.write(tmp_path / "walk", without=without, scale=0.2)
    with open_bag(tmp_path / "walk") as bag:
        run = read_run(bag)
    assert analyse(run).falls_s == pytest.approx([synthetic_run.FALL_S])
    # What the user says counts more.
    assert analyse(run, 0.01).falls_s.size == 0


def test_the_simulations_word_counts_more_than_the_height(tmp_path):
    def edit(topic, tick, content):
        if topic == "/diagnostics":
            for pair in content.status[0].values:
                pair.value = {"fallen": "False", "episode": "0"}.get(pair.key, pair.value)
        return content

    synthetic_run.write(tmp_path / "walk", edit=edit)
    with open_bag(tmp_path / "walk") as bag:
        assert analyse(read_run(bag)).falls_s.size == 0


def test_a_bag_that_is_none_is_refused_in_one_line(tmp_path, capsys):
    assert main([str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'none'} does not exist\n"


def test_a_page_that_cannot_be_written_is_refused_in_one_line(bag_path, tmp_path, capsys):
    assert main([str(bag_path), "-o", str(tmp_path / "no" / "page.html")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_thinning_keeps_the_extremes():
    times_s = np.arange(100_000) * 0.01
    values = np.sin(times_s)
    values[54_321] = 9.0
    values[12_345] = -9.0
    x, y = decimate(times_s, values, 1000)
    assert len(x) == len(y) <= 1000
    assert (y.max(), y.min()) == (9.0, -9.0)
    assert x[np.argmax(y)] == pytest.approx(543.21, abs=2.0)
    assert np.all(np.diff(x) >= 0)
    assert np.isnan(decimate(times_s, np.full_like(values, np.nan), 1000)[1]).all()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_draws_every_chart_in_a_browser(bag_path, tmp_path, scheme):
    sync_api = pytest.importorskip("playwright.sync_api")
    output = tmp_path / "report.html"
    page_of(bag_path, output)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": 1280, "height": 900}, color_scheme=scheme, offline=True
        )
        complaints, requests = [], []
        page.on("console", lambda line: complaints.append(line.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(output.as_uri())
        page.wait_for_function(
            "document.querySelectorAll('.js-plotly-plot .main-svg .scatterlayer').length > 3"
        )
        plots = page.locator(".js-plotly-plot")
        # Body, the way, joints, two histograms, the robot's own rates.
        assert plots.count() == 6
        for i in range(plots.count()):
            image = Image.open(io.BytesIO(plots.nth(i).screenshot())).convert("RGB")
            colors = [
                np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)])
                for color in (charts.BLUE, charts.GREEN)
            ]
            ink = [(np.abs(np.array(image) - c).max(axis=2) < 60).sum() for c in colors]
            assert max(ink) > 50, i
        # The text of the charts follows the page's scheme.
        tick = page.locator(".xtick text").first
        shade = re.findall(r"\d+", tick.evaluate("text => getComputedStyle(text).fill"))
        assert [int(part) for part in shade[:3]] == {
            "light": [92, 104, 120],
            "dark": [152, 163, 179],
        }[scheme]
        # Zooming into one chart zooms its neighbours in the card.
        joints = plots.nth(2)
        joints.scroll_into_view_if_needed()
        box = joints.locator(".nsewdrag").first.bounding_box()
        page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 20, steps=5)
        page.mouse.up()
        ranges = "plot => ['xaxis', 'xaxis2', 'xaxis3'].map(axis => plot.layout[axis].range)"
        assert joints.evaluate(ranges) == [pytest.approx([2.0, 4.0], abs=0.1)] * 3
        # The value under the cursor is written.
        page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 30)
        page.wait_for_selector(".hoverlayer text")
        page.mouse.dblclick(box["x"] + 0.5 * box["width"], box["y"] + 20)
        page.wait_for_function(
            f"({ranges})(document.querySelectorAll('.js-plotly-plot')[2])"
            ".every(([from, to]) => from <= 0 && to > 7.9)"
        )
        browser.close()
    assert requests == [output.as_uri()]
    assert complaints == []
