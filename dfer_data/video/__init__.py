"""Read frames from video files and image folders, find shot cuts, resize."""
