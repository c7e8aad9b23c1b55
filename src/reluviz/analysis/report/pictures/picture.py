"""A finished picture, and what is said about it."""

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A picture that is ready to be written.

    Attributes:
        name: of its file, without the ending.
        title: what it shows.
        words: the same in full sentences, for those who cannot see it.
        figure: the drawing.
    """

    name: str
    title: str
    words: str
    figure: Figure
