"""One adapter a dataset: where its videos, labels and folds lie."""
