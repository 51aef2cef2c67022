"""Layout and file names of each dataset for a tree of a few clips: clips to render, annotation files to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dfer_data.sources.class_labels import (
    CAER_NAMES,
    CREMAD_NAMES,
    DFEW_NAMES,
    ENTERFACE05_NAMES,
    MAFW_COMPOUND_NAMES,
    MAFW_NAMES,
    MELD_NAMES,
    MER_NAMES,
    RAVDESS_NAMES,
)

_SCENES = (
    *("Action", "Argue", "Business", "Conflict", "Contest", "Crime", "Crisis", "DailyLife", "ElegantArt", "Experiment"),
    *("History", "Interview", "Liveshow", "Medicine", "OfficialEvent", "ScholarReport", "School", "Social", "Speech"),
    *("Talkshow", "Terror", "War"),
)
_NOUNS = {"angry": "anger", "happy": "happiness", "sad": "sadness"}
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
    """Five folds of eleven emotions."""
    clips = [(fold, emotion) for fold in range(1, 6) for emotion in MAFW_NAMES for _ in range(takes)]
    return _mafw_lists(clips, ("single",))


def _mafw_compound(takes: int) -> DetailTree:
    """Every single and compound emotion once a take, dealt to five folds; in the single lists, to other folds."""
    clips = [(1 + index % 5, name) for index, name in enumerate(MAFW_COMPOUND_NAMES) for _ in range(takes)]
    return _mafw_lists(sorted(clips), ("compound", "single"))


def _mafw_lists(folds_and_names: list[tuple[int, str]], subsets: tuple[str, ...]) -> DetailTree:
    """Ids with gaps, lists without a final newline, and lists with captions in GBK."""
    clips, texts = list[Take](), dict[str, bytes]()
    test_lines = {subset: dict[int, list[str]]() for subset in subsets}
    for fold, name in folds_and_names:
        clip_id = f"{19 + 7 * len(clips):05d}"
        words = [_NOUNS.get(word, word) for word in name.split("_")]
        for number, subset in enumerate(subsets):
            label = words[0] if subset == "single" else "_".join(words)
            test_lines[subset].setdefault(1 + (fold - 1 + number) % 5, []).append(f"{clip_id}.mp4 {label}")
        crops, video = f"data/frames/{clip_id}", f"data/clips/{clip_id}.mp4"
        clips.append(Take(len(clips), name.partition("_")[0], fold - 1, (video,), crops, clip_id + "_{:04d}.png"))
    for subset, lines_of in test_lines.items():
        texts |= _mafw_texts(subset, lines_of)
    return _tree(clips, texts, num_test=[len(lines) for lines in test_lines[subsets[0]].values()])


def _mafw_texts(subset: str, test_lines: Mapping[int, list[str]]) -> dict[str, bytes]:
    """Return the lists of one subset: path -> content."""
    texts = {}
    for fold in test_lines:
        train_lines = [line for other in test_lines if other != fold for line in test_lines[other]]
        for split, lines in {"test": test_lines[fold], "train": train_lines}.items():
            captions = [line.replace(" ", "\t") + "\t他笑了。\tHe moves his face." for line in lines[1:]]
            path = "Train & Test Set/" + subset + "/{}/set_" + f"{fold}/{split}.txt"
            texts[path.format("no_caption")] = "\n".join(lines).encode()
            texts[path.format("with_caption")] = "\r\n".join(captions).encode("gbk")
    return texts


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


def _enterface05(takes: int) -> DetailTree:
    """One subject per fold; folders with spaces, files of subject 11 named s12, a session of subject 6 not cut."""
    clips: list[Take] = []
    for person, subject in enumerate((1, 11, 20, 29, 38)):
        for emotion in ENTERFACE05_NAMES:
            folder, code = f"enterface database/subject {subject}/{_NOUNS.get(emotion, emotion)}", emotion[:2]
            for sentence in range(1, 1 + min(takes, 5)):
                path = f"{folder}/sentence {sentence}/s{12 if subject == 11 else subject}_{code}_{sentence}.avi"
                session = () if clips else ("enterface database/subject 6/anger/s6_an.avi",)
                clips.append(Take(len(clips), emotion, person, (path, *session)))
    return _tree(clips, {}, num_test=[len(ENTERFACE05_NAMES) * min(takes, 5)] * 5)


def _caer(takes: int) -> DetailTree:
    """Three splits by emotion; numbers begin anew in each folder."""
    clips: list[Take] = []
    for part in ("train", "validation", "test"):
        for emotion in CAER_NAMES:
            word = {"angry": "Anger"}.get(emotion, emotion.capitalize())
            for number in range(1, 1 + takes):
                path = f"CAER/{part}/{word}/{number:04d}.avi"
                clips.append(Take(len(clips), emotion, len(clips) % 4, (path,)))
    return _tree(clips, {}, num_test=[takes * len(CAER_NAMES)])


def _meld(takes: int) -> DetailTree:
    """Three splits whose ids begin anew; two cuts of a test clip, a file in no list, quotes of Windows' own code."""
    clips, texts = list[Take](), dict[str, bytes]()
    folders = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
    header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
    for part, folder in folders.items():
        rows = [header]
        for number, emotion in enumerate(MELD_NAMES * takes):
            name = f"dia{number // 3}_utt{number % 3}.mp4"
            cuts = [name, f"final_videos_test{name}", "dia99_utt0.mp4"] if part == "test" and not number else [name]
            clips.append(Take(len(clips), emotion, len(clips) % 4, tuple(f"MELD.Raw/{folder}/{cut}" for cut in cuts)))
            word = {"happy": "joy"}.get(emotion, _NOUNS.get(emotion, emotion))
            place = f"{number // 3},{number % 3},8,{1 + number // 3}"
            rows.append(
                f'{number + 1},"Oh, I don\u2019t know.",Ross,{word},neutral,{place},"0:16:16,059","00:16:21,731"'
            )
        encoding = "cp1252" if part == "dev" else "utf-8"
        texts[f"MELD.Raw/{part}_sent_emo.csv"] = "\r\n".join([*rows, ""]).encode(encoding)
    return _tree(clips, texts, num_test=[takes * len(MELD_NAMES)])


def _mer2023(takes: int) -> DetailTree:
    """The train part, which holds the folder of the third track, and the lists of the three tracks."""
    clips, texts = list[Take](), dict[str, bytes]()
    parts = {"train": "mer2023train/train", "test1": "test1", "test2": "test2", "test3": "mer2023train/test3"}
    for part, folder in parts.items():
        rows = ["name,discrete,valence"]
        for emotion in MER_NAMES * takes:
            name, suffix = f"sample_{len(clips):08d}", "mp4" if part == "test3" else "avi"
            clips.append(Take(len(clips), emotion, len(clips) % 4, (f"{folder}/{name}.{suffix}",)))
            rows.append(f"{name},{emotion},{'' if part == 'test3' else '0.5'}")
        place = "mer2023train/" if part == "train" else "test-labels/"
        texts[f"{place}{part}-label.csv"] = "\n".join([*rows, ""]).encode()
    return _tree(clips, texts, num_test=[takes * len(MER_NAMES)] * 3)


def _mer2024(takes: int) -> DetailTree:
    """Labelled clips without folds, and one without a label."""
    clips, rows = list[Take](), ["name,discrete"]
    for emotion in MER_NAMES * (2 * takes):
        name = f"samplenew_{len(clips):08d}"
        more = () if clips else ("video-unlabeled-with-test2noise/samplenew3_00000001.mp4",)
        clips.append(Take(len(clips), emotion, len(clips) % 4, (f"video-labeled/{name}.mp4", *more)))
        rows.append(f"{name},{emotion}")
    return _tree(clips, {"label-disdim.csv": "\n".join(rows).encode()}, num_test=[])


def _tree(clips: list[Take], texts: Mapping[str, bytes], *, num_test: list[int]) -> DetailTree:
    """Return the tree with clips grouped by person, because making a person takes longer than rendering a clip."""
    ordered = sorted(clips, key=lambda take: (take.identity, take.number))
    return DetailTree(tuple(ordered), texts, tuple(num_test))


TREES: Mapping[str, Callable[[int], DetailTree]] = MappingProxyType(
    {
        "ferv39k": _ferv39k,
        "afew": _afew,
        "mafw": _mafw,
        "mafw-compound": _mafw_compound,
        "mafw-multi": _mafw_compound,
        "cremad": _cremad,
        "ravdess": _ravdess,
        "enterface05": _enterface05,
        "caer": _caer,
        "meld": _meld,
        "mer2023": _mer2023,
        "mer2024": _mer2024,
    }
)
"""Dataset -> function from the number of takes to its tree."""
