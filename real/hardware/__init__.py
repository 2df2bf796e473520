"""Drivers of the robot: the arm by ur_rtde, the hand through the hand server, both together as one robot."""
