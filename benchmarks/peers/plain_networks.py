"""Other networks computed as their authors' code states them: the reference of benchmarks.

Written from the descriptions. The computation differs from dfer's in what makes a difference in time: clips stay in the
order (B, C, T, H, W) in memory, every ReLU and sum makes a new tensor, and attention is written out. Parameters have
the same names, so that one state dict fits both.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstpnet.models.c3d import C3D
from lstpnet.models.clip_network import ClipNetwork
from lstpnet.models.former_dfer import SpatialFormer
from lstpnet.models.hara_resnet import HaraBlock, HaraResNet18
from lstpnet.models.lstformer import Attention
from lstpnet.models.resnet import BasicBlock
from lstpnet.models.video_resnet import VideoBlock, VideoResNet
from lstpnet.models.videomae import JointAttention, VideoMAE, sine_positions


def plain_network(network: ClipNetwork) -> nn.Module:
    """Return a copy of a network, with its weights, that computes in the plain way."""
    plain = copy.deepcopy(network)
    for module in plain.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        for kind, forward in _FORWARDS.items():
            if type(module) is kind:
                module.forward = forward.__get__(module)
    return plain


_positions = functools.cache(sine_positions)
"""The authors' code has a table."""


def _video_block(self: VideoBlock, x: Tensor) -> Tensor:
    shortcut = x if self.downsample is None else self.downsample(x)
    return F.relu(self.conv2(self.conv1(x)) + shortcut)


def _video_resnet(self: VideoResNet, x: Tensor) -> Tensor:
    x = self.stem(x.transpose(1, 2).contiguous())
    for number in (1, 2, 3, 4):
        x = self.get_submodule(f"layer{number}")(x)
    return self.classify(F.adaptive_avg_pool3d(x, 1).flatten(1))


def _hara_block(self: HaraBlock, x: Tensor) -> Tensor:
    shortcut = x if self.downsample is None else self.downsample(x)
    out = F.relu(self.bn1(self.conv1(x)))
    return F.relu(self.bn2(self.conv2(out)) + shortcut)


def _hara(self: HaraResNet18, x: Tensor) -> Tensor:
    x = self.maxpool(F.relu(self.bn1(self.conv1(x.transpose(1, 2).contiguous()))))
    for number in (1, 2, 3, 4):
        x = self.get_submodule(f"layer{number}")(x)
    return self.classify(F.adaptive_avg_pool3d(x, 1).flatten(1))


def _c3d(self: C3D, x: Tensor) -> Tensor:
    x = x.transpose(1, 2).contiguous()
    for number, names in enumerate((("1",), ("2",), ("3a", "3b"), ("4a", "4b"), ("5a", "5b")), start=1):
        for name in names:
            x = F.relu(self.get_submodule(f"bn{name}")(self.get_submodule(f"conv{name}")(x)))
        x = self.get_submodule(f"pool{number}")(x)
    x = F.dropout(F.relu(self.fc6(x.reshape(len(x), -1))), training=self.training)
    return self.classify(F.dropout(F.relu(self.fc7(x)), training=self.training))


def _basic_block(self: BasicBlock, x: Tensor, num_frames: int) -> Tensor:
    shortcut = x if self.downsample is None else self.downsample(x)
    out = F.relu(self.bn1(self.conv1(x)))
    return F.relu(self.bn2(self.conv2(out)) + shortcut)


def _spatial(self: SpatialFormer, x: Tensor, num_frames: int) -> Tensor:
    x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
    for stage in (self.layer1, self.layer2, self.layer3):
        x = stage(x, num_frames)
    count, channels, height, width = x.shape
    tokens = x.reshape(count, channels, height * width).permute(0, 2, 1) + self.pos_embedding[:, : height * width]
    for layer in self.transformer:
        tokens = layer(tokens)
    x = self.layer4(tokens.permute(0, 2, 1).reshape(count, channels, height, width), num_frames)
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


def _attention(self: Attention, x: Tensor) -> Tensor:
    value = self._heads(x)[2]
    mixed: Tensor = self.to_out((self.weights(x) @ value).transpose(1, 2).flatten(2))
    return mixed


def _joint_attention(self: JointAttention, x: Tensor) -> Tensor:
    batch, num_tokens, dim = x.shape
    bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
    qkv = F.linear(x, self.qkv.weight, bias).reshape(batch, num_tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
    query, key, value = qkv[0] * (dim // self.num_heads) ** -0.5, qkv[1], qkv[2]
    out = (query @ key.transpose(-2, -1)).softmax(dim=-1) @ value
    mixed: Tensor = self.proj(out.transpose(1, 2).reshape(batch, num_tokens, dim))
    return mixed


def _videomae(self: VideoMAE, x: Tensor) -> Tensor:
    x = self.patch_embed(x.transpose(1, 2).contiguous())
    x = x + _positions(x.shape[1], x.shape[2])
    for block in self.blocks:
        x = block(x)
    return self.classify(self.fc_norm(x.mean(1)))


_FORWARDS: dict[type[nn.Module], Callable[..., Tensor]] = {
    VideoBlock: _video_block,
    VideoResNet: _video_resnet,
    HaraBlock: _hara_block,
    HaraResNet18: _hara,
    C3D: _c3d,
    BasicBlock: _basic_block,
    SpatialFormer: _spatial,
    Attention: _attention,
    JointAttention: _joint_attention,
    VideoMAE: _videomae,
}
