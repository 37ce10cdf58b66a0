"""What a dashboard is made of, in the JSON of Grafana 10 and 11 (schema version 39).

Panels flow from left to right and wrap at 24 columns; numbers of panels follow from their order. Every panel asks the
data source of the variable `datasource`, and has a title, a description and a unit: `panel` takes no less.
"""

SCHEMA_VERSION = 39
COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def query(expr, legend="", step=None, instant=False, form="time_series"):
    """One expression of a panel. `step` is the time between two samples where that is not the data source's own."""
    target = {"datasource": DATASOURCE, "expr": expr, "legendFormat": legend, "format": form}
    target |= {"instant": True, "range": False} if instant else {"range": True}
    return target | ({"interval": step} if step else {})


def panel(
    kind, title, description, unit, *targets, width=8, height=7, stack=False, log=False, thresholds=(), decimals=None, links=()
):
    """A panel without a place. `thresholds` are pairs of a value and the colour from there on; below the first is green."""
    steps = [{"color": "green", "value": None}] + [{"color": color, "value": value} for value, color in thresholds]
    defaults = {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if kind == "timeseries" and not log:
        defaults["min"] = 0
    if links:
        defaults["links"] = list(links)
    if decimals is not None:
        defaults["decimals"] = decimals
    if kind == "timeseries":
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if stack else 8,
            "showPoints": "auto",
            "spanNulls": False,  # a machine that is gone has no line
            "stacking": {"mode": "normal" if stack else "none", "group": "A"},
            "scaleDistribution": {"type": "log", "log": 10} if log else {"type": "linear"},
            "thresholdsStyle": {"mode": "dashed" if thresholds else "off"},
        }
    letters = (dict(target, refId=chr(ord("A") + at)) for at, target in enumerate(targets))
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": OPTIONS[kind],
        "targets": list(letters),
    }


_LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}
OPTIONS = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"reduceOptions": _LAST, "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "textMode": "auto"},
    "bargauge": {"reduceOptions": _LAST, "displayMode": "basic", "orientation": "horizontal", "valueMode": "color"},
    "heatmap": {
        "calculate": False,
        "cellGap": 0,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "rowsFrame": {"layout": "auto"},
        "yAxis": {"unit": "s", "axisPlacement": "left"},
        "tooltip": {"mode": "single", "yHistogram": False},
        "legend": {"show": True},
    },
}


def variable(name, label, description, query, **more):
    """A variable that asks the data source, anew whenever the time range changes."""
    asks = {"query": query, "refId": "StandardVariableQuery"}
    made = {"type": "query", "name": name, "label": label, "description": description, "datasource": DATASOURCE}
    return made | {"definition": query, "query": asks, "refresh": 2, "sort": 7, "options": [], "current": {}} | more


def any_of(name, label, description, query):
    """One of which several or all may be chosen. All is `.*`, which also matches series that lack the label."""
    everything = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return variable(name, label, description, query, multi=True, includeAll=True, allValue=".*", current=everything)


def datasource():
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "description": "The Prometheus that the collector pushes to.",
        "query": "prometheus",
        "refresh": 1,
        "options": [],
        "current": {},
    }


def text(name, label, description, value):
    chosen = {"selected": True, "text": value, "value": value}
    return {
        "type": "textbox",
        "name": name,
        "label": label,
        "description": description,
        "query": value,
        "options": [chosen],
        "current": chosen,
    }


def link(title, uid):
    """To another dashboard, which gets the time range and the variables along."""
    keeps = {"keepTime": True, "includeVars": True, "targetBlank": False, "asDropdown": False}
    return {"type": "link", "title": title, "icon": "dashboard", "url": f"/d/{uid}", "tags": [], "tooltip": title} | keeps


def dashboard(uid, title, description, variables, links, rows):
    """`rows` are pairs of a title and panels."""
    panels, y = [], 0
    for row_title, members in rows:
        panels.append(
            {
                "type": "row",
                "title": row_title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
            }
        )
        x, y, line_height = 0, y + 1, 0
        for member in members:
            place = member["gridPos"]
            if x + place["w"] > COLUMNS:
                x, y, line_height = 0, y + line_height, 0
            panels.append(member | {"gridPos": {"x": x, "y": y, **place}})
            x, line_height = x + place["w"], max(line_height, place["h"])
        y += line_height
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["rondo"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one crosshair in all panels
        "time": {"from": "now-15m", "to": "now"},
        "refresh": "10s",
        "timezone": "browser",
        "annotations": {"list": []},
        "links": links,
        "templating": {"list": variables},
        "panels": [dict(member, id=number) for number, member in enumerate(panels, 1)],
    }
