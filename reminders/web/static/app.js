// What pages do better with JavaScript. Nothing here is needed: without it every page still works.
//
//   data-refresh="seconds"  on an element with an id: its contents are read anew from this page's own address, not while
//                           the tab is hidden, a key is being typed inside, or somebody pressed Pause ([data-pause]).
//                           [data-fresh] shows when it was last read.
//   form[data-live=SELECTOR] is sent to its data-action a moment after a change; what SELECTOR finds, each with an id, is
//                           replaced from the answer, unless somebody is typing in it.
//   form[data-autosave=URL]  is sent there a moment after a change; [data-saved] inside it says so.
//   [data-copy=TEXT]         a button that copies.
//   tr[data-href]            a row that j, k and Enter walk and open.

const quiet = (ms, work) => { let timer; return (...given) => { clearTimeout(timer); timer = setTimeout(work, ms, ...given); }; };
const page = async (address, options = {}) => {
  const answer = await fetch(address, { credentials: "same-origin", redirect: "manual", ...options });
  if (answer.type === "opaqueredirect") { location.reload(); throw new Error("signed out"); }
  return answer.headers.get("content-type")?.includes("text/html")
    ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
};
const clock = () => new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

// Parts that keep themselves fresh.
let paused = false;
const swap = (old, fresh) => {
  if (!fresh || old.innerHTML === fresh.innerHTML) return;
  const open = new Set([...old.querySelectorAll("details[open][id]")].map((one) => one.id));
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const address = focused && (focused.id ? `#${CSS.escape(focused.id)}` : focused.getAttribute("href") && `a[href="${CSS.escape(focused.getAttribute("href"))}"]`);
  old.replaceChildren(...fresh.childNodes);
  for (const id of open) old.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
  if (address) old.querySelector(address)?.focus({ preventScroll: true });
};
const parts = [...document.querySelectorAll("[data-refresh]")];
if (parts.length) {
  const every = Math.min(...parts.map((part) => Number(part.dataset.refresh))) * 1000;
  let wait = every;
  const look = async () => {
    const typing = parts.some((part) => part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select"));
    if (!paused && !document.hidden && !typing) {
      try {
        const fresh = await page(location.href, { headers: { "X-Refresh": "1" } });
        if (fresh) {
          for (const part of parts) swap(part, fresh.getElementById(part.id));
          document.title = fresh.title;
          const icon = fresh.querySelector("link[rel=icon]");
          if (icon) document.querySelector("link[rel=icon]").href = icon.href;
          for (const said of document.querySelectorAll("[data-fresh]")) said.textContent = fresh.querySelector("[data-fresh]")?.textContent ?? clock();
        }
        wait = every;
      } catch { wait = Math.min(wait * 2, 120000); }
    }
    setTimeout(look, wait);
  };
  setTimeout(look, every);
  for (const button of document.querySelectorAll("[data-pause]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      paused = !paused;
      button.setAttribute("aria-pressed", String(paused));
      button.textContent = paused ? "Go on refreshing" : "Pause refreshing";
    });
  }
}

// Forms that answer while they are filled in, and drafts that save themselves.
for (const form of document.querySelectorAll("form[data-live]")) {
  const targets = [...document.querySelectorAll(form.dataset.live)];
  let asked = 0;
  const look = quiet(350, async () => {
    const mine = ++asked;
    for (const target of targets) target.setAttribute("aria-busy", "true");
    try {
      const fresh = await page(form.dataset.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      if (mine === asked && fresh) {
        for (const target of targets) if (!target.contains(document.activeElement)) swap(target, fresh.getElementById(target.id));
      }
    } catch { /* the button still asks for it */ } finally {
      if (mine === asked) for (const target of targets) target.removeAttribute("aria-busy");
    }
  });
  form.addEventListener("input", look);
}
for (const form of document.querySelectorAll("form[data-autosave]")) {
  const said = form.querySelector("[data-saved]") ?? document.querySelector("[data-saved]");
  form.addEventListener("input", quiet(1500, async () => {
    try {
      const answer = await fetch(form.dataset.autosave, { method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual" });
      if (said) said.textContent = answer.ok ? `Draft saved ${clock()}` : "The draft could not be saved";
    } catch { if (said) said.textContent = "The draft could not be saved: no connection"; }
  }));
}

// A problem is where the reader is; copying; a menu that closes.
document.querySelector(".problems")?.focus();
document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    await navigator.clipboard.writeText(copy.dataset.copy);
    copy.textContent = "Copied";
  }
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const menu of document.querySelectorAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
});

// Two minutes before the sign-in ends.
const ending = document.getElementById("ending");
if (document.body.dataset.ends && ending) {
  let ends = Date.now() + Number(document.body.dataset.ends) * 1000;
  let touched = Date.now();
  const stay = async () => {
    touched = Date.now();
    const answer = await fetch("/account/stay", { method: "POST", redirect: "manual" });
    if (answer.ok) { ends = Date.now() + Number(await answer.text()) * 1000; ending.hidden = true; }
  };
  ending.querySelector("[data-stay]").addEventListener("click", stay);
  document.addEventListener("input", () => { if (Date.now() - touched > 60000) stay().catch(() => {}); });
  setInterval(() => {
    const left = Math.round((ends - Date.now()) / 1000);
    ending.hidden = left > 120 || left < 0;
    const words = ending.querySelector("[data-left]");
    const said = left > 60 ? "two minutes" : left > 20 ? "a minute" : "a few seconds";
    if (!ending.hidden && words.textContent !== said) words.textContent = said;
  }, 1000);
}

// Keys, for who wants them.
if (!("noShortcuts" in document.body.dataset)) {
  const areas = { t: "/", p: "/plans", i: "/inbox", l: "/log", h: "/health" };
  let going = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
    if (going) {
      going = false;
      if (areas[event.key]) location.href = areas[event.key];
    } else if (event.key === "g") {
      going = true;
      setTimeout(() => { going = false; }, 1500);
    } else if (event.key === "?") {
      location.href = "/help#keys";
    } else if (event.key === "/") {
      const field = document.querySelector("main input[type=search], main form input:not([type=hidden]), main form select");
      if (field) { event.preventDefault(); field.focus(); }
    } else if (event.key === "j" || event.key === "k") {
      const links = [...document.querySelectorAll("tr[data-href] a, [data-row] > a, [data-row] h3 a")].filter((link, at, all) => all.findIndex((other) => other.closest("tr, [data-row]") === link.closest("tr, [data-row]")) === at);
      const at = links.findIndex((link) => link.closest("tr, [data-row]").contains(document.activeElement));
      links[Math.max(0, Math.min(links.length - 1, at < 0 ? 0 : at + (event.key === "j" ? 1 : -1)))]?.focus();
    }
  });
}
