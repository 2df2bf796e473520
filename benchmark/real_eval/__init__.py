"""The paper's evaluation: policies that fasten a nut or screw by themselves, on the twin or on the robot."""
