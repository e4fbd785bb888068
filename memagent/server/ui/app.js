// Puts the page together: who asks, which agent is meant, and what each part is told.
import { Agents } from "./agents.js";
import { Talk } from "./chat.js";
import { $, button, el, fill, guarded, tell } from "./dom.js";
import { Memory } from "./memory.js";
import { Line, api } from "./server.js";

let scopes = [];
const may = (scope) => scopes.includes(scope);
const line = new Line(
  (event, run) => {
    if (event.event === "TurnStarted") memory.begun();
    talk.happen(event, run);
  },
  (broken) => talk.state(broken ? "not connected; trying again…" : ""),
);
const memory = new Memory(api, may);
const talk = new Talk(api, (message) => line.send(message), (label) => memory.edited(label), async () => {
  await memory.rested();
  await guarded(() => agents.load());
});
const agents = new Agents(api, may, open);

async function open(agent) {
  panel("chat");
  if (!agent) {
    line.leave();
    talk.agent = null;
    $("say").hidden = true;
    $("name").textContent = "memagent";
    fill($("actions"));
    await memory.open(null);
    return welcome();
  }
  history.replaceState(null, "", `#${agent.id}`);
  document.title = `${agent.name} · memagent`;
  $("name").textContent = agent.name;
  $("say").hidden = !may("chat");
  fill($("actions"), actions(agent));
  line.follow(agent, agent.number);
  await Promise.all([talk.open(agent), memory.open(agent)]);
  if (matchMedia("(min-width: 861px)").matches) $("message").focus();
  return undefined;
}

function actions(agent) {
  const again = (path) => async () => {
    const told = await api(`/agents/${agent.id}/${path}`, { method: "POST" });
    await agents.choose(agent.id);
    if (told.words) $("message").value = told.words;
    if (told.left?.length) tell(`Left as they are, since they were edited again: ${told.left.join(", ")}.`);
  };
  const quiet = (title) => ({ class: "quiet", title });
  return [
    may("chat") && button("Retry", again("retry"), quiet("Take the last turn back, and say the same again")),
    may("chat") && button("Undo", again("undo"), quiet("Take the last turn back: words, memory, notes")),
    may("admin") && more(agent),
  ];
}

function more(agent) {
  const menu = el("select", { "aria-label": "More", class: "more" }, el("option", { value: "" }, "More…"),
    el("option", { value: "export" }, "Export with all it remembers"), el("option", { value: "card" }, "Export as a character card"),
    el("option", { value: "rename" }, "Rename"), el("option", { value: "delete" }, "Delete"));
  const fetched = (query) => el("a", { href: `/api/agents/${agent.id}/export${query}`, download: "" }).click();
  const does = { export: () => fetched(""), card: () => fetched("?card=true"), rename: () => agents.rename(agent), delete: () => agents.remove(agent) };
  menu.addEventListener("change", () => {
    const chosen = menu.value;
    menu.value = "";
    guarded(() => does[chosen]?.());
  });
  return menu;
}

function welcome() {
  fill($("log"), el("div", { class: "welcome" }, el("h2", {}, "Agents that remember"),
    el("p", {}, may("admin") ? "Make one, or drop a character card anywhere on this page." : "There is no agent here that you could talk with yet."),
    may("admin") && el("p", {}, button("Make an agent", () => agents.make(), { class: "main" }))));
}

// Typing -------------------------------------------------------------------------------------------------------------

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("message").value.trim();
  if (!text || !talk.agent) return;
  $("message").value = "";
  grow();
  talk.sending = true;
  guarded(() => talk.say(text)).finally(() => { talk.sending = false; });
});
$("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("say").requestSubmit();
  }
});
$("message").addEventListener("input", grow);
$("stop").addEventListener("click", () => line.send({ type: "command", command: "cancel", name: talk.agent.name }));

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
}

$("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  theme(names[(names.indexOf(localStorage.getItem("theme")) + 1) % names.length]);
});

async function login() {
  const key = el("input", { type: "password", required: true, "aria-label": "Key", autocomplete: "current-password" });
  const problem = el("p", { class: "failed", hidden: true, role: "alert" });
  const form = el("form", {}, el("h2", {}, "This server needs a key"),
    el("p", { class: "faint" }, "Whoever runs it makes one with: memagent keys add NAME"), key, problem,
    el("div", { class: "row" }, el("button", { class: "main", type: "submit" }, "Come in")));
  const dialog = el("dialog", { "aria-label": "Key" }, form);
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
  document.body.append(dialog);
  dialog.showModal();
}

async function begin() {
  theme(localStorage.getItem("theme") in THEMES ? localStorage.getItem("theme") : "auto");
  panel("chat");
  const me = await api("/me");
  scopes = me.scopes;
  if (!me.user) return login();
  fill($("user"), el("span", { class: "faint" }, me.key ? `${me.user} · key ${me.key}` : me.user),
    me.key && button("Leave", async () => { await api("/logout", { method: "POST" }); location.reload(); }, { class: "quiet" }));
  await agents.load();
  const wanted = agents.all.find((agent) => agent.id === location.hash.slice(1)) || agents.all[0];
  return wanted ? agents.choose(wanted.id) : open(null);
}

guarded(begin);
