"""A package of the vendor SDK's name and shape, for the twin's hand; `real.hand_server --twin` puts it on the path."""
