"""Sections of the GPU check; see benchmarks/gpu_check.py."""
