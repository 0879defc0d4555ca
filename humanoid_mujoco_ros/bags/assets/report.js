"use strict";
// Draws the charts that the page's data describe. Charts over time share their cursor and zoom.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const probe = document.body.appendChild(document.createElement("span"));
  const color = (name) => {
    // light-dark() is resolved only where a colour is used.
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const arrays = data.arrays.map((text) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  });
  const font = { family: getComputedStyle(document.body).fontFamily, size: 11, color: color("soft") };

  class Chart {
    constructor(description) {
      Object.assign(this, description);
      this.bars = this.kind === "bars";
      this.place = document.getElementById(this.id);
      this.value = document.getElementById(`${this.id}-value`);
      this.xs = arrays[this.x];
      this.ys = this.series.map((one) => arrays[one.y]);
      const small = this.height < 140;
      this.margin = { l: small ? 40 : 56, r: 8, t: 8, b: small ? 20 : 40 };
      this.titles = small ? ["", ""] : [this.xlabel, this.ylabel];
      this.inView = false;
      this.drawn = null; // what the chart on the page was drawn for
    }

    get span() {
      const half = this.bars ? (this.xs[1] - this.xs[0]) / 2 : 0;
      return [this.xs[0] - half, this.xs.at(-1) + half];
    }

    nearest(x) {
      let [low, high] = [0, this.xs.length - 1];
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (this.xs[middle] < x) low = middle; else high = middle;
      }
      return x - this.xs[low] < this.xs[high] - x ? low : high;
    }

    yRange([from, to]) {
      let [min, max] = [Infinity, -Infinity];
      for (const values of this.ys) {
        for (let i = this.nearest(from); i <= this.nearest(to); i++) {
          if (values[i] < min) min = values[i];
          if (values[i] > max) max = values[i];
        }
      }
      if (min > max) [min, max] = [0, 1]; // nothing is known here
      min = Math.min(min, ...this.include);
      max = Math.max(max, ...this.include);
      const pad = (max - min || 1) * 0.06;
      return [this.bars || min === 0 ? min : min - pad, max + pad];
    }

    // Makes the page show the current zoom at the current width.
    refresh() {
      const range = this.view.range;
      const width = this.place.clientWidth;
      if (!width) return; // there is no room now
      if (!this.drawn) this.draw(range, width);
      else if (this.drawn.range !== range || this.drawn.width !== width) {
        Plotly.relayout(this.place, {
          width, "xaxis.range": [...range], "yaxis.range": this.yRange(range),
        });
      }
      this.drawn = { range, width };
      this.point();
    }

    draw(range, width) {
      const axis = {
        color: font.color, gridcolor: color("line"), tickcolor: color("line"), ticks: "outside",
        ticklen: 4, zeroline: false, exponentformat: "none",
      };
      const title = (text) => ({ text, font, standoff: 6 });
      const layout = {
        width, height: this.height, margin: this.margin, font, showlegend: false, hovermode: false,
        dragmode: "zoom", paper_bgcolor: "transparent", plot_bgcolor: color("card"),
        shapes: this.marks(),
        xaxis: { ...axis, range: [...range], title: title(this.titles[0]) },
        yaxis: {
          ...axis, range: this.yRange(range), fixedrange: true, title: title(this.titles[1]),
          nticks: Math.max(5, Math.round(this.height / 34)),
        },
      };
      const config = { displayModeBar: false, doubleClick: false, showTips: false };
      const traces = this.series.map((one, k) => this.trace(one, this.ys[k]));
      Plotly.newPlot(this.place, traces, layout, config);
      this.line = this.place.appendChild(document.createElement("div"));
      this.line.className = "cursor";
      this.place.on("plotly_relayout", (change) => {
        // "xaxis.range[0]" is the user's doing, "xaxis.range" that of refresh().
        if (Object.keys(change).some((key) => key.startsWith("xaxis.range["))) {
          this.view.zoom([...this.place.layout.xaxis.range]);
        }
      });
      this.place.on("plotly_doubleclick", () => this.view.zoom(this.view.full));
      this.place.addEventListener("pointermove", (event) => {
        const { l, r } = this.margin;
        const at = event.clientX - this.place.getBoundingClientRect().left - l;
        const share = at / (this.place.clientWidth - l - r);
        const [from, to] = this.view.range;
        this.view.point(share >= 0 && share <= 1 ? from + share * (to - from) : null);
      });
      this.place.addEventListener("pointerleave", () => this.view.point(null));
    }

    trace(one, y) {
      const stroke = color(one.color);
      if (this.bars) {
        const width = 0.9 * (this.xs[1] - this.xs[0]);
        return { type: "bar", x: this.xs, y, width, marker: { color: stroke, line: { width: 0 } } };
      }
      return {
        type: "scatter", mode: this.kind === "points" ? "lines+markers" : "lines", x: this.xs, y,
        line: { color: stroke, width: one.width }, marker: { color: stroke, size: 4 },
      };
    }

    marks() {
      const upright = { yref: "paper", y0: 0, y1: 1 };
      return [
        ...this.spans.map(([x0, x1]) => ({
          ...upright, type: "rect", x0, x1, fillcolor: color("orange"), opacity: 0.18,
          line: { color: color("orange"), width: 1 },
        })),
        ...this.moments.map(([x, name]) => ({
          ...upright, type: "line", x0: x, x1: x, line: { color: color(name), width: 1 },
        })),
        ...this.limits.map((y) => ({
          type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, opacity: 0.75,
          line: { color: color("red"), width: 1, dash: "5px,4px" },
        })),
      ];
    }

    // Marks what is under the cursor and writes its value.
    point() {
      if (!this.drawn) return;
      const { cursor, range: [from, to] } = this.view;
      this.line.hidden = cursor === null;
      this.value.textContent = "";
      if (cursor === null) return;
      const { l, r, t, b } = this.margin;
      const left = l + ((cursor - from) / (to - from)) * (this.drawn.width - l - r);
      this.line.style.cssText = `left:${left}px;top:${t}px;bottom:${b}px`;
      const i = this.nearest(cursor);
      const words = this.ys.map((y) => (Number.isNaN(y[i]) ? "–" : y[i].toFixed(this.digits)));
      const at = this.xs[i].toFixed(this.xdigits);
      this.value.textContent = `${words.join(" · ")} ${this.unit} at ${at} ${this.xunit}`;
    }
  }

  // What charts over the same quantity share.
  class View {
    constructor(charts) {
      this.charts = charts;
      const spans = charts.map((chart) => chart.span);
      this.full = [
        Math.min(...spans.map((span) => span[0])), Math.max(...spans.map((span) => span[1])),
      ];
      if (this.full[0] === this.full[1]) this.full[1] += 1;
      this.range = this.full;
      this.cursor = null;
      for (const chart of charts) chart.view = this;
    }

    zoom(range) {
      this.range = range;
      for (const chart of this.charts) if (chart.inView) chart.refresh();
    }

    point(cursor) {
      this.cursor = cursor;
      for (const chart of this.charts) if (chart.inView) chart.point();
    }
  }

  const charts = data.charts.map((description) => new Chart(description));
  new View(charts.filter((chart) => !chart.bars));
  for (const chart of charts) if (chart.bars) new View([chart]);

  // Charts far down the page are drawn when they come into view, so that a long run opens at once.
  const chartOf = new Map(charts.map((chart) => [chart.place, chart]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const chart = chartOf.get(entry.target);
      chart.inView = entry.isIntersecting;
      if (chart.inView) chart.refresh();
    }
  }, { rootMargin: "600px" });
  const resized = new ResizeObserver((entries) => {
    for (const entry of entries) {
      const chart = chartOf.get(entry.target);
      if (chart.inView) chart.refresh();
    }
  });
  for (const chart of charts) {
    seen.observe(chart.place);
    resized.observe(chart.place);
  }
  addEventListener("beforeprint", () => charts.forEach((chart) => chart.refresh()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => location.reload());
})();
