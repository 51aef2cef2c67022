"""From detections to aligned faces: keyframes, tracks, the subject, alignment, clips of a video."""
