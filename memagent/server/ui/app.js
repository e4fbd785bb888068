// Puts the page together: who asks, which agent is meant, and what each part is told.
import { Agents } from "./agents.js";
import { Talk } from "./chat.js";
import { $, button, el, fill, guarded, menu, opened, tell } from "./dom.js";
import { Memory } from "./memory.js";
import { Line, api as ask } from "./server.js";

const drafts = new Map(); // what was typed to an agent, and not sent
let scopes = [];
const may = (scope) => scopes.includes(scope);
const others = new BroadcastChannel("memagent"); // the pages of this browser tell each other what they changed

// A question to the server. One that nobody is known to ask any more leads to the door; one after an agent that is not
// there, to those that are.
async function api(path, options = {}) {
  try {
    const told = await ask(path, options);
    if (options.method && options.method !== "GET" && !/\/(messages|decide|stop)$/.test(path)) others.postMessage(path);
    return told;
  } catch (error) {
    if (error.status === 401) login();
    if (error.status === 404 && path.startsWith(`/agents/${agents.current}`)) {
      const gone = agents.current;
      await agents.load();
      if (agents.current !== gone) error.message = ""; // that was told already
    }
    throw error;
  }
}

const line = new Line({
  heard: (event, run, number) => (event.event === "Refused" ? guarded(() => agents.load()) : talk.happen(event, run, number)),
  broke: () => talk.state("not connected; trying again…"),
  back: () => guarded(again),
});
const memory = new Memory(api, may);
const talk = new Talk(api, may, {
  changed: (edits, more) => memory.changed(edits, more),
  again: (missed) => guarded(() => again(missed)),
  rested: () => {
    memory.rested();
    guarded(() => agents.load());
  },
});
const agents = new Agents(api, may, {
  chosen: open,
  renamed,
  reads: (files) => {
    panel("memory");
    guarded(async () => { await memory.show("sources"); memory.shelf.read(files); });
  },
});

others.addEventListener("message", ({ data }) => {
  if (talk.agent && data.startsWith(`/agents/${talk.agent.id}/`)) guarded(/\/(undo|retry)$/.test(data) && !data.includes("/edits/") ? again : () => memory.rested());
  else guarded(() => agents.load());
});

// All anew, as it stands now; with what goes on from its beginning, unless that was `missed`.
let late = false;
async function again(missed = false) {
  if (!scopes.length) return;
  late = missed;
  await agents.load();
  if (talk.agent) await agents.choose(talk.agent.id);
}

async function open(agent) {
  const same = agent && talk.agent?.id === agent.id;
  if (!same) {
    panel("chat");
    if (talk.agent) drafts.set(talk.agent.id, $("message").value);
    $("message").value = drafts.get(agent?.id) || "";
    grow();
  }
  $("say").hidden = !agent || !may("chat");
  $("down").hidden = true;
  if (!agent) {
    line.leave();
    talk.agent = null;
    talk.forget();
    talk.busy(false);
    talk.changed([]);
    history.replaceState(null, "", location.pathname);
    document.title = $("name").textContent = "memagent";
    fill($("actions"));
    await memory.open(null);
    return welcome();
  }
  history.replaceState(null, "", `#${agent.id}`);
  renamed(agent);
  line.follow(agent, late ? agent.last : agent.number);
  late = false;
  await Promise.all([talk.open(agent), memory.open(agent)]);
  await memory.mark();
  if (!same && matchMedia("(min-width: 861px)").matches && !document.querySelector("dialog[open]")) $("message").focus();
  return undefined;
}

// What bears an agent's name.
function renamed(agent) {
  document.title = `${agent.name} · memagent`;
  $("name").textContent = $("name").title = agent.name;
  if (talk.agent?.id === agent.id) talk.agent.name = agent.name;
  if (line.agent?.id === agent.id) line.agent.name = agent.name;
  fill($("actions"), actions(agent));
}

function actions(agent) {
  const back = (path) => async () => {
    const told = await api(`/agents/${agent.id}/${path}`, { method: "POST" });
    await agents.choose(agent.id);
    if (told.words && !$("message").value) {
      $("message").value = told.words;
      grow();
      $("message").focus();
    }
    if (told.left?.length) tell(`Left as they are, since they were edited again: ${told.left.join(", ")}.`);
  };
  const fetched = (query) => el("a", { href: `/api/agents/${agent.id}/export${query}`, download: "" }).click();
  const retry = ["Retry", back("retry"), { title: "Take the last turn back, and say the same again" }];
  const undo = ["Undo", back("undo"), { title: "Take the last turn back: words, memory, notes" }];
  const outside = ([words, does, more]) => button(words, does, { ...more, class: "quiet wide" });
  const inside = ([words, does, more]) => [words === "Undo" ? "Undo the last turn" : "Retry the last turn", does, { ...more, class: "narrow" }];
  const items = [...(may("chat") ? [inside(retry), inside(undo)] : []), ...(may("admin") ? [
    ["Rename", () => agents.rename(agent)], ["Export with all it remembers", () => fetched("")],
    ["Export as a character card", () => fetched("?card=true")], ["Delete", () => agents.remove(agent), { class: "danger" }],
  ] : [])];
  const more = menu(`More for ${agent.name}`, items);
  if (!may("admin")) more.classList.add("narrow");
  return may("chat") ? [outside(retry), outside(undo), more] : items.length ? [more] : [];
}

function welcome() {
  fill($("log"), el("div", { class: "welcome" }, el("h2", {}, "Agents that remember"),
    el("p", {}, may("admin") ? "Tell one about yourself, and watch what it keeps. Make one, or drop a character card anywhere on this page." : "There is no agent here that you could talk with yet."),
    may("admin") && el("p", {}, button("Make an agent", () => agents.make(), { class: "main" }))));
}

// Typing -------------------------------------------------------------------------------------------------------------

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("message").value.trim();
  if (!text || !talk.agent) return;
  $("message").value = "";
  grow();
  talk.say(text).catch((error) => {
    tell(error.message);
    $("message").value ||= text; // it was not said: nothing is lost
    grow();
  });
});
$("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("say").requestSubmit();
  }
});
$("message").addEventListener("input", grow);
$("stop").addEventListener("click", () => guarded(() => talk.stop()));

function grow() {
  const box = $("message");
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + 2}px`;
}

document.addEventListener("keydown", (event) => {
  const to = { 1: "#list button[aria-current], #list button", 2: "#message", 3: "#tabs [aria-selected='true']" }[event.key];
  if (event.altKey && to) {
    event.preventDefault();
    panel({ 1: "agents", 2: "chat", 3: "memory" }[event.key]);
    document.querySelector(to)?.focus();
  }
});

// The frame ----------------------------------------------------------------------------------------------------------

function panel(name) {
  document.body.dataset.panel = name;
  for (const each of $("switch").children) each.setAttribute("aria-current", String(each.dataset.to === name));
}

for (const each of $("switch").children) each.addEventListener("click", () => panel(each.dataset.to));

const THEMES = { auto: "◐", light: "☀", dark: "☾" };

function theme(chosen) {
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  localStorage.setItem("theme", chosen);
  $("theme").textContent = THEMES[chosen];
  $("theme").setAttribute("aria-label", `Colours: ${chosen}`);
  $("theme").title = `Colours: ${chosen === "auto" ? "as this device has them" : chosen}`;
}

$("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  theme(names[(names.indexOf(localStorage.getItem("theme")) + 1) % names.length]);
});

function login() {
  if ($("key")) return;
  const key = el("input", { type: "password", required: true, id: "key", "aria-label": "Key", autocomplete: "current-password" });
  const problem = el("p", { class: "failed", hidden: true, role: "alert" });
  const form = el("form", {}, el("h2", {}, "This server needs a key"),
    el("p", { class: "faint" }, "Whoever runs it makes one with ", el("code", {}, "memagent keys add NAME")), key, problem,
    el("div", { class: "row" }, el("button", { class: "main", type: "submit" }, "Come in")));
  const dialog = el("dialog", { "aria-label": "This server needs a key" }, form);
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await api("/login", { method: "POST", body: { key: key.value } });
      location.reload();
    } catch (error) {
      problem.hidden = false;
      problem.textContent = error.message;
    }
  });
  opened(dialog);
}

async function begin() {
  theme(localStorage.getItem("theme") in THEMES ? localStorage.getItem("theme") : "auto");
  panel("chat");
  const [me, all] = await Promise.all([api("/me"), ask("/agents").catch(() => undefined)]);
  scopes = me.scopes;
  if (!me.user) return login();
  fill($("user"), el("span", { class: "faint" }, me.key ? `${me.user} · key ${me.key}` : me.user),
    me.key && button("Leave", async () => { await api("/logout", { method: "POST" }); location.reload(); }, { class: "quiet" }));
  await agents.load(all);
  const wanted = agents.all.find((agent) => agent.id === location.hash.slice(1)) || agents.all[0];
  return wanted ? agents.choose(wanted.id) : open(null);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && scopes.length) guarded(() => agents.load());
});
guarded(begin);
