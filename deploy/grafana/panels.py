"""What the dashboards are made of: panels of one look, with an expression, a unit and a sentence each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "yuqing"
WIDTH = 24
"""Columns of a dashboard."""

Queries = Mapping[str, str]
"""Legend -> expression."""
Steps = Sequence[tuple[float | None, str]]
"""Value from which on -> colour; the first has none."""
NEUTRAL: Steps = ((None, "blue"),)

Panel = timeseries.Panel | stat.Panel | bargauge.Panel | statetimeline.Panel | table.Panel
P = TypeVar("P", timeseries.Panel, stat.Panel, bargauge.Panel, statetimeline.Panel, table.Panel)


def more_is_worse(worse: float, bad: float) -> Steps:
    """Green below `worse`, orange from there, red from `bad` on."""
    return ((None, "green"), (worse, "orange"), (bad, "red"))


def less_is_worse(worse: float, bad: float) -> Steps:
    """Red below `bad`, orange below `worse`, green above."""
    return ((None, "red"), (bad, "orange"), (worse, "green"))


def lines(title: str, *, says: str, unit: str, queries: Queries, span: int = 8, stacked: bool = False, steps: Steps = NEUTRAL, least: float | None = 0) -> timeseries.Panel:
    """Lines over time; the last of `steps` is drawn as a dashed line."""
    panel = _dressed(timeseries.Panel().title(title), says=says, unit=unit, queries=queries, span=span, height=8)
    panel = panel.legend(common.VizLegendOptions().display_mode(options.LegendDisplayMode.LIST).placement(options.LegendPlacement.BOTTOM).show_legend(show_legend=True))
    panel = panel.tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING)).show_points(options.VisibilityMode.NEVER)
    if least is not None:
        panel = panel.min(least)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL)).fill_opacity(40)
    if len(steps) > 1:
        panel = panel.thresholds(_thresholds(steps)).thresholds_style(common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.DASHED))
    return panel


def number(title: str, *, says: str, unit: str, queries: Queries, steps: Steps, span: int = 4, words: Mapping[int, tuple[str, str]] | None = None) -> stat.Panel:
    """The newest value, large; `words` are what values are called and their colours."""
    panel = _dressed(stat.Panel().title(title), says=says, unit=unit, queries=queries, span=span, height=4).thresholds(_thresholds(steps))
    panel = panel.graph_mode(options.BigValueGraphMode.NONE).color_mode(options.BigValueColorMode.BACKGROUND_SOLID).text_mode(options.BigValueTextMode.AUTO)
    return panel.mappings([_words(words)]) if words else panel


def bars(title: str, *, says: str, unit: str, queries: Queries, steps: Steps, span: int = 8) -> bargauge.Panel:
    """The newest values as bars, one under the other."""
    panel = _dressed(bargauge.Panel().title(title), says=says, unit=unit, queries=queries, span=span, height=8, instant=True).thresholds(_thresholds(steps)).min(0)
    return panel.orientation(options.VizOrientation.HORIZONTAL).display_mode(options.BarGaugeDisplayMode.BASIC)


def stripes(title: str, *, says: str, queries: Queries, words: Mapping[int, tuple[str, str]], span: int = WIDTH, height: int = 10) -> statetimeline.Panel:
    """A stripe per series, coloured by the state it was in."""
    panel = _dressed(statetimeline.Panel().title(title), says=says, unit="none", queries=queries, span=span, height=height)
    return panel.mappings([_words(words)]).show_value(options.VisibilityMode.NEVER).row_height(0.8).line_width(0).fill_opacity(80)


def rows(title: str, *, says: str, query: str, hidden: Sequence[str] = ("Time", "Value"), unit: str = "none", span: int = 12) -> table.Panel:
    """The newest series as a table of their labels."""
    panel = table.Panel().title(title).description(says).datasource(SOURCE).span(span).height(8).unit(unit).align(options.FieldTextAlignment.AUTO).inspect(inspect=False)
    target = prometheus.Dataquery().expr(query).ref_id("A").instant().format(PromQueryFormat.TABLE)
    excluded = dict.fromkeys(("__name__", "job", "instance", *hidden), True)
    return panel.with_target(target).with_transformation(models.DataTransformerConfig(id_val="organize", options={"excludeByName": excluded}))


def board(title: str, *, uid: str, says: str, variables: Sequence[dashboard.QueryVariable | dashboard.CustomVariable] = ()) -> dashboard.Dashboard:
    """An empty dashboard: its variables, links to the others, and alerts as annotations."""
    made = dashboard.Dashboard(f"Yuqing: {title}").uid(uid).description(says).tags([TAG]).refresh("30s").time("now-6h", "now").timezone("browser").readonly()
    made = made.tooltip(models.DashboardCursorSync.CROSSHAIR).link(
        dashboard.DashboardLink("Yuqing").type(models.DashboardLinkType.DASHBOARDS).tags([TAG]).keep_time(keep_time=True)
    )
    made = made.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    for variable in variables:
        made = made.with_variable(variable)
    opinion = _annotation("Alerts on opinion", "max by (severity) (yuqing_alerts_firing) > 0", colour="red")
    return made.annotation(opinion).annotation(_annotation("Alerts on the program", 'ALERTS{alertname=~"Yuqing.+", alertstate="firing"}', colour="orange"))


def choice(name: str, *, label: str, of: str) -> dashboard.QueryVariable:
    """A variable of the values that a label has, several at once or all: `of` is metric and label."""
    made = dashboard.QueryVariable(name).label(label).query(f"label_values({of})").datasource(SOURCE).refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    everything = models.VariableOption(text="All", value="$__all")
    return made.multi(multi=True).include_all(include_all=True).all_value(".*").sort(models.VariableSort.ALPHABETICAL_ASC).current(everything)


def filled(made: dashboard.Dashboard, sections: Mapping[str, Sequence[Panel]]) -> models.Dashboard:
    """The dashboard with its panels in rows: heading -> panels."""
    numbers = itertools.count(1)
    for heading, panels in sections.items():
        made = made.with_row(dashboard.Row(heading).id(next(numbers)))
        for panel in panels:
            made = made.with_panel(panel.id(next(numbers)))
    return made.build()


def _dressed(panel: P, *, says: str, unit: str, queries: Queries, span: int, height: int, instant: bool = False) -> P:
    panel = panel.description(says).datasource(SOURCE).span(span).height(height).unit(unit)
    for place, (legend, expression) in enumerate(queries.items()):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + place))
        panel = panel.with_target(query.instant() if instant else query.range())
    return panel


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    found = [models.Threshold(value=value, color=colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def _words(words: Mapping[int, tuple[str, str]]) -> models.ValueMap:
    return models.ValueMap({str(value): models.ValueMappingResult(text=text, color=colour, index=place) for place, (value, (text, colour)) in enumerate(words.items())})


def _annotation(name: str, expression: str, *, colour: str) -> dashboard.AnnotationQuery:
    return dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(enable=True).icon_color(colour).expr(expression)
