"""Leave out the gradients of biases that a batch norm subtracts again."""

from __future__ import annotations

from torch import nn

from lstpnet.models.resnet import BasicBlock


def freeze_dead_biases(model: nn.Module) -> None:
    """Keep the convolutions' biases before batch norms at their values, so that training spends no time on them.

    A batch norm that normalises by its batch subtracts them again: their gradients are rounding alone. Network and
    checkpoint keep them, with the values of the start (0, or the start weights'), and weight decay leaves them alone.
    Not for norms that keep their statistics (`freeze_norms`): these do not subtract a bias that changes.
    """
    for block in model.modules():
        if isinstance(block, BasicBlock):
            shortcut = [] if block.downsample is None else [block.downsample[0]]
            for convolution in (block.conv1, block.conv2, *shortcut):
                if isinstance(convolution, nn.Conv2d) and convolution.bias is not None:
                    convolution.bias.requires_grad_(False)
