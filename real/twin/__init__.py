"""The digital twin: a UR5e and an XHand in MuJoCo, with what the simplified tasks leave out."""
