# SPDX-License-Identifier: Apache-2.0
"""Files of a model that MuJoCo would read for ever are refused before it does."""

import os

import pytest

from humanoid_mujoco_ros.robot.errors import ModelError
from humanoid_mujoco_ros.robot.mjcf_files import MAX_COPIES, check_files
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel


def model(tmp_path, content, compiler=""):
    path = tmp_path / "robot.xml"
    path.write_text(f"<mujoco>{compiler}<worldbody>{content}</worldbody></mujoco>")
    return path


@pytest.mark.parametrize("name", ["pipe.xml", "folder"])
def test_an_include_that_is_no_regular_file_is_refused(tmp_path, name):
    os.mkfifo(tmp_path / "pipe.xml")
    (tmp_path / "folder").mkdir()
    (tmp_path / "part.xml").write_text(f'<mujoco><include file="{name}"/></mujoco>')
    path = model(tmp_path, '<include file="part.xml"/>')
    with pytest.raises(ModelError, match=f"{name} is not a regular file"):
        RobotModel(ModelConfig(model=str(path)))


def test_an_asset_that_is_a_pipe_is_refused(tmp_path):
    (tmp_path / "meshes").mkdir()
    os.mkfifo(tmp_path / "meshes" / "leg.stl")
    path = tmp_path / "robot.xml"
    path.write_text(
        '<mujoco><compiler meshdir="meshes"/><asset><mesh file="leg.stl"/></asset></mujoco>'
    )
    with pytest.raises(ModelError, match=r"leg\.stl is not a regular file"):
        RobotModel(ModelConfig(model=str(path)))


def test_a_file_that_includes_itself_ends(tmp_path):
    path = model(tmp_path, '<include file="robot.xml"/>')
    check_files(path)


@pytest.mark.parametrize("outer", [1, 1000])
def test_endless_copies_are_refused(tmp_path, outer):
    inner = 2 * MAX_COPIES // outer
    body = '<body><freejoint/><geom size=".1"/></body>'
    path = model(
        tmp_path,
        f'<replicate count="{outer}"><replicate count="{inner}">{body}</replicate></replicate>',
    )
    with pytest.raises(ModelError, match="replicates an element 20,000 times"):
        RobotModel(ModelConfig(model=str(path)))
