// Keys, local times, copying, the clock. Every page works without it.
(() => {
  "use strict";
  const two = (number) => String(number).padStart(2, "0");
  const clockText = (date) => `${two(date.getHours())}:${two(date.getMinutes())}`;

  // A time says UTC; the browser's own zone stands after it, where it is another.
  const isUtc = () => new Date().getTimezoneOffset() === 0;
  const addLocal = (root) => {
    if (isUtc()) return;
    for (const time of root.querySelectorAll("time[data-form]:not([data-done])")) {
      time.dataset.done = "";
      if (time.dataset.form === "date") continue;
      const local = document.createElement("span");
      local.className = "local";
      local.textContent = " " + clockText(new Date(time.dateTime));
      time.after(local);
    }
  };

  const clock = document.getElementById("clock");
  if (clock) {
    const ahead = new Date(clock.dateTime) - Date.now(); // the server's clock, not the browser's
    setInterval(() => {
      const now = new Date(Date.now() + ahead);
      clock.textContent = `${two(now.getUTCHours())}:${two(now.getUTCMinutes())}:${two(now.getUTCSeconds())}`;
    }, 1000);
  }

  const showCopy = (root) => {
    for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
  };
  const copy = async (button) => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 1500);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
    if (event.target.closest("[data-open-keys]")) document.getElementById("keys").showModal();
  });

  const rows = () => [...document.querySelectorAll("tr[data-row], li[data-row]")];
  const move = (step) => {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.classList.contains("focused"));
    const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    for (const row of all) row.classList.remove("focused");
    next.classList.add("focused");
    next.querySelector("a")?.focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const turnTheme = () => {
    const root = document.documentElement;
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
  };
  const act = {
    "/": () => document.querySelector("input[type=search]")?.focus(),
    "?": () => document.getElementById("keys")?.showModal(),
    j: () => move(1),
    k: () => move(-1),
    t: turnTheme,
    r: () => document.getElementById("live")?.click(),
    c: () => { const button = document.querySelector(".command [data-copy]:not([hidden])"); if (button) copy(button); },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inField = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "Escape" && inField) return inField.blur();
    if (inField || document.querySelector("dialog[open]")) return;
    if (localStorage.getItem("keys") === "off") return;
    const does = act[event.key];
    if (does) { event.preventDefault(); does(); }
  });
  const off = document.getElementById("keys-off");
  if (off) {
    off.checked = localStorage.getItem("keys") === "off";
    off.addEventListener("change", () => localStorage.setItem("keys", off.checked ? "off" : "on"));
  }

  const prepare = (root) => { addLocal(root); showCopy(root); };
  prepare(document);
  for (const button of document.querySelectorAll("[data-open-keys]")) button.hidden = false;
  window.invoicesConsole = { prepare }; // parts that come live are prepared too
})();
