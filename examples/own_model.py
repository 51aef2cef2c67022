"""Train a video network that wants (B, C, T, H, W) and ImageNet's normalisation, by `dfer train`'s own rules.

python examples/own_model.py dfer-demo/prepared/dfew-retinaface

Run it in the folder that holds examples/. The command line takes the same name:

dfer train --fold 3 --recipe demo --model examples.own_model:build --set input_norm=none
"""

import argparse

import torch
from torch import nn


class VideoNetwork(nn.Module):
    """A small 3-D network; replace it by any video network, such as torchvision's r3d_18 with your classes."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 16), (16, 32), (32, 64)):
            layers += [nn.Conv3d(inputs, outputs, 3, stride=(1, 2, 2), padding=1), nn.BatchNorm3d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(64, num_classes))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Map normalised clips (B, C, T, H, W) to logits (B, num_classes)."""
        logits: torch.Tensor = self.layers(clips)
        return logits


class FromDfer(nn.Module):
    """Give a video network the clips of dfer: (B, T, 3, H, W), RGB in 0..1."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Map clips (B, T, 3, H, W) to logits (B, num_classes)."""
        logits: torch.Tensor = self.network(((clips - self.mean) / self.std).transpose(1, 2))
        return logits


def build(num_classes: int) -> nn.Module:
    """Return the network; dfer calls this."""
    return FromDfer(VideoNetwork(num_classes))


if __name__ == "__main__":
    import lstpnet

    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", default="dfer-demo/prepared/dfew-retinaface", help="prepared dataset")
    parser.add_argument("--fold", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--out", default="runs-own-model")
    options = parser.parse_args()
    settings = {"model": "examples.own_model:build", "input_norm": "none", "epochs": options.epochs}
    run = lstpnet.train(options.data, fold=options.fold, recipe="demo", overrides=settings, out=options.out)
    row = lstpnet.report(run).rows[0]
    print(f"{row.n} test clips: WAR {row.war:.2%}, UAR {row.uar:.2%}")
