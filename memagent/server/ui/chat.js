// The conversation: what was said, what the agent thought and did beside it, and what happens now.
import { $, button, diffed, el, fill, guarded, when } from "./dom.js";
import { worded } from "./words.js";

// One turn, told by its events; it takes those of the past and those of now alike.
export class Turn {
  constructor(talk, said, time) {
    this.talk = talk;
    this.inside = null;
    this.live = null;
    this.place = el("article", { class: "turn" });
    if (said) this.say(said, time);
  }

  say(said, time) {
    this.place.prepend(el("div", { class: "said", title: time ? new Date(time).toLocaleString() : undefined }, said));
    this.told = true;
  }

  // What is not said to the user is folded beside the words.
  aside(summary, ...content) {
    if (!this.inside) {
      this.inside = el("details", { class: "inside" }, el("summary", {}, ""));
      this.place.append(this.inside);
    }
    const line = this.inside.querySelector("summary");
    if (summary) line.textContent = line.textContent ? `${line.textContent} · ${summary}` : summary;
    this.inside.append(el("div", {}, content));
  }

  happen(event) {
    const show = this[`on${event.event}`];
    if (show) show.call(this, event);
  }

  onDelta({ kind, text }) {
    if (kind !== "reply") return this.talk.state("thinks…");
    if (!this.live) {
      this.live = el("div", { class: "reply live", "aria-hidden": "true" });
      this.live.words = "";
      this.place.append(this.live);
    }
    this.live.words += text;
    return fill(this.live, worded(this.live.words));
  }

  onDiscarded() {
    this.live?.remove();
    this.live = null;
  }

  onThought({ text }) {
    this.aside("thought", text);
  }

  onCalled({ name, arguments: given }) {
    this.onDiscarded();
    if (name === "send_message") return;
    this.talk.state(`calls ${name}…`);
    const shown = { ...given };
    delete shown.request_heartbeat;
    this.aside(name, el("code", {}, `${name}(${JSON.stringify(shown, null, 1)})`));
  }

  onReturned({ name, ok, text }) {
    if (name === "send_message" && ok) return;
    this.aside(ok ? "" : "failed", el("span", ok ? {} : { class: "bad" }, `→ ${text}`));
  }

  onMemoryEdited({ label, before, after, version }) {
    this.aside(`${label} edited`, diffed(difference(before, after)));
    if (this.talk.now) this.talk.edited(label, version);
  }

  onReply({ text }) {
    this.onDiscarded();
    this.inside = null;
    this.place.append(el("div", { class: "reply" }, worded(text)));
  }

  onApprovalAsked(asked) {
    this.place.append(approval(this.talk, asked));
  }

  onHeartbeat({ reason }) {
    this.aside("", `goes on: ${reason}`);
  }

  onCompacted({ hidden, summary }) {
    this.place.append(el("details", { class: "inside" },
      el("summary", {}, `${hidden} older messages left the context window for a summary`), el("div", {}, summary)));
  }

  onNotice({ text }) {
    this.place.append(el("p", { class: "notice" }, text));
  }

  onWaiting({ reason }) {
    this.talk.state(reason);
  }

  onFailed({ message, hint }) {
    this.onDiscarded();
    if (message) this.place.append(el("div", { class: "failed" }, `${message} ${hint || ""}`.trim()));
  }

  onTurnEnded() {
    this.onDiscarded();
  }
}

export function approval(talk, asked) {
  const shown = { ...asked.arguments };
  delete shown.request_heartbeat;
  const decide = async (approve) => {
    place.remove();
    talk.send({ type: "command", command: "approve", name: talk.agent.name, call_id: asked.call_id, digest: asked.digest, approve });
  };
  const place = el("section", { class: "asked", "aria-label": "The agent asks for your word", "data-call": asked.call_id },
    el("p", {}, `${talk.agent.name} wants to call `, el("strong", {}, asked.name), "."),
    el("pre", {}, JSON.stringify(shown, null, 2)),
    el("div", { class: "row" }, button("Allow", () => decide(true), { class: "main" }), button("Deny", () => decide(false))));
  return place;
}

// The lines in which two texts differ, as a diff has them: what is the same around them is left out.
function difference(before, after) {
  const old = before ? before.split("\n") : [];
  const now = after ? after.split("\n") : [];
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head += 1;
  let tail = 0;
  while (tail < old.length - head && tail < now.length - head && old.at(-1 - tail) === now.at(-1 - tail)) tail += 1;
  return [...old.slice(head, old.length - tail).map((line) => `-${line}`),
    ...now.slice(head, now.length - tail).map((line) => `+${line}`)].join("\n");
}

// The chat with one agent.
export class Talk {
  constructor(api, send, edited, rested) {
    Object.assign(this, { api, send, edited, rested, agent: null, now: null, run: null, first: 0 });
    $("log").addEventListener("scroll", () => this.near() && this.older());
  }

  async open(agent) {
    this.agent = agent;
    this.now = this.run = null;
    this.first = 0;
    fill($("log"));
    this.state("");
    const told = await this.api(`/agents/${agent.id}/turns?limit=80`);
    if (this.agent !== agent) return;
    fill($("log"), this.told(told.turns));
    this.more = told.more;
    this.first = told.turns[0]?.first || 0;
    for (const asked of agent.waiting || []) {
      if (!document.querySelector(`[data-call="${asked.call_id}"]`)) $("log").append(approval(this, asked));
    }
    if (!told.turns.length) {
      fill($("log"), el("p", { class: "empty" }, `Nothing was said to ${agent.name} yet. Say something.`));
    }
    this.busy(Boolean(agent.running?.length));
    this.bottom(true);
  }

  told(turns) {
    const made = [];
    let day = "";
    for (const turn of turns) {
      const on = new Date(turn.when).toLocaleDateString(undefined, { dateStyle: "long" });
      if (on !== day) made.push(el("p", { class: "day" }, on));
      day = on;
      const shown = new Turn(this, turn.said, turn.when);
      turn.events.filter((event) => event.event !== "ApprovalAsked").forEach((event) => shown.happen(event));
      if (shown.place.childNodes.length) made.push(shown.place);
    }
    return made;
  }

  near() {
    return this.more && $("log").scrollTop < 80 && !this.loading;
  }

  async older() {
    this.loading = true;
    const agent = this.agent;
    const told = await guarded(() => this.api(`/agents/${agent.id}/turns?before=${this.first}&limit=120`));
    this.loading = false;
    if (!told || this.agent !== agent) return;
    const log = $("log");
    const height = log.scrollHeight - log.scrollTop;
    log.prepend(...this.told(told.turns));
    log.scrollTo({ top: log.scrollHeight - height, behavior: "instant" });
    this.more = told.more;
    this.first = told.turns[0]?.first || this.first;
  }

  async say(text) {
    const turn = new Turn(this, text, new Date().toISOString());
    $("log").querySelector(".empty")?.remove();
    $("log").append(turn.place);
    this.bottom(true);
    this.busy(true);
    try {
      const { run } = await this.api(`/agents/${this.agent.id}/messages`, { method: "POST", body: { text, otid: crypto.randomUUID?.() } });
      this.turns = { ...(this.turns || {}), [run]: turn };
      (this.early || []).filter(([of]) => of === run).forEach(([, event]) => this.happen(event, run));
    } catch (error) {
      turn.onFailed({ message: error.message });
      $("message").value ||= text;
      this.busy(false);
      throw error;
    } finally {
      this.early = [];
    }
  }

  // An event of now: of a run that was asked for here, or elsewhere.
  happen(event, run) {
    if (event.event === "Missed") return guarded(() => this.open(this.agent));
    let turn = run && this.turns?.[run];
    if (!turn && run && this.sending) {
      this.early = [...(this.early || []), [run, event]];
      return undefined;
    }
    if (!turn) {
      turn = new Turn(this, "", "");
      $("log").append(turn.place);
      if (run) this.turns = { ...(this.turns || {}), [run]: turn };
    }
    const low = this.low();
    this.now = turn;
    if (event.event === "TurnStarted") this.started(turn, event.turn);
    turn.happen(event);
    if (event.event === "TurnEnded") this.ended(event);
    if (low) this.bottom();
    return undefined;
  }

  async started(turn, number) {
    this.busy(true);
    this.state("thinks…");
    if (turn.told) return;
    const told = await guarded(() => this.api(`/agents/${this.agent.id}/turns?limit=30`));
    const found = told?.turns.find((each) => each.turn === number);
    if (found?.said && !turn.told) turn.say(found.said, found.when);
  }

  ended({ ending, usage }) {
    this.busy(false);
    this.now = null;
    const tokens = (usage?.prompt_tokens || 0) + (usage?.completion_tokens || 0);
    this.state(ending === "waiting" ? "waits for your word" : tokens ? `${tokens.toLocaleString()} tokens` : "");
    this.rested();
  }

  busy(is) {
    $("stop").hidden = !is;
    if (!is) this.state("");
  }

  state(text) {
    $("state").textContent = text;
  }

  low() {
    const log = $("log");
    return log.scrollHeight - log.scrollTop - log.clientHeight < 160;
  }

  bottom(at_once = false) {
    $("log").scrollTo({ top: $("log").scrollHeight, behavior: at_once ? "instant" : "auto" });
  }
}

export { when };
