"""The HTML report in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

import dfer_data
from dfer_data.inspection.dataset_page import write_gallery
from dfer_data.render.visible import visible
from lstpnet.evaluation.calibration import probabilities
from lstpnet.finished_runs import find_runs, load_runs
from lstpnet.reporting.build import build_report
from lstpnet.reporting.html.filmstrip import FRAME_PX
from lstpnet.reporting.html.page import to_html
from tests.browser import CHROMIUM, CONTRASTS, NUM_LINES, Opened, Theme, browser
from tests.lstpnet.conftest import Done
from tests.lstpnet.reporting.html.test_page import HOSTILE, hostile_run, page_of
from tests.lstpnet.reporting.random_runs import NAMES, one, write_folds

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

__all__ = ["browser"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: apt-get install chromium")


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of three folds, two seeds, two checkpoints, and their page `report.html`."""
    root = write_folds(tmp_path_factory.mktemp("runs"))
    runs, _ = load_runs(find_runs(root))
    (root / "report.html").write_text(to_html(build_report(runs, against=("dfew",))), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def real(plain: Done, crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run that was trained, with filmstrips, curves and reliability."""
    dataset = dfer_data.open_dataset(crops)
    path = tmp_path_factory.mktemp("real") / "report.html"
    path.write_text(page_of(plain.folder, datasets=[dataset]), encoding="utf-8")
    return path


def clips(page: Page) -> list[list[str]]:
    """The cells of the list of clips, with what is shown inside them."""
    rows = page.locator("#clip-table tbody tr:not(.detail)")
    return [[cell.strip() for cell in row.split("\t")] for row in rows.all_inner_texts()]


def predictions(root: Path, *, checkpoint: str = "last", seed: int = 0) -> pd.DataFrame:
    """What a seed says about all its test clips."""
    table = pd.concat([one(root, fold, seed, checkpoint).assign(fold=fold) for fold in (1, 2, 3)])
    shares = [1000 * probabilities(logits[None].astype(float)).max() for logits in table["logits"]]
    return table.assign(confidence=[round(share) / 10 for share in shares])


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [1400, 400])
@pytest.mark.parametrize("which", ["folds", "real"])
def test_it_opens_without_an_error_or_a_request_and_fits(
    browser: Browser, folds: Path, real: Path, theme: Theme, width_px: int, which: str
) -> None:
    path = folds / "report.html" if which == "folds" else real
    opened = Opened(browser, path, theme=theme, width_px=width_px)
    with opened as page:
        page.locator("#clip-table .clip").first.click()
        assert page.evaluate("document.documentElement.scrollWidth") == width_px
        assert opened.messages == []
        assert {url.split(":")[0] for url in opened.requests} <= {"file", "data"}
        assert sum(url.startswith("file:") for url in opened.requests) == 1


def test_recalls_at_1400_px_and_the_confusion_at_400_px_are_seen_whole(
    browser: Browser, folds: Path, real: Path
) -> None:
    too_wide = "all => all.filter(each => each.scrollWidth > each.clientWidth).map(each => each.ariaLabel)"
    for path in (folds / "report.html", real):
        with Opened(browser, path, width_px=1400) as page:
            assert page.locator("#tables .scroll, #confusion .scroll").evaluate_all(too_wide) == []
        with Opened(browser, path, width_px=400) as page:
            assert page.locator("#confusion details[open] .scroll").evaluate_all(too_wide) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(browser: Browser, folds: Path, real: Path, theme: Theme) -> None:
    for path in (folds / "report.html", real):
        with Opened(browser, path, theme=theme) as page:
            page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
            page.locator("#clip-table .clip").first.click()
            page.evaluate(
                "document.querySelectorAll('.confusion td').forEach((td, i) => (td.className = `shade-${i % 11}`))"
            )
            found: list[tuple[float, str]] = page.evaluate(CONTRASTS)
            assert len(found) > 300
            assert [text for ratio, text in found if ratio < 4.5] == []


def test_the_theme_can_be_chosen(browser: Browser, folds: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    with Opened(browser, folds / "report.html") as page:
        light = page.evaluate(paper)
        page.get_by_label("Theme").select_option("dark")
        dark = page.evaluate(paper)
        page.get_by_label("Theme").select_option("")
        assert (page.evaluate(paper), light != dark) == (light, True)


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_tables_sort_by_any_column_and_unknown_figures_stay_last(browser: Browser, folds: Path, by: str) -> None:
    def press(name: str) -> None:
        button = table.get_by_role("button", name=name, exact=True)
        button.click() if by == "mouse" else button.press("Enter")

    with Opened(browser, folds / "report.html") as page:
        table = page.locator("#published table").first
        heads = table.locator("thead th").all_inner_texts()

        def column(name: str) -> list[str]:
            place = next(i for i, head in enumerate(heads) if head == name)
            return [text.split("\t")[place].strip() for text in table.locator("tbody tr").all_inner_texts()]

        before = column("method")
        assert any(method.startswith("> dfew_100%") for method in before)
        for order in ("descending", "ascending"):
            press("UAR")
            figures = column("UAR")
            known = [float(figure) for figure in figures if figure != "-"]
            assert known == sorted(known, reverse=order == "descending")
            assert figures[len(known) :] == ["-"]
            assert table.locator("th[aria-sort]").get_attribute("aria-sort") == order
        press("method")
        assert column("method") != before
        assert sorted(column("method")) == sorted(before)
        assert table.locator("th[aria-sort]").inner_text() == "method"


def test_filters_leave_the_clips_that_they_name(browser: Browser, folds: Path) -> None:
    from playwright.sync_api import expect

    table = predictions(folds)
    right = table["label"] == table["guess"]
    wanted: dict[str, tuple[Callable[[Locator], object], pd.Series]] = {
        "label": (lambda form: form.get_by_label("Label").select_option("sad"), table["label"] == "sad"),
        "prediction": (lambda form: form.get_by_label("Prediction").select_option("fear"), table["guess"] == "fear"),
        "fold": (lambda form: form.get_by_label("Fold").select_option("2"), table["fold"] == 2),
        "right": (lambda form: form.locator("[name=right]").select_option("right"), right),
        "wrong": (lambda form: form.locator("[name=right]").select_option("wrong"), ~right),
        "faceless": (lambda form: form.locator("[name=right]").select_option("faceless"), ~table["has_face"]),
        "least": (lambda form: form.get_by_label("Confidence from").fill("60"), table["confidence"] >= 60),
        "most": (lambda form: form.get_by_label("to, %").fill("30"), table["confidence"] <= 30),
        "id": (lambda form: form.get_by_label("Clip id contains").fill("0300"), table["clip_id"].str.contains("0300")),
    }
    with Opened(browser, folds / "report.html") as page:
        for name, (act, chosen) in wanted.items():
            act(page.locator("#filters"))
            assert 0 < chosen.sum() < len(table), name
            assert page.locator("#count").inner_text().endswith(f" of {chosen.sum()} clips"), name
            shown = clips(page)
            assert len(shown) == min(50, chosen.sum())
            assert {row[0] for row in shown} <= set(table["clip_id"][chosen]), name
            page.get_by_role("button", name="Show all").click()
            expect(page.locator("#count")).to_have_text(f"1 to 50 of {len(table)} clips")
        page.locator("#filters").get_by_label("Label").select_option("sad")
        page.locator("#filters").get_by_label("Prediction").select_option("sad")
        both = (table["label"] == "sad") & (table["guess"] == "sad")
        assert page.locator("#count").inner_text() == f"1 to {both.sum()} of {both.sum()} clips"
        page.get_by_label("Clip id contains").fill("nothing like it")
        assert page.locator("#count").inner_text() == "no clip is like that"


def test_the_list_has_pages_sorts_and_changes_with_the_run(browser: Browser, folds: Path) -> None:
    table = predictions(folds)
    with Opened(browser, folds / "report.html") as page:
        seen = []
        for number in range(4):
            assert page.locator("#previous").is_disabled() == (number == 0)
            seen += clips(page)
            if number < 3:
                page.locator("#next").press("Enter")
        assert page.locator("#next").is_disabled()
        assert sorted(row[0] for row in seen) == sorted(table["clip_id"])
        errors = ["(right)" not in row[2] for row in seen]
        assert errors == sorted(errors, reverse=True)  # errors first, the most confident ones on top
        wrong = [float(row[3]) for row in seen if "(wrong)" in row[2]]
        assert wrong
        assert wrong == sorted(wrong, reverse=True)
        assert sorted(float(row[3]) for row in seen) == sorted(table["confidence"])
        of_clip = table.set_index("clip_id")
        for clip_id, label, guess, _, fold in seen:
            said = of_clip.loc[clip_id]
            assert (label, guess.split(" (")[0], int(fold)) == (said["label"], said["guess"], said["fold"])
        page.locator("#clip-table").get_by_role("button", name="clip", exact=True).click()
        assert [row[0] for row in clips(page)] == sorted(table["clip_id"])[:50]
        page.get_by_label("Run").select_option("dfew_100% best seed 1")
        other = predictions(folds, checkpoint="best", seed=1).set_index("clip_id")
        assert all(row[2].split(" (")[0] == other.loc[row[0]]["guess"] for row in clips(page))


def test_a_clip_opens_with_its_frames_and_what_the_runs_say(browser: Browser, folds: Path, real: Path) -> None:
    with Opened(browser, real) as page:
        button = page.locator("#clip-table .clip").first
        button.press("Enter")
        assert button.get_attribute("aria-expanded") == "true"
        lines = page.locator(".detail img")
        assert lines.count() == 2  # with the attention under each
        for number, image in enumerate(lines.all()):
            image.evaluate("image => image.decode()")
            assert image.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [8 * FRAME_PX, 2 * FRAME_PX]
            alt = f"Frames {8 * number + 1} to {8 * number + 8} of the 16 of clip {button.inner_text()}"
            assert image.get_attribute("alt") == alt
        meters = page.locator(".detail meter")
        assert meters.count() == len(NAMES)
        assert sum(meters.evaluate_all("each => each.map((meter) => meter.value)")) == pytest.approx(1000, abs=4)
        button.press("Enter")
        assert page.locator(".detail").count() == 0
    with Opened(browser, folds / "report.html") as page:
        page.get_by_label("Clip id contains").fill("03001")
        page.locator("#clip-table .clip").first.click()
        text = page.locator(".detail").inner_text()
        assert "No filmstrip of this clip" in text
        for checkpoint, seed in (("last", 1), ("best", 0), ("best", 1)):
            said = predictions(folds, checkpoint=checkpoint, seed=seed).set_index("clip_id").loc["03001"]
            assert f"dfew_100% {checkpoint} seed {seed}: {said['guess']}, {said['confidence']:.1f} %" in text


@pytest.mark.parametrize("width", [1400, 400])
def test_the_attention_to_each_frame_stands_under_it(browser: Browser, real: Path, plain: Done, width: int) -> None:
    table = pd.read_parquet(plain.folder / "predictions.parquet").set_index("clip_id")
    with Opened(browser, real, width_px=width) as page:
        button = page.locator("#clip-table .clip").first
        button.click()
        shares = 100 * table.loc[button.inner_text()]["attention"]
        items = page.locator(".detail .weights li")
        assert [float(text) for text in items.all_inner_texts()] == pytest.approx(shares, abs=0.051)
        boxes = "all => all.map((each) => each.getBoundingClientRect()).map((box) => [box.left, box.top, box.height])"
        heights = [box[2] for box in page.locator(".detail .bar").evaluate_all(boxes)]
        room = page.locator(".detail .room").first.evaluate("each => each.clientHeight")
        assert heights == pytest.approx(list(shares / 15 * room), abs=0.3)  # 15 %: the top of a bar
        frames = page.locator(".detail .frames").evaluate_all(boxes)
        for number, (left, top, _) in enumerate(items.evaluate_all(boxes)):
            frame_left, frame_top, height_px = frames[number // 8]
            assert frame_top + height_px - 1 <= top < frame_top + height_px + 10
            assert left == pytest.approx(frame_left + number % 8 * height_px, abs=1.5)  # frames are square
        assert "It is not an explanation." in page.locator(".detail .film").inner_text()


def test_a_field_of_the_confusion_matrix_shows_its_clips(browser: Browser, folds: Path) -> None:
    from playwright.sync_api import expect

    table = predictions(folds, checkpoint="best", seed=1)
    with Opened(browser, folds / "report.html") as page:
        page.get_by_text("dfew_100% best, fold pooled of 1 2 3 seed 1").click()
        page.get_by_label("Clip id contains").fill("left over")
        both = (table["label"] == "fear") & (table["guess"] == "angry")
        field = page.get_by_role("button", name=f"{both.sum()} clips of fear predicted as angry").last
        field.press("Enter")
        expect(page.locator("#count")).to_have_text(f"1 to {both.sum()} of {both.sum()} clips")
        assert {row[0] for row in clips(page)} == set(table["clip_id"][both])
        assert page.evaluate("document.activeElement.name") == "label"


def test_every_control_has_a_name_and_is_reached_by_the_keyboard(browser: Browser, real: Path) -> None:
    with Opened(browser, real) as page:
        controls = "a[href], button, select, input, summary, [tabindex]"
        nameless = page.locator(controls).evaluate_all(
            "all => all.filter((each) => each.checkVisibility() && each.tabIndex >= 0 && !(each.textContent.trim() || "
            "each.ariaLabel || each.labels?.length)).map((each) => each.outerHTML)"
        )
        assert nameless == []
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the summary"
        wanted = page.locator(controls).evaluate_all(
            "all => all.filter((each) => each.checkVisibility() && !each.disabled && each.tabIndex >= 0).length"
        )
        reached = set()
        for _ in range(wanted + 5):
            reached.add(page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
            page.keyboard.press("Tab")
        assert len(reached) >= wanted


def test_hostile_names_are_shown_and_do_nothing(browser: Browser, tmp_path: Path) -> None:
    run = hostile_run(tmp_path)
    (tmp_path / "report.html").write_text(to_html(build_report([run], against=("dfew",))), encoding="utf-8")
    opened = Opened(browser, tmp_path / "report.html")
    with opened as page:
        for button in page.locator("#clip-table .clip").all()[:3]:
            button.click()
        page.locator(".confusion .field").first.click()
        assert page.evaluate("window.hacked") is None
        assert opened.messages == []
        assert page.locator("script").count() == 3
        assert page.locator("img:not(.curves)").count() == 0
        text = page.locator("body").evaluate("body => body.textContent")
        assert all(visible(name) in text for name in HOSTILE)
        options = page.locator("#filters").get_by_label("Label").locator("option").all_inner_texts()
        assert options[1:] == [visible(name) for name in HOSTILE]
        page.get_by_role("button", name="Show all").click()
        page.get_by_label("Clip id contains").fill("exe/005")
        shown = page.evaluate("document.body.innerText")
        assert "\\u202egpj.exe/005" in shown
        assert "\u202e" not in shown
        assert page.locator("#summary .card").is_visible()


def test_without_scripts_the_tables_are_there(browser: Browser, folds: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folds / "report.html").as_uri())
    assert page.locator("#tables table").first.is_visible()
    assert page.get_by_text("The list of clips needs JavaScript").is_visible()
    assert not page.locator("#filters").is_visible()
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_gallery_shows_its_pictures_and_asks_for_nothing_else(
    browser: Browser, crops: Path, tmp_path: Path, theme: Theme
) -> None:
    folder = tmp_path / "a gallery"
    gallery = write_gallery(dfer_data.open_dataset(crops), folder, most=3)
    opened = Opened(browser, gallery.page, theme=theme)
    with opened as page:
        page.evaluate("for (const image of document.images) image.loading = 'eager'")
        page.evaluate("Promise.all([...document.images].map((image) => image.decode()))")  # until all are shown
        assert len(page.locator("img").all()) == len(gallery.sheets) + 1
        assert page.evaluate("document.documentElement.scrollWidth") == 1400
        page.locator("#statistics th button", has_text="measure").first.click()
        low = [text for ratio, text in page.evaluate(CONTRASTS) if ratio < 4.5]
        assert low == []
    assert opened.messages == []
    assert all(url.startswith(folder.as_uri()) or url == "data:," for url in opened.requests)


@pytest.mark.parametrize("width_px", [800, 1200, 1600])
def test_an_interval_takes_two_lines_at_most_and_the_page_is_no_wider_than_its_window(
    browser: Browser, folds: Path, width_px: int
) -> None:
    with Opened(browser, folds / "report.html", width_px=width_px) as page:
        intervals = page.locator("td", has_text=re.compile(r"^\S+ to \S+$")).all()
        assert len(intervals) > 10
        assert {interval.evaluate(NUM_LINES) for interval in intervals} <= {1, 2}
        assert page.evaluate("document.documentElement.scrollWidth") == width_px
