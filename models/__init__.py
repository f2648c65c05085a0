"""Networks, their export to ONNX, and the models that ship. Importing this package loads no torch."""

import reidapp  # noqa: F401 - before ONNX Runtime, which it keeps from telling others
