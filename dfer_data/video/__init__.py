"""Frames from video files and image folders, shot cuts, resizing."""
