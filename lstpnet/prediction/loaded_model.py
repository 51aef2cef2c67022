"""The Python interface of a trained model: predict clips and videos, extract features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from dfer_data.detect.registry import build_detector
from dfer_data.detect.video_settings import face_settings_of
from dfer_data.errors import UsageError
from dfer_data.loading.prepared import PreparedDataset, open_dataset
from dfer_data.shards.identity import OFFICIAL_SET
from lstpnet.batches.normalize import normalised
from lstpnet.checkpoints.model_settings import RuntimeName
from lstpnet.checkpoints.open_model import OpenedModel, open_model
from lstpnet.device import autocast_dtype, predicting
from lstpnet.evaluation.clip_logits import class_probabilities, require_finite
from lstpnet.evaluation.computation import with_runtime
from lstpnet.evaluation.cross_dataset import tested_clips
from lstpnet.evaluation.features import Features, features_of
from lstpnet.finished_runs import Run
from lstpnet.models.catalogue import input_faults
from lstpnet.models.clip_network import ClipNetwork
from lstpnet.prediction.video import Person, predict_video, with_folded_norms
from lstpnet.prediction.video_settings import Windows
from lstpnet.runs import SYNTHETIC_MODEL_NOTE


class LoadedModel:
    """A trained model, opened by `load_model`."""

    def __init__(self, opened: OpenedModel, device: torch.device, *, computed: OpenedModel | None = None) -> None:
        self._opened, self._fast, self._device = opened, with_folded_norms(computed or opened), device

    def __repr__(self) -> str:
        recipe = self._opened.recipe
        note = f"; {SYNTHETIC_MODEL_NOTE}" if self.is_synthetic else ""
        return f"LoadedModel({recipe.name}: {', '.join(self.class_names)}; {recipe.size_px} px, {self._device}{note})"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self._opened.class_names

    @property
    def is_synthetic(self) -> bool:
        """Whether the model was trained on rendered heads: its predictions then say nothing about real faces."""
        return self._opened.is_synthetic

    @property
    def size_px(self) -> int:
        """Height and width of the frames that the model was trained on, in pixels."""
        return self._opened.recipe.size_px

    def predict(self, clips: torch.Tensor | npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """Return the probabilities of clips.

        Args:
            clips: (B, T, 3, H, W), or one clip (T, 3, H, W), of aligned faces, RGB: uint8, or float in 0..1.

        Returns:
            (B, num_classes) float32; rows sum to 1, but for a model of several labels per clip.

        Raises:
            UsageError: the clips have another shape or type.
            NonFiniteError: the logits of some clips are not finite.
        """
        frames = _as_clips(clips, self._opened.model)
        recipe, remedy = self._fast.recipe, "predict fewer clips at once, or open the model with device='cpu'"
        with predicting(recipe, self._device, dtype=autocast_dtype(recipe, self._device), remedy=remedy):
            model = self._fast.model.to(self._device).eval()
            logits = model(normalised(frames.to(self._device), norm=self._fast.recipe.input_norm))
        require_finite(logits.float().cpu().numpy(), names=[f"clip {index}" for index in range(len(frames))])
        return class_probabilities(logits, recipe)

    def predict_video(
        self, path: Path | str, *, detector: str = "retinaface", windows: Windows | None = None
    ) -> list[Person]:
        """Predict the expression of every face in a video over time.

        Args:
            path: the video.
            detector: `retinaface` or `dlib`.
            windows: length and stride of the prediction windows; None: 2 s every 0.5 s.

        Returns:
            The persons in order of appearance; empty if no face is tracked for long enough.

        Raises:
            VideoError: no part of the video is usable.
        """
        config, weights_path = face_settings_of(detector)
        finder = build_detector(config, weights=weights_path)
        assert finder is not None
        resolved_windows = windows or Windows()
        return list(
            predict_video(
                Path(path), self._fast, detector=finder, config=config, windows=resolved_windows, device=self._device
            )
        )

    def features(self, data: PreparedDataset | Path | str, clip_ids: Sequence[str] | None = None) -> Features:
        """Return the classifier's input vectors of clips, and the backbone's vectors of their frames, if it has any.

        Args:
            data: a prepared dataset.
            clip_ids: clips of the dataset; None: every clip with a label and a face.

        Raises:
            UsageError: the model is a custom or an exported one, or there is no such clip.
        """
        model = self._opened.model
        if not isinstance(model, ClipNetwork):
            raise UsageError("only dfer's networks have features; this is a custom or an exported model")
        dataset = data if isinstance(data, PreparedDataset) else open_dataset(data)
        requested_ids = tested_clips(dataset, folds=(), fold_set=OFFICIAL_SET) if clip_ids is None else clip_ids
        rows = dataset.index(requested_ids)
        ids_with_face = [
            i for i, status in zip(requested_ids, rows["status"].to_pylist(), strict=True) if status != "failed"
        ]
        return features_of(model, dataset, ids_with_face, recipe=self._opened.recipe, device=self._device)


def _as_clips(clips: torch.Tensor | npt.NDArray[np.generic], model: nn.Module) -> torch.Tensor:
    """Return clips as (B, T, 3, H, W) uint8 or float32. Raises UsageError for what `model` does not take."""
    frames = torch.as_tensor(clips)
    frames = frames[None] if frames.ndim == 4 else frames
    if frames.ndim != 5 or frames.shape[2] != 3 or 0 in frames.shape:
        raise UsageError(f"clips have shape {tuple(frames.shape)}; expected (B, T, 3, H, W), at least one clip")
    if frames.dtype != torch.uint8 and not frames.is_floating_point():
        raise UsageError(f"clips are {frames.dtype}; expected uint8, or float in 0..1")
    if isinstance(model, ClipNetwork):
        faults = input_faults(model.name, num_frames=frames.shape[1], sizes_px=frames.shape[3:])
        if words := "; ".join(dict.fromkeys(faults)):
            raise UsageError(f"clips have shape {tuple(frames.shape)}: {words}")
    return frames if frames.dtype == torch.uint8 else frames.float()


def load_model(
    source: Run | Path | str,
    *,
    checkpoint: str = "last",
    trained_on: str | None = None,
    device: str | None = None,
    trust_model: bool = False,
    custom_model: str | None = None,
    runtime: RuntimeName = "torch",
) -> LoadedModel:
    """Open a trained model.

    Args:
        source: a run, its folder, an exported .onnx, or a checkpoint of the authors' code.
        checkpoint: for a run: `last`, `best`, `refit` or `test-best`.
        trained_on: for a checkpoint of the authors' code: `dfew`, `ferv39k` or `afew`, which sets its class order.
        device: `cuda`, `mps` or `cpu`; None: the best available.
        trust_model: run the custom model that a run names, from the source of its training.
        custom_model: `package.module:build` to run as the run's custom model instead.
        runtime: `torch`, or `openvino` for faster predictions of LSTPNet and exported models on a CPU.

    Raises:
        UsageError: there is no such model, it is code that is not trusted, or the runtime cannot compute it.
        CheckpointError, CorruptDataError: its files are damaged.
    """
    path = source.folder if isinstance(source, Run) else Path(source)
    if not path.exists():
        raise UsageError(f"{path}: no such run or model")
    options: dict[str, Any] = {"trained_on": trained_on, "trust_model": trust_model, "custom_model": custom_model}
    opened = open_model(path, checkpoint=checkpoint, **options)
    computed, torch_device = with_runtime(opened, runtime, device=device)
    return LoadedModel(opened, torch_device, computed=computed)
