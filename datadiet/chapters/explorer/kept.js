/* The explorer without its page: what is kept, the runs nearest to it, and sets as the page holds them. */
(function () {
  "use strict";

  // --- What is kept: the arithmetic of datadiet.prune.keep, digit for digit

  function rounded(x) { // as Python's round: a half goes to the even number
    const low = Math.floor(x), rest = x - low;
    return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
  }

  function ranking(scores) { // positions, hardest first, equals by position
    return Array.from(scores, (_, i) => i).sort((a, b) => scores[b] - scores[a] || a - b);
  }

  function largestRemainders(quotas, total) {
    const sizes = quotas.map(Math.floor);
    const sum = () => sizes.reduce((a, b) => a + b, 0);
    const furthest = gap => gap.indexOf(Math.max(...gap));
    while (sum() < total) sizes[furthest(quotas.map((quota, i) => quota - sizes[i]))] += 1;
    while (sum() > total) sizes[furthest(sizes.map((size, i) => size > 0 ? size - quotas[i] : -Infinity))] -= 1;
    return sizes;
  }

  function begin(rule, n, size, skip) {
    return { hardest: skip, easiest: n - skip - size, middle: Math.floor((n - size) / 2), random: 0 }[rule];
  }

  /* A mark for each example, 1 where it is kept. `order`: positions as `ranking` gives them, for "random" as `permutation` does;
     `labels`: a class number each, or null. */
  function keep(order, fraction, rule, offset, labels) {
    const n = order.length, kept = new Uint8Array(n);
    const classes = labels ? [...new Set(labels)].sort((a, b) => a - b) : [0];
    const groups = new Map(classes.map(name => [name, []]));
    for (const i of order) groups.get(labels ? labels[i] : 0).push(i);
    const lists = classes.map(name => groups.get(name));
    const sizes = largestRemainders(lists.map(list => fraction * list.length), rounded(fraction * n));
    lists.forEach((list, g) => {
      const skip = Math.min(rounded(offset * list.length), list.length - sizes[g]);
      const start = begin(rule, list.length, sizes[g], skip);
      for (const i of list.slice(start, start + sizes[g])) kept[i] = 1;
    });
    return kept;
  }

  /* What numpy.random.Generator.permutation(n) gives from a state of PCG64: [state, increment], each as a string of digits. */
  function permutation([state, increment], n) {
    const whole = (1n << 128n) - 1n, half = (1n << 64n) - 1n, step = BigInt(increment);
    let at = BigInt(state), held = null;
    function next() { // 32 bits, the lower half of 64 first
      if (held !== null) { const out = held; held = null; return out; }
      at = (at * 0x2360ED051FC65DA44385DF649FCCF645n + step) & whole;
      const mixed = ((at >> 64n) ^ at) & half, turn = at >> 122n;
      const out = ((mixed >> turn) | (mixed << ((64n - turn) & 63n))) & half;
      held = Number(out >> 32n);
      return Number(out & 0xFFFFFFFFn);
    }
    const out = Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      let mask = i, j;
      for (const shift of [1, 2, 4, 8, 16]) mask |= mask >> shift;
      do j = (next() & mask) >>> 0; while (j > i);
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  }

  /* The arms that were run nearest to what is asked for, by the same end and score: all those at one share and one offset. */
  function nearest(arms, asked) {
    const found = arms.filter(arm => arm.rule === asked.rule &&
      (arm.rule === "random" || (arm.score === asked.score && arm.at === asked.at)));
    const far = arm => Math.abs(arm.fraction - asked.fraction) + Math.abs(arm.offset - asked.offset);
    const best = found.reduce((a, b) => a && far(a) <= far(b) + 1e-9 ? a : b, null);
    return best ? found.filter(arm => arm.fraction === best.fraction && arm.offset === best.offset) : [];
  }

  // --- Sets as the page holds them

  const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const WORTH = Object.fromEntries([...DIGITS].map((digit, i) => [digit, i]));

  function fromDigits(text) {
    const n = text.length / 3;
    return Uint32Array.from({ length: n }, (_, i) => 4096 * WORTH[text[i]] + 64 * WORTH[text[n + i]] + WORTH[text[2 * n + i]]);
  }

  function fromBytes(text) { return Uint8Array.from(atob(text), letter => letter.charCodeAt(0)); }

  function unpacked(text) {
    return new Response(new Blob([fromBytes(text)]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  }

  /* Value of each example: straight lines between the knots, read at its rank. */
  function valuesOf(ranks, knots) {
    const falling = new Float64Array(ranks.length);
    if (ranks.length === 1) falling[0] = knots[0][1];
    for (let k = 1; k < knots.length; k++) {
      const [start, from] = knots[k - 1], [end, to] = knots[k];
      for (let rank = start; rank <= end; rank++) falling[rank] = from + (to - from) * (rank - start) / (end - start);
    }
    return Float64Array.from(ranks, rank => falling[rank]);
  }

  /* A set ready to be shown. Columns are decoded when they are first asked for. */
  function opened(raw) {
    const labels = fromBytes(raw.labels), n = labels.length, held = new Map();
    const set = { raw, n, labels, said: fromBytes(raw.said), truth: raw.truth && fromBytes(raw.truth),
      pictures: raw.pictures && fromBytes(raw.pictures), order: [] };
    set.column = k => {
      if (!held.has(k)) {
        const ranks = fromDigits(raw.columns[k].ranks), order = new Array(n);
        ranks.forEach((rank, i) => { order[rank] = i; });
        const values = valuesOf(ranks, raw.columns[k].knots);
        held.set(k, { ranks, order, values, high: values[order[0]], low: values[order[n - 1]] });
      }
      return held.get(k);
    };
    set.id = i => raw.ids ? raw.ids[i] : i;
    set.text = i => raw.texts ? raw.texts[i] : undefined; // a list, or an object with the texts of some
    set.name = label => raw.classes[label];
    return set;
  }

  const api = { rounded, ranking, largestRemainders, keep, permutation, nearest, fromDigits, valuesOf, unpacked, opened };
  globalThis.datadietExplorer = api;
  if (typeof module !== "undefined" && module.exports) module.exports = api;
})();
