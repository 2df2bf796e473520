"""The twin on the network: the arm's controller and the hand, as a robot's own are reached."""
