"""Networks, their export to ONNX, and the models that ship. Importing this package loads no torch."""
