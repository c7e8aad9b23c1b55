"""Draws the pictures of the page in docs/: the tab, light and dark, and an elbow that is dragged before it trains on.

It trains the course's network, exports its page, and takes the pictures of it in Chromium without a window.
"""

import sys
from pathlib import Path

# remove this folder, because its logging.py would hide the module of the standard library
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import io
import subprocess
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image, ImageDraw

from benchmarks.browser import Browser

DOCS = Path(__file__).resolve().parents[1] / "docs"
SIZE = {"width": 1280, "height": 800}
GIF_WIDTH = 800
"""In pixels. A reader sees the GIF at about this width."""
COLOURS = 128
FRAME_MILLISECONDS = 90
LAST_MILLISECONDS = 4000
MOVED_ELBOW, MOVED_JUMP, MOVED_TO = 0.545, 5.2, 0.9
"""Elbow and slope jump of a unit of the course's run, and where it is dragged: from two others at the same place to a
corner of the target that has none."""


def main() -> None:
    """Draw them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DOCS, help="the folder for the pictures (docs)")
    parser.add_argument("--quick", action="store_true", help="a short run: only to check that it works")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as place, Browser() as browser:
        address = export_course_run(Path(place), 2000 if args.quick else 150_000).as_uri()
        for name, scheme in (("tab.png", "light"), ("tab_dark.png", "dark")):
            page = browser.new_page(viewport=SIZE, color_scheme=scheme)
            page.goto(address)
            page.wait_for_function("window.reluvizState?.ready")
            page.wait_for_timeout(500)
            page.screenshot(path=args.out / name)
            page.close()
        frames = film(browser, address)
    frames[0].save(
        args.out / "train_on.gif",
        save_all=True,
        append_images=frames[1:],
        duration=[FRAME_MILLISECONDS] * (len(frames) - 1) + [LAST_MILLISECONDS],
        loop=0,
    )


def export_course_run(place: Path, updates: int) -> Path:
    """Train the course's network, and return its page."""
    command = [sys.executable, "-m", "reluviz"]
    train = [*command, "train", "+exp=relu", f"updates={updates}", "hydra.run.dir=relu"]
    subprocess.run(train, cwd=place, check=True, stdout=subprocess.DEVNULL)
    export = [*command, "export", "relu", "--html", "--out", "page"]
    subprocess.run(export, cwd=place, check=True, stdout=subprocess.DEVNULL)
    return next((place / "page").glob("*.html"))


def film(browser: Any, address: str) -> list[Image.Image]:
    """Drag an elbow of the finished run, train on for some seconds, and return the frames."""
    page = browser.new_page(viewport=SIZE)
    page.goto(address)
    page.wait_for_function("window.reluvizState?.ready")
    frames: list[Image.Image] = []

    def shoot(x: float, y: float, pressed: bool = False, count: int = 1) -> None:
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        draw_pointer(picture, x, y, pressed)
        height = round(picture.height * GIF_WIDTH / picture.width)
        small = picture.resize((GIF_WIDTH, height), Image.Resampling.LANCZOS)
        frames.extend([small] * count)

    def move(start: tuple[float, float], end: tuple[float, float], steps: int, pressed: bool = False) -> None:
        for i in range(1, steps + 1):
            x, y = (a + (b - a) * i / steps for a, b in zip(start, end, strict=True))
            page.mouse.move(x, y)
            shoot(x, y, pressed)

    state = page.evaluate("window.reluvizState")
    elbows = {entry["k"]: (entry["x"], entry["y"]) for entry in state["places"]["elbows"]}
    jumps = state["slopeJumps"]
    k = min(elbows, key=lambda k: abs(state["elbows"][k] - MOVED_ELBOW) + abs(jumps[k] - MOVED_JUMP) / 100)
    other = max(elbows, key=lambda j: abs(state["elbows"][j] - state["elbows"][k]))
    across = (elbows[k][0] - elbows[other][0]) / (state["elbows"][k] - state["elbows"][other])
    target = (elbows[k][0] + across * (MOVED_TO - state["elbows"][k]), elbows[k][1])
    corner = (SIZE["width"] * 0.4, SIZE["height"] * 0.3)
    shoot(*corner, count=6)
    move(corner, elbows[k], 8)
    page.mouse.down()
    move(elbows[k], target, 10, pressed=True)
    page.mouse.up()
    shoot(*target, count=8)
    box = page.locator(".train").bounding_box()
    button = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    move(target, button, 8)
    page.mouse.down()
    shoot(*button, pressed=True)
    page.mouse.up()
    for _ in range(30):
        shoot(*button)
    page.keyboard.press("t")
    page.wait_for_timeout(300)
    shoot(*button)
    page.close()
    # one palette for all, of pictures in all colours; octrees keep rare colours
    together = Image.new("RGB", (GIF_WIDTH, 3 * frames[0].height))
    for i, place in enumerate((0, len(frames) // 2, -1)):
        together.paste(frames[place], (0, i * frames[0].height))
    palette = together.quantize(COLOURS, method=Image.Quantize.FASTOCTREE)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]


def draw_pointer(picture: Image.Image, x: float, y: float, pressed: bool) -> None:
    """Draw an arrow, as a mouse has it, with a ring while its button is pressed."""
    draw = ImageDraw.Draw(picture)
    if pressed:
        draw.ellipse((x - 14, y - 14, x + 14, y + 14), outline=(0, 114, 178), width=3)
    outline = [(0, 0), (0, 20), (5, 15), (9, 23), (13, 21), (9, 14), (15, 13)]
    draw.polygon([(x + dx, y + dy) for dx, dy in outline], fill=(20, 20, 20), outline=(255, 255, 255))


if __name__ == "__main__":
    main()
