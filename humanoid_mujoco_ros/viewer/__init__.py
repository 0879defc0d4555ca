"""The browser view: a scene and a panel, served by viser. It imports core, and no ROS."""
