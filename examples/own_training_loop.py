"""Train a network in a plain PyTorch loop, choose an epoch on held-out clips, and write the test predictions.

python examples/own_training_loop.py dfer-demo/prepared/dfew-retinaface
"""

import argparse
import copy
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader

import dfer_data as dd
import lstpnet


def predict(model: torch.nn.Module, clips: dd.FaceClipDataset) -> dict[str, str]:
    """Return clip id -> name of the predicted class."""
    classes = clips.prepared.class_names
    predictions: dict[str, str] = {}
    with torch.inference_mode():
        for batch in DataLoader(clips, batch_size=8):
            numbers = model.eval()(batch.frames).argmax(1).tolist()
            predictions |= {clip_id: classes[n] for clip_id, n in zip(batch.clip_id, numbers, strict=True)}
    return predictions


def main() -> None:
    """Train, choose, predict."""
    torch.manual_seed(0)
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", default="dfer-demo/prepared/dfew-retinaface", help="prepared dataset")
    parser.add_argument("--fold", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--width", type=float, default=0.25, help="width of the network; 1 is the published one")
    parser.add_argument("--out", type=Path, default="predictions.csv")
    options = parser.parse_args()

    data = dd.open_dataset(options.data)
    ids = data.split(options.fold, seed=0)
    clips_of = partial(dd.FaceClipDataset, data, size_px=64, dtype=torch.float32)  # values in 0..1
    train = clips_of(clip_ids=ids.train, draw=dd.FrameDraw("train"))
    val, test = clips_of(clip_ids=ids.val), clips_of(clip_ids=ids.test)

    model = lstpnet.LSTPNet(len(data.class_names), width_multiplier=options.width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    best_share, best_weights = -1.0, model.state_dict()
    for epoch in range(1, options.epochs + 1):
        train.epoch = epoch  # draws other frames from each clip
        for batch in DataLoader(train, batch_size=8, shuffle=True, drop_last=True):
            loss = torch.nn.functional.cross_entropy(model.train()(batch.frames), batch.label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        predicted = predict(model, val)
        share = sum(name == data.clip(clip_id)["label"] for clip_id, name in predicted.items()) / len(predicted)
        print(f"epoch {epoch}: loss {loss.item():.2f}, {share:.0%} of {len(predicted)} held-out clips are right")
        if share > best_share:
            best_share, best_weights = share, copy.deepcopy(model.state_dict())

    model.load_state_dict(best_weights)
    rows = predict(model, test).items()
    options.out.write_text("clip_id,prediction\n" + "".join(f"{clip_id},{name}\n" for clip_id, name in rows))
    print(f"{options.out}: {len(rows)} test clips; score_predictions.py gives WAR and UAR")


if __name__ == "__main__":
    main()
