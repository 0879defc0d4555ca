"""The robot, its observation and its policies. Imports neither rclpy nor any ROS message."""
