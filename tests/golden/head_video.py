"""Makes dfer_data/data/head.mp4 and head.json anew: a rendered head, and where its five points are.

python -m tests.golden.head_video
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import dfer_data
from dfer_data.synth.config import SynthConfig
from dfer_data.synth.expressions import perform
from dfer_data.synth.studio import encode, film, person_of
from dfer_data.weights.fetch import weights_file

NUM_FRAMES = 4


def main() -> None:
    """Write both files."""
    folder = Path(dfer_data.__file__).parent / "data"
    config = SynthConfig(width_px=320, height_px=240)
    rng = np.random.default_rng(0)
    person = person_of(weights_file("heads"), 3, 0)
    pictures, landmarks = film(person, "happy", perform("happy", rng), rng, config)
    encode(folder / "head.mp4", pictures[:NUM_FRAMES], crf=26)
    points = np.round(landmarks[:NUM_FRAMES].astype(float), 1).tolist()
    (folder / "head.json").write_text(json.dumps({"width_px": 320, "height_px": 240, "landmarks": points}) + "\n")


if __name__ == "__main__":
    main()
