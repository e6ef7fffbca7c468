// Unpacks plotly.js, draws the figures one after the other, and fits them to the paper when the page is printed.
(async () => {
  "use strict";
  const root = document.documentElement;
  const plots = [...document.querySelectorAll(".plot")];
  const config = { displaylogo: false, displayModeBar: "hover", modeBarButtons: [["toImage"]], responsive: true };

  const code = async () => {
    const packed = document.getElementById("plotly-gzip").textContent;
    const bytes = Uint8Array.from(atob(packed), (one) => one.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };

  // A title does not wrap: one that is too long for its figure is set smaller.
  const fit = (plot) => {
    const changed = {};
    for (const [part, selector] of [["title", ".gtitle"], ["title.subtitle", ".gtitle-subtitle"]]) {
      const text = plot.querySelector(selector);
      if (!text || !text.textContent) continue;
      const size = parseFloat(getComputedStyle(text).fontSize);
      const share = (plot.clientWidth - 4) / text.getBBox().width;
      if (share < 1) changed[part + ".font.size"] = Math.max(8, size * share);
    }
    if (Object.keys(changed).length) Plotly.relayout(plot, changed);
  };

  const draw = (plot) => {
    if (plot.dataset.drawn) return;
    plot.dataset.drawn = "yes";
    const figure = JSON.parse(document.getElementById(plot.id + "-data").textContent);
    const toImageButtonOptions = { format: "png", scale: 3, filename: plot.id };
    Plotly.newPlot(plot, figure.data, figure.layout, { ...config, toImageButtonOptions });
    fit(plot);
  };

  // Before printing the page still has the window's width: the class gives it that of the paper, and figures follow.
  const print = (printing) => {
    root.classList.toggle("printing", printing);
    for (const plot of plots) {
      draw(plot);
      Plotly.relayout(plot, printing ? { width: plot.clientWidth } : { autosize: true, width: null });
      fit(plot);
    }
  };

  try {
    const script = document.createElement("script");
    script.textContent = await code();
    document.head.append(script);
    addEventListener("beforeprint", () => print(true));
    addEventListener("afterprint", () => print(false));
    for (const plot of plots) {
      draw(plot);
      await new Promise((done) => setTimeout(done));
    }
    root.dataset.figures = "drawn";
  } catch (error) {
    const warning = document.getElementById("no-figures");
    warning.textContent = "Figures could not be drawn (" + error.message + "). Browsers since 2023 can. " +
      "Every figure's table stands below it.";
    warning.hidden = false;
    root.dataset.figures = "failed";
  }
})();
