"""Batches on the device: prefetch, normalisation, augmentation."""
