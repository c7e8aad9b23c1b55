"""A recorded run: its arrays, its pictures, and its interactive view in a notebook."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reluviz.analysis import notebook, payload, run_pictures
from reluviz.analysis.run_arrays import RunArrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Run(RunArrays):
    """A run that was read back from its folder, as arrays over its snapshots, as pictures and as a page.

    In a notebook, a run as the last line of a cell shows its interactive view. The attributes are those of `RunArrays`.
    """

    def plot(self, update: int | None = None, kind: str = "fit", replica: int = 0) -> "Figure":
        """Return the run's picture of one snapshot as a matplotlib figure.

        Args:
            update: which snapshot; by default the last.
            kind: fit or votes.
            replica: which of the replicas.

        Raises:
            UserError: if there is no such snapshot, kind or replica.
        """
        return run_pictures.figure(self, self.at(update), kind, replica)

    def payload(self, most: int | None = None) -> dict[str, bytes]:
        """Return the run as the interactive view reads it: data, params and scalars, each as `wire` bytes.

        Args:
            most: keep so many snapshots at most, the first and the last among them; by default, as many as the view
                takes.
        """
        return payload.payload(self, most)

    def _repr_html_(self) -> str:
        return notebook.html(self)
