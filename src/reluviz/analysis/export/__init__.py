"""`python -m reluviz export RUN...`: pages, animations, pictures and tables made from recorded runs."""

from reluviz.analysis.export.arguments import Arguments, parse
from reluviz.errors import UserError

__all__ = ["main"]


def main(argv: list[str]) -> int:
    """Write what is asked for and return 0; nothing is written where something asked for is impossible.

    Raises:
        UserError: for arguments, runs or files that will not do.
    """
    options = parse(argv)
    _check_tools(options)
    # torch, which everything from here on needs, takes its time
    from reluviz.analysis.export.output_files import plan, write

    for output in plan(options):
        print(write(output), flush=True)
    return 0


def _check_tools(options: Arguments) -> None:
    if "mp4" in options.formats:
        from reluviz.analysis.export.animation import ffmpeg

        if not ffmpeg():
            raise UserError("--mp4: there is no ffmpeg on the PATH; install it (https://ffmpeg.org), or take --gif")
