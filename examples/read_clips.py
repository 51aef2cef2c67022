"""Read clips of a prepared dataset: one by one, as a table of frames, and in batches.

python examples/read_clips.py dfer-demo/prepared/dfew-retinaface
"""

import argparse

from torch.utils.data import DataLoader

import dfer_data as dd

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    """Print what a dataset holds and the shapes that it gives."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", default="dfer-demo/prepared/dfew-retinaface", help="prepared dataset")
    parser.add_argument("--fold", type=int, default=3)
    parser.add_argument("--frames", type=int, default=8, help="frames per clip, an even number")
    options = parser.parse_args()

    data = dd.open_dataset(options.data)
    print(data)

    # The clips of a fold. Clips without a face cannot be read, so they are listed apart.
    clips = data.split(options.fold)
    print(f"{len(clips.train)} train, {len(clips.val)} held out, {len(clips.test)} test")

    # One clip as pixels (T, 3, H, W), and what is known of each of its stored frames.
    clip_id = clips.test[0]
    print(clip_id, data.clip(clip_id)["label"], data.read_clip(clip_id, num_frames=options.frames).shape)
    print(data.frames(clip_id)[["frame_index", "pts_seconds", "score", "x0", "y0"]].head(3))

    # Batches for a network that wants (B, C, T, H, W) and ImageNet's normalisation.
    dataset = dd.FaceClipDataset(
        data,
        clip_ids=clips.test,
        num_frames=options.frames,
        size_px=112,
        layout="CTHW",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )
    batch = next(iter(DataLoader(dataset, batch_size=4)))
    print(tuple(batch.frames.shape), batch.frames.dtype, batch.label.tolist())


if __name__ == "__main__":
    main()
