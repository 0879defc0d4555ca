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


NODES = [
    "force_marker_node",
    "observation_node",
    "policy_node",
    "simulation_node",
    "viewer_node",
]
REQUIRES = [
    "gymnasium>=1.0",
    "jinja2>=3.1",
    "lz4>=4.0",
    "mcap>=1.2",
    "msgspec>=0.18",
    "mujoco>=4.0",
    "numpy>=1.26",
    "plotly>=6.0",
    "pyyaml>=6.0",
    "rich>=13.0",
    "rosbags>=0.11",
    "safetensors>=0.4",
    "trimesh>=4.0",
    "tyro>=1.0",
    "viser>=1.1",
    "websockets>=13.0",
    "zstandard>=0.22",
]
"""What the package needs of PyPI; what it needs of ROS is in package.xml."""
EXTRAS = {
    "onnx": ["onnxruntime>=1.17"],
    "hub": ["huggingface-hub>=0.23"],
    "train": ["matplotlib>=3.6", "tensorboard>=2.10", "torch>=2.1"],
    "test": [
        "imageio>=2.28",
        "onnx>=1.15",
        "packaging>=23.0",
        "pillow>=9.4",
        "playwright>=1.40",
        "pytest>=7.4",
        "pytest-cov>=4.0",
        "pytest-timeout>=2.1",
        "pytest-xdist>=3.0",
        "yourdfpy>=0.0.56",
    ],
}

setup(
    name=NAME,
    version="0.2.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed", "*/assets/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        ("bin", ["bin/humanoid"]),
        (SHARE, ["package.xml"]),
        (f"{SHARE}/config", files("config/*.yaml") + files("config/*.xml")),
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
    python_requires=">=3.11",
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    zip_safe=False,
    author="humanoid_mujoco_ros maintainers",
    maintainer="humanoid_mujoco_ros maintainers",
    maintainer_email="maintainers@example.org",
    description="A MuJoCo humanoid that behaves on the ROS 2 graph as a physical robot would.",
    license="Apache-2.0",
)
