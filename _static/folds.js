// A link to an exercise, or to a place within any fold, opens it; without this script a click on the fold does. A formula that is
// wider than its place can be scrolled by keyboard, as the theme has it for code.
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
  addEventListener("hashchange", arrive);
  document.addEventListener("click", event => { // the address is there already, the fold was closed since
    if (location.hash && event.target.closest("a[href]")?.href === location.href) arrive();
  });
  addEventListener("load", () => { window.MathJax?.startup?.promise.then(() => { reach(); arrive(); }); arrive(); });
  addEventListener("resize", reach);
  document.addEventListener("toggle", reach, true);
})();
