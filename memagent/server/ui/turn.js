// One turn, told by its events: what was said, and what the agent thought and did beside it. It takes the events of the
// past and those of now alike.
import { button, changes, el, fill } from "./dom.js";
import { worded } from "./words.js";

// What functions do, for somebody who does not know their names.
const DOES = {
  core_memory_append: ["noted something", "notes something…"], core_memory_replace: ["rewrote a memory", "rewrites a memory…"],
  archival_memory_insert: ["kept a note", "keeps a note…"], archival_memory_search: ["searched its notes", "searches its notes…"],
  conversation_search: ["searched what was said", "searches what was said…"],
};
const DENIED = /^The user did not (allow|approve) this call/; // as the agent is told, in act.py and persistence.py
const LONG = 1500;

export class Turn {
  constructor(talk, { said = "", when = "", number = 0 } = {}) {
    Object.assign(this, { talk, number, inside: null, live: null, waits: false });
    this.place = el("article", { class: "turn" });
    if (said) this.say(said, when);
  }

  say(said, time) {
    const long = said.length > LONG;
    this.said = el("div", { class: `said${long ? " long" : ""}`, tabindex: long ? 0 : undefined, title: time ? new Date(time).toLocaleString() : undefined }, said);
    this.place.prepend(this.said);
  }

  // What happened is told anew; what was said to the agent stays.
  clear() {
    fill(this.place, this.said);
    this.inside = this.live = null;
  }

  // What is not said to the user is folded beside the words.
  aside(summary, ...content) {
    if (!this.inside) {
      this.inside = el("details", { class: "inside" }, el("summary", {}, ""));
      this.place.append(this.inside);
    }
    const line = this.inside.querySelector("summary");
    if (summary && !line.textContent.split(" · ").includes(summary)) {
      line.textContent = line.textContent ? `${line.textContent} · ${summary}` : summary;
    }
    this.inside.append(el("div", {}, content));
  }

  happen(event) {
    const show = this[`on${event.event}`];
    if (show) show.call(this, event);
  }

  onDelta({ kind, text }) {
    if (kind !== "reply") return this.talk.state("thinks…");
    if (!this.live) {
      this.live = el("div", { class: "reply live", inert: true });
      this.live.words = "";
      this.place.append(this.live);
    }
    this.live.words += text;
    if (this.drawn) return undefined;
    this.drawn = requestAnimationFrame(() => { // as often as it can be seen, however fast it comes
      this.drawn = 0;
      if (!this.live) return;
      const low = this.talk.low();
      fill(this.live, this.live.words.length > 20000 ? [this.live.words] : worded(this.live.words));
      if (low) this.talk.bottom();
    });
    return this.talk.state("writes…");
  }

  onDiscarded() {
    this.live?.remove();
    this.live = null;
  }

  onThought({ text }) {
    this.onDiscarded();
    this.aside(text.length > 70 ? `${text.slice(0, 70).replace(/\s+\S*$/, "")}…` : text.trim(), text);
  }

  onCalled({ name, arguments: given }) {
    this.onDiscarded();
    if (name === "send_message") return;
    const [did, does] = Object.hasOwn(DOES, name) ? DOES[name] : [name, `calls ${name}…`];
    this.talk.state(does);
    const shown = { ...given };
    delete shown.request_heartbeat;
    this.aside(did, el("div", { class: "faint" }, name), el("pre", {}, Object.entries(shown)
      .map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join("\n")));
  }

  onReturned({ name, ok, text }) {
    this.answered();
    if (name === "send_message" && ok) return;
    this.aside(ok ? "" : DENIED.test(text) ? "not allowed" : "that failed", el("span", ok ? {} : { class: "bad" }, `→ ${text}`));
  }

  onMemoryEdited({ label, before, after }) {
    this.aside(`memory: ${label}`, changes(difference(before, after)));
    this.talk.edited(label, before);
  }

  onReply({ text }) {
    this.onDiscarded();
    this.inside = null;
    this.place.append(el("div", { class: "reply" }, worded(text)));
  }

  onApprovalAsked(asked) {
    this.waits = true;
    if ([...this.place.querySelectorAll(".asked")].some((other) => other.dataset.call === asked.call_id)) return;
    this.place.append(approval(this.talk, asked));
  }

  // Somebody has said a word to what was asked, here or elsewhere.
  answered() {
    this.place.querySelectorAll(".asked").forEach((asked) => asked.remove());
    this.waits = false;
  }

  onHeartbeat({ reason }) {
    this.aside("", `goes on: ${reason}`);
  }

  onCompacted({ hidden, summary }) {
    this.place.append(el("details", { class: "inside" },
      el("summary", {}, `${hidden} older messages are summarised now; they stay searchable`), el("div", {}, summary)));
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

function approval(talk, asked) {
  const shown = { ...asked.arguments };
  delete shown.request_heartbeat;
  const decide = (approve) => async () => {
    place.inert = true;
    try {
      await talk.decide(asked, approve);
      place.remove();
    } finally {
      place.inert = false;
    }
  };
  const place = el("section", { class: "asked", "aria-label": "The agent asks for your word", "data-call": asked.call_id },
    el("p", {}, `${talk.agent.name} wants to call `, el("strong", {}, asked.name), "."),
    el("pre", {}, JSON.stringify(shown, null, 2)),
    talk.may("chat") ? el("div", { class: "row" }, button("Allow", decide(true), { class: "main" }), button("Deny", decide(false)))
      : el("p", { class: "faint" }, "It waits for somebody who may say yes or no."));
  return place;
}

// The lines in which two texts differ: what is the same around them is left out.
export function difference(before, after) {
  const old = before ? before.split("\n") : [];
  const now = after ? after.split("\n") : [];
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head += 1;
  let tail = 0;
  while (tail < old.length - head && tail < now.length - head && old.at(-1 - tail) === now.at(-1 - tail)) tail += 1;
  return [...old.slice(head, old.length - tail).map((line) => `-${line}`),
    ...now.slice(head, now.length - tail).map((line) => `+${line}`)];
}
