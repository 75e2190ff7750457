// A link to an exercise, or to a place within any fold, opens it; without this script a click on the fold does. A formula that is
// wider than its place can be scrolled by keyboard, as the theme has it for code. One button shows the code that a page keeps back.
(() => {
  "use strict";
  function arrive() {
    const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!place) return;
    for (let fold = place.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    place.scrollIntoView();
  }
  function reach() {
    for (const formula of document.querySelectorAll("mjx-container[display]"))
      formula.tabIndex = formula.scrollWidth > formula.clientWidth ? 0 : -1;
  }
  function offer() {
    const kept = [...document.querySelectorAll(`.bd-article :is(.dd-call,
      .tag_hide-input:not(.tag_parameters, .tag_injected-parameters) > details.above-input)`)];
    if (!kept.length) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "dd-code";
    button.textContent = "All code";
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      const shown = document.documentElement.classList.toggle("dd-all-code");
      button.setAttribute("aria-pressed", shown);
      for (const each of kept) if (each.tagName === "DETAILS") each.open = shown;
    });
    document.querySelector(".article-header-buttons").prepend(button);
  }
  addEventListener("hashchange", arrive);
  document.addEventListener("click", event => { // the address is there already, the fold was closed since
    if (location.hash && event.target.closest("a[href]")?.href === location.href) arrive();
  });
  document.addEventListener("DOMContentLoaded", offer);
  addEventListener("load", () => { window.MathJax?.startup?.promise.then(() => { reach(); arrive(); }); arrive(); });
  addEventListener("resize", reach);
  document.addEventListener("toggle", reach, true);
})();
