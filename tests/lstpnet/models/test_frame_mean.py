"""The mean over frames sees no order, and its parameters are those of torchvision's ResNet-18."""

from __future__ import annotations

import torch

from lstpnet.models.frame_mean import FrameMean


def test_the_order_of_frames_and_a_repetition_change_nothing() -> None:
    torch.manual_seed(0)
    model = FrameMean(width_multiplier=0.125).eval()
    clips = torch.rand(2, 4, 3, 32, 32)
    with torch.no_grad():
        logits = model(clips)
        torch.testing.assert_close(model(clips[:, [2, 0, 3, 1]]), logits)
        torch.testing.assert_close(model(clips.repeat(1, 2, 1, 1, 1)), logits)
        frames = torch.stack([model(clips[:, [number]]) for number in range(4)])
        torch.testing.assert_close(frames.mean(dim=0), logits)


def test_the_parameters_are_those_of_a_resnet_18() -> None:
    model = FrameMean(1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == 11_689_512
    assert len(model.state_dict()) == 122
    assert {"conv1.weight", "layer2.0.downsample.1.running_var", "layer4.1.bn2.bias", "fc.bias"} <= set(
        model.state_dict()
    )
