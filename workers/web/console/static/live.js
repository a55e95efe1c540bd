// The page goes on by itself: parts that have changed come as server-sent events and are put in place by htmx.
// `r` pauses; a hidden tab pauses by itself.
(() => {
  "use strict";
  const button = document.getElementById("live");
  let source = document.getElementById("live-source");
  if (!button || !source || !window.htmx) return;
  let connection = null;
  let paused = false;

  const show = (on) => {
    button.hidden = false;
    button.classList.toggle("paused", !on);
    button.setAttribute("aria-pressed", String(!on));
    button.querySelector("span").textContent = on ? button.dataset.live : button.dataset.paused;
  };
  const states = () =>
    new Map([...document.querySelectorAll("[data-row][id]")].map((row) => [row.id, row.dataset.state]));

  let before = new Map();
  document.addEventListener("htmx:sse:before:connection", (event) => {
    if (paused) event.detail.connection.cancelled = true;
  });
  document.addEventListener("htmx:sse:after:connection", (event) => {
    connection = event.detail.connection;
    if (connection.status === 200) show(true);
  });
  document.addEventListener("htmx:sse:error", () => show(false));
  document.addEventListener("htmx:sse:before:message", () => { before = states(); });
  document.addEventListener("htmx:sse:after:message", () => {
    for (const row of document.querySelectorAll("[data-row][id]")) {
      if (before.get(row.id) === row.dataset.state) continue;
      row.classList.add("changed");
      setTimeout(() => row.classList.remove("changed"), 5000);
    }
    window.invoicesConsole.prepare(document);
  });

  const said = document.getElementById("let-go");
  document.addEventListener("let-go", () => {
    paused = true;
    show(false);
    said.hidden = false;
  });

  button.addEventListener("click", () => {
    paused = !paused;
    show(!paused);
    said.hidden = true;
    if (paused) {
      connection?.reader?.cancel();
      return;
    }
    const fresh = source.cloneNode();
    source.replaceWith(fresh);
    source = fresh;
    window.htmx.process(fresh);
  });
})();
