# SPDX-License-Identifier: Apache-2.0
"""The report of a run whose figures are known, from bags that rosbags wrote."""

import base64
import html
import io
import json
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

from humanoid_mujoco_ros.bags.analysis import analyse
from humanoid_mujoco_ros.bags.charts import decimate
from humanoid_mujoco_ros.bags.errors import BagError
from humanoid_mujoco_ros.bags.reader import open_bag
from humanoid_mujoco_ros.bags.recorded_run import WHAT_IS_MISSED, read_run
from humanoid_mujoco_ros.bags.report import main

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


def test_distance_leaves_out_the_reset(figures):
    walked_s = synthetic_run.FALL_S + synthetic_run.DURATION_S - synthetic_run.RESET_S
    assert figures.distance_m == pytest.approx(walked_s * synthetic_run.SPEED_M_S, rel=0.01)
    assert figures.falls_s == pytest.approx([synthetic_run.FALL_S])
    # The fall is a jump of the synthetic body too.
    assert synthetic_run.RESET_S in figures.resets_s.round(6)


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
    run.pushes.times_s[:] -= 10.0
    try:
        assert np.isnan(analyse(run).pushes[0].fall_after_s)
    finally:
        run.pushes.times_s[:] += 10.0


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
    thinned = type(track)(track.times_s[keep], track.received_s[keep], track.values[keep])
    run.joint_states = thinned
    try:
        timing = analyse(run).timing
    finally:
        run.joint_states = track
    assert (timing.missing_ticks, timing.late_ticks) == (3, 2)


def test_episodes_and_their_returns(figures):
    assert [(e.number, e.reward) for e in figures.episodes] == [(0, 1234.0), (1, 777.0)]
    assert [e.fallen for e in figures.episodes] == [True, False]


def test_the_page_holds_the_figures_and_no_link(bag_path, tmp_path):
    page = page_of(bag_path, tmp_path / "report.html")
    for text in ("7.2", "fell 0.5 s later", "1,234", "torso", "the robot has fallen"):
        assert text in page
    assert "cannot show" not in page
    # Plotly's source names addresses; that none is asked for is tested in the browser.
    assert get_plotlyjs() in page
    content = page.replace(get_plotlyjs(), "")
    assert not re.search(r"""(src|href)=|https?://(?!www\.w3\.org)""", content)


def test_without_plotly_one_line_says_what_to_install(bag_path, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    assert main([str(bag_path), "-o", str(tmp_path / "report.html")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: charts need the Python package plotly")
    assert not (tmp_path / "report.html").exists()


def test_the_charts_hold_the_data_in_full(bag_path, run, tmp_path):
    page = page_of(bag_path, tmp_path / "report.html")
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    data = json.loads(text)
    arrays = [np.frombuffer(base64.b64decode(a), "<f4") for a in data["arrays"]]
    height = data["charts"][0]
    np.testing.assert_allclose(arrays[height["x"]], run.base.times_s, atol=1e-5)
    np.testing.assert_allclose(
        arrays[height["series"][0]["y"]], run.base.values[:, 2].astype(np.float32)
    )
    assert height["limits"] == [1.0]


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
    assert "cannot show" not in page
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


def test_hardware_that_stamps_nothing_is_placed_by_reception(run, bag_path, monkeypatch):
    monkeypatch.setattr("humanoid_mujoco_ros.bags.recorded_run._stamp_ns", lambda stamp: 0)
    with open_bag(bag_path) as bag:
        unstamped = read_run(bag)
    offset_s = unstamped.joint_states.times_s[0]
    np.testing.assert_allclose(
        unstamped.joint_states.times_s - offset_s, run.joint_states.times_s, atol=1e-5
    )


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
    x, (y, gap) = decimate(times_s, [values, np.full_like(values, np.nan)], 1000)
    assert len(x) == len(y) <= 1000
    assert (y.max(), y.min()) == (9.0, -9.0)
    assert x[np.argmax(y)] == pytest.approx(543.21, abs=2.0)
    assert np.all(np.diff(x) >= 0)
    assert np.isnan(gap).all()


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
        page.wait_for_selector(".js-plotly-plot .main-svg")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        charts = json.loads(page.locator("#data").text_content())["charts"]
        assert page.locator(".js-plotly-plot").count() == len(charts) == 14
        # A chart has ink in the colour of its line.
        for chart in charts:
            place = page.locator(f"#{chart['id']}")
            color = place.evaluate(
                """(place, name) => {
                    place.style.color = `var(--${name})`;
                    return getComputedStyle(place).color;
                }""",
                chart["series"][0]["color"],
            )
            expected = np.array([int(part) for part in re.findall(r"\d+", color)[:3]])
            image = Image.open(io.BytesIO(place.screenshot())).convert("RGB")
            assert (np.abs(np.array(image) - expected).max(axis=2) < 60).sum() > 50, chart
        # Zooming into one chart zooms all of them; the value under the cursor is written.
        page.evaluate("scrollTo(0, 0)")
        box = page.locator("#chart0 .nsewdrag").bounding_box()
        page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 50, steps=5)
        page.mouse.up()
        ranges = """() => Array.from(document.querySelectorAll('.js-plotly-plot'))
            .slice(0, 2).map((place) => place.layout.xaxis.range)"""
        assert page.evaluate(ranges) == [pytest.approx([2.0, 4.0], abs=0.05)] * 2
        page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 60)
        shown = [page.locator(f"#chart{i}-value").text_content() for i in (0, 1)]
        at_s = [float(re.search(r"at ([\d.]+) s", text)[1]) for text in shown]
        assert at_s == pytest.approx([2.8, 2.8], abs=0.1)  # 40 % of 2 s to 4 s
        page.mouse.dblclick(box["x"] + 0.5 * box["width"], box["y"] + 50)
        page.wait_for_function(f"({ranges})().every(([from, to]) => from === 0 && to > 7.9)")
        browser.close()
    assert requests == [output.as_uri()]
    assert complaints == []
