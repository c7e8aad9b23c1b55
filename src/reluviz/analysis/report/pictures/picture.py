"""A finished picture, with its title and description."""

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A picture that is ready to be written.

    Attributes:
        name: the name of its file, without the suffix.
        title: its title.
        description: what it shows, in sentences, as alternative text for readers who cannot see it.
        figure: the figure.
    """

    name: str
    title: str
    description: str
    figure: Figure
