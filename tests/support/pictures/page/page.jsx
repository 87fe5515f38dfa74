// One dashboard as Grafana shows it: `draw(dashboard, answers, annotations, step, from, to)`; times are in milliseconds.
import { ThemeContext, createTheme, dateTime, getDisplayProcessor, getFieldDisplayValues, toDataFrame } from "@grafana/data";
import { BigValue, BigValueColorMode, BigValueGraphMode, BigValueTextMode, GlobalStyles, PanelChrome, PortalContainer, TimeSeries } from "@grafana/ui";
import { createRoot } from "react-dom/client";
import "uplot/dist/uPlot.min.css";

const COLUMN = 60, ROW = 38, GAP = 8, HEAD = 56;
const theme = createTheme({ colors: { mode: "dark" } });
const COLORS = { blue: "#5794F2", orange: "#FF9830", purple: "#B877D9" };

const named = (legend, labels) => legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? "") || JSON.stringify(labels);

// NaN is no number that a scale could be made of: uPlot wants null.
const value = (text) => (Number.isFinite(Number(text)) ? Number(text) : null);

// What Grafana fills in where a dashboard says nothing.
const LINES = { drawStyle: "line", lineInterpolation: "linear", pointSize: 5, axisPlacement: "auto", gradientMode: "none", barAlignment: 0 };

function framesOf(panel, answer, { from, to, step }) {
  const { custom, ...defaults } = panel.fieldConfig.defaults;
  const color = { mode: panel.type === "timeseries" ? "palette-classic" : "thresholds" };
  const series = panel.targets.flatMap((target, index) => answer[index].map((each) => ({ ...each, target })));
  // Prometheus leaves out what is not there; with a null for it lines are broken where Grafana breaks them.
  const times = Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step);
  return series.map(({ metric, values, target }, seriesIndex) => {
    const name = named(target.legendFormat, metric);
    const known = new Map(values.map(([at, text]) => [Math.round((at * 1000 - from) / step), value(text)]));
    const fixed = panel.fieldConfig.overrides.find(({ matcher }) => matcher.options === name)?.properties;
    const own = Object.fromEntries((fixed ?? []).map((each) => [each.id, each.value]));
    const config = { color, ...defaults, ...own, displayName: name, custom: { ...LINES, ...custom } };
    const frame = toDataFrame({
      refId: target.refId,
      fields: [
        { name: "Time", type: "time", values: times, config: {} },
        { name: "Value", type: "number", values: times.map((_, index) => known.get(index) ?? null), labels: metric, config },
      ],
    });
    for (const field of frame.fields) {
      field.state = { seriesIndex, displayName: field.type === "time" ? undefined : name };
      field.display = getDisplayProcessor({ field, theme, timeZone: "utc" });
    }
    return frame;
  });
}

function marks(annotations) {
  return (builder) => {
    builder.addHook("draw", (plot) => {
      for (const { at, color } of annotations) {
        const x = plot.valToPos(at, "x", true);
        plot.ctx.save();
        plot.ctx.strokeStyle = COLORS[color] ?? color;
        plot.ctx.setLineDash([4, 4]);
        plot.ctx.beginPath();
        plot.ctx.moveTo(x, plot.bbox.top);
        plot.ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
        plot.ctx.stroke();
        plot.ctx.restore();
      }
    });
    return null;
  };
}

function Lines({ panel, frames, annotations, range, width, height }) {
  const { displayMode, placement, calcs = [], sortBy, sortDesc } = panel.options.legend;
  return (
    <TimeSeries frames={frames} timeRange={range} timeZone="utc" width={width} height={height}
      legend={{ showLegend: true, displayMode, placement, calcs, sortBy, sortDesc }}>
      {marks(annotations)}
    </TimeSeries>
  );
}

function Numbers({ panel, frames, width, height }) {
  const values = getFieldDisplayValues({ fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions, data: frames,
    replaceVariables: (text) => text, theme, sparkline: true, timeZone: "utc" });
  return (
    <div style={{ display: "flex", gap: 4 }}>
      {values.map(({ display, sparkline }, index) => (
        <BigValue key={index} value={display} sparkline={sparkline} theme={theme} height={height}
          width={(width - 4 * (values.length - 1)) / values.length} colorMode={BigValueColorMode.Background}
          textMode={values.length > 1 ? BigValueTextMode.ValueAndName : BigValueTextMode.Value}
          graphMode={panel.options.graphMode === "area" ? BigValueGraphMode.Area : BigValueGraphMode.None} />
      ))}
    </div>
  );
}

// @grafana/ui has no state timeline: this is a plain form of it, with Grafana's texts and colours.
function States({ frames, width, height }) {
  const names = 190, bar = width - names, each = Math.min(24, height / frames.length);
  return frames.map((frame, index) => {
    const { display, values, state } = frame.fields[1];
    const parts = [];
    values.forEach((value, at) => {
      const last = parts.at(-1);
      if (last && last.value === value) last.length += 1;
      else parts.push({ value, at, length: 1 });
    });
    return (
      <div key={index} style={{ height: each, display: "flex", fontSize: Math.min(12, each - 2), lineHeight: `${each - 2}px` }}>
        <div style={{ width: names, overflow: "hidden", whiteSpace: "nowrap" }}>{state.displayName}</div>
        <div style={{ position: "relative", width: bar }}>
          {parts.filter(({ value }) => value !== null).map(({ value, at, length }) => {
            const { text, color } = display(value);
            const place = { left: (bar * at) / values.length, width: (bar * length) / values.length, height: each - 2 };
            return <div key={at} style={{ ...place, position: "absolute", overflow: "hidden", background: color, color: "black", paddingLeft: 4 }}>{text}</div>;
          })}
        </div>
      </div>
    );
  });
}

const KINDS = { timeseries: Lines, stat: Numbers, "state-timeline": States };

function Panel({ panel, answer, span, ...rest }) {
  const { x, y, w, h } = panel.gridPos;
  const place = { position: "absolute", left: x * COLUMN, top: HEAD + y * ROW, width: w * COLUMN - GAP, height: h * ROW - GAP };
  if (panel.type === "row") {
    return <div style={{ ...place, color: theme.colors.text.primary, fontSize: 16, lineHeight: `${ROW}px` }}>⌄ {panel.title}</div>;
  }
  const frames = framesOf(panel, answer, span);
  const Kind = KINDS[panel.type];
  return (
    <div style={place} data-testid="panel" data-empty={frames.length === 0} data-title={panel.title}>
      <PanelChrome title={panel.title} width={place.width} height={place.height} description={panel.description}>
        {(width, height) => frames.length === 0
          ? <div style={{ textAlign: "center", lineHeight: `${height}px`, color: theme.colors.text.secondary }}>No data</div>
          : <Kind panel={panel} frames={frames} width={width} height={height} {...rest} />}
      </PanelChrome>
    </div>
  );
}

window.draw = (dashboard, answers, annotations, step, from, to) => {
  const range = { from: dateTime(from), to: dateTime(to), raw: { from: dateTime(from), to: dateTime(to) } };
  const below = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  const legend = [...new Map(annotations.map((each) => [each.name, each.color]))];
  const time = (at) => new Date(at).toISOString().slice(11, 19);
  createRoot(document.getElementById("page")).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ position: "relative", width: 24 * COLUMN, height: HEAD + below * ROW, padding: GAP, background: theme.colors.background.canvas }}>
        <div style={{ fontSize: 20, color: theme.colors.text.primary }}>{dashboard.title}
          <span style={{ fontSize: 13, marginLeft: 24, color: theme.colors.text.secondary }}>{time(from)} to {time(to)} UTC</span>
          {legend.map(([name, color]) => <span key={name} style={{ fontSize: 13, marginLeft: 24, color: COLORS[color] ?? color }}>┆ {name}</span>)}
        </div>
        {dashboard.panels.map((panel) => (
          <Panel key={panel.id} panel={panel} answer={answers[panel.id]} span={{ from, to, step }} annotations={annotations} range={range} />
        ))}
      </div>
      <PortalContainer />
    </ThemeContext.Provider>,
  );
};
