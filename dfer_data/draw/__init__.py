"""Faces drawn into pictures, contact sheets, annotated videos."""
