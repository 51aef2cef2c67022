"""Weights on disk: checkpoints, the authors' files, ONNX, start weights, custom models."""
