// A chart at full size: a tap on a panel, or the button below it, opens all panels of the chart in a dialog.
document.addEventListener("DOMContentLoaded", () => {
  const dialog = document.createElement("dialog");
  dialog.className = "dd-whole";
  dialog.setAttribute("aria-label", "Figure at full size");
  const open = (figure) => {
    const close = document.createElement("button");
    close.type = "button";
    close.className = "dd-full";
    close.textContent = "Close";
    close.addEventListener("click", () => dialog.close());
    const copy = figure.cloneNode(true);
    copy.querySelectorAll("button, details").forEach((each) => each.remove());
    copy.querySelectorAll("[id]").forEach((each) => each.setAttribute("id", "whole-" + each.id));
    copy.querySelectorAll("*").forEach((each) => {
      for (const name of ["href", "clip-path"]) {
        const value = each.getAttribute(name);
        if (value && value.includes("#")) each.setAttribute(name, value.replace("#", "#whole-"));
      }
    });
    dialog.replaceChildren(close, copy);
    dialog.showModal();
  };
  document.querySelectorAll(".dd-figure").forEach((figure) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "dd-full";
    button.textContent = "Full size";
    button.addEventListener("click", () => open(figure));
    figure.append(button);
    figure.querySelectorAll(".dd-panel").forEach((panel) => panel.addEventListener("click", () => open(figure)));
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
});
