# SPDX-License-Identifier: Apache-2.0
"""Installs the package as ROS 2 expects it: nodes for `ros2 run`, launch and config files."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "humanoid_mujoco_ros"
SHARE = f"share/{NAME}"

# colcon runs this in the build folder, where only the files that setup.py reads are linked.
HERE = Path(__file__).resolve().parent


def files(pattern: str) -> list[str]:
    return sorted(str(path.relative_to(HERE)) for path in HERE.glob(pattern) if path.is_file())


# A file nodes/x_node.py is the node x_node: its main() runs it.
NODES = [Path(path).stem for path in files(f"{NAME}/nodes/*_node.py")]

setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["*/assets/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        ("bin", ["bin/humanoid"]),
        (SHARE, ["package.xml"]),
        (f"{SHARE}/config", files("config/*.yaml")),
        (f"{SHARE}/config/policies", files("config/policies/*.yaml")),
        (f"{SHARE}/config/robots", files("config/robots/*.yaml")),
        (f"{SHARE}/launch", files("launch/*.launch.py")),
        (f"{SHARE}/policies", files("policies/*.safetensors") + files("policies/*.training")),
        (f"{SHARE}/rviz", files("rviz/*.rviz")),
    ],
    entry_points={
        "console_scripts": [
            f"humanoid = {NAME}.cli:main",
            *[f"{node} = {NAME}.nodes.{node}:main" for node in NODES],
        ],
    },
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="humanoid_mujoco_ros maintainers",
    maintainer_email="maintainers@example.org",
    description="A MuJoCo humanoid that behaves on the ROS 2 graph as a physical robot would.",
    license="Apache-2.0",
)
