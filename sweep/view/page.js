"use strict";
// Draws the page from the JSON beside it. Everything that a sweep wrote is set as text, never read as markup.

const N_COLOURS = 7; // --c0 to --c6 of page.css
const DASHES = ["", "7 4", "2 3"];
const X = {
  update: ["update", (curve) => curve.x],
  share: ["share of the stage's updates so far", (curve) => curve.x.map((x) => x / curve.n)],
  seconds: ["seconds since its first update", (curve) => curve.t],
  tokens: ["trained tokens", (curve) => curve.y.n_trained_tokens || []],
};
const STALE_S = 120, EVERY_MS = 5000, FROM_DISK_MS = 15000;
const isServed = location.protocol.startsWith("http");

let data = JSON.parse(document.getElementById("data").textContent);
let choice = fromHash();
let isComparing = false, toPlot = () => {};
const opened = new Set(remembered());

// small things

function h(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function s(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const count = (n) => n.toLocaleString("en-US");
const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

function ago(seconds) {
  const n = Math.max(0, Math.round(Date.now() / 1000 - seconds));
  return n < 120 ? `${n} s` : n < 7200 ? `${Math.round(n / 60)} min` : n < 172800 ? `${Math.round(n / 3600)} h` : `${Math.round(n / 86400)} days`;
}

function sized(element, share) { element.style.flex = `${share} 0 0`; return element; }
function stroked(element, colour) { element.style.stroke = colour; return element; }
function square(state) { return h("span", { class: `run ${state}`, "aria-hidden": "true" }); }

function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return size >= 1000 ? count(Math.round(value)) : String(+value.toPrecision(4));
}

// what is chosen lives in the address, so that a reload or a link keeps it

function fromHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  const run = (name) => data.spots.findIndex((spot) => data.keys[spot[3].at(-1)] === given.get(name));
  const stages = (given.get("stages") || "").split(",").map((key) => data.keys.indexOf(key)).filter((at) => at >= 0);
  return { a: run("a"), b: run("b"), y: given.get("y") || "loss", x: X[given.get("x")] ? given.get("x") : "update", log: given.get("log") === "1", stages };
}

function keep() {
  const given = new URLSearchParams();
  const key = (run) => data.keys[data.spots[run][3].at(-1)];
  if (choice.a >= 0) given.set("a", key(choice.a));
  if (choice.b >= 0) given.set("b", key(choice.b));
  if (choice.y !== "loss") given.set("y", choice.y);
  if (choice.x !== "update") given.set("x", choice.x);
  if (choice.log) given.set("log", "1");
  if (choice.stages.length) given.set("stages", choice.stages.map((at) => data.keys[at]).join(","));
  history.replaceState(null, "", `#${given}`);
}

function remembered() {
  try { return JSON.parse(sessionStorage.getItem("opened") || "[]"); } catch { return []; }
}

function remember() {
  try { sessionStorage.setItem("opened", JSON.stringify([...opened])); } catch { /* a browser that keeps nothing */ }
}

function change(more) { Object.assign(choice, more); keep(); draw(); }

function pick(run, isSecond) {
  const asSecond = (isSecond || isComparing) && choice.a >= 0 && run !== choice.a;
  isComparing = false;
  change(asSecond ? { b: run } : { a: run, b: -1 });
}

// runs and stages

const stateOf = (run) => data.states[data.runs[run][0]];
const stageState = (at) => (data.stages[at] ? data.states[data.stages[at][0]] : null);
const errorOf = (run) => (data.errors[run] ? data.errors[run][0] / data.errors[run][1] : null);

function nameOf(run) {
  const [arm, size, rest] = data.spots[run];
  return [data.arms[arm], `${count(data.sizes[size])} problems`, data.rests[rest]].filter(Boolean).join(", ");
}

function tally(codes) {
  const found = data.states.map(() => 0);
  for (const code of codes) found[code] += 1;
  return found;
}

function bar(found, kind) {
  const order = ["done", "running", "failed", "lost", "waiting"];
  const parts = order.map((state) => [state, found[data.states.indexOf(state)]]).filter(([, n]) => n);
  return h("div", { class: `bar ${kind || ""}`, role: "img", "aria-label": parts.map(([state, n]) => `${n} ${state}`).join(", ") },
    parts.map(([state, n]) => sized(h("i", { class: state }), n)));
}

// parts of the page

function head() {
  const found = tally(data.runs.map((run) => run[0]));
  const stages = tally(Object.values(data.stages).map((stage) => stage[0]));
  const done = stages[data.states.indexOf("done")], all = Object.keys(data.stages).length;
  const isStale = !data.is_over && Date.now() / 1000 - data.when > STALE_S;
  return h("header", {},
    h("h1", {}, data.name),
    h("div", { class: "soft small" }, `${plural(data.runs.length, "run")}, ${plural(all, "stage")} of which ${count(done)} built, in ${data.store}`),
    bar(found),
    h("ul", { class: "legend nums" }, ["done", "running", "waiting", "failed", "lost"].map((state) =>
      h("li", { title: MEANING[state] }, square(state), `${count(found[data.states.indexOf(state)])} ${state}`))),
    h("p", { class: "eta" }, h("b", {}, data.is_over ? "All built." : "Left: "), data.is_over ? "" : data.left),
    h("div", { class: "soft small" }, "As of ", clock(data.when), " (", h("span", { id: "age" }, ago(data.when)), " ago). ",
      h("span", { class: "warn", id: "stale", hidden: !isStale }, "Nobody has written this page since: is watch still running? "),
      data.notes.map((note) => h("div", { class: "note" }, note))));
}

const MEANING = {
  done: "its evaluation is built",
  running: "a stage of this point of the grid is being built",
  waiting: "in the queue, not begun, stopped, or waiting for a stage that all runs share",
  failed: "its policy or its evaluation was tried and failed",
  lost: "another stage that it needs failed",
};

function map() {
  const places = new Map(data.spots.map(([arm, size, rest], run) => [`${arm} ${size} ${rest}`, run]));
  const n = data.rests.length, wide = n <= 4 ? n : Math.ceil(Math.sqrt(2 * n));
  const cell = (arm, size) => {
    const runs = data.rests.map((_, rest) => places.get(`${arm} ${size} ${rest}`));
    if (runs.every((run) => run === undefined)) return h("td", {});
    const box = h("div", { class: "cell" }, runs.map((run) => (run === undefined ? h("span", { class: "run none" }) : button(run))));
    box.style.gridTemplateColumns = `repeat(${wide}, var(--s))`;
    return h("td", {}, box);
  };
  return h("section", { id: "map" }, h("h2", {}, "Runs"),
    h("p", { class: "soft small" }, n > 1 ? `A cell is an arm at a size, a square in it a run: ${plural(n, "run")} a cell. ` : "A square is a run. ",
      "Click one to see it; Shift and click a second to see what differs."),
    h("div", { class: "scroll" }, h("table", { class: data.sizes.length * wide <= 16 ? "map large" : "map" },
      h("thead", {}, h("tr", {}, h("th", {}, "problems"), data.sizes.map((size) => h("th", { scope: "col" }, count(size))))),
      h("tbody", {}, data.arms.map((name, arm) => h("tr", {}, h("th", { scope: "row" }, name), data.sizes.map((_, size) => cell(arm, size))))))));
}

function button(run) {
  const error = errorOf(run), state = stateOf(run);
  const told = `${nameOf(run)}: ${state}${error === null ? "" : `, error ${error.toFixed(3)}`}`;
  const role = run === choice.a ? " first" : run === choice.b ? " second" : "";
  return h("button", { class: `run ${state}${role}`, type: "button", id: `run-${run}`, title: told, "aria-label": told, onclick: (event) => pick(run, event.shiftKey || event.ctrlKey || event.metaKey) });
}

function detail() {
  const box = h("section", { id: "detail", "aria-live": "polite" });
  if (choice.a < 0) {
    box.append(h("h2", {}, "One run"), h("p", { class: "soft" }, "Choose a run in the map: what it needs, where it stands, and the end of its log where it failed."));
    return box;
  }
  if (choice.b >= 0) return difference(box);
  const run = choice.a, chain = data.spots[run][3], error = data.errors[run];
  box.append(h("h2", {}, nameOf(run)), h("ul", { class: "legend" }, h("li", {}, square(stateOf(run)), stateOf(run))));
  if (error) box.append(h("p", { class: "nums" }, `Error ${errorOf(run).toFixed(3)}: ${count(error[0])} of ${count(error[1])} problems wrong.`));
  box.append(h("div", { class: "tools" },
    h("button", { class: "plain", type: "button", id: "compare", "aria-pressed": String(isComparing), onclick: () => { isComparing = !isComparing; draw(); } }, isComparing ? "now choose the other run" : "compare with ..."),
    h("button", { class: "plain", type: "button", onclick: () => change({ a: -1 }) }, "close")));
  box.append(h("ul", { class: "chain" }, chain.map(link)));
  const failed = data.failures.filter((failure) => chain.includes(failure.stage));
  for (const failure of failed) box.append(h("h3", {}, `Why: ${data.labels[failure.stage]}`), ...reasons(failure));
  return box;
}

function link(at) {
  const state = stageState(at) || "waiting", took = data.seconds[at], who = data.running.find((one) => one.stage === at);
  const why = who ? [who.progress, `${who.user} on ${who.host}, ${who.place}`, who.warning].filter(Boolean).join(", ") : data.stages[at] ? data.stages[at][1] : "gone, and nothing needs it";
  return h("li", {}, square(state), h("span", { title: data.keys[at] }, data.labels[at]), h("span", { class: "soft small nums" }, took ? took[1] : state),
    state !== "failed" && why ? h("span", { class: "soft small why" }, why) : null);
}

function reasons(failure) {
  return [h("p", { class: "small why" }, failure.why), ...failure.logs.flatMap((log) => [
    h("div", { class: "soft small path" }, `${log.is_whole ? "" : "the end of "}${log.path}`), h("pre", { class: "log" }, log.text)]),
    failure.logs.length ? null : h("p", { class: "soft small" }, `No log is shown here: python -m sweep logs ${data.keys[failure.stage]}`)].filter(Boolean);
}

function difference(box) {
  const { names, values, rows } = data.settings, [a, b] = [rows[choice.a], rows[choice.b]];
  const differ = names.map((_, n) => n).filter((n) => a[n] !== b[n]);
  const side = (run, word) => h("th", {}, h("span", { class: `run ${stateOf(run)} ${word}` }), " ", nameOf(run));
  box.append(h("h2", {}, "What differs"), h("div", { class: "tools" },
    h("button", { class: "plain", type: "button", onclick: () => change({ a: choice.b, b: choice.a }) }, "swap"),
    h("button", { class: "plain", type: "button", onclick: () => change({ b: -1 }) }, "close")),
    h("div", { class: "scroll" }, h("table", { class: "list", id: "difference" },
      h("thead", {}, h("tr", {}, h("th", {}, "setting"), side(choice.a, "first"), side(choice.b, "second"))),
      h("tbody", {}, differ.map((n) => h("tr", {}, h("td", { class: "mono" }, names[n]), h("td", { class: "value" }, values[a[n]]), h("td", { class: "value" }, values[b[n]])))))),
    h("p", { class: "soft small" }, "All other settings of the two are the same."));
  return box;
}

function running() {
  if (data.is_over) return null;
  const rows = data.running.map((one) => h("tr", {}, h("td", {}, data.labels[one.stage]), h("td", {}, one.host), h("td", {}, one.place), h("td", {}, one.user),
    h("td", {}, one.since ? `${clock(one.since)} (${ago(one.since)})` : "not known"),
    h("td", {}, one.seen ? `${ago(one.seen)} ago` : "none yet"),
    h("td", {}, one.progress, one.warning ? h("div", { class: "warn" }, one.warning) : null)));
  return h("section", { class: "wide", id: "running" }, h("h2", {}, "What runs where"),
    rows.length ? h("div", { class: "scroll" }, h("table", { class: "list" },
      h("thead", {}, h("tr", {}, ["stage", "host", "process or job", "user", "since", "sign of life", "progress"].map((word) => h("th", {}, word)))), h("tbody", {}, rows)))
      : h("p", { class: "soft" }, "Nobody builds a stage of this grid at the moment."));
}

function failures() {
  if (!data.failures.length) return null;
  const one = (failure) => {
    const key = data.keys[failure.stage];
    const box = h("details", { open: opened.has(key), ontoggle: () => { if (box.open) opened.add(key); else opened.delete(key); remember(); for (const log of box.querySelectorAll("pre.log")) log.scrollTop = log.scrollHeight; } },
      h("summary", {}, h("b", {}, data.labels[failure.stage]), failure.n_runs ? ` (${plural(failure.n_runs, "run")} need${failure.n_runs === 1 ? "s" : ""} it): ` : ": ", h("span", { class: "why" }, short(failure.why))),
      ...reasons(failure));
    return box;
  };
  return h("section", { class: "wide", id: "failures" }, h("h2", {}, plural(data.failures.length, "stage"), " failed"), data.failures.map(one));
}

const short = (text) => (text.length > 160 ? `${text.slice(0, 160)}...` : text);

function kinds() {
  const rows = data.order.map((kind) => {
    const at = data.kinds.map((one, n) => (one === kind && data.stages[n] ? n : -1)).filter((n) => n >= 0);
    const took = at.map((n) => data.seconds[n]).filter(Boolean).sort((one, other) => one[0] - other[0]);
    const middle = took.length ? took[Math.floor(took.length / 2)][1] : "", range = took.length > 1 ? `${took[0][1]} to ${took.at(-1)[1]}` : "";
    const found = tally(at.map((n) => data.stages[n][0]));
    return h("tr", {}, h("td", {}, kind), h("td", { class: "share" }, bar(found, "thin")), h("td", {}, `${count(found[data.states.indexOf("done")])} of ${count(at.length)}`), h("td", {}, middle), h("td", { class: "soft" }, range));
  });
  return h("section", { id: "kinds" }, h("h2", {}, "Stages"), h("div", { class: "scroll" }, h("table", { class: "list" },
    h("thead", {}, h("tr", {}, ["kind", "", "built", "took (median)", "from, to"].map((word) => h("th", {}, word)))), h("tbody", {}, rows))));
}

// curves

function drawn() {
  const has = (at) => data.curves[at] !== undefined;
  const chosen = [choice.a, choice.b].filter((run) => run >= 0).map((run) => data.policies[run]);
  const wanted = [...new Set([...chosen, ...choice.stages])].filter(has);
  if (wanted.length) return wanted;
  const busy = data.running.map((one) => one.stage).filter(has);
  if (busy.length) return busy.slice(0, 6);
  const bySize = data.sizes.map((_, size) => [...new Set([...data.spots.keys()].filter((run) => data.spots[run][1] === size && data.spots[run][2] === 0).map((run) => data.policies[run]))].filter(has));
  return bySize.reduce((best, one) => (one.length >= best.length ? one : best), []).slice(0, 6); // the largest size with most arms
}

function curves() {
  const shown = drawn(), all = Object.keys(data.curves).map(Number);
  if (!all.length) return h("section", { class: "wide", id: "curves" }, h("h2", {}, "Curves"), h("p", { class: "soft" }, "No stage has a curve yet."));
  const metrics = [...new Set((shown.length ? shown : all).flatMap((at) => Object.keys(data.curves[at].y)))].sort((one, other) => (one === "loss" ? -1 : other === "loss" ? 1 : one < other ? -1 : 1));
  const y = metrics.includes(choice.y) ? choice.y : metrics[0];
  const look = new Map(shown.map((at, n) => [at, { colour: `var(--c${n % N_COLOURS})`, dash: DASHES[Math.floor(n / N_COLOURS) % DASHES.length] }]));
  const select = (id, value, options, set) => h("select", { id, onchange: (event) => set(event.target.value) }, options.map(([word, text]) => h("option", { value: word, selected: word === value }, text)));
  const add = h("input", { type: "text", id: "add", list: "stages", placeholder: "add any stage: type its kind, arm or size", "aria-label": "add a stage", onchange: (event) => {
    const at = data.keys.indexOf(event.target.value.split(" ").at(-1));
    if (at >= 0) change({ stages: [...new Set([...shown.filter((one) => !ofChoice(one)), at])] });
  } });
  const plot = h("div", { class: "plot" });
  const box = h("section", { class: "wide", id: "curves" }, h("h2", {}, "Curves"),
    h("div", { class: "tools" }, h("label", {}, "draw", select("y", y, metrics.map((name) => [name, name]), (value) => change({ y: value }))),
      h("label", {}, "against", select("x", choice.x, Object.entries(X).map(([word, [text]]) => [word, text]), (value) => change({ x: value }))),
      h("label", {}, h("input", { type: "checkbox", id: "log", checked: choice.log, onchange: (event) => change({ log: event.target.checked }) }), "log scale"),
      add, h("datalist", { id: "stages" }, all.map((at) => h("option", { value: `${data.labels[at]} ${data.keys[at]}` })))),
    plot, h("ul", { class: "chips" }, shown.map((at) => chip(at, look.get(at), shown))));
  toPlot = () => plotInto(plot, shown.map((at) => line(at, y, look.get(at))), y); // once its width is known
  return box;
}

const ofChoice = (at) => [choice.a, choice.b].some((run) => run >= 0 && data.policies[run] === at);

function chip(at, look, shown) {
  const curve = data.curves[at];
  const told = `${data.labels[at]}, ${plural(curve.n, "update")}${curve.x.length < curve.n ? `, ${count(curve.x.length)} drawn` : ""}`;
  const mark = s("svg", { width: 22, height: 8, "aria-hidden": "true" }, stroked(s("path", { d: "M0 4H22", "stroke-width": 2.4, "stroke-dasharray": look.dash }), look.colour));
  return h("li", { class: "chip", title: data.keys[at] }, mark, h("span", {}, told),
    ofChoice(at) ? null : h("button", { type: "button", "aria-label": `remove ${data.labels[at]}`, onclick: () => change({ stages: shown.filter((one) => one !== at && !ofChoice(one)) }) }, "\u00d7"));
}

function line(at, y, look) {
  const curve = data.curves[at], xs = X[choice.x][1](curve), ys = curve.y[y] || [];
  const points = ys.map((value, n) => [xs[n], value]).filter(([x, value]) => Number.isFinite(x) && (value === null || !choice.log || value > 0));
  return { name: data.labels[at], points, ...look };
}

function plotInto(plot, lines, y) {
  const width = Math.max(280, plot.clientWidth), height = 320, left = 58, right = 12, top = 26, bottom = 40;
  const finite = lines.flatMap((one) => one.points.filter((point) => point[1] !== null));
  if (!finite.length) { plot.replaceChildren(h("p", { class: "soft" }, "None of these stages has such a curve.")); return; }
  const scale = choice.log ? Math.log10 : (value) => value;
  const x = ends(finite.map((point) => point[0])), v = ends(finite.map((point) => scale(point[1])));
  const px = (value) => left + ((value - x[0]) / (x[1] - x[0])) * (width - left - right);
  const py = (value) => height - bottom - ((scale(value) - v[0]) / (v[1] - v[0])) * (height - top - bottom);
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": `${y} of ${lines.length} stages against ${X[choice.x][0]}` });
  for (const value of ticks(v[0], v[1], 5).map((at) => (choice.log ? 10 ** at : at))) {
    svg.append(s("line", { class: "grid", x1: left, x2: width - right, y1: py(value), y2: py(value) }), label(number(value), left - 7, py(value) + 4, "end"));
  }
  for (const value of ticks(x[0], x[1], width < 500 ? 4 : 8).filter((at) => choice.x !== "update" || Number.isInteger(at))) svg.append(label(number(value), px(value), height - bottom + 16, "middle"));
  svg.append(s("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
    label(X[choice.x][0], (left + width - right) / 2, height - 6, "middle"), label(y, left, top - 13, "start"));
  for (const one of lines) svg.append(stroked(s("path", { d: path(one.points, px, py), "stroke-dasharray": one.dash }), one.colour));
  plot.replaceChildren(svg);
  follow(plot, svg, lines, px, { left, top, width, height, bottom });
}

function label(text, x, y, anchor) { return s("text", { x, y, "text-anchor": anchor }, text); }

function path(points, px, py) {
  let out = "", isDown = false;
  for (const [x, value] of points) {
    if (value === null) { isDown = false; continue; } // not finite: a gap
    out += `${isDown ? "L" : "M"}${px(x).toFixed(1)} ${py(value).toFixed(1)}`;
    if (!isDown) out += "h.01"; // a single point is seen too
    isDown = true;
  }
  return out;
}

function ends(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
  const room = (high - low) * 0.03 || Math.abs(low) * 0.1 || 1;
  return high > low ? [low, high] : [low - room, high + room];
}

function ticks(low, high, n) {
  const raw = (high - low) / n, size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * size >= raw) * size, out = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) out.push(+at.toPrecision(12));
  return out;
}

function follow(plot, svg, lines, px, { left, top, width, height, bottom }) {
  const cross = s("line", { class: "cross", y1: top, y2: height - bottom, visibility: "hidden" }), tip = h("div", { class: "tip", hidden: true });
  svg.append(cross);
  plot.append(tip);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), at = ((event.clientX - box.left) * width) / box.width;
    const near = lines.filter((one) => one.points.length).map((one) => [one, one.points.reduce((best, point) => (Math.abs(px(point[0]) - at) < Math.abs(px(best[0]) - at) ? point : best))]);
    if (!near.length) return;
    const x = px(near[0][1][0]);
    cross.setAttribute("x1", x); cross.setAttribute("x2", x); cross.setAttribute("visibility", "visible");
    tip.replaceChildren(h("div", { class: "soft" }, `${X[choice.x][0]} ${number(near[0][1][0])}`), ...near.slice(0, 8).map(([one, point]) => {
      const row = h("div", {}, h("span", {}, one.name), h("b", { class: "nums" }, point[1] === null ? "not finite" : number(point[1])));
      row.firstChild.style.color = one.colour;
      return row;
    }));
    tip.hidden = false;
    const side = (x * box.width) / width;
    tip.style.left = side > box.width / 2 ? "" : `${side + 12}px`;
    tip.style.right = side > box.width / 2 ? `${box.width - side + 12}px` : "";
    tip.style.top = "16px";
  });
  svg.addEventListener("pointerleave", () => { cross.setAttribute("visibility", "hidden"); tip.hidden = true; });
}

// the page

function draw() {
  const focused = document.activeElement && document.activeElement.id;
  document.getElementById("page").replaceChildren(head(), h("main", {},
    h("div", { class: "left" }, map(), kinds()), h("div", { class: "right" }, detail()), ...[failures(), running(), curves(), foot()].filter(Boolean)));
  toPlot();
  for (const log of document.querySelectorAll("pre.log")) log.scrollTop = log.scrollHeight; // its end is what is asked for
  if (focused && document.getElementById(focused)) document.getElementById(focused).focus({ preventScroll: true });
}

function foot() {
  return h("p", { class: "soft small wide path" }, `${data.command} wrote this page`, data.is_over ? "." : isServed ? "; it follows the sweep." : "; it loads itself again every 15 s while the sweep goes on.");
}

async function refresh() {
  const answer = await fetch(location.pathname, { cache: "no-store" });
  if (!answer.ok) return;
  const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("data");
  const isNew = found && found.textContent !== document.getElementById("data").textContent;
  if (!isNew || isTyping()) return;
  document.getElementById("data").textContent = found.textContent;
  data = JSON.parse(found.textContent);
  choice = fromHash();
  draw();
}

const isTyping = () => document.activeElement && ["INPUT", "SELECT"].includes(document.activeElement.tagName);

draw();
addEventListener("resize", draw);
addEventListener("hashchange", () => { choice = fromHash(); draw(); });
setInterval(() => {
  document.getElementById("age").textContent = ago(data.when);
  document.getElementById("stale").hidden = data.is_over || Date.now() / 1000 - data.when <= STALE_S;
}, 1000);
if (isServed) setInterval(() => { if (!data.is_over) refresh().catch(() => {}); }, EVERY_MS); // the server may be gone: the age says so
else setInterval(() => { if (!data.is_over && !isTyping() && !document.hidden) location.reload(); }, FROM_DISK_MS);
