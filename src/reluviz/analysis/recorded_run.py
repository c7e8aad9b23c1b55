"""A recorded run: its arrays, its pictures, and its interactive view in a notebook."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reluviz.analysis import notebook, payload, run_pictures
from reluviz.analysis.run_arrays import RunArrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Run(RunArrays):
    """A run that was read back from its folder. The attributes are those of `RunArrays`.

    In a notebook, a run as the last line of a cell shows its interactive view.
    """

    def plot(self, update: int | None = None, kind: str = "fit", replica: int = 0) -> "Figure":
        """Return the run's picture of one snapshot as a matplotlib figure.

        Args:
            update: the snapshot; by default the last one.
            kind: fit or votes.
            replica: the replica, counted from 0.

        Raises:
            UserError: if there is no such snapshot, kind or replica.
        """
        return run_pictures.figure(self, self.at(update), kind, replica)

    def payload(self, most: int | None = None) -> dict[str, bytes]:
        """Return the run in the format of the interactive view: the blobs data, params and scalars.

        Args:
            most: the largest number of snapshots to keep; the first and the last are always kept. By default, as many
                as the view accepts.
        """
        return payload.payload(self, most)

    def _repr_html_(self) -> str:
        return notebook.html(self)
