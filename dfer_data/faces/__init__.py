"""Turn detections into aligned faces: keyframes, tracks, subject, alignment, clips of a video."""
