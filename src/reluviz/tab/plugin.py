"""The plugin's routes, all below data/plugin/reluviz/:

    index.js, ...         the view, from a fixed list of files
    runs                  the runs that can be shown: model, last update, settings
    data?run=R            its data set
    params?run=R&after=U  its snapshots later than update U, or all
    scalars?run=R         its losses

Everything is read through TensorBoard's data provider, which names runs and tags and knows no paths.
"""

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import resources
from typing import Any

from tensorboard import plugin_util
from tensorboard.backend import http_util
from tensorboard.data import provider
from tensorboard.errors import NotFoundError, PublicError
from tensorboard.plugins import base_plugin
from werkzeug import Request, Response

from reluviz.record import tags
from reluviz.tab import series

STATIC = resources.files("reluviz.tab") / "static"
KINDS = {".js": "text/javascript", ".css": "text/css"}
ALL = 1_000_000
"""More points than anything holds. (0 means none.)"""
LAST_UPDATE = 2**53
"""Beyond this the view, which counts in doubles, could not tell updates apart."""
MOST_CACHED = 8

Route = Callable[[Request], Response]


class Refusal(Exception):
    """A request that is answered with a line of text and a status in the four hundreds."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


class ReLUPlugin(base_plugin.TBPlugin):  # type: ignore[misc]
    """TensorBoard's tab "ReLU"."""

    plugin_name = tags.PLUGIN

    def __init__(self, context: base_plugin.TBContext) -> None:
        self._provider = context.data_provider
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[str, str], tuple[Any, series.Snapshots]] = OrderedDict()

    def get_plugin_apps(self) -> dict[str, Any]:
        """Return the routes."""
        routes: dict[str, Route] = {
            "/runs": self._runs,
            "/data": self._data,
            "/params": self._params,
            "/scalars": self._scalars,
        }
        # a list that is made once: no request ever becomes a path
        routes |= {f"/{name}": self._file(name) for name in self.files}
        return {path: Request.application(_careful(route)) for path, route in routes.items()}

    def is_active(self) -> bool:
        """Return False: TensorBoard asks only where no run has left anything for this tab, and must not wait."""
        return False

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Name the tab and its module; it polls by itself, and keeps what it shows while another tab is looked at."""
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name="ReLU", disable_reload=True)

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The files of the view: name -> bytes."""
        found = (file for file in STATIC.iterdir() if file.name.endswith(tuple(KINDS)))
        return {file.name: file.read_bytes() for file in found}

    def _file(self, name: str) -> Route:
        kind = KINDS[name[name.rindex(".") :]]
        return lambda request: _respond(request, self.files[name], kind)

    def _runs(self, request: Request) -> Response:
        listed = self._listed(request, None)
        found = []
        for run, known in sorted(listed.items()):
            try:
                told, fields = (series.content(known[tag].plugin_content) for tag in (tags.DATA, tags.PARAMS))
            except (series.Damaged, KeyError):
                continue
            last = known[tags.PARAMS]
            with self._lock:
                cached = next((s for (_, name), (_, s) in self._cache.items() if name == run), None)
            found.append(
                {
                    "run": run,
                    "model": told.get("model"),
                    "data": told.get("name"),
                    "seeds": told.get("seeds"),
                    "parameters": sum(count for _, count in fields["fields"]),
                    "settings": series.finite(told.get("settings")),
                    "born": known[tags.DATA].max_wall_time,
                    "last": last.max_step,
                    "wall": last.max_wall_time,
                    "snapshots": cached.total if cached is not None and cached.update[-1:] == [last.max_step] else None,
                }
            )
        body = json.dumps({"runs": found}, allow_nan=False)
        return _respond(request, body, "application/json")

    def _data(self, request: Request) -> Response:
        run, known = self._run(request)
        points = self._read(request, run, tags.DATA, ALL)
        told = series.content(known[tags.DATA].plugin_content)
        return _bytes(request, series.encode_data(points[-1].numpy, told))

    def _params(self, request: Request) -> Response:
        after = _after(request)
        run, known = self._run(request)
        return _bytes(request, self._snapshots(request, run, known).encode(after))

    def _scalars(self, request: Request) -> Response:
        run, _ = self._run(request)
        found = self._provider.read_scalars(
            plugin_util.context(request.environ),
            experiment_id=plugin_util.experiment_id(request.environ),
            plugin_name="scalars",
            downsample=ALL,
            run_tag_filter=provider.RunTagFilter(runs=[run], tags=series.SHOWN_SCALARS),
        )
        named = {
            tag: ([p.step for p in points], [p.wall_time for p in points], [p.value for p in points])
            for tag, points in found.get(run, {}).items()
        }
        return _bytes(request, series.encode_scalars(named))

    def _listed(self, request: Request, run: str | None) -> Mapping[str, Mapping[str, Any]]:
        runs = None if run is None else [run]
        found: Mapping[str, Mapping[str, Any]] = self._provider.list_tensors(
            plugin_util.context(request.environ),
            experiment_id=plugin_util.experiment_id(request.environ),
            plugin_name=self.plugin_name,
            run_tag_filter=provider.RunTagFilter(runs=runs, tags=[tags.DATA, tags.PARAMS]),
        )
        return found

    def _run(self, request: Request) -> tuple[str, Mapping[str, Any]]:
        """Return the run that is asked for, and what is known of its tensors."""
        names = request.args.getlist("run")
        if len(names) != 1:
            raise Refusal(400, "name one run: ?run=NAME")
        known = self._listed(request, names[0]).get(names[0], {})
        if not {tags.DATA, tags.PARAMS} <= known.keys():
            raise Refusal(404, f"there is no run {_shown(names[0])} with reluviz's tensors")
        return names[0], known

    def _read(self, request: Request, run: str, tag: str, most: int) -> Any:
        found = self._provider.read_tensors(
            plugin_util.context(request.environ),
            experiment_id=plugin_util.experiment_id(request.environ),
            plugin_name=self.plugin_name,
            downsample=most,
            run_tag_filter=provider.RunTagFilter(runs=[run], tags=[tag]),
        )
        points = found.get(run, {}).get(tag)
        if not points:
            raise Refusal(404, f"the run {_shown(run)} has gone")
        return points

    def _snapshots(self, request: Request, run: str, known: Mapping[str, Any]) -> series.Snapshots:
        """Return a run's snapshots; read once, and again when there are new ones."""
        experiment = plugin_util.experiment_id(request.environ)
        listed = known[tags.PARAMS]
        stamp = listed.max_step, listed.max_wall_time, known[tags.DATA].max_wall_time
        with self._lock:
            found = self._cache.get((experiment, run))
            if found is not None and found[0] == stamp:
                self._cache.move_to_end((experiment, run))
                return found[1]
        fields = series.content(listed.plugin_content)["fields"]
        replicas = len(series.content(known[tags.DATA].plugin_content).get("seeds") or [0])
        most = max(2, min(ALL, series.MOST_READ // (8 * replicas * max(1, sum(count for _, count in fields)) + 100)))
        points = self._read(request, run, tags.PARAMS, most)
        made = series.snapshots(
            [p.step for p in points], [p.wall_time for p in points], lambda i: points[i].numpy, fields
        )
        with self._lock:
            self._cache[experiment, run] = stamp, made
            self._cache.move_to_end((experiment, run))
            while len(self._cache) > MOST_CACHED:
                self._cache.popitem(last=False)
        return made


def _after(request: Request) -> int | None:
    given = request.args.getlist("after")
    if not given:
        return None
    if len(given) > 1 or not re.fullmatch(r"[0-9]{1,16}", given[0]) or int(given[0]) > LAST_UPDATE:
        raise Refusal(400, f"after={_shown(given[0])}: must be a number of updates, 0 to {LAST_UPDATE}")
    return int(given[0])


def _careful(route: Route) -> Route:
    """Answer what cannot be answered with a line of plain text and never with a traceback."""

    def answer(request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _plain(request, 405, "only GET")
        try:
            return route(request)
        except Refusal as refusal:
            return _plain(request, refusal.status, str(refusal))
        except series.Damaged as damage:
            return _plain(request, 422, f"this run cannot be shown: {damage}")
        except NotFoundError:
            return _plain(request, 404, "there is no such run")
        except PublicError as error:
            return _plain(request, error.http_code, " ".join(str(error).split())[:300])

    return answer


def _plain(request: Request, status: int, line: str) -> Response:
    return _respond(request, f"reluviz: {line}\n", "text/plain", status)


def _bytes(request: Request, body: bytes) -> Response:
    return _respond(request, body, "application/octet-stream")


def _respond(request: Request, body: str | bytes, kind: str, status: int = 200) -> Response:
    answer: Response = http_util.Respond(request, body, kind, code=status)
    return answer


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")
