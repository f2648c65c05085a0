"""Find one person across many cameras' recordings."""

import os

__version__ = "0.1.0"

# Official builds of ONNX Runtime tell Microsoft about models, from version 1.29 on also on Linux: they ask for this
# when they are loaded, and keep an id in the home folder. Nothing leaves the machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
