"""Measure on rendered heads how well `dfer audit --identity` tells who is who: precision, recall, and where it fails.

    python -m benchmarks.audit_identity [--people 20] [--work FOLDER] [--json FILE]
    python -m benchmarks.audit_identity --real [--work FOLDER] [--json FILE]

Films each head several times in other rooms and light, and some clips more with one change: dark, turned, half covered.
Prepares all with RetinaFace and embeds them as an audit does. The curve is over pairs of unchanged clips; for each
change, the pairs of a changed clip with the unchanged ones. Rendered heads are far more alike than people: see the page
of benchmarks before you read the figures as those of real faces. The average precision is measured for three and for
five faces per clip, and for distances in units of those of the two clips to all others.

`--real`: audits parts of a fifth of a second of the four videos of real people that the tests use, and prints the
distances within and between these videos.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from dfer_data import open_dataset, prepare
from dfer_data.auditing.face_embedding import NUM_EMBEDDED, embeddings_of
from dfer_data.auditing.identity import choose_limit, near_pairs, persons
from dfer_data.auditing.run import audit
from dfer_data.synth.config import SynthConfig
from dfer_data.synth.expressions import APEX, Performance, perform
from dfer_data.synth.studio import encode, film, person_of
from dfer_data.types import Floats, Image
from dfer_data.weights.fetch import weights_file
from lstpnet.reporting.multi_label.scores import average_precision
from tests.videos import fetch_videos

PLAIN, PLAIN_TAKES, CHANGED_TAKES = "plain", 10, 2
LIMITS = (0.16, 0.18, 0.20, 0.22, 0.24, 0.26, 0.28, 0.30, 0.33, 0.36, 0.40)
FIRST_PERSON = 500
"""Heads that no other benchmark shows."""
DFEW_CLIPS = 11_697
MORE_FACES = 5
"""Faces per clip, to compare with those of an audit."""
PART_SECONDS = 0.2
"""Length of a part of a real video: an audit needs fifty clips with faces, and the videos last 19 s together."""
Pictures = list[Image]
_CONFIG = SynthConfig(width_px=480, height_px=320)


def dark(pictures: Pictures, landmarks: Floats, *, gain: float) -> Pictures:
    """Return pictures with a share of their light."""
    return [np.asarray(picture * gain, np.uint8) for picture in pictures]


def covered(pictures: Pictures, landmarks: Floats) -> Pictures:
    """Return pictures in which a grey board covers one half of the face, from the nose outwards."""
    shown = []
    for picture, points in zip(pictures, landmarks, strict=True):
        changed, size = picture.copy(), float(np.linalg.norm(points[1] - points[0]))
        left, top = np.rint(points[2] - (0, 1.6 * size)).astype(int)
        corner = (left + round(1.6 * size), top + round(3.4 * size))
        cv2.rectangle(changed, (int(left), int(top)), tuple(map(int, corner)), (96, 96, 96), -1)
        shown.append(changed)
    return shown


CHANGES: Mapping[str, tuple[float, Callable[[Pictures, Floats], Pictures]]] = {
    PLAIN: (0.0, lambda pictures, landmarks: pictures),
    "dark 0.3": (0.0, partial(dark, gain=0.3)),
    "dark 0.12": (0.0, partial(dark, gain=0.12)),
    "turned 30": (30.0, lambda pictures, landmarks: pictures),
    "turned 50": (50.0, lambda pictures, landmarks: pictures),
    "half covered": (0.0, covered),
}
"""Change -> degrees by which the head is turned, and what is done to the pictures."""


def write_clip(path: Path, heads: Path, *, person: int, change: str, take: int) -> None:
    """Film a head with one change."""
    rng = np.random.default_rng((91, person, list(CHANGES).index(change), take))
    emotion = str(rng.choice(sorted(APEX)))
    acted = perform(emotion, rng)
    degrees, changed = CHANGES[change]
    yaw = acted.yaw + np.radians(degrees * float(rng.choice([-1, 1]))).astype(np.float32)
    performance = Performance(acted.intensity, acted.blink, yaw, acted.pitch, acted.roll, acted.onset)
    seed = np.random.default_rng(int(rng.integers(2**31)))
    pictures, landmarks = film(person_of(heads, person, 5), emotion, performance, seed, _CONFIG)
    encode(path, changed(pictures, landmarks), crf=23)


def figures(
    apart: npt.NDArray[np.float64], is_same: npt.NDArray[np.bool_], limit: float
) -> dict[str, float | int | None]:
    """Return precision and recall of the pairs within a limit."""
    near = apart <= limit
    right, named = int((near & is_same).sum()), int(near.sum())
    recall = round(right / max(1, int(is_same.sum())), 4)
    return {"limit": round(limit, 4), "pairs": named, "precision": round(right / named, 4) if named else None} | {
        "recall": recall
    }


def measured(vectors: Mapping[str, Floats]) -> dict[str, object]:
    """Return the curve of unchanged clips, what the audit would name, and the recall of each change."""
    facts = {clip_id: clip_id.removesuffix(".mp4").split("_") for clip_id in vectors}
    of_change = {change: [clip for clip, fact in facts.items() if fact[1] == change] for change in CHANGES}
    plain = of_change[PLAIN]
    stacked = np.stack([vectors[clip] for clip in plain])
    people = np.array([int(facts[clip][0]) for clip in plain])
    limit = choose_limit(stacked)
    pairs = list(near_pairs(stacked, None, limit.distance))
    groups = np.array(persons(stacked, pairs, limit.distance))
    upper = np.triu_indices(len(plain), 1)
    apart = distances(stacked)[upper]
    same = (people[:, None] == people[None])[upper]
    grouped = (groups[:, None] == groups[None])[upper]
    changes = {}
    for change, clips in of_change.items():
        if change == PLAIN or not clips:
            continue
        others = np.stack([vectors[clip] for clip in clips])
        between = np.linalg.norm(others[:, None].astype(np.float64) - stacked[None], axis=2)
        is_same = np.array([int(facts[clip][0]) for clip in clips])[:, None] == people[None]
        changes[change] = {
            "clips": len(clips),
            **figures(between, is_same, limit.distance),
            "same_median": round(float(np.median(between[is_same])), 3),
            "different_1_percent": round(float(np.percentile(between[~is_same], 1)), 3),
        }
    return {
        "clips": len(plain),
        "people": len(set(people.tolist())),
        "same_50_95_99": np.percentile(apart[same], (50, 95, 99)).round(3).tolist(),
        "different_1_5_50": np.percentile(apart[~same], (1, 5, 50)).round(3).tolist(),
        "curve": [figures(apart, same, each) for each in LIMITS],
        "chosen": asdict(limit) | figures(apart, same, limit.distance),
        "groups": {"pairs": int(grouped.sum()), "wrong": int((grouped & ~same).sum())}
        | {"recall": round(float((grouped & same).sum() / same.sum()), 4)},
        "changes": changes,
    }


def average_precisions(vectors: Mapping[str, Floats]) -> dict[str, float]:
    """Return the average precision of pairs of unchanged clips, by distance and by distance relative to others."""
    plain = [clip for clip in vectors if clip.removesuffix(".mp4").split("_")[1] == PLAIN]
    people = np.array([int(clip.split("_")[0]) for clip in plain])
    apart = distances(np.stack([vectors[clip] for clip in plain]))
    others = np.where(np.eye(len(plain), dtype=bool), np.nan, apart)
    relative = (apart - np.nanmean(others, axis=1)[:, None]) / np.nanstd(others, axis=1)[:, None]
    upper = np.triu_indices(len(plain), 1)
    is_same = (people[:, None] == people[None])[upper]
    ranked = {"distance": apart, "relative": relative + relative.T}
    return {name: round(average_precision(is_same, -values[upper]) or 0.0, 4) for name, values in ranked.items()}


def distances(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the distances between all rows."""
    return np.asarray(np.linalg.norm(vectors[:, None].astype(np.float64) - vectors[None], axis=2))


def real_people(work: Path) -> dict[str, object]:
    """Audit short parts of videos of real people, and return the distances between the faces of every two videos."""
    source = work / "source"
    source.mkdir(parents=True, exist_ok=True)
    for name, path in fetch_videos().items():
        if name != "no_face.mp4":
            (source / name).write_bytes(path.read_bytes())
    prepare("folder", source=source, out=work / "prepared", detector="retinaface", workers=1, clip_seconds=PART_SECONDS)
    summary = audit(work / "prepared", identity=True, keep_embeddings=True)
    kept = pd.read_parquet(work / "prepared/audit/embeddings.parquet")
    clips = open_dataset(work / "prepared").clips.set_index("clip_id").loc[kept["clip_id"]]
    video = clips["source_clip_id"].to_numpy()
    apart = distances(np.stack(kept["embedding"].to_numpy()))
    assert summary.limit is not None
    table: dict[str, object] = {}
    for a, b in combinations_with_replacement(dict.fromkeys(video), 2):
        pairs = np.triu(np.ones_like(apart, dtype=bool), 1) & (
            ((video == a)[:, None] & (video == b)[None]) | ((video == b)[:, None] & (video == a)[None])
        )
        spread = {
            name: round(float(value), 3)
            for name, value in zip(("least", "median", "most"), np.percentile(apart[pairs], (0, 50, 100)), strict=True)
        }
        named = int((apart[pairs] <= summary.limit.distance).sum())
        table[f"{a} and {b}"] = {"pairs": int(pairs.sum()), **spread, "within_limit": named}
    return {"clips": len(kept), "chosen": asdict(summary.limit), "named": summary.num_identity, "videos": table}


def rendered_people(work: Path, *, num_people: int) -> dict[str, object]:
    """Film heads unless that was done before, prepare and embed them."""
    if not (work / "prepared" / "dataset.json").is_file():
        source, heads = work / "source", weights_file("heads")
        source.mkdir(parents=True, exist_ok=True)
        for person in range(FIRST_PERSON, FIRST_PERSON + num_people):
            for change in CHANGES:
                for take in range(PLAIN_TAKES if change == PLAIN else CHANGED_TAKES):
                    path = source / f"{person}_{change}_{take}.mp4"
                    write_clip(path, heads, person=person, change=change, take=take)
        prepare("folder", source=str(source), out=str(work / "prepared"), detector="retinaface", workers=1)
    dataset = open_dataset(work / "prepared")
    seconds, precisions = {}, {}
    for num_faces in (NUM_EMBEDDED, MORE_FACES):
        begun = time.process_time()
        vectors = embeddings_of(dataset, num_faces=num_faces)
        seconds[num_faces] = (time.process_time() - begun) / len(vectors)
        precisions[num_faces] = average_precisions(vectors)
        if num_faces == NUM_EMBEDDED:
            result = measured(vectors)
    return {
        **result,
        "average_precision_by_faces": precisions,
        "seconds_per_clip_by_faces": {faces: round(each, 3) for faces, each in seconds.items()},
        "not_prepared": int((dataset.clips["status"] == "failed").sum()),
        "seconds_per_clip": round(seconds[NUM_EMBEDDED], 3),
        "dfew_core_hours": round(seconds[NUM_EMBEDDED] * DFEW_CLIPS / 3600, 2),
    }


def main() -> None:
    """Film, prepare, embed and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--real", action="store_true", help="measure on videos of real people instead")
    parser.add_argument("--work", type=Path, help="folder that is kept and used again; default: a temporary one")
    parser.add_argument("--json", type=Path, help="JSON file of the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder) / "work"
        result = real_people(work) if options.real else rendered_people(work, num_people=options.people)
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
