"""The operator's page: a local web page for keyboard, gamepad, touch and WebXR, and the server behind it."""
