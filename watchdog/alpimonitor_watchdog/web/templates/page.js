"use strict";
// Keeps the page fresh section by section: what did not change is not touched, so nothing flickers,
// what was opened stays open and what was marked stays marked.
const EVERY = 2000;
const PATIENCE = 5000;
const offline = document.getElementById("offline");
let answered = new Date();

function renew(fresh) {
  const main = document.querySelector("main");
  for (const details of main.querySelectorAll("details[open]")) {
    const again = fresh.getElementById(details.id);
    if (again) again.open = true;
  }
  const shown = [...main.children].map((part) => part.id).join();
  const parts = [...fresh.querySelector("main").children];
  if (shown !== parts.map((part) => part.id).join()) {
    main.replaceChildren(...parts);
    return;
  }
  for (const part of parts) {
    const old = document.getElementById(part.id);
    if (old.isEqualNode(part)) continue;
    for (const { name, value } of part.attributes) old.setAttribute(name, value);
    old.replaceChildren(...part.childNodes);
  }
}

async function refresh() {
  try {
    const answer = await fetch(location.pathname, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    renew(fresh);
    document.title = fresh.title;
    document.querySelector("link[rel=icon]").href = fresh.querySelector("link[rel=icon]").href;
    answered = new Date();
    offline.hidden = true;
  } catch {
    offline.querySelector("b").textContent = answered.toISOString().slice(11, 19) + " UTC";
    offline.hidden = false;
    document.title = "no answer – " + document.title.replace(/^no answer – /, "");
  }
  setTimeout(refresh, EVERY);
}

setTimeout(refresh, EVERY);
