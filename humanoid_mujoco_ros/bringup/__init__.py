"""Starts the graph where there is no `ros2 launch`."""
