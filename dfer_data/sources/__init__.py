"""One adapter per dataset: it finds the videos, labels and folds."""
