"""The networks by name: what each reads, where it comes from, and which start weights exist for it; needs no torch.

registry.py builds them. A network takes some of the settings of network_config.py; those of LSTPNet are its own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dfer_data.errors import did_you_mean

DEFAULT_MODEL = "lstpnet"
NUM_FRAMES = 16
"""Frames of a clip in the published experiments."""
MIN_SIDE_PX = 32
_WIDTH_AND_DEPTH = ("width_multiplier", "depth")
_LSTPNET_SETTINGS = (
    *("width_multiplier", "attention", "temporal", "num_layers", "num_heads", "hidden_multiplier"),
    *("near_conv", "ffn_conv"),
)


@dataclass(frozen=True, kw_only=True)
class NetworkFacts:
    """What is known of a network before it is built."""

    name: str
    """Its name in recipes and in `build_model`."""
    title: str
    """What papers call it."""
    paper: str
    source: str
    """Repository and commit whose outputs it reproduces."""
    licence: str
    """Of that repository."""
    size_px: int
    """Side of the frames in the published experiments, in pixels."""
    exact_frames: int = 0
    """The only number of frames that it takes; 0: several."""
    frame_step: int = 1
    """The number of frames is a multiple of this."""
    least_px: int = MIN_SIDE_PX
    largest_px: int = 0
    """Largest side of a frame; 0: any."""
    size_step: int = 1
    """The side of a frame is a multiple of this."""
    input_norm: str = ""
    """Setting `input_norm` with which the published start weights were trained; empty: without a mean and deviation."""
    settings: tuple[str, ...] = _WIDTH_AND_DEPTH
    """Settings of network_config.py that it takes."""
    has_auxiliary: bool = False
    """Whether it has an auxiliary classifier, for the setting `auxiliary` of training."""
    start_weights: str = ""
    """Published start weights, with their licence; empty: trained from fresh weights."""
    needs_start_weights: bool = False
    """Whether most of its parameters keep the values of start weights, so that fresh ones would learn nothing."""
    extra: str = ""
    """Extra of dfer that it needs besides `train`; empty: none."""
    packages: tuple[str, ...] = ()
    """Modules of that extra."""

    @property
    def missing_packages(self) -> tuple[str, ...]:
        """Those modules that are not installed."""
        return tuple(name for name in self.packages if importlib.util.find_spec(name) is None)

    @property
    def frames_words(self) -> str:
        """Which numbers of frames it takes."""
        if self.exact_frames:
            return f"{self.exact_frames} frames"
        return "any number of frames" if self.frame_step == 1 else "an even number of frames"

    @property
    def short_frames(self) -> str:
        """The same in a word, for a table."""
        return f"{self.exact_frames}" if self.exact_frames else {1: "any", 2: "even"}[self.frame_step]

    @property
    def size_words(self) -> str:
        """Which sizes of a frame it takes."""
        if self.least_px == self.largest_px:
            return f"{self.least_px} px"
        words = f"a multiple of {self.size_step} px, " if self.size_step > 1 else ""
        upper = f"to {self.largest_px} px" if self.largest_px else "px or more"
        return f"{words}{self.least_px} {upper}"

    def takes_frames(self, num_frames: int) -> bool:
        """Whether it accepts clips of as many frames."""
        return num_frames == self.exact_frames if self.exact_frames else num_frames % self.frame_step == 0

    def takes_size(self, size_px: int) -> bool:
        """Whether it accepts frames with this side."""
        is_in_range = self.least_px <= size_px <= (self.largest_px or size_px)
        return is_in_range and size_px % self.size_step == 0


_Channels = tuple[float, float, float]
CHANNEL_NORMS: Mapping[str, tuple[_Channels, _Channels]] = MappingProxyType(
    {
        "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "kinetics": ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)),
        "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    }
)
"""`input_norm` -> mean and standard deviation of red, green and blue, of pixels in 0..1.

imagenet: VideoMAE, MAE-DFER; kinetics: torchvision's 3-D ResNets; clip: OpenAI's CLIP.
"""

_TORCHVISION = "torchvision 0.28"
_KINETICS_400 = "torchvision's on Kinetics-400; no licence stated"
_DFEW_OWNERS = "jiangxingxun/DFEW 7c1ba78"
_R2PLUS1D = "Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, CVPR 2018"


def _torchvision(name: str, title: str) -> NetworkFacts:
    return NetworkFacts(
        name=name,
        title=title,
        paper=_R2PLUS1D,
        source=_TORCHVISION,
        licence="BSD-3-Clause",
        size_px=112,
        input_norm="kinetics",
        start_weights=_KINETICS_400,
    )


_FACTS = (
    NetworkFacts(
        name=DEFAULT_MODEL,
        title="LSTPNet",
        paper="Lu et al., Long Short-Term Perception Network, Image and Vision Computing 142, 2024",
        source="LLFabiann/LSTPNet 6d8364d",
        licence="see that repository",
        size_px=224,
        settings=_LSTPNET_SETTINGS,
        start_weights="a ResNet-18 on MS-Celeb-1M; no licence stated",
    ),
    _torchvision("r3d_18", "R3D-18"),
    _torchvision("r2plus1d_18", "R(2+1)D-18"),
    _torchvision("mc3_18", "MC3-18"),
    NetworkFacts(
        name="hara-r3d18",
        title="3D ResNet-18",
        paper="Hara et al., Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?, CVPR 2018",
        source="kenshohara/3D-ResNets-PyTorch 540a0ea",
        licence="MIT",
        size_px=112,
        start_weights="that repository's on Kinetics-700; MIT",
    ),
    NetworkFacts(
        name="c3d",
        title="C3D with batch norms",
        paper="Tran et al., Learning Spatiotemporal Features with 3D Convolutional Networks, ICCV 2015",
        source=_DFEW_OWNERS,
        licence="none stated",
        size_px=112,
        exact_frames=NUM_FRAMES,
        least_px=112,
        largest_px=112,
        settings=("width_multiplier",),
    ),
    NetworkFacts(
        name="former-dfer",
        title="Former-DFER",
        paper="Zhao, Liu, Former-DFER: Dynamic Facial Expression Recognition Transformer, ACM MM 2021",
        source="zengqunzhao/Former-DFER 1b5ad6f",
        licence="MIT",
        size_px=112,
        exact_frames=NUM_FRAMES,
        largest_px=112,
    ),
    NetworkFacts(
        name="videomae-b16",
        title="VideoMAE ViT-B/16",
        paper="Tong et al., VideoMAE: Masked Autoencoders are Data-Efficient Learners, NeurIPS 2022",
        source="MCG-NJU/VideoMAE 14ef8d8, sunlicai/MAE-DFER 80b651d",
        licence="CC BY-NC 4.0, MIT",
        size_px=160,
        frame_step=2,
        size_step=16,
        input_norm="imagenet",
        settings=(*_WIDTH_AND_DEPTH, "drop_path", "head_scale"),
        start_weights="VideoMAE's; CC BY-NC 4.0, not for commercial use",
    ),
    NetworkFacts(
        name="m3dfel",
        title="M3DFEL",
        paper="Wang et al., Rethinking the Learning Paradigm for Dynamic Facial Expression Recognition, CVPR 2023",
        source="Tencent/TFace 171ec14 attribute/M3DFEL",
        licence="Apache-2.0",
        size_px=112,
        exact_frames=NUM_FRAMES,
        input_norm="kinetics",
        start_weights=_KINETICS_400,
    ),
    NetworkFacts(
        name="i3d",
        title="I3D",
        paper="Carreira, Zisserman, Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset, CVPR 2017",
        source=_DFEW_OWNERS,
        licence="none stated",
        size_px=224,
        exact_frames=NUM_FRAMES,
        least_px=224,
        largest_px=224,
        settings=("width_multiplier",),
    ),
    NetworkFacts(
        name="p3d63",
        title="P3D-63",
        paper="Qiu et al., Learning Spatio-Temporal Representation with Pseudo-3D Residual Networks, ICCV 2017",
        source=_DFEW_OWNERS,
        licence="none stated",
        size_px=160,
        exact_frames=NUM_FRAMES,
        least_px=160,
        largest_px=160,
    ),
    NetworkFacts(
        name="reslstm",
        title="ResNet-LSTM",
        paper="Jiang et al., DFEW: A Large-Scale Database for Recognizing Dynamic Facial Expressions, ACM MM 2020",
        source=_DFEW_OWNERS,
        licence="none stated",
        size_px=112,
        exact_frames=NUM_FRAMES,
        least_px=112,
        largest_px=112,
    ),
    NetworkFacts(
        name="gca",
        title="GCA (IAL)",
        paper="Li et al., Intensity-Aware Loss for Dynamic Facial Expression Recognition in the Wild, AAAI 2023",
        source="muse1998/IAL-for-Facial-Expression-Recognition 39a24b6",
        licence="MIT",
        has_auxiliary=True,
        size_px=112,
        exact_frames=NUM_FRAMES,
        least_px=112,
        largest_px=112,
    ),
    NetworkFacts(
        name="nr-dfernet",
        title="NR-DFERNet",
        paper="Li et al., NR-DFERNet: Noise-Robust Network for DFER, arXiv:2206.04975, 2022",
        source="muse1998/AI-DFERNet 1e0c8bb",
        licence="MIT",
        size_px=112,
        exact_frames=NUM_FRAMES,
        least_px=112,
        largest_px=112,
        settings=(*_WIDTH_AND_DEPTH, "neutral_class"),
    ),
    NetworkFacts(
        name="lgi-former",
        title="LGI-Former (MAE-DFER)",
        paper="Sun et al., MAE-DFER: Efficient Masked Autoencoder for Self-supervised DFER, ACM MM 2023",
        source="sunlicai/MAE-DFER 80b651d",
        licence="MIT",
        size_px=160,
        exact_frames=NUM_FRAMES,
        least_px=160,
        largest_px=160,
        input_norm="imagenet",
        settings=(*_WIDTH_AND_DEPTH, "drop_path", "head_scale"),
        start_weights="MAE-DFER's on VoxCeleb2; MIT",
    ),
    NetworkFacts(
        name="frame-mean",
        title="mean over frames (ours)",
        paper="none: a static ResNet-18 per frame, as this project's baseline",
        source="this project; torchvision's names",
        licence="this project's",
        size_px=112,
        input_norm="imagenet",
        settings=("width_multiplier",),
        start_weights="torchvision's ResNet-18 on ImageNet-1k; no licence stated",
    ),
    NetworkFacts(
        name="clip-vit",
        title="CLIP ViT with LoRA",
        paper="Radford et al., CLIP, ICML 2021; Hu et al., LoRA, ICLR 2022",
        source="transformers, peft",
        licence="Apache-2.0",
        size_px=224,
        exact_frames=NUM_FRAMES,
        largest_px=224,
        size_step=16,
        input_norm="clip",
        settings=(*_WIDTH_AND_DEPTH, "clip_tower", "adapter_rank"),
        start_weights="a folder of CLIP; its licence is printed",
        needs_start_weights=True,
        extra="frontier",
        packages=("transformers", "peft"),
    ),
)
NETWORKS: Mapping[str, NetworkFacts] = MappingProxyType({facts.name: facts for facts in _FACTS})
"""Name -> facts of the networks that can be built."""


@dataclass(frozen=True)
class Unpublished:
    """A network of the papers' tables whose authors published no code."""

    name: str
    paper: str
    stand_in: str
    """Recipe settings of this project's stand-in, which is another network; empty: none."""


UNPUBLISHED: Mapping[str, Unpublished] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Unpublished("stt", "Ma et al., Spatio-Temporal Transformer for DFER in the Wild, 2022", ""),
            Unpublished("resnet18-lstm", "ResNet18+LSTM in the tables of Former-DFER", "attention=none temporal=lstm"),
            Unpublished("resnet18-gru", "ResNet18+GRU in the tables of Former-DFER", "attention=none temporal=gru"),
        )
    }
)
"""Networks that cannot be reproduced; a stand-in is LSTPNet with these settings, and not the papers' network."""


def is_custom(model: str) -> bool:
    """Whether a recipe's `model` is code, `package.module:build`, and not a name."""
    return bool(model) and model not in NETWORKS


def facts_of_network(name: str) -> NetworkFacts:
    """Return the facts of a network; an empty name is LSTPNet. Raises KeyError for another name."""
    return NETWORKS[name or DEFAULT_MODEL]


def model_fault(name: str) -> str:
    """Return why a name without a colon is no network; empty for one that is."""
    if name in NETWORKS:
        return ""
    if (entry := UNPUBLISHED.get(name)) is not None:
        stand_in = f"; this project's stand-in, another network: --set {entry.stand_in.replace(' ', ' --set ')}"
        return f"{name} cannot be built: its authors published no code{stand_in if entry.stand_in else ''}"
    module = name.removesuffix(".py").replace("/", ".")
    if name.endswith(".py"):
        return f"model {name!r} is a file: name the module and what builds the network in it, as in {module}:build"
    guess = did_you_mean(name.lower().replace("_", "-"), NETWORKS) or did_you_mean(name.lower(), NETWORKS)
    return f"unknown model {name!r}{guess}; known: {', '.join(NETWORKS)}, or package.module:build"


def input_faults(name: str, *, num_frames: int, sizes_px: Sequence[int]) -> Iterator[str]:
    """Yield why a network does not take clips of `num_frames` frames, with sides of `sizes_px`."""
    facts = NETWORKS[name]
    if not facts.takes_frames(num_frames):
        yield f"num_frames = {num_frames}: model {name} takes {facts.frames_words}"
    for size_px in sizes_px:
        if not facts.takes_size(size_px):
            yield f"size_px = {size_px}: model {name} takes frames of {facts.size_words}"
