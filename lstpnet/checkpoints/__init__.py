"""Model files: checkpoints, the authors' checkpoints, ONNX, start weights, custom models."""
