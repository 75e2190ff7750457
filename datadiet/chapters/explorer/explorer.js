/* The explorer's page. A plain script: no library, no request. Texts reach the page as text nodes only. */
(function () {
  "use strict";
  const { keep, permutation, nearest, unpacked, opened } = globalThis.datadietExplorer;

  // --- Drawing

  const COLOURS = { // each at least 3 to 1 against the ground of its mode; tests/test_explorer.py holds them to it
    light: ["#0072b2", "#d1570a", "#00795a", "#b0418a", "#8a6d00", "#3f3fb5", "#c22f2f", "#56666f", "#00808c", "#7a4a1e"],
    dark: ["#56b4e9", "#ff9d5c", "#4fd1a5", "#f08bd0", "#e5c744", "#aaa6ff", "#ff8a80", "#b0bec5", "#4dd0e1", "#d7a97a"],
  };
  const GONE = { light: "#8b9096", dark: "#767d86" };
  const TEXT = { light: "#222832", dark: "#ced6dd" }, LINE = { light: "#d4d7da", dark: "#3a4048" };
  const ROOM = { left: 52, right: 12, top: 12, bottom: 44 }; // around the points, for the axes

  function mode() {
    const named = document.documentElement.dataset.theme;
    return named === "dark" || named === "light" ? named : matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }

  function ticks(low, high) { // about five round numbers
    const rough = (high - low) / 5 || 1, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find(times => times * power >= rough);
    const out = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) out.push(k * step);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    return out.map(value => [value, value >= 1000 ? counted(Math.round(value)) : value.toFixed(digits)]);
  }

  const shown = value => Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(Math.abs(value) >= 10 ? 1 : 3);
  const percent = share => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`;
  const counted = number => number.toLocaleString("en-GB");

  /* An element; strings among the children become text nodes, never markup. */
  function make(tag, attributes, ...children) {
    const out = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) out.setAttribute(name, value);
    out.append(...children);
    return out;
  }

  function table(caption, head, rows, numbers) {
    const cell = (tag, value, k) => make(tag, { ...(numbers.includes(k) && { class: "ddx-number" }), ...(tag === "th" && { scope: "col" }) }, value);
    return make("table", null, make("caption", null, caption),
      make("thead", null, make("tr", null, ...head.map((name, k) => cell("th", name, k)))),
      make("tbody", null, ...rows.map(row => make("tr", null, ...row.map((value, k) => cell("td", value, k))))));
  }

  function start(root, held) {
    const part = name => root.querySelector(`#ddx-${name}`);
    const points = part("points"), marks = part("marks"), tip = part("tip");
    const view = { set: null, x: 0, y: 1, by: 0, colour: "class", places: false, kept: null, selected: -1, hovered: -1, only: null, hits: [], drawn: 0 };
    let px = new Float32Array(0), py = px, width = 0, height = 0, waiting = false, pruning = false, talking = 0;

    // --- From numbers to places

    /* What an axis shows of a column: its values, or the places in its ranking, 1 for the lowest value. */
    function scale(k) {
      const { values, ranks, low, high } = view.set.column(k), { n } = view.set;
      return view.places ? { of: Float64Array.from(ranks, rank => n - rank), low: 1, high: n, end: `, place of ${counted(n)} from the lowest` }
        : { of: values, low, high, end: "" };
    }

    function layout() {
      const box = points.parentElement.getBoundingClientRect(), dense = window.devicePixelRatio || 1;
      width = box.width; height = box.height;
      for (const each of [points, marks]) { each.width = Math.round(width * dense); each.height = Math.round(height * dense); }
      const place = (column, from, to) => {
        const { of, low, high } = scale(column), span = high - low || 1;
        return Float32Array.from(of, value => from + (to - from) * (0.03 + 0.94 * (value - low) / span));
      };
      px = place(view.x, ROOM.left, width - ROOM.right);
      py = place(view.y, height - ROOM.bottom, ROOM.top);
    }

    function pen(canvas) {
      const out = canvas.getContext("2d"), dense = window.devicePixelRatio || 1;
      out.setTransform(dense, 0, 0, dense, 0, 0);
      out.clearRect(0, 0, width, height);
      return out;
    }

    function axes(ink, dark) {
      ink.font = "12px system-ui, sans-serif";
      const wide = width - ROOM.left - ROOM.right, tall = height - ROOM.top - ROOM.bottom;
      const at = (column, value) => { const { low, high } = scale(column); return 0.03 + 0.94 * (value - low) / (high - low || 1); };
      const range = column => { const { low, high } = scale(column); return ticks(low, high); };
      const title = column => view.set.raw.columns[column].title + scale(column).end;
      ink.textAlign = "center"; ink.textBaseline = "top";
      for (const [value, said] of range(view.x)) {
        const x = ROOM.left + wide * at(view.x, value);
        ink.fillStyle = LINE[dark]; ink.fillRect(x, ROOM.top, 1, tall);
        ink.fillStyle = TEXT[dark]; ink.fillText(said, x, height - ROOM.bottom + 5);
      }
      ink.textAlign = "right"; ink.textBaseline = "middle";
      for (const [value, said] of range(view.y)) {
        const y = height - ROOM.bottom - tall * at(view.y, value);
        ink.fillStyle = LINE[dark]; ink.fillRect(ROOM.left, y, wide, 1);
        ink.fillStyle = TEXT[dark]; ink.fillText(said, ROOM.left - 6, y);
      }
      ink.textAlign = "center"; ink.textBaseline = "bottom";
      ink.fillText(title(view.x), ROOM.left + wide / 2, height - 6, wide);
      ink.save(); ink.translate(14, ROOM.top + tall / 2); ink.rotate(-Math.PI / 2); ink.textBaseline = "middle";
      ink.fillText(title(view.y), 0, 0, tall);
      ink.restore();
    }

    // --- Groups: what a colour stands for

    function groups() {
      const { set } = view, { raw, n, labels, said, truth } = set;
      if (view.colour === "class") return { of: labels, names: raw.classes, crossed: -1 };
      const wrong = view.colour === "flipped" ? truth : said;
      const names = view.colour === "flipped" ? ["label as it came", "label flipped"]
        : ["the scoring runs say the label", "they say another class"];
      return { of: Uint8Array.from({ length: n }, (_, i) => Number(wrong[i] !== labels[i])), names, crossed: 1 };
    }

    /* Points as pixels: twenty thousand calls of fillRect would take longer than a frame has. */
    function stamps(ink) {
      const image = ink.createImageData(points.width, points.height), dense = window.devicePixelRatio || 1;
      const pixels = new Uint32Array(image.data.buffer);
      const stamp = (i, wide, tall, colour) => {
        const left = Math.max(0, Math.round((px[i] - wide / 2) * dense)), right = Math.min(image.width, left + Math.round(wide * dense));
        const top = Math.max(0, Math.round((py[i] - tall / 2) * dense)), bottom = Math.min(image.height, top + Math.round(tall * dense));
        for (let y = top; y < bottom; y++) pixels.fill(colour, y * image.width + left, y * image.width + right);
      };
      return { image, stamp };
    }

    const solid = hex => (0xFF000000 | parseInt(hex.slice(5, 7) + hex.slice(3, 5) + hex.slice(1, 3), 16)) >>> 0; // as bytes: r, g, b, 255

    function draw() {
      const began = performance.now(), dark = mode(), ink = pen(points), { of, names, crossed } = groups(), { n } = view.set;
      const size = n > 8000 ? 3 : n > 2500 ? 4 : n > 700 ? 5 : 7, small = n > 8000 ? 2 : 3;
      const lit = i => view.kept[i] && (view.only === null || of[i] === view.only);
      const { image, stamp } = stamps(ink), gone = solid(GONE[dark]);
      const colours = names.map((_, g) => solid(COLOURS[dark][g % COLOURS[dark].length]));
      for (let i = 0; i < n; i++) if (!lit(i)) stamp(i, small, small, gone);
      for (let i = 0; i < n; i++) if (of[i] !== crossed && lit(i)) stamp(i, size, size, colours[of[i]]);
      for (let i = 0; i < n; i++) if (of[i] === crossed && lit(i)) { // a cross, so that colour is not the only sign
        stamp(i, 2 * size + 1, 2, colours[crossed]);
        stamp(i, 2, 2 * size + 1, colours[crossed]);
      }
      ink.putImageData(image, 0, 0);
      ink.globalCompositeOperation = "destination-over"; // the axes lie below the points
      axes(ink, dark);
      ink.globalCompositeOperation = "source-over";
      drawMarks();
      view.drawn = performance.now() - began;
    }

    function drawMarks() {
      const ink = pen(marks), dark = mode();
      const ring = (i, radius, thick) => {
        ink.beginPath(); ink.arc(px[i], py[i], radius, 0, 2 * Math.PI); ink.lineWidth = thick; ink.stroke();
      };
      ink.strokeStyle = TEXT[dark];
      for (const i of view.hits.slice(0, 2000)) ring(i, 5, 1.5);
      if (view.hovered >= 0) ring(view.hovered, 7, 2);
      if (view.selected >= 0) {
        ring(view.selected, 9, 3);
        ink.fillStyle = TEXT[dark];
        const [x, y] = [px[view.selected], py[view.selected]];
        for (const [dx, dy, w, h] of [[-18, -1, 8, 2], [10, -1, 8, 2], [-1, -18, 2, 8], [-1, 10, 2, 8]]) ink.fillRect(x + dx, y + dy, w, h);
      }
    }

    function soon() { // one frame for many changes
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; if (view.set) draw(); });
    }

    function say(text) {
      clearTimeout(talking);
      talking = setTimeout(() => { part("status").textContent = text; }, 250);
    }

    // --- The examples in words

    function picture(i, extra) {
      const { side } = view.set.raw, out = make("canvas", { width: side, height: side, class: `ddx-picture ${extra || ""}`, role: "img",
        "aria-label": `Image at position ${i}` });
      const ink = out.getContext("2d"), image = ink.createImageData(side, side);
      for (let k = 0; k < side * side; k++) {
        image.data.fill(view.set.pictures[i * side * side + k], 4 * k, 4 * k + 3);
        image.data[4 * k + 3] = 255;
      }
      ink.putImageData(image, 0, 0);
      return out;
    }

    function facts(i) {
      const { set } = view, out = [["label", set.name(set.labels[i])]];
      if (set.truth) out.push(["before the flips", set.truth[i] === set.labels[i] ? "the same" : set.name(set.truth[i])]);
      out.push([`the scoring runs say, ${set.raw.last}`, set.name(set.said[i])], ["here", view.kept[i] ? "kept" : "gone"]);
      return out;
    }

    function brief(i, most) {
      const text = view.set.text(i) || "";
      return text.length > most ? `${text.slice(0, most)}\u2026` : text;
    }

    function select(i, speak = true) {
      view.selected = i;
      part("position").value = i;
      const { set } = view, box = part("example");
      box.replaceChildren();
      const text = set.text(i);
      if (text !== undefined) box.append(make("p", { class: "ddx-text", dir: "auto" }, text));
      if (set.pictures) box.append(picture(i));
      const rows = [["position", String(i)], ["id in the set", String(set.id(i))], ...facts(i)];
      box.append(table(`Example at position ${i}`, ["property", "value"], rows, []));
      box.append(table("Its scores", ["score", "value", "place from the highest"], set.raw.columns.map((column, k) => {
        const { values, ranks } = set.column(k);
        return [column.title, shown(values[i]), `${counted(ranks[i] + 1)} of ${counted(set.n)}`];
      }), [1, 2]));
      ends(); soon();
      if (speak) {
        const { ranks } = set.column(view.by);
        say(`Position ${i}. ${facts(i).map(([name, value]) => `${name}: ${value}`).join(". ")}. Place ${ranks[i] + 1} of ${set.n} by ` +
          `${set.raw.columns[view.by].title}. ${brief(i, 300)}`);
      }
    }

    function ends() {
      const { set } = view, { order, values, ranks } = set.column(view.by), many = Math.min(20, Math.floor(set.n / 2));
      const row = i => {
        const words = brief(i, 160) || `id ${set.id(i)}`;
        const button = make("button", { type: "button", "aria-label": `Select position ${i}: ${words}` }, words);
        if (set.pictures) button.prepend(picture(i, "ddx-small-picture"), " ");
        button.addEventListener("click", () => select(i));
        const label = set.truth && set.truth[i] !== set.labels[i] ? `${set.name(set.labels[i])} (flipped from ${set.name(set.truth[i])})`
          : set.name(set.labels[i]);
        const cells = [[String(ranks[i] + 1), "ddx-number"], [shown(values[i]), "ddx-number"], [label, ""], [button, ""]];
        return make("tr", null, ...cells.map(([value, name]) => make("td", name ? { class: name } : null, value)));
      };
      const body = (title, rows) => make("tbody", null, make("tr", null, make("th", { colspan: "4", scope: "rowgroup" }, title)), ...rows.map(row));
      const out = make("table", null, make("caption", null, `By ${set.raw.columns[view.by].title}`),
        make("thead", null, make("tr", null, ...["place", "score", "label", "example"].map((name, k) =>
          make("th", { scope: "col", ...(k < 2 && { class: "ddx-number" }) }, name)))));
      if (view.selected >= 0) out.append(body("The selected example", [view.selected]));
      out.append(body(`The ${many} hardest, hardest first`, order.slice(0, many)));
      out.append(body(`The ${many} easiest, easiest first`, order.slice(-many).reverse()));
      part("ends").replaceChildren(out);
    }

    function classes() {
      const { set } = view, { n, labels, said, truth, raw } = set, all = view.kept.reduce((a, b) => a + b, 0);
      const { names, of } = groups(), dark = mode();
      const share = member => {
        let whole = 0, left = 0;
        for (let i = 0; i < n; i++) if (member(i)) { whole += 1; left += view.kept[i]; }
        return [counted(whole), percent(whole / n), counted(left), percent(left / all)];
      };
      const toggle = (g, name) => {
        const mark = make("span", { class: "ddx-mark", style: `background:${COLOURS[dark][g % COLOURS[dark].length]}` });
        const button = make("button", { type: "button", "aria-pressed": String(view.only === g) }, mark, name);
        button.addEventListener("click", () => {
          view.only = view.only === g ? null : g;
          classes(); soon();
          part("classes").querySelectorAll("button")[g].focus();
          say(view.only === null ? "All groups are shown." : `Only ${name} is coloured.`);
        });
        return button;
      };
      const rows = view.colour === "class" ? names.map((name, g) => [toggle(g, name), ...share(i => labels[i] === g)])
        : [...names.map((name, g) => [toggle(g, name), ...share(i => of[i] === g)]), ...raw.classes.map((name, g) => [name, ...share(i => labels[i] === g)])];
      if (view.colour !== "wrong") rows.push([`the scoring runs say another class (${raw.last})`, ...share(i => said[i] !== labels[i])]);
      if (truth && view.colour !== "flipped") rows.push(["label flipped", ...share(i => truth[i] !== labels[i])]);
      part("classes").replaceChildren(table("A button colours its group alone.", ["group", "of all", "share", "kept", "share"], rows, [1, 2, 3, 4]));
      const key = names.map((name, g) => make("span", null, make("span", { class: "ddx-mark", style:
        `background:${COLOURS[dark][g % COLOURS[dark].length]}` }), name));
      key.push(make("span", null, make("span", { class: "ddx-mark", style: `background:${GONE[dark]};transform:scale(.5)` }), "gone"));
      part("key").replaceChildren(...key);
    }

    // --- What was measured

    function measured() {
      const { raw } = view.set, rule = part("rule").value, column = raw.columns[view.by];
      const asked = { rule, fraction: part("fraction").value / 100, offset: part("offset").value / 100, score: column.score, at: column.at };
      const found = nearest(raw.arms, asked), box = part("measured");
      const figure = value => value.toFixed(3).replace("-", "\u2212");
      const spread = list => list === null ? "not run" : list.length > 1 ? `${figure(list[0])} [${figure(list[1])}, ${figure(list[2])}]`
        : `${figure(list[0])} (one seed)`;
      const whole = `All examples: ${spread(raw.full)} over ${raw.seeds} seeds. Chance: ${(1 / raw.classes.length).toFixed(3)}. ` +
        `Net: ${raw.net}.`;
      if (!found.length) {
        const tried = [...new Set(raw.arms.filter(arm => arm.rule === rule).map(arm => `${arm.score},${arm.at}`))];
        const names = raw.columns.filter(each => tried.includes(`${each.score},${each.at}`)).map(each => each.title);
        box.replaceChildren(make("p", null, `No published run keeps the ${rule === "random" ? "examples at random" : rule} by ${column.title} on this set. ` +
          (names.length ? `By this end, runs were ranked by: ${names.join("; ")}.` : "None was run by this end at all.")), make("p", null, whole));
        return "no published run by this end and score";
      }
      const first = found[0], place = `${rule}, ${percent(first.fraction)} kept${first.offset ? `, ${percent(first.offset)} skipped` : ""}`;
      const exact = Math.abs(first.fraction - asked.fraction) + Math.abs(first.offset - asked.offset) < 1e-9;
      const random = rule === "random", head = ["test accuracy", ...(random ? [] : ["random, as many", "difference"]), "seeds"];
      const rows = found.flatMap(arm => {
        const how = [arm.balanced ? "the same share of each class" : "classes as they fall", arm.budget === "steps" ? "as many updates as the full data" : "",
          arm.single ? "ranked by one run" : ""].filter(Boolean).join(", ");
        const link = arm.chapter ? [", in ", make("a", { href: `${arm.chapter}.html` }, arm.chapter)] : [];
        const cells = [spread(arm.accuracy), ...(random ? [] : [spread(arm.random), spread(arm.gain)]), String(arm.seeds)];
        return [make("tr", null, make("th", { colspan: String(head.length), scope: "rowgroup" }, how, ...link)),
          make("tr", null, ...cells.map(value => make("td", null, value)))];
      });
      const out = make("table", null, make("caption", null, "Published runs: mean over seeds and its 95 % interval; the difference seed by seed"),
        make("thead", null, make("tr", null, ...head.map(name => make("th", { scope: "col" }, name)))), make("tbody", null, ...rows));
      box.replaceChildren(make("p", null, exact ? `This was run: ${place}.` : `The nearest that was run: ${place}.`), out, make("p", null, whole));
      return `nearest run, ${place}: accuracy ${first.accuracy[0].toFixed(3)}` + (first.random ? `, random ${first.random[0].toFixed(3)}` : "");
    }

    // --- Controls

    function prune(speak) {
      const { set } = view, rule = part("rule").value, free = rule === "hardest" || rule === "easiest";
      part("offset").disabled = !free;
      if (!free) part("offset").value = 0;
      part("balanced").disabled = rule === "random";
      if (rule === "random") part("balanced").checked = false;
      part("by").disabled = rule === "random";
      const fraction = part("fraction").value / 100, offset = part("offset").value / 100;
      if (rule === "random" && !set.order.length) set.order = permutation(held.pcg, set.n);
      view.kept = keep(rule === "random" ? set.order : set.column(view.by).order, fraction, rule, offset,
        part("balanced").checked ? set.labels : null);
      const many = view.kept.reduce((a, b) => a + b, 0);
      part("fraction-said").textContent = `${part("fraction").value} %`;
      part("offset-said").textContent = free ? `${part("offset").value} %` : "none by this end";
      part("kept").textContent = `${counted(many)} of ${counted(set.n)} examples are kept, ${counted(set.n - many)} go.`;
      classes();
      const found = measured();
      if (view.selected >= 0) select(view.selected, false);
      soon();
      if (speak) say(`${many} of ${set.n} examples are kept; ${found}.`);
    }

    function filled(select, options, chosen) {
      select.replaceChildren(...options.map(([value, name]) => make("option", { value }, name)));
      select.value = String(chosen);
    }

    function axesTo(x, y) {
      view.x = x; view.y = y;
      part("x").value = String(x); part("y").value = String(y);
      layout(); soon();
      say(`Across: ${view.set.raw.columns[x].title}. Up: ${view.set.raw.columns[y].title}.`);
    }

    async function choose(name) {
      const set = opened(await unpacked(held.sets.find(each => each.name === name).packed));
      show(set, name);
    }

    function show(set, name) {
      const { columns, arms } = set.raw, first = (...names) => columns.findIndex(column => names.includes(column.score));
      const early = columns.map((column, k) => [column, k]).filter(([column]) => column.score === "el2n").map(([, k]) => k);
      Object.assign(view, { set, selected: -1, hovered: -1, only: null, hits: [] });
      // The score that most runs of the hardest went by ranks first, and is the early one of the map.
      const count = k => arms.filter(arm => arm.rule === "hardest" && arm.score === columns[k].score && arm.at === columns[k].at).length;
      view.by = columns.map((_, k) => k).filter(k => columns[k].ranked).reduce((a, b) => count(b) > count(a) ? b : a);
      const late = early[early.length - 1], trained = early.find(k => columns[k].at.endsWith("ep"));
      const times = early.length > 1 ? [trained, late === trained ? early[0] : late] : null;
      const datamap = first("variability") >= 0 ? [first("variability"), first("confidence")] : null;
      [view.x, view.y] = times || [early[0], first("spread")];
      view.colour = set.truth ? "flipped" : "class";
      const options = columns.map((column, k) => [k, column.title]);
      filled(part("x"), options, view.x);
      filled(part("y"), options, view.y);
      filled(part("by"), options.filter(([k]) => columns[k].ranked), view.by);
      filled(part("colour"), [["class", "class"], ["wrong", "right or wrong"], ...(set.truth ? [["flipped", "flipped or not"]] : [])], view.colour);
      part("times").disabled = !times;
      part("times").onclick = () => axesTo(...times);
      part("datamap").disabled = !datamap;
      part("datamap").onclick = () => axesTo(...datamap);
      part("position").max = set.n - 1;
      part("search").value = ""; part("hits").textContent = "";
      part("example").replaceChildren(make("p", null, "None yet: choose a point of the map, a row of the table below, a hit or a position."));
      part("why").textContent = set.raw.why;
      tip.hidden = true;
      layout(); prune(false); ends();
      say(`${name}: ${set.n} examples of ${set.raw.classes.length} classes.`);
    }

    function find() {
      const wanted = part("search").value.trim().toLowerCase(), { set } = view;
      view.hits = [];
      if (wanted) for (let i = 0; i < set.n; i++) {
        if (String(set.id(i)) === wanted || (set.text(i) || "").toLowerCase().includes(wanted)) view.hits.push(i);
      }
      part("hits").textContent = wanted ? `${counted(view.hits.length)} hit${view.hits.length === 1 ? "" : "s"}` : "";
      soon();
    }

    function toHit(step) {
      const { hits } = view;
      if (!hits.length) return;
      const at = hits.indexOf(view.selected);
      select(hits[at < 0 ? (step > 0 ? 0 : hits.length - 1) : (at + step + hits.length) % hits.length]);
    }

    // --- Pointer and keyboard

    function at(event) {
      const box = marks.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    }

    function near(x, y, reach) { // what is drawn on top wins: kept before gone
      let best = -1, least = reach * reach;
      for (let i = 0; i < px.length; i++) {
        const far = (px[i] - x) ** 2 + (py[i] - y) ** 2 + (view.kept[i] ? 0 : 9);
        if (far < least) { least = far; best = i; }
      }
      return best;
    }

    function point(event) {
      const [x, y] = at(event), i = near(x, y, 14);
      if (i === view.hovered) return;
      view.hovered = i;
      drawMarks();
      tip.hidden = i < 0;
      if (i < 0) return;
      const { raw } = view.set, lines = facts(i).map(([name, value]) => `${name}: ${value}`);
      for (const k of new Set([view.x, view.y])) lines.push(`${raw.columns[k].title}: ${shown(view.set.column(k).values[i])}`);
      tip.replaceChildren(...(view.set.pictures ? [picture(i, "ddx-small-picture"), "\n"] : []),
        `${brief(i, 220)}${view.set.text(i) === undefined ? `id ${view.set.id(i)}` : ""}\n${lines.join("\n")}`);
      const box = tip.getBoundingClientRect();
      tip.style.left = `${Math.max(4, Math.min(px[i] + 14, width - box.width - 4))}px`;
      tip.style.top = `${py[i] + 14 + box.height < height ? py[i] + 14 : Math.max(4, py[i] - box.height - 14)}px`;
    }

    function neighbour(i, dx, dy, least) {
      let best = -1, cost = Infinity;
      for (let j = 0; j < px.length; j++) {
        const right = px[j] - px[i], down = py[j] - py[i], along = right * dx + down * dy, across = Math.abs(right * dy) + Math.abs(down * dx);
        const price = along + 3 * across; // one that lies straight ahead rather than one aside
        if (along > least && price < cost) { cost = price; best = j; }
      }
      return best;
    }

    function key(event) {
      const { set } = view, { order, ranks } = set.column(view.by);
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      const to = { Home: 0, End: set.n - 1, PageUp: view.selected < 0 ? 0 : Math.max(0, ranks[view.selected] - 1),
        PageDown: view.selected < 0 ? 0 : Math.min(set.n - 1, ranks[view.selected] + 1) }[event.key];
      if ((!way && to === undefined) || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      if (view.selected < 0) return select(order[to || 0]);
      const found = way ? neighbour(view.selected, ...way, event.shiftKey ? 40 : 0.5) : order[to];
      if (found < 0) say("No example further on this side."); else select(found);
    }

    // --- Wiring

    const on = (name, kind, what) => part(name).addEventListener(kind, what);
    on("set", "change", event => choose(event.target.value));
    for (const axis of ["x", "y"]) on(axis, "change", () => axesTo(Number(part("x").value), Number(part("y").value)));
    on("colour", "change", event => { view.colour = event.target.value; view.only = null; classes(); soon(); });
    on("places", "change", event => { view.places = event.target.checked; layout(); soon(); });
    on("by", "change", event => { view.by = Number(event.target.value); prune(true); ends(); });
    on("rule", "change", () => prune(true));
    on("balanced", "change", () => prune(true));
    for (const [moved, other] of [["fraction", "offset"], ["offset", "fraction"]]) {
      on(moved, "input", () => { // together they are the whole at most: the other one gives way
        const rest = 100 - part(moved).value;
        if (part(other).value > rest) part(other).value = rest;
        if (!pruning) requestAnimationFrame(() => { pruning = false; prune(true); });
        pruning = true;
      });
    }
    on("search", "input", find);
    on("search", "keydown", event => { if (event.key === "Enter") { event.preventDefault(); toHit(event.shiftKey ? -1 : 1); } });
    on("next", "click", () => toHit(1));
    on("before", "click", () => toHit(-1));
    on("position", "change", event => {
      const i = Number(event.target.value);
      if (event.target.value !== "" && Number.isInteger(i) && i >= 0 && i < view.set.n) select(i);
      else say(`Give a whole number from 0 to ${view.set.n - 1}.`);
    });
    marks.addEventListener("pointermove", point);
    marks.addEventListener("pointerleave", () => { view.hovered = -1; tip.hidden = true; drawMarks(); });
    marks.addEventListener("click", event => { const i = near(...at(event), 24); if (i >= 0) select(i); });
    marks.addEventListener("keydown", event => { if (view.set) key(event); });
    new ResizeObserver(() => { if (view.set) { layout(); soon(); } }).observe(points.parentElement);
    new MutationObserver(() => { if (view.set) { classes(); soon(); } }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });

    part("fraction").value = 50; part("offset").value = 0; part("balanced").checked = part("places").checked = false; part("rule").value = "hardest";
    filled(part("set"), held.sets.map(each => [each.name, each.name]), held.sets[0].name);
    return Object.assign(globalThis.datadietExplorer, { view, draw, select, choose, place: i => [px[i], py[i]], ready: choose(held.sets[0].name) });
  }

  const root = document.getElementById("ddx");
  const failed = problem => {
    const place = root.querySelector("#ddx-failed");
    place.textContent = `The map cannot be shown in this browser: ${problem.message}. It needs one of 2023 or later.`;
    place.hidden = false;
  };
  try { start(root, JSON.parse(document.getElementById("ddx-held").textContent)).ready.catch(failed); } catch (problem) { failed(problem); }
})();
