"""Layout and file names of each dataset for a tree of a few clips: clips to render, annotation files to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dfer_data.sources.class_labels import CREMAD_NAMES, DFEW_NAMES, MAFW_NAMES, RAVDESS_NAMES

_SCENES = (
    *("Action", "Argue", "Business", "Conflict", "Contest", "Crime", "Crisis", "DailyLife", "ElegantArt", "Experiment"),
    *("History", "Interview", "Liveshow", "Medicine", "OfficialEvent", "ScholarReport", "School", "Social", "Speech"),
    *("Talkshow", "Terror", "War"),
)
_MAFW_WORDS = {"angry": "anger", "happy": "happiness", "sad": "sadness"}
_CREMAD_CODES = dict(zip(CREMAD_NAMES, ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"), strict=True))


@dataclass(frozen=True)
class Take:
    """One clip to render."""

    number: int
    """Number from 0; it seeds all randomness of the clip."""
    emotion: str
    """Class name."""
    identity: int
    """Number of the person."""
    videos: tuple[str, ...] = ()
    """Paths to write the same video to, POSIX below the tree."""
    crops: str = ""
    """Folder of its face crops; empty if the dataset ships none."""
    frame_name: str = "{:05d}.jpg"
    """Format of the name of a crop, by its number from 1."""


@dataclass(frozen=True)
class DetailTree:
    """A small version of a dataset."""

    takes: tuple[Take, ...]
    """Clips to render, grouped by person so that each person is made once."""
    texts: Mapping[str, bytes]
    """Path -> content of the annotation files."""
    num_test_clips_by_fold: tuple[int, ...]
    """Number of test clips per fold."""
    width_px: int = 192
    """Width of the videos in pixels."""
    height_px: int = 128
    """Height of the videos in pixels."""


def _ferv39k(takes: int) -> DetailTree:
    """22 scenes; per scene one emotion with train and test clips; nested like the download; no header."""
    clips, lines = list[Take](), {"train": list[str](), "test": list[str]()}
    for scene_index, scene in enumerate(_SCENES):
        emotion = DFEW_NAMES[scene_index % len(DFEW_NAMES)]
        for take in range(2 * takes):
            folder = f"{scene}/{emotion.capitalize()}/{scene_index + take + 1:04d}"
            lines["test" if take >= takes else "train"].append(f"{folder} {emotion.capitalize()}")
            crops = f"2_ClipsforFaceCrop-002/2_ClipsforFaceCrop/{folder}"
            clips.append(Take(len(clips), emotion, scene_index % 5, crops=crops, frame_name="{}.jpg"))
    lists = {f"4_setups/All_scenes/{name}_All.csv": "\n".join(rows).encode() for name, rows in lines.items()}
    return _tree(clips, lists, num_test=[len(lines["test"])])


def _afew(takes: int) -> DetailTree:
    """Train and Val by emotion, videos as AVI, the organisers' crops outside the folders of emotions."""
    clips: list[Take] = []
    for split, points, num_takes in (("Train", "", 2 * takes), ("Val", "_Val", takes)):
        for emotion in DFEW_NAMES:
            for _ in range(num_takes):
                name = f"{7 * len(clips) + 1046280:09d}"
                faces = f"{split}_AFEW/AlignedFaces_LBPTOP_Points{points}/Faces/{name}"
                video = f"{split}_AFEW/{emotion.capitalize()}/{name}.avi"
                clips.append(Take(len(clips), emotion, len(clips) % 4, (video,), faces, name + "-{:03d}.jpg"))
    return _tree(clips, {}, num_test=[takes * len(DFEW_NAMES)])


def _mafw(takes: int) -> DetailTree:
    """Five folds of eleven emotions, ids with gaps, lists without a final newline, and lists with captions in GBK."""
    clips, test_lines = list[Take](), dict[int, list[str]]()
    for fold in range(1, 6):
        for emotion in MAFW_NAMES:
            for _ in range(takes):
                name = f"{19 + 7 * len(clips):05d}"
                test_lines.setdefault(fold, []).append(f"{name}.mp4 {_MAFW_WORDS.get(emotion, emotion)}")
                crops, video = f"data/frames/{name}", f"data/clips/{name}.mp4"
                clips.append(Take(len(clips), emotion, fold - 1, (video,), crops, name + "_{:04d}.png"))
    texts = {}
    for fold in test_lines:
        train_lines = [line for other in test_lines if other != fold for line in test_lines[other]]
        for split, lines in {"test": test_lines[fold], "train": train_lines}.items():
            captions = [line.replace(" ", "\t") + "\t他笑了。\tHe moves his face." for line in lines[1:]]
            path = "Train & Test Set/single/{}/set_" + f"{fold}/{split}.txt"
            texts[path.format("no_caption")] = "\n".join(lines).encode()
            texts[path.format("with_caption")] = "\r\n".join(captions).encode("gbk")
    return _tree(clips, texts, num_test=[len(lines) for lines in test_lines.values()])


def _cremad(takes: int) -> DetailTree:
    """One actor per fold, Flash videos, the list of all names."""
    clips, names = list[Take](), list[str]()
    for person, actor in enumerate((1001, 1019, 1037, 1055, 1073)):
        for emotion, code in _CREMAD_CODES.items():
            for sentence in ("IEO", "DFA", "ITH", "TIE", "MTI", "IWW")[:takes]:
                level = "XX" if emotion == "neutral" or sentence != "IEO" else "HI"
                names.append(f"{actor}_{sentence}_{code}_{level}")
                clips.append(Take(len(clips), emotion, person, (f"VideoFlash/{names[-1]}.flv",)))
    rows = "".join(f'{number},"{name}"\n' for number, name in enumerate(names, start=1))
    people = "".join(f'{actor},51,"Male","Caucasian","Not Hispanic"\n' for actor in (1001, 1019, 1037, 1055, 1073))
    texts = {
        "SentenceFilenames.csv": f'"Stimulus_Number","Filename"\n{rows}'.encode(),
        "VideoDemographics.csv": f'"ActorID","Age","Sex","Race","Ethnicity"\n{people}'.encode(),
    }
    return _tree(clips, texts, num_test=[6 * min(takes, 6)] * 5)


def _ravdess(takes: int) -> DetailTree:
    """One actor per fold, video-only speech, and per actor one name of a clip with sound and one of a song."""
    clips: list[Take] = []
    for person, actor in enumerate((1, 5, 9, 13, 17, 21)):
        for code, emotion in enumerate(RAVDESS_NAMES, start=1):
            for take in range(min(takes, 4)):
                sentence, repetition = 1 + take // 2, 1 + take % 2
                name = f"-01-{code:02d}-01-{sentence:02d}-{repetition:02d}-{actor:02d}.mp4"
                extra_names = [f"01{name}", f"02-02{name[3:]}"] if code == 1 and take == 0 else []
                videos = tuple(f"Actor_{actor:02d}/{filename}" for filename in (f"02{name}", *extra_names))
                clips.append(Take(len(clips), emotion, person, videos))
    return _tree(clips, {}, num_test=[len(RAVDESS_NAMES) * min(takes, 4)] * 6)


def _tree(clips: list[Take], texts: Mapping[str, bytes], *, num_test: list[int]) -> DetailTree:
    """Return the tree with clips grouped by person, because making a person takes longer than rendering a clip."""
    ordered = sorted(clips, key=lambda take: (take.identity, take.number))
    return DetailTree(tuple(ordered), texts, tuple(num_test))


TREES: Mapping[str, Callable[[int], DetailTree]] = MappingProxyType(
    {"ferv39k": _ferv39k, "afew": _afew, "mafw": _mafw, "cremad": _cremad, "ravdess": _ravdess}
)
"""Dataset -> function from the number of takes to its tree."""
