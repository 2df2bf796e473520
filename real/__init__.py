"""The robot: real environments, drivers, safety layer, and a digital twin of arm, hand and objects."""
