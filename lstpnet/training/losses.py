"""Training losses: cross-entropy, weighted by class or difficulty, and terms from the field's papers.

| setting | source |
|---|---|
| `class_weights = inverse` | one over the number of a class's clips |
| `class_weights = effective` | Cui et al., CVPR 2019: (1 - beta) / (1 - beta ** n) |
| `focal_gamma` | Lin et al., ICCV 2017: each class's term times (1 - p) ** gamma |
| `intensity` | IAL, Li et al., AAAI 2023: -log(e^x_t / (e^x_t + e^x_max)), x_max the greatest other logit |
| `clustered`, `clustered_form = paper` | EC-STFL, Jiang et al., ACM MM 2020, Equation 9, with Euclidean distances |
| `clustered`, `clustered_form = code` | the official code of EC-STFL (CV-AC/ECSTFL, eaf8a60), with L1 distances |
| `targets = labels` | binary cross-entropy of each class, mean over classes |
| `votes_loss` | Dirichlet-multinomial likelihood of the votes, alpha = softplus(z) + 1; a 2026 preprint on DFEW |
| `auxiliary` | cross-entropy of the auxiliary classifier of the network of IAL's authors |
| `center` | center loss, Wen et al., ECCV 2016 (center_loss.py) |

The losses over vectors take those before the classifier, and each process's own batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lstpnet.models.network_config import DIRICHLET
from lstpnet.recipe import Recipe
from lstpnet.training.center_loss import CenterLoss
from lstpnet.training.distributed import ALONE, Group

_LEAST_SUM = 1e-12  # of distances between classes: vectors that are all equal give 0, not NaN
_CODE_EPSILON = 1e-6


def class_weights(counts: Sequence[int], *, kind: str, beta: float = 0.999) -> tuple[float, ...] | None:
    """Return one weight per class, with mean 1 over all clips; None for `none`. Classes without clips: 0."""
    if kind == "none":
        return None
    raw_weights = [0.0 if n == 0 else 1 / n if kind == "inverse" else (1 - beta) / (1 - beta**n) for n in counts]
    mean = sum(n * weight for n, weight in zip(counts, raw_weights, strict=True)) / sum(counts)
    return tuple(weight / mean for weight in raw_weights)


class TrainingLoss:
    """The loss of a recipe."""

    def __init__(self, recipe: Recipe, *, counts: Sequence[int], device: torch.device, group: Group = ALONE) -> None:
        """`counts`: number of training clips per class; `group`: the processes that share the centres of classes."""
        weights = class_weights(counts, kind=recipe.class_weights, beta=recipe.class_beta)
        self._weights = None if weights is None else torch.tensor(weights, device=device)
        self._is_binary = recipe.targets == "labels"
        self._smoothing, self._gamma = recipe.label_smoothing, recipe.focal_gamma
        self._is_dirichlet = recipe.votes_loss == DIRICHLET
        self._intensity, self._clustered = recipe.intensity, recipe.clustered
        self._clustered_form = recipe.clustered_form
        self._center, self._auxiliary = recipe.center, recipe.auxiliary
        self._center_loss = CenterLoss(len(counts), group=group) if recipe.center > 0 else None

    @property
    def needs_features(self) -> bool:
        """Whether the loss uses the vectors before the classifier, or auxiliary logits."""
        return self._clustered > 0 or self._center > 0 or self.needs_auxiliary

    @property
    def needs_auxiliary(self) -> bool:
        """Whether the loss uses auxiliary logits."""
        return self._auxiliary > 0

    def state(self) -> dict[str, Any]:
        """Return what the loss has learned, the centres of the classes; empty for a loss that learns nothing."""
        return {} if self._center_loss is None else self._center_loss.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        if self._center_loss is not None:
            self._center_loss.restore(state)

    def __call__(
        self, logits: Tensor, targets: Tensor, features: Tensor | None = None, auxiliary: Tensor | None = None
    ) -> Tensor:
        """Return the mean loss over a batch.

        Args:
            logits: (B, num_classes) float32.
            targets: (B,) int64, or (B, num_classes) float32: rows that sum to 1; for targets = labels 0..1; for the
                Dirichlet-multinomial loss numbers of votes.
            features: (B, D) float32, if `needs_features`.
            auxiliary: (B, num_classes) float32, if `needs_auxiliary`.

        The center loss then moves the centres of the batch's classes.
        """
        if self._is_binary:
            loss = functional.binary_cross_entropy_with_logits(logits, targets)
        elif self._is_dirichlet:
            loss = dirichlet_multinomial(logits, targets)
        elif self._weights is None and self._gamma == 0:
            loss = functional.cross_entropy(logits, targets, label_smoothing=self._smoothing)
        else:
            loss = weighted_cross_entropy(
                logits, targets, weights=self._weights, gamma=self._gamma, smoothing=self._smoothing
            )
        if auxiliary is not None:
            loss = loss + self._auxiliary * functional.cross_entropy(auxiliary, targets)
        if self._intensity > 0:
            loss = loss + self._intensity * intensity_aware(logits, targets)
        if self._clustered > 0 and features is not None:
            loss = loss + self._clustered * CLUSTERED_FORMS[self._clustered_form](features, targets)
        if self._center_loss is not None and features is not None:
            loss = loss + self._center * self._center_loss(features, targets)
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


def dirichlet_multinomial(logits: Tensor, votes: Tensor) -> Tensor:
    """Return the mean of -log DM(votes | alpha), the likelihood of a clip's votes under a Dirichlet over the classes.

    Args:
        logits: (B, num_classes) float, log alpha: those of a network with `is_dirichlet`.
        votes: (B, num_classes) float, the number of annotators per class; rows with 0 votes give 0.
    """
    alpha = logits.exp()
    total_alpha, total_votes = alpha.sum(dim=1), votes.sum(dim=1)
    log_likelihood = (total_votes + 1).lgamma() + total_alpha.lgamma() - (total_votes + total_alpha).lgamma()
    terms = (votes + alpha).lgamma() - alpha.lgamma() - (votes + 1).lgamma()
    return -(log_likelihood + terms.sum(dim=1)).mean()


def intensity_aware(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of -log(e^x_t / (e^x_t + e^x_max)): how far the label's logit exceeds its strongest rival."""
    label_logits = logits.gather(1, labels[:, None])
    rival_logits = logits.scatter(1, labels[:, None], -torch.inf).max(dim=1, keepdim=True).values
    return functional.softplus(rival_logits - label_logits).mean()


def clustered_as_paper(features: Tensor, labels: Tensor) -> Tensor:
    """Return EC-STFL's Equation 9: distances within the classes of a batch over those between its classes.

    Each pair (i, j) counts as its Euclidean distance over the number of clips of a class: of i's class within classes,
    of j's class between them. The paper does not name its norm. A batch of one class gives 0, with gradients of 0.
    """
    # exact distances; the fast way by a matrix product rounds small ones to 0
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    is_same_class = labels[:, None] == labels[None, :]
    class_sizes = is_same_class.sum(dim=1)  # (B,): clips of each clip's class, itself included
    within = (distances * is_same_class / class_sizes[:, None]).sum()
    between = (distances * ~is_same_class / class_sizes[None, :]).sum()
    return within / between.clamp_min(_LEAST_SUM) * (~is_same_class).any()


def clustered_as_code(features: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of EC-STFL's official code, which is not its Equation 9.

    Per clip: the mean L1 distance to its class, itself included, times the mean of the inverse L1 distances to the
    other classes, over one clip more than there are; the sum over clips is divided by B ** 2. A batch of one class
    gives 0, with gradients of 0.
    """
    distances = torch.cdist(features, features, p=1)
    is_same_class = labels[:, None] == labels[None, :]
    class_sizes = is_same_class.sum(dim=1)
    batch_size = len(labels)
    within = (distances * is_same_class).sum(dim=1) / (class_sizes + _CODE_EPSILON)
    inverse = (~is_same_class / (distances + _CODE_EPSILON)).sum(dim=1)
    return (within * inverse / (batch_size - class_sizes + 1 + _CODE_EPSILON)).sum() / batch_size**2


CLUSTERED_FORMS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {"paper": clustered_as_paper, "code": clustered_as_code}
)
"""`clustered_form` -> (features (B, D), labels (B,)) -> loss ()."""
