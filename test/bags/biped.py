# SPDX-License-Identifier: Apache-2.0
"""A robot of two driven joints and a passive one, with motors or with drives."""

MODEL = """<mujoco><worldbody><geom type="plane" size="9 9 1"/>
<body name="trunk" pos="0 0 1"><freejoint/><geom size=".1"/>
  <body pos="0 .1 0"><joint name="left" axis="0 1 0"/><geom size=".05" pos="0 0 -.2"/></body>
  <body pos="0 0 .2"><joint name="tail" axis="0 1 0"/><geom size=".03" pos="0 0 .1"/></body>
  <body pos="0 -.1 0"><joint name="right" axis="0 1 0"/><geom size=".05" pos="0 0 -.2"/></body>
</body></worldbody><actuator>{}</actuator></mujoco>"""
MOTORS = """<motor joint="right" gear="20" ctrlrange="-1 1"/>
<motor joint="left" gear="30" ctrlrange="-1 1"/>"""
DRIVES = """<position joint="right" kp="40"/><position joint="left" kp="60"/>"""
JOINTS = ["right", "left"]
"""Those that are driven, against the model's order."""


def write(folder, actuators):
    """The model's file in `folder`."""
    path = folder / "biped.xml"
    path.write_text(MODEL.format(actuators))
    return path
