"""Files for inference: MINDIR, ONNX, AIR, and the commands that compile them for Ascend chips."""
