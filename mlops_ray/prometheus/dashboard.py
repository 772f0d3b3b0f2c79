"""A Grafana dashboard as a value: rows of panels, laid out from the left and from the top.

Plain JSON of Grafana's dashboard model, schema version 39; the tests read it back with Grafana's own
grafana-foundation-sdk (Apache-2.0), which the package does not need.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Dashboard", "Panel", "Row"]

_COLUMNS = 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """One picture; `queries` are PromQL with what each line is called."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    """timeseries, stat, table or bargauge."""
    width: int = 8
    height: int = 8
    description: str = ""
    most: float | None = None
    """Upper end of the axis."""
    stacked: bool = False

    def to_json(self, id: int, x: int, y: int) -> dict[str, Any]:
        """As Grafana has it, at this place."""
        custom: dict[str, Any] = {}
        if self.kind == "timeseries":
            stacking = {"mode": "normal" if self.stacked else "none", "group": "A"}
            custom = {"fillOpacity": 20 if self.stacked else 5, "lineWidth": 1, "stacking": stacking}
        defaults: dict[str, Any] = {"unit": self.unit, "custom": custom, "min": 0}
        if self.most is not None:
            defaults["max"] = self.most
        return {
            "id": id,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": _SOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": _OPTIONS[self.kind],
            "targets": [
                {
                    "refId": chr(ord("A") + i),
                    "datasource": _SOURCE,
                    "expr": query,
                    "legendFormat": legend,
                    "range": self.kind == "timeseries",
                    "instant": self.kind != "timeseries",
                    "format": "table" if self.kind == "table" else "time_series",
                }
                for i, (query, legend) in enumerate(self.queries)
            ],
        }


_REDUCED = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"reduceOptions": _REDUCED, "colorMode": "value", "graphMode": "area", "textMode": "auto"},
    "bargauge": {"reduceOptions": _REDUCED, "displayMode": "gradient", "orientation": "horizontal"},
    "table": {"showHeader": True, "cellHeight": "sm"},
}


@dataclass(frozen=True)
class Row:
    """Panels under one title."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    """One page."""

    name: str
    """Of the file, and in the uid, by which dashboards link to each other."""
    title: str
    rows: Sequence[Row]
    by_model: bool = True
    """Whether a model is chosen above."""
    tags: Sequence[str] = field(default=("mlops-ray",))

    def to_json(self) -> dict[str, Any]:
        """As Grafana imports it, and as its provisioning reads it from a file."""
        return {
            "uid": f"mlops-ray-{self.name}",
            "title": f"mlops_ray / {self.title}",
            "tags": list(self.tags),
            "schemaVersion": 39,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "timezone": "browser",
            "refresh": "15s",
            "time": {"from": "now-1h", "to": "now"},
            "annotations": {"list": []},
            "links": [
                {
                    "title": "mlops_ray",
                    "type": "dashboards",
                    "tags": ["mlops-ray"],
                    "asDropdown": True,
                    "includeVars": True,
                    "keepTime": True,
                    "targetBlank": False,
                    "icon": "external link",
                    "tooltip": "",
                    "url": "",
                }
            ],
            "templating": {"list": _variables(by_model=self.by_model)},
            "panels": self._panels(),
        }

    def _panels(self) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        y = 0
        for row in self.rows:
            position = {"h": 1, "w": _COLUMNS, "x": 0, "y": y}
            made.append(
                {"id": len(made) + 1, "type": "row", "title": row.title, "collapsed": False, "gridPos": position,
                 "panels": []}
            )  # fmt: skip
            x, y, tallest = 0, y + 1, 0
            for panel in row.panels:
                if x + panel.width > _COLUMNS:
                    x, y, tallest = 0, y + tallest, 0
                made.append(panel.to_json(len(made) + 1, x, y))
                x, tallest = x + panel.width, max(tallest, panel.height)
            y += tallest
        return made


def _variables(*, by_model: bool) -> list[dict[str, Any]]:
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}
    model = {
        "name": "model",
        "label": "Model",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": "label_values(mlops_ray_model_info, model)", "refId": "models"},
        "refresh": 2,
        "sort": 1,
        "multi": False,
        "includeAll": True,
        "allValue": ".*",
        "hide": 0,
    }
    return [source, model] if by_model else [source]
