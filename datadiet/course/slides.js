// Slides by keyboard, buttons or swipe. Without this script the page shows all slides, one below the other, with their notes.
(() => {
  const slides = [...document.querySelectorAll("section")], body = document.body;
  const count = document.querySelector("footer span"), said = document.getElementById("said");
  let at = 0, shown = 0, speaker = null, began = Date.now();
  const steps = () => [...slides[at].querySelectorAll(".step")];

  function show(place, all) {
    at = Math.max(0, Math.min(slides.length - 1, place));
    slides.forEach((slide, i) => slide.classList.toggle("here", i === at));
    shown = all ? steps().length : 0;
    draw();
    slides[at].scrollTop = 0;
    history.replaceState(null, "", "#" + (at + 1));
    const head = slides[at].querySelector("h1, h2");
    said.textContent = "Slide " + (at + 1) + " of " + slides.length + (head ? ": " + head.textContent : "");
  }
  function draw() {
    steps().forEach((step, i) => step.classList.toggle("shown", i < shown));
    count.textContent = (at + 1) + " / " + slides.length;
    tell();
  }
  function on() { if (shown < steps().length) { shown += 1; draw(); } else if (at < slides.length - 1) show(at + 1); }
  function back() { if (shown > 0 && steps().length) { shown -= 1; draw(); } else if (at > 0) show(at - 1, true); }

  // The speaker's window: notes of this slide, the head of the next one, minutes since the talk began.
  function tell() {
    if (!speaker || speaker.closed) return;
    const page = speaker.document, next = slides[at + 1], note = slides[at].querySelector("aside.notes");
    const head = slide => { const found = slide && slide.querySelector("h1, h2"); return found ? found.textContent : "the end"; };
    page.getElementById("head").textContent = (at + 1) + " / " + slides.length + "  " + head(slides[at]);
    page.getElementById("next").textContent = "Next: " + head(next);
    const notes = page.getElementById("notes");
    notes.replaceChildren();
    if (note) [...note.childNodes].forEach(child => notes.append(page.importNode(child, true)));
  }
  function openSpeaker() {
    speaker = window.open("", "datadiet-notes", "width=760,height=640");
    if (!speaker) { body.classList.add("notes-on"); return; }  // a browser that forbids windows shows the notes on the slide
    const page = speaker.document;
    page.title = "Notes: " + document.title;
    page.body.innerHTML = '<p id="clock"></p><h1 id="head"></h1><div id="notes"></div><p id="next"></p>';
    page.body.style.cssText = "font: 1.1rem/1.45 system-ui, sans-serif; margin: 1.5rem; color-scheme: light dark";
    speaker.addEventListener("keydown", pressed);
    tell();
  }
  setInterval(() => {
    if (speaker && !speaker.closed && speaker.document.getElementById("clock"))
      speaker.document.getElementById("clock").textContent = Math.floor((Date.now() - began) / 60000) + " min";
  }, 1000);

  const keys = {
    ArrowRight: on, ArrowDown: on, PageDown: on, " ": on, Enter: on, ArrowLeft: back, ArrowUp: back, PageUp: back, Backspace: back,
    Home: () => show(0), End: () => show(slides.length - 1, true), s: openSpeaker, n: () => body.classList.toggle("notes-on"),
    f: () => document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen(),
  };
  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const own = event.target.closest && event.target.closest("a, button, summary, input");
    if (own && (event.key === " " || event.key === "Enter")) return;  // a link or a fold in focus keeps its keys
    const act = keys[event.key];
    if (act) { event.preventDefault(); act(); }
  }
  document.addEventListener("keydown", pressed);
  document.getElementById("on").addEventListener("click", on);
  document.getElementById("back").addEventListener("click", back);
  document.getElementById("speak").addEventListener("click", openSpeaker);
  let touch = null;
  document.addEventListener("touchstart", event => { touch = event.changedTouches[0]; }, { passive: true });
  document.addEventListener("touchend", event => {
    const end = event.changedTouches[0], across = end.clientX - touch.clientX;
    if (Math.abs(across) > 60 && Math.abs(across) > 2 * Math.abs(end.clientY - touch.clientY)) (across < 0 ? on : back)();
  }, { passive: true });
  addEventListener("hashchange", () => show((parseInt(location.hash.slice(1), 10) || 1) - 1));

  body.classList.add("live");
  show((parseInt(location.hash.slice(1), 10) || 1) - 1);
})();
