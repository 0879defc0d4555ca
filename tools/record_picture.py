# SPDX-License-Identifier: Apache-2.0
"""Makes the pictures of the README and of docs/browser.md: docs/walk.webp and docs/browser.png.

    make picture

The moving picture shows the scene at the speed of real time. It is recorded one control period
after another, since Chromium draws in software here and the simulation would outrun it.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from browser_stage import Stage, nodes, page, stage, wait_for_page
from PIL import Image
from std_srvs.srv import Trigger

from humanoid_mujoco_ros.bench.quiet_page import free_port

DOCS = Path(__file__).resolve().parents[1] / "docs"
MAX_BYTES = 3_000_000


@dataclass(frozen=True)
class PictureOptions:
    """Record the pictures of the browser view."""

    only: Literal["both", "moving", "still"] = "both"
    """Which picture."""
    policy: str = "walk"
    """Who controls the robot."""
    duration: float = 8.0
    """Length of the moving picture [s]."""
    frame_rate: float = 20.0
    """Frames per second of the moving picture."""
    start: float = 2.0
    """Simulated time at which it begins [s]."""
    push_at: float = 2.5
    """When the robot is pushed, from the beginning of the picture [s]."""
    push_force: int = 150
    """Size of the push [N]."""
    push_time: float = 0.2
    """Length of the push [s]."""
    push_direction: str = "left"
    """forward, back, left or right."""
    draw_time: float = 0.35
    """Wall time that a page gets to draw a frame [s]."""
    quality: int = 60
    """Of the WebP, 0 to 100."""
    domain_id: int = 45
    """ROS domain to do it in."""


def set_push(tab: Any, options: PictureOptions) -> None:
    """Fills in the push of the panel."""
    tab.get_by_role("combobox", name="Direction").click()
    tab.get_by_role("option", name=options.push_direction, exact=True).click()
    for label, value in (("Force (N)", options.push_force), ("Time (s)", options.push_time)):
        row = tab.get_by_text(label, exact=True)
        number = row.locator("xpath=following::input[@type='text'][1]")
        number.fill(str(value))
        number.press("Enter")


def canvas_box(tab: Any) -> dict[str, float]:
    """Where the scene is on the page."""
    box = tab.locator("canvas[data-engine]").first.bounding_box()
    # The panels throw a shadow on its edges.
    return {**box, "x": box["x"] + 8, "width": box["width"] - 16}


def record(the_stage: Stage, tab: Any, options: PictureOptions) -> list[Image.Image]:
    """The frames, taken at equal steps of simulated time."""
    clip = canvas_box(tab)
    period_s = 1.0 / options.frame_rate
    frames = []
    pushed = False
    the_stage.until(lambda: the_stage.sim_time_s >= options.start)
    tab.get_by_role("button", name="Pause", exact=True).click()
    step = the_stage.node.create_client(Trigger, "simulation/step")
    the_stage.until(step.service_is_ready)
    the_stage.spin(1.0)
    begin_s = the_stage.sim_time_s
    for i in range(round(options.duration * options.frame_rate)):
        if not pushed and i * period_s >= options.push_at:
            pushed = True
            tab.get_by_role("button", name="Push", exact=True).first.click()
        while the_stage.sim_time_s < begin_s + i * period_s - 1e-6:
            before_s = the_stage.sim_time_s
            step.call_async(Trigger.Request())
            the_stage.until(lambda before_s=before_s: the_stage.sim_time_s > before_s)
            the_stage.spin(0.04)  # the policy's answer, and the view's push
        the_stage.spin(options.draw_time)
        shot = tab.screenshot(clip=clip, type="png")
        frames.append(Image.open(io.BytesIO(shot)).convert("RGB"))
    return frames


def moving_picture(the_stage: Stage, options: PictureOptions) -> None:
    """Writes docs/walk.webp."""
    port = free_port()
    with nodes(
        simulation_node={"command_timeout": 2.0},
        policy_node={"policy": options.policy, "observation_timeout": 2.0},
        viewer_node={"port": port},
    ):
        wait_for_page(the_stage)
        with page(f"http://127.0.0.1:{port}", width=1215, height=420) as tab:
            set_push(tab, options)
            frames = record(the_stage, tab, options)
    path = DOCS / "walk.webp"
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 / options.frame_rate),
        loop=0,
        quality=options.quality,
        method=6,
    )
    size = path.stat().st_size
    print(f"{path.name}: {len(frames)} frames, {frames[0].size}, {size / 1e6:.2f} MB")
    if size > MAX_BYTES:
        sys.exit(f"error: {path.name} is larger than {MAX_BYTES / 1e6:g} MB")


def screenshot(the_stage: Stage, options: PictureOptions) -> None:
    """Writes docs/browser.png: the whole page while the mouse drags the robot."""
    port = free_port()
    the_stage.diagnostics.clear()
    with nodes(
        simulation_node={"command_timeout": 2.0},
        policy_node={"policy": options.policy, "observation_timeout": 2.0},
        viewer_node={"port": port},
    ):
        wait_for_page(the_stage)
        with page(f"http://127.0.0.1:{port}", width=1280, height=720) as tab:
            the_stage.spin(12.0)
            box = canvas_box(tab)
            x, y = box["x"] + 0.5 * box["width"], box["y"] + 0.44 * box["height"]
            tab.mouse.move(x, y)
            tab.mouse.down()
            for step in range(1, 5):
                tab.mouse.move(x + 14 * step, y - 6 * step)
            the_stage.spin(0.5)
            tab.screenshot(path=DOCS / "browser.png")
            tab.mouse.up()
    print("browser.png")


def main() -> None:
    """Records both."""
    options = tyro.cli(PictureOptions)
    with stage(options.domain_id) as the_stage:
        if options.only != "still":
            moving_picture(the_stage, options)
        if options.only != "moving":
            screenshot(the_stage, options)


if __name__ == "__main__":
    main()
