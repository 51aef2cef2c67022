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

from lstpnet.models.bottleneck import Bottleneck
from lstpnet.models.c3d import C3D
from lstpnet.models.clip_network import ClipNetwork
from lstpnet.models.convolutions import OverFrames3d, Pointwise3d
from lstpnet.models.dynamic_static import DynamicStaticNetwork
from lstpnet.models.former_dfer import SpatialFormer
from lstpnet.models.gca import GCA, GCABlock
from lstpnet.models.hara_resnet import HaraBlock, HaraResNet18
from lstpnet.models.i3d import I3D, ConvUnit
from lstpnet.models.lgi_former import CrossAttention
from lstpnet.models.lstformer import Attention
from lstpnet.models.m3dfel import M3DFEL
from lstpnet.models.nr_dfernet import NoiseRobustBlock, NRDFERNet
from lstpnet.models.p3d import P3D63, P3DBlock
from lstpnet.models.reslstm import ResNetLSTM
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


def _bottleneck(self: Bottleneck, x: Tensor) -> Tensor:
    shortcut = x if self.downsample is None else self.downsample(x)
    x = F.relu(self.bn1(self.conv1(x)))
    x = F.relu(self.bn2(self.conv2(x)))
    return F.relu(self.bn3(self.conv3(x)) + shortcut)


def _reslstm(self: ResNetLSTM, x: Tensor) -> Tensor:
    batch, num_frames = x.shape[:2]
    x = self.maxpool(F.relu(self.bn1(self.conv1(x.flatten(0, 1)))))
    for number in (1, 2, 3, 4):
        x = self.get_submodule(f"layer{number}")(x)
    x = F.avg_pool2d(x, 4, 1).reshape(batch, num_frames, -1)
    return self.classify(self.lstm(x)[0].reshape(batch, -1))


def _p3d_block(self: P3DBlock, x: Tensor) -> Tensor:
    shortcut = x if self.downsample is None else self.downsample(x)
    x = F.relu(self.bn1(self.conv1(x)))
    space = F.relu(self.bn2(self.conv2(x)))
    time = F.relu(self.bn3(self.conv3(x if self.kind == "B" else space)))
    out = self.bn4(self.conv4(time if self.kind == "A" else space + time))
    return F.relu(out + shortcut)


def _p3d(self: P3D63, x: Tensor) -> Tensor:
    x = self.maxpool(F.relu(self.bn1(self.conv1_custom(x.transpose(1, 2).contiguous()))))
    for number in (1, 2, 3):
        x = self.maxpool_2(self.get_submodule(f"layer{number}")(x))
    x = F.avg_pool2d(self.layer4(x.squeeze(2)), 5).flatten(1)
    return self.classify(F.dropout(x, training=self.training))


def _conv_unit(self: ConvUnit, x: Tensor) -> Tensor:
    return F.relu(self.bn(self.conv3d(x)))


def _i3d(self: I3D, x: Tensor) -> Tensor:
    x = self.Conv3d_1a_7x7(F.pad(x.transpose(1, 2).contiguous(), (2, 3, 2, 3, 2, 3)))
    x = F.max_pool3d(F.pad(x, (0, 1, 0, 1)), (1, 3, 3), (1, 2, 2))
    x = self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x))
    x = self._mixed(F.max_pool3d(F.pad(x, (0, 1, 0, 1)), (1, 3, 3), (1, 2, 2)), "3b", "3c")
    x = self._mixed(F.max_pool3d(F.pad(x, (0, 1, 0, 1, 0, 1)), 3, 2), "4b", "4c", "4d", "4e", "4f")
    x = self._mixed(self.MaxPool3d_5a_2x2(x), "5b", "5c")
    return self.classify(F.dropout(F.avg_pool3d(x, (2, 7, 7)).flatten(1), training=self.training))


def _m3dfel(self: M3DFEL, x: Tensor) -> Tensor:
    batch = x.shape[0]
    x = x.reshape(batch * 4, 4, *x.shape[2:]).transpose(1, 2).contiguous()
    x = self.lstm(self.backbone(x).reshape(batch, 4, -1))[0]
    query, key, value = (part.unflatten(2, (8, -1)).transpose(1, 2) for part in self.to_qkv(x).chunk(3, dim=2))
    attended = (query @ key.transpose(2, 3) * query.shape[3] ** -0.5).softmax(dim=3) @ value
    x = x * torch.sigmoid(self.norm(attended.transpose(1, 2).flatten(2)))
    return self.classify(self.pwconv(x).squeeze(1))


def _frame_maps(self: DynamicStaticNetwork, x: Tensor) -> Tensor:
    maps: Tensor = self.maxpool(F.relu(self.bn1(self.conv1(x.flatten(0, 1)))))
    return maps


def _gated(block: GCABlock, x: Tensor, num_frames: int) -> Tensor:
    shortcut = x if block.downsample is None else block.downsample(x)
    out = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
    return F.relu(out * block.gate(out, num_frames)[0] + shortcut)


def _gca(self: GCA, x: Tensor) -> Tensor:
    num_frames = x.shape[1]
    maps = _gated(self.layer2, _basic_block(self.layer1, _frame_maps(self, x), num_frames), num_frames)
    vectors = self.fused(_gated(self.layer3, maps, num_frames))
    return self.classify(self.transformer(vectors + self.positions[:, :15]).mean(dim=1))


def _nr_dfernet(self: NRDFERNet, x: Tensor) -> Tensor:
    maps, num_frames = _frame_maps(self, x), x.shape[1]
    for block in (self.layer1, self.layer2, self.layer3):
        maps = _basic_block(block, maps, num_frames)
    return self.classify(self._token(self.fused(maps)))


def _cross_attention(self: CrossAttention, x: Tensor, context: Tensor | None = None) -> Tensor:
    context = x if context is None else context
    query = F.linear(x, self.q.weight, self.q_bias).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
    bias = torch.cat([torch.zeros_like(self.v_bias), self.v_bias])
    key, value = F.linear(context, self.kv.weight, bias).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
    out = (query * query.shape[3] ** -0.5 @ key.transpose(2, 3)).softmax(dim=3) @ value
    mixed: Tensor = self.proj(out.transpose(1, 2).flatten(2))
    return mixed


_FORWARDS: dict[type[nn.Module], Callable[..., Tensor]] = {
    OverFrames3d: nn.Conv3d.forward,
    Pointwise3d: nn.Conv3d.forward,
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
    M3DFEL: _m3dfel,
    ConvUnit: _conv_unit,
    I3D: _i3d,
    P3DBlock: _p3d_block,
    P3D63: _p3d,
    Bottleneck: _bottleneck,
    ResNetLSTM: _reslstm,
    NoiseRobustBlock: _basic_block,
    GCA: _gca,
    NRDFERNet: _nr_dfernet,
    CrossAttention: _cross_attention,
}
