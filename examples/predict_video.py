"""Predict the expression of every face in a video, moment by moment.

python examples/predict_video.py VIDEO dfer-demo/runs/dfew-retinaface/demo/fold-3/seed-0

The demo's model was trained on rendered heads: its predictions say nothing about real faces.
"""

import argparse
from pathlib import Path

import lstpnet


def main() -> None:
    """Print one line per moment of each person."""
    parser = argparse.ArgumentParser()
    parser.add_argument("video", nargs="?", help="any video; without it, the first one of the demo")
    parser.add_argument("model", nargs="?", default="dfer-demo/runs/dfew-retinaface/demo/fold-3/seed-0", help="run")
    options = parser.parse_args()
    video = options.video or min(Path("dfer-demo/data/dfew/Clip/original").iterdir())

    model = lstpnet.load_model(options.model, device="cpu")
    print(model)
    persons = model.predict_video(video)
    print(f"{video}: {len(persons)} persons")
    for person in persons:
        print(f"person {person.number}, seen in {person.num_frames} frames")
        for moment in person.moments:
            best = int(moment.probabilities.argmax())
            print(
                f"  {moment.start_seconds:5.1f} to {moment.end_seconds:5.1f} s: "
                f"{model.class_names[best]} ({moment.probabilities[best]:.0%})"
            )


if __name__ == "__main__":
    main()
