/* The filters of the ledger, and what the forest plot tells of a claim. Without this script both can be read: the ledger whole,
   the plot by its links and their titles. Text of claims is set as text, never as markup. */
(() => {
  "use strict";

  function filters(ledger) {
    const form = ledger.querySelector(".dd-filters"), count = form.querySelector(".dd-count");
    const lines = [...ledger.querySelectorAll(".dd-line")], groups = [...ledger.querySelectorAll(".dd-group")];
    const plain = text => text.toLowerCase().normalize("NFKD").replace(/[\u0300-\u036f]/g, "");
    const texts = new Map(lines.map(line => [line, plain(`${line.textContent} ${line.closest(".dd-group").firstChild.textContent}`)]));
    const ours = ledger.querySelector(".dd-ours");

    function show() {
      const words = plain(form.elements.words.value).split(/\s+/).filter(Boolean);
      const chosen = ["paper", "kind", "setting"].map(name => [name, form.elements[name].value]).filter(([, value]) => value);
      let shown = 0;
      for (const line of lines) {
        const fits = chosen.every(([name, value]) => line.dataset[name] === value) && words.every(word => texts.get(line).includes(word));
        line.hidden = !fits;
        shown += fits;
      }
      for (const group of groups) group.hidden = ![...group.querySelectorAll(".dd-line")].some(line => !line.hidden);
      if (ours) ours.hidden = !groups.some(group => !group.hidden && ours.compareDocumentPosition(group) & Node.DOCUMENT_POSITION_FOLLOWING);
      count.textContent = shown ? `${shown} of ${lines.length} claims` : `None of ${lines.length} claims: choose less, or another word.`;
    }
    function arrive() { // a link to a claim that a filter hides shows it
      const line = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (line && line.hidden) { form.reset(); show(); line.scrollIntoView(); }
    }
    form.addEventListener("input", show);
    form.addEventListener("submit", event => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(show));
    window.addEventListener("hashchange", arrive);
    form.hidden = false;
    show();
  }

  function forest(figure) {
    const box = figure.querySelector(".dd-told"), rows = [...figure.querySelectorAll("a.dd-row")];
    let tapped = null, finger = false;
    rows.forEach(row => row.querySelector("title")?.remove()); // the box says it, and sooner

    function paragraph(...parts) {
      const line = document.createElement("p");
      line.append(...parts);
      return line;
    }
    function tell(row, withLink) {
      const head = document.createElement("strong"), data = row.dataset;
      head.textContent = `${data.id}: ${data.verdict}`;
      const lines = [paragraph(head), paragraph(data.claim)];
      if (data.part) lines.push(paragraph(data.effect ? `${data.part}: ${data.effect}` : data.part));
      if (withLink) {
        const link = document.createElement("a");
        link.href = row.getAttribute("href");
        link.textContent = "The cell that decides it";
        lines.push(paragraph(link));
      }
      box.replaceChildren(...lines);
      box.className = `dd-told ${[...row.classList].filter(name => name !== "dd-row").join(" ")}${withLink ? " dd-tapped" : ""}`;
      box.hidden = false;
      const at = row.getBoundingClientRect(), all = figure.getBoundingClientRect(), below = at.bottom - all.top + 4;
      box.style.top = `${at.bottom + box.offsetHeight + 8 > innerHeight ? at.top - all.top - box.offsetHeight - 4 : below}px`;
    }
    function hush() { box.hidden = true; tapped = null; }

    for (const row of rows) {
      row.addEventListener("pointerdown", event => { finger = event.pointerType === "touch"; });
      row.addEventListener("pointerenter", event => { if (event.pointerType !== "touch") tell(row, false); });
      row.addEventListener("pointerleave", event => { if (event.pointerType !== "touch") hush(); });
      row.addEventListener("focus", () => { if (!finger) tell(row, false); });
      row.addEventListener("blur", () => { if (!finger) hush(); });
      row.addEventListener("click", event => { // a first tap tells, a second one leads on
        if (finger && tapped !== row) { event.preventDefault(); tapped = row; tell(row, true); }
      });
    }
    document.addEventListener("keydown", event => { if (event.key === "Escape") hush(); });
    document.addEventListener("pointerdown", event => { if (!figure.contains(event.target)) hush(); });
  }

  function start() {
    document.querySelectorAll(".dd-ledger").forEach(filters);
    document.querySelectorAll(".dd-forest").forEach(forest);
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start); else start();
})();
