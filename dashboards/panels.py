"""How the dashboards look: queries, figures, colours. What they show is in the builders beside this file."""

from __future__ import annotations

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models import dashboard as model

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN, YELLOW, RED, GREY = "green", "yellow", "red", "text"


Mapping = model.ValueMap | model.RangeMap | model.RegexMap | model.SpecialValueMap


def query(expr: str, legend: str = "", ref: str = "A") -> prometheus.Dataquery:
    """The value at the end of the dashboard's time range."""
    return prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(ref).instant()


def steps(*above: tuple[float, str], below: str = GREEN) -> dashboard.ThresholdsConfig:
    """Colours: `below` first, then each colour from its value on."""
    first = model.Threshold(value=None, color=below)
    return dashboard.ThresholdsConfig().steps(
        [first, *(model.Threshold(value, color) for value, color in above)]
    )


def figure(title: str, description: str, *queries: prometheus.Dataquery) -> stat.Panel:
    """A stat panel: one value a series, coloured, without a curve."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(look.BigValueColorMode.BACKGROUND)
        .graph_mode(look.BigValueGraphMode.NONE)
        .text_mode(look.BigValueTextMode.AUTO)
        .no_value("not seen")
        .height(4)
        .span(4)
    )
    for one in queries:
        panel = panel.with_target(one)
    return panel


def curves(title: str, description: str, *queries: tuple[str, str]) -> timeseries.Panel:
    """A panel of curves over time: of each query its expression and its legend."""
    panel = timeseries.Panel().title(title).description(description).datasource(DATASOURCE).height(7)
    for ref, (expr, legend) in zip("ABCD", queries, strict=False):
        panel = panel.with_target(prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(ref).range())
    return panel


def either(at_zero: tuple[str, str], at_one: tuple[str, str]) -> list[Mapping]:
    """A text and a colour for a 0/1 gauge."""
    return [
        model.ValueMap(
            options={
                value: model.ValueMappingResult(text=text, color=color, index=int(value))
                for value, (text, color) in (("0", at_zero), ("1", at_one))
            }
        )
    ]


def color_of(color: str) -> model.DynamicConfigValue:
    """An override: this colour, whatever the thresholds say."""
    return model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})
