"""Training losses: cross-entropy, weighted by class or difficulty, and terms from the field's papers.

| setting | source |
|---|---|
| `class_weights = inverse` | one over the number of a class's clips |
| `class_weights = effective` | Cui et al., CVPR 2019: (1 - beta) / (1 - beta ** n) |
| `focal_gamma` | Lin et al., ICCV 2017: each class's term times (1 - p) ** gamma |
| `intensity` | IAL, Li et al., AAAI 2023: -log(e^x_t / (e^x_t + e^x_max)), x_max the greatest other logit |
| `clustered` | after Jiang et al., ACM MM 2020 (EC-STFL): features near those of their class, far from others |
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from lstpnet.recipe import Recipe


def class_weights(counts: Sequence[int], *, kind: str, beta: float = 0.999) -> tuple[float, ...] | None:
    """Return one weight per class, with mean 1 over all clips; None for `none`. Classes without clips: 0."""
    if kind == "none":
        return None
    raw_weights = [0.0 if n == 0 else 1 / n if kind == "inverse" else (1 - beta) / (1 - beta**n) for n in counts]
    mean = sum(n * weight for n, weight in zip(counts, raw_weights, strict=True)) / sum(counts)
    return tuple(weight / mean for weight in raw_weights)


class TrainingLoss:
    """The loss of a recipe."""

    def __init__(self, recipe: Recipe, *, counts: Sequence[int], device: torch.device) -> None:
        """`counts`: number of training clips per class."""
        weights = class_weights(counts, kind=recipe.class_weights, beta=recipe.class_beta)
        self._weights = None if weights is None else torch.tensor(weights, device=device)
        self._smoothing, self._gamma = recipe.label_smoothing, recipe.focal_gamma
        self._intensity, self._clustered = recipe.intensity, recipe.clustered

    @property
    def needs_features(self) -> bool:
        """Whether the loss uses the vectors before the classifier."""
        return self._clustered > 0

    def __call__(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:
        """Return the mean loss over a batch.

        Args:
            logits: (B, num_classes) float32.
            targets: (B,) int64, or (B, num_classes) float32 rows that sum to 1.
            features: (B, D) float32, if `needs_features`.
        """
        if self._weights is None and self._gamma == 0:
            loss = functional.cross_entropy(logits, targets, label_smoothing=self._smoothing)
        else:
            loss = weighted_cross_entropy(
                logits, targets, weights=self._weights, gamma=self._gamma, smoothing=self._smoothing
            )
        if self._intensity > 0:
            loss = loss + self._intensity * intensity_aware(logits, targets)
        if self._clustered > 0 and features is not None:
            loss = loss + self._clustered * expression_clustered(features, targets)
        return loss


def weighted_cross_entropy(
    logits: Tensor, targets: Tensor, *, weights: Tensor | None, gamma: float, smoothing: float
) -> Tensor:
    """Return the mean over clips of sum_c t_c w_c (1 - p_c) ** gamma (-log p_c).

    Unlike torch's weighted cross-entropy, this divides by the number of clips, not by the sum of their weights, so that
    a clip has the same influence in every batch.
    """
    num_classes = logits.shape[1]
    soft = functional.one_hot(targets, num_classes).float() if targets.ndim == 1 else targets
    soft = soft * (1 - smoothing) + smoothing / num_classes
    log_p = logits.log_softmax(dim=1)
    terms = -soft * log_p
    if gamma > 0:
        terms = terms * (1 - log_p.exp()).clamp_min(0) ** gamma
    if weights is not None:
        terms = terms * weights
    return terms.sum(dim=1).mean()


def intensity_aware(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of -log(e^x_t / (e^x_t + e^x_max)): how far the label's logit exceeds its strongest rival."""
    label_logits = logits.gather(1, labels[:, None])
    rival_logits = logits.scatter(1, labels[:, None], -torch.inf).max(dim=1, keepdim=True).values
    return functional.softplus(rival_logits - label_logits).mean()


def expression_clustered(features: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over clips of their squared distance to their class, over that to the other classes.

    Distances are averaged over the batch's other clips. A clip that is the only one of its class in the batch, or whose
    class is the only one, does not count. The authors published no code: this interprets their idea, not their formula.
    """
    squared_distances = torch.cdist(features, features).square()
    is_same_class = labels[:, None] == labels[None, :]
    is_other_of_class = is_same_class & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    is_counted = is_other_of_class.any(dim=1) & ~is_same_class.all(dim=1)
    within = (squared_distances * is_other_of_class).sum(dim=1) / is_other_of_class.sum(dim=1).clamp_min(1)
    between = (squared_distances * ~is_same_class).sum(dim=1) / (~is_same_class).sum(dim=1).clamp_min(1)
    ratios = within / between.clamp_min(1e-6)
    return (ratios * is_counted).sum() / is_counted.sum().clamp_min(1)
