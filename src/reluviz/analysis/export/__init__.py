"""`python -m reluviz export RUN...`: pages, animations, pictures and tables made from recorded runs."""

from reluviz.analysis.export.arguments import Arguments, parse
from reluviz.errors import UserError

__all__ = ["main"]


def main(argv: list[str]) -> int:
    """Write the files that the command line asks for, and return 0.

    Arguments, runs and file names are checked first, so that a refused export writes nothing.

    Raises:
        UserError: if an argument, a run or a file name is wrong, a file cannot be written, or another export is writing
            to the folder.
    """
    options = parse(argv)
    _check_ffmpeg(options)
    # imported late, because it imports torch, which takes seconds
    from reluviz.analysis.export.output_files import output_lock, plan, write

    outputs = plan(options)
    with output_lock(options):
        for output in outputs:
            print(write(output), flush=True)
    return 0


def _check_ffmpeg(options: Arguments) -> None:
    if "mp4" in options.formats:
        from reluviz.analysis.export.animation import has_ffmpeg

        if not has_ffmpeg():
            raise UserError("--mp4: there is no ffmpeg on the PATH; install it (https://ffmpeg.org), or take --gif")
