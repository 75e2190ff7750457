// A link to an exercise, or to a place within any fold, opens it. Without this script a click on the fold does.
(() => {
  "use strict";
  function arrive() {
    const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!place) return;
    for (let fold = place.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    place.scrollIntoView();
  }
  addEventListener("hashchange", arrive);
  document.addEventListener("click", event => { // the address is there already, the fold was closed since
    if (location.hash && event.target.closest("a[href]")?.href === location.href) arrive();
  });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", arrive); else arrive();
})();
