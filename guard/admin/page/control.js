// Keeps the page what it says it is: renews the parts that have changed, and greys it when it hears nothing more.
"use strict";

const QUIET_MS = 12000; // the server speaks every 5 s
const AGAIN_MS = 5000;
const address = document.currentScript.dataset.page; // not the window's: a form that was refused has another
const link = document.getElementById("link");
const stale = document.getElementById("stale");
const said = document.getElementById("said");
const clock = () => document.getElementById("clock").textContent;
let heard = performance.now();
let busy = false;
let again = false;
let deaf = true; // no event comes: what is shown may be new, and will not stay so

function fresh() {
  heard = performance.now();
  link.textContent = "Live";
  link.dataset.state = "live";
  delete document.documentElement.dataset.stale;
  stale.hidden = true;
}

function old(why) {
  if (!stale.hidden) return;
  link.textContent = "Not live";
  link.dataset.state = "old";
  document.documentElement.dataset.stale = "";
  stale.textContent = `${why} What stands here was so at ${clock()} and may be so no longer. Buttons still work.`;
  stale.hidden = false;
}

// The same page once more: whatever the server shows is rendered in one place, there.
async function renew() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    const answer = await fetch(`${address}?auto=1`, { redirect: "error", cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.getElementById("clock")) {
      old("You are signed out.");
      return;
    }
    for (const part of document.querySelectorAll("[data-live]")) swap(part, page.getElementById(part.id));
    document.title = page.title;
    if (!deaf) fresh();
  } catch {
    old("The guard does not answer.");
  } finally {
    busy = false;
    if (again) {
      again = false;
      renew();
    }
  }
}

// Whoever is on a link or has opened a list of rows stays there.
function swap(part, next) {
  if (!next || part.isEqualNode(next)) return;
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  const open = [...part.querySelectorAll("details[open] > summary")].map((each) => each.id);
  if (next.dataset.say && next.dataset.say !== part.dataset.say) said.textContent = next.dataset.say;
  part.replaceWith(next);
  for (const id of open) document.getElementById(id)?.parentElement.setAttribute("open", "");
  if (focused) (document.getElementById(focused) || document.getElementById("main")).focus({ preventScroll: true });
}

function listen() {
  const events = new EventSource("/control/events");
  events.addEventListener("changed", () => {
    deaf = false;
    renew();
  });
  events.addEventListener("time", (event) => {
    deaf = false;
    if (stale.hidden) fresh();
    else renew();
    document.getElementById("clock").textContent = event.data;
  });
  events.addEventListener("over", () => {
    deaf = true;
    events.close();
    old("You are signed out.");
  });
  // A browser tries again by itself unless it was refused: signed out, or too many pages are open.
  events.addEventListener("error", () => {
    if (events.readyState !== EventSource.CLOSED) return;
    deaf = true;
    renew().then(() => old("The guard tells this page nothing any more."));
    setTimeout(listen, AGAIN_MS);
  });
}

listen();
setInterval(() => {
  if (performance.now() - heard > QUIET_MS) old("Nothing was heard from the guard.");
}, 1000);
