"""Change a prepared dataset without its videos: labels, own folds, clips that must go, the cut into shards."""
