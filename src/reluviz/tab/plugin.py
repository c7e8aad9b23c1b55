"""The plugin's routes, all below data/plugin/reluviz/:

    app/index.js, ...     the files of the view, from a fixed list
    runs                  the runs that can be shown: model, last update, settings
    data?run=R            the data set of run R
    params?run=R&after=U  its snapshots later than update U, or all
    scalars?run=R         its losses, and what became of it
    kinks?run=R           the kinks of a chain at all its snapshots

The plugin reads only through TensorBoard's data provider, which has names of runs and tags and no paths.
"""

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from grpc import RpcError  # type: ignore[import-untyped]
from tensorboard import plugin_util
from tensorboard.backend import http_util
from tensorboard.data import provider
from tensorboard.errors import NotFoundError, PublicError
from tensorboard.plugins import base_plugin
from werkzeug import Request, Response

from reluviz.core.findings import Finding
from reluviz.record import tags
from reluviz.record.recorded_findings import parse_findings
from reluviz.tab import series
from reluviz.tab.damaged_runs import contain_damage
from reluviz.tab.static_files import content_type, static_files

ENTRY = "/app/index.js"
"""The module that TensorBoard imports."""
UNLIMITED = 1_000_000
"""More points than any tag has; 0 would return none."""
MAX_UPDATE = 2**53
"""The view holds updates as doubles, which are not exact beyond this."""
MAX_CACHED_RUNS = 8
MOST_KINKS = 500
"""A snapshot is taken to have recorded at most this many crossings, to bound what is read at once."""

Route = Callable[[Request], Response]


class RequestError(Exception):
    """The answer to a request is one line of text and a status from 400 to 499."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


class ReLUPlugin(base_plugin.TBPlugin):  # type: ignore[misc]
    """TensorBoard's tab "ReLU"."""

    plugin_name = tags.PLUGIN

    def __init__(self, context: base_plugin.TBContext) -> None:
        contain_damage()
        self._provider = context.data_provider
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[str, str], tuple[Any, series.SnapshotSeries]] = OrderedDict()

    def get_plugin_apps(self) -> dict[str, Any]:
        """Return the routes."""
        routes: dict[str, Route] = {
            "/runs": self._runs,
            "/data": self._data,
            "/params": self._params,
            "/scalars": self._scalars,
            "/kinks": self._kinks,
        }
        # a fixed list of routes: no part of a request becomes a path
        routes |= {f"/{path}": self._static(path) for path in static_files()}
        return {path: Request.application(_answer_errors(route)) for path, route in routes.items()}

    def is_active(self) -> bool:
        """Return False: TensorBoard calls this only if no run has data for this tab, and must not wait."""
        return False

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Return the tab's name and module. The tab polls on its own and keeps its state while another tab is open."""
        return base_plugin.FrontendMetadata(es_module_path=ENTRY, tab_name="ReLU", disable_reload=True)

    def _static(self, path: str) -> Route:
        return lambda request: _respond(request, static_files()[path], content_type(path))

    def _runs(self, request: Request) -> Response:
        found = []
        for run, tensors in sorted(self._list_tensors(request, None).items()):
            try:
                data, params = (series.parse_content(tensors[tag].plugin_content) for tag in (tags.DATA, tags.PARAMS))
            except (series.UnreadableRun, KeyError):
                continue
            last = tensors[tags.PARAMS]
            with self._lock:
                cached = next((s for (_, name), (_, s) in self._cache.items() if name == run), None)
            # a record may hold numbers that JSON does not have, also in place of a name or a time
            found.append(
                series.json_safe(
                    {
                        "run": run,
                        "model": data.get("model"),
                        "data": data.get("name"),
                        "seeds": data.get("seeds"),
                        "parameters": sum(count for _, count in params["fields"]),
                        "settings": data.get("settings"),
                        "born": tensors[tags.DATA].max_wall_time,
                        "last": last.max_step,
                        "wall": last.max_wall_time,
                        "found": tensors[tags.FINDINGS].max_wall_time if _has_findings(tensors) else None,
                        "snapshots": cached.total
                        if cached is not None and cached.update[-1:] == [last.max_step]
                        else None,
                    }
                )
            )
        body = json.dumps({"runs": found}, allow_nan=False)
        return _respond(request, body, "application/json")

    def _data(self, request: Request) -> Response:
        run, tensors = self._requested_run(request)
        points = self._read(request, run, tags.DATA, UNLIMITED)
        content = series.parse_content(tensors[tags.DATA].plugin_content)
        return _bytes(request, series.encode_data(points[-1].numpy, content))

    def _params(self, request: Request) -> Response:
        after = _after(request)
        run, tensors = self._requested_run(request)
        return _bytes(request, self._snapshots(request, run, tensors).encode(after))

    def _scalars(self, request: Request) -> Response:
        run, tensors = self._requested_run(request)
        found = self._provider.read_scalars(
            plugin_util.context(request.environ),
            experiment_id=plugin_util.experiment_id(request.environ),
            plugin_name="scalars",
            downsample=UNLIMITED,
            run_tag_filter=provider.RunTagFilter(runs=[run], tags=series.SHOWN_SCALARS),
        )
        scalars = {
            tag: ([p.step for p in points], [p.wall_time for p in points], [p.value for p in points])
            for tag, points in found.get(run, {}).items()
        }
        return _bytes(request, series.encode_scalars(scalars, self._findings(request, run, tensors)))

    def _kinks(self, request: Request) -> Response:
        run, tensors = self._requested_run(request)
        if tags.KINK_SERIES not in tensors:
            raise RequestError(404, f"the run {_quoted(run)} has recorded no kinks")
        # how many rows a snapshot has is known only when they are read
        fields = series.parse_content(tensors[tags.PARAMS].plugin_content)["fields"]
        snapshot_bytes = 48 * max(1, min(MOST_KINKS, sum(count for _, count in fields)))
        limit = max(2, min(UNLIMITED, series.MAX_READ_BYTES // snapshot_bytes))
        points = self._read(request, run, tags.KINK_SERIES, limit)
        kept = series.increasing_steps([p.step for p in points], [p.wall_time for p in points])
        return _bytes(
            request, series.encode_kinks([points[i].step for i in kept], lambda i: points[kept[i]].numpy.astype(float))
        )

    def _findings(self, request: Request, run: str, tensors: Mapping[str, Any]) -> tuple[Finding, ...]:
        """Return what became of a run; empty while it is training."""
        if not _has_findings(tensors):
            return ()
        try:
            return parse_findings(self._read(request, run, tags.FINDINGS, UNLIMITED)[-1].numpy.item())
        except series.UNREADABLE:
            raise series.UnreadableRun("its findings cannot be understood") from None

    def _list_tensors(self, request: Request, run: str | None) -> Mapping[str, Mapping[str, Any]]:
        runs = None if run is None else [run]
        found: Mapping[str, Mapping[str, Any]] = self._provider.list_tensors(
            plugin_util.context(request.environ),
            experiment_id=plugin_util.experiment_id(request.environ),
            plugin_name=self.plugin_name,
            run_tag_filter=provider.RunTagFilter(
                runs=runs, tags=[tags.DATA, tags.PARAMS, tags.FINDINGS, tags.KINK_SERIES]
            ),
        )
        return found

    def _requested_run(self, request: Request) -> tuple[str, Mapping[str, Any]]:
        """Return the run that the request names, and TensorBoard's description of its tensors."""
        names = request.args.getlist("run")
        if len(names) != 1:
            raise RequestError(400, "name one run: ?run=NAME")
        tensors = self._list_tensors(request, names[0]).get(names[0], {})
        if not {tags.DATA, tags.PARAMS} <= tensors.keys():
            raise RequestError(404, f"there is no run {_quoted(names[0])} with reluviz's tensors")
        return names[0], tensors

    def _read(self, request: Request, run: str, tag: str, limit: int) -> Any:
        found = self._provider.read_tensors(
            plugin_util.context(request.environ),
            experiment_id=plugin_util.experiment_id(request.environ),
            plugin_name=self.plugin_name,
            downsample=limit,
            run_tag_filter=provider.RunTagFilter(runs=[run], tags=[tag]),
        )
        points = found.get(run, {}).get(tag)
        if not points:
            raise RequestError(404, f"the run {_quoted(run)} no longer exists")
        return points

    def _snapshots(self, request: Request, run: str, tensors: Mapping[str, Any]) -> series.SnapshotSeries:
        """Return a run's snapshots, cached until TensorBoard has new ones."""
        experiment = plugin_util.experiment_id(request.environ)
        params = tensors[tags.PARAMS]
        version = params.max_step, params.max_wall_time, tensors[tags.DATA].max_wall_time
        with self._lock:
            found = self._cache.get((experiment, run))
            if found is not None and found[0] == version:
                self._cache.move_to_end((experiment, run))
                return found[1]
        fields = series.parse_content(params.plugin_content)["fields"]
        replicas = len(series.parse_content(tensors[tags.DATA].plugin_content).get("seeds") or [0])
        snapshot_bytes = 8 * replicas * max(1, sum(count for _, count in fields)) + 100
        limit = max(2, min(UNLIMITED, series.MAX_READ_BYTES // snapshot_bytes))
        points = self._read(request, run, tags.PARAMS, limit)
        snapshots = series.snapshots(
            [p.step for p in points],
            [p.wall_time for p in points],
            lambda i: points[i].numpy,
            fields,
            series.most_values(series.parse_content(tensors[tags.DATA].plugin_content).get("model")),
        )
        with self._lock:
            self._cache[experiment, run] = version, snapshots
            self._cache.move_to_end((experiment, run))
            while len(self._cache) > MAX_CACHED_RUNS:
                self._cache.popitem(last=False)
        return snapshots


def _has_findings(tensors: Mapping[str, Any]) -> bool:
    """Return whether the findings of a run belong to its last snapshot: a run that is prolonged has old ones."""
    found = tensors.get(tags.FINDINGS)
    return found is not None and bool(found.max_step == tensors[tags.PARAMS].max_step)


def _after(request: Request) -> int | None:
    given = request.args.getlist("after")
    if not given:
        return None
    if len(given) > 1 or not re.fullmatch(r"[0-9]{1,16}", given[0]) or int(given[0]) > MAX_UPDATE:
        raise RequestError(400, f"after={_quoted(given[0])}: must be a number of updates, 0 to {MAX_UPDATE}")
    return int(given[0])


def _answer_errors(route: Route) -> Route:
    """Answer a request that fails with one line of plain text, never with a traceback."""

    def answer(request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _plain(request, 405, "only GET")
        try:
            return route(request)
        except RequestError as error:
            return _plain(request, error.status, str(error))
        except series.UnreadableRun as error:
            return _plain(request, 422, f"this run cannot be shown: {error}")
        except NotFoundError:
            return _plain(request, 404, "there is no such run")
        except PublicError as error:
            return _plain(request, error.http_code, " ".join(str(error).split())[:300])
        except (*series.UNREADABLE, MemoryError):
            return _plain(request, 422, "this run cannot be shown: its record cannot be understood")
        except RpcError:
            return _plain(request, 503, "TensorBoard's data server does not answer this; perhaps the run is too large")

    return answer


def _plain(request: Request, status: int, line: str) -> Response:
    return _respond(request, f"reluviz: {line}\n", "text/plain", status)


def _bytes(request: Request, body: bytes) -> Response:
    return _respond(request, body, "application/octet-stream")


def _respond(request: Request, body: str | bytes, content_type: str, status: int = 200) -> Response:
    answer: Response = http_util.Respond(request, body, content_type, code=status)
    return answer


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")
