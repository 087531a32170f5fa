// Pages are whole without this: it keeps them fresh, and lets keys do what the pointer does.
"use strict";

(() => {
  const body = document.body;
  const live = body.dataset.live;
  const news = document.querySelector(".news");
  const state = document.querySelector(".live");
  const REFRESH_MS = 60_000; // numbers age even where nothing happens
  const SETTLE_MS = 300; // several alerts at once are one refresh
  const AGAIN_MS = 5_000;
  let events = null;
  let waiting = 0;
  let refreshing = false;

  // ---- staying fresh ------------------------------------------------------------------------------------------------

  function say(text, act) {
    news.replaceChildren();
    if (act) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.addEventListener("click", act);
      news.append(button);
    } else {
      news.textContent = text;
      setTimeout(() => { news.hidden = true; }, 8_000);
    }
    news.hidden = false;
  }

  function busy() {
    const main = document.getElementById("main");
    const at = document.activeElement;
    const writing = at && main.contains(at) && at.matches("input, textarea, select");
    const written = [...main.querySelectorAll("form[method=post] input:not([type=hidden]), form[method=post] textarea")]
      .some((field) => (field.type === "radio" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue));
    return writing || written;
  }

  function still() {
    return document.querySelector("[data-still]") !== null;
  }

  async function refresh() {
    if (refreshing || still()) return;
    if (busy()) {
      say(news.dataset.waiting, () => { news.hidden = true; document.activeElement.blur(); swap(); });
      return;
    }
    await swap();
  }

  async function swap() {
    refreshing = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, credentials: "same-origin" });
      if (answer.redirected || answer.status === 401) { location.reload(); return; }
      if (!answer.ok) return;
      show(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      // away for a moment: the next event or minute tries again
    } finally {
      refreshing = false;
    }
  }

  function show(page) {
    const before = document.getElementById("main");
    const after = page.getElementById("main");
    if (!after) return;
    const known = new Set([...before.querySelectorAll(".card")].map((card) => card.id));
    const opened = [...before.querySelectorAll("details")].map((item) => item.open);
    const held = place(before);
    const scrolled = [...before.querySelectorAll(".scroll")].map((item) => item.scrollLeft);
    before.replaceChildren(...after.childNodes);
    before.querySelectorAll("details").forEach((item, index) => { item.open = opened[index] === true; });
    before.querySelectorAll(".scroll").forEach((item, index) => { item.scrollLeft = scrolled[index] || 0; });
    before.querySelector(".said")?.remove();
    document.title = page.title;
    if (held) find(before, held)?.focus({ preventScroll: true });
    const fresh = [...before.querySelectorAll(".card")].filter((card) => !known.has(card.id));
    fresh.forEach((card) => card.classList.add("fresh"));
    if (fresh.length) say(`${news.dataset.new}: ${fresh.map((card) => card.getAttribute("aria-label")).join(", ")}`);
  }

  // Where the focus is, in words that hold in the next version of the page too.
  function place(main) {
    const at = document.activeElement;
    if (!at || at === body || !main.contains(at)) return null;
    const row = at.closest("[data-row]");
    const rows = [...main.querySelectorAll("[data-row]")];
    return { id: row && row.id, index: rows.indexOf(row), action: at.getAttribute("formaction"), href: at.getAttribute("href"), row: at === row };
  }

  function find(main, held) {
    const row = (held.id && document.getElementById(held.id)) || main.querySelectorAll("[data-row]")[held.index];
    if (held.row) return row;
    const within = row || main;
    return [...within.querySelectorAll("a, button")].find((item) => item.getAttribute("formaction") === held.action && item.getAttribute("href") === held.href) || row;
  }

  function listen() {
    if (events) return;
    events = new EventSource(live); // the browser says which event it saw last when it comes back
    const soon = () => { clearTimeout(waiting); waiting = setTimeout(refresh, SETTLE_MS); };
    const tell = (on) => {
      state.dataset.state = on ? "on" : "off";
      state.textContent = on ? state.dataset.on : state.dataset.off;
    };
    events.addEventListener("open", () => tell(true));
    events.addEventListener("error", () => {
      tell(false);
      if (events && events.readyState === EventSource.CLOSED) {
        deafen();
        setTimeout(() => { refresh(); listen(); }, AGAIN_MS);
      }
    });
    events.addEventListener("alert", soon);
    events.addEventListener("reset", soon);
  }

  function deafen() {
    events?.close();
    events = null;
  }

  // A browser has six connections to a host: pages that nobody looks at leave theirs to the others, and look once a minute.
  function seen() {
    if (document.hidden) { deafen(); return; }
    refresh();
    listen();
  }

  // ---- keys ---------------------------------------------------------------------------------------------------------

  function step(by) {
    const rows = [...document.querySelectorAll("#main [data-row]")];
    if (!rows.length) return;
    const at = rows.indexOf(document.activeElement?.closest("[data-row]"));
    const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by));
    rows[next].focus({ preventScroll: true });
    rows[next].scrollIntoView({ block: "nearest" });
  }

  function chosen() {
    return document.activeElement?.closest("[data-row]") || document.querySelector("[data-alert]");
  }

  const KEYS = {
    j: () => step(1),
    k: () => step(-1),
    a: () => chosen()?.querySelector("[data-ack]")?.click(),
    "/": () => document.querySelector("[data-search]")?.focus(),
    "?": () => document.getElementById("keys")?.showModal(),
    Enter: (event) => {
      if (event.target.matches("[data-row]")) event.target.querySelector("[data-open]")?.click();
      else return false;
      return true;
    },
  };

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.matches("input, textarea, select") || document.querySelector("dialog[open]")) return;
    const act = KEYS[event.key];
    if (act && act(event) !== false) event.preventDefault();
  });

  // ---- beginning ----------------------------------------------------------------------------------------------------

  document.querySelectorAll("[data-keys]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", KEYS["?"]);
  });

  document.querySelectorAll(".scroll > .chart").forEach((picture) => { picture.parentElement.scrollLeft = picture.parentElement.scrollWidth; }); // the newest first

  const address = new URL(location.href);
  if (address.searchParams.has("said")) { // told once: not again when the page is loaded again
    address.searchParams.delete("said");
    history.replaceState(null, "", address);
  }

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (live) {
    if (zone && zone !== body.dataset.zone && !document.cookie.includes(`yuqing_zone=${zone}`)) {
      document.cookie = `yuqing_zone=${zone}; path=/; max-age=31536000; samesite=strict`;
      if (!still()) location.reload();
    }
    if (!document.hidden) listen();
    document.addEventListener("visibilitychange", seen);
    addEventListener("pagehide", deafen);
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
    setInterval(refresh, REFRESH_MS);
    for (let tries = 1; tries <= 5; tries += 1) setTimeout(() => { if (document.querySelector("[data-again]")) refresh(); }, tries * AGAIN_MS);
  }
})();
