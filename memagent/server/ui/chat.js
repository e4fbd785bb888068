// The conversation with one agent: what was said, and what happens now, each thing once.
import { $, el, fill, guarded } from "./dom.js";
import { Turn } from "./turn.js";

export class Talk {
  constructor(api, may, { changed, rested, again }) {
    Object.assign(this, { api, may, changed, rested, again, agent: null, reset: 0 });
    this.forget();
    $("log").addEventListener("scroll", () => {
      $("down").hidden = this.low();
      if (this.more && !this.loading && $("log").scrollTop < 80) this.older();
    });
    $("down").addEventListener("click", () => this.bottom());
  }

  forget() {
    this.turns = new Map(); // by run, those that happen now
    this.stored = new Map(); // by number, those that were told from storage
    this.early = []; // events that came before it was known where they belong
    this.sending = 0;
    this.now = null;
    this.first = 0;
    this.more = false;
    this.reset += 1;
  }

  open(agent) {
    this.agent = agent;
    this.forget();
    this.opening = this.begin(agent, this.reset);
    return this.opening;
  }

  async begin(agent, reset) {
    this.held = true;
    this.state("");
    const told = await this.api(`/agents/${agent.id}/turns?limit=80`).catch((error) => {
      if (this.reset === reset) fill($("log"), el("p", { class: "empty" }, error.message));
      throw error;
    });
    if (this.reset !== reset) return;
    fill($("log"), this.told(told.turns));
    this.more = told.more;
    this.first = told.turns[0]?.first || 0;
    const last = told.turns.at(-1);
    if (agent.waiting?.length && last) agent.waiting.forEach((asked) => this.stored.get(last.turn).onApprovalAsked(asked));
    this.changed(last ? last.events : []);
    if (!$("log").childNodes.length) {
      fill($("log"), el("p", { class: "empty" }, this.may("chat") ? `Nothing was said to ${agent.name} yet. Say something.` : `Nothing was said to ${agent.name} yet.`));
    }
    this.busy(Boolean(agent.running?.length));
    if (agent.waiting?.length) this.state("waits for your word");
    this.held = false;
    this.caught();
    this.bottom(true);
  }

  told(turns) {
    const made = [];
    let day = "";
    for (const turn of turns) {
      const shown = this.retold(turn);
      if (!shown.place.childNodes.length) continue;
      const on = new Date(turn.when).toLocaleDateString(undefined, { dateStyle: "long" });
      if (on !== day) made.push(el("p", { class: "day" }, on));
      day = on;
      made.push(shown.place);
    }
    return made;
  }

  // A turn as it is stored.
  retold(turn) {
    const shown = new Turn(this, { said: turn.said, when: turn.when, number: turn.turn });
    this.past = true;
    turn.events.filter((event) => event.event !== "ApprovalAsked").forEach((event) => shown.happen(event));
    this.past = false;
    this.stored.set(turn.turn, shown);
    return shown;
  }

  async older() {
    this.loading = true;
    const reset = this.reset;
    const told = await guarded(() => this.api(`/agents/${this.agent.id}/turns?before=${this.first}&limit=120`));
    this.loading = false;
    if (!told || this.reset !== reset) return;
    const log = $("log");
    const height = log.scrollHeight - log.scrollTop;
    const day = log.querySelector(".day");
    const made = this.told(told.turns);
    if (day && made.findLast((each) => each.className === "day")?.textContent === day.textContent) day.remove();
    log.prepend(...made);
    log.scrollTo({ top: log.scrollHeight - height, behavior: "instant" });
    this.more = told.more;
    this.first = told.turns[0]?.first || this.first;
  }

  async say(text) {
    await this.opening; // what was said before is shown before
    const { agent, reset } = this;
    const turn = new Turn(this, { said: text, when: new Date().toISOString() });
    turn.here = true;
    $("log").querySelector(".empty")?.remove();
    $("log").append(turn.place);
    this.bottom(true);
    this.busy(true);
    this.sending += 1;
    try {
      this.sent = this.api(`/agents/${agent.id}/messages`, { method: "POST", body: { text, otid: crypto.randomUUID?.() } });
      const { run } = await this.sent;
      if (this.reset === reset) this.turns.set(run, turn);
    } catch (error) {
      if (this.reset === reset) {
        turn.onFailed({ message: error.message });
        this.busy(false);
      }
      throw error;
    } finally {
      if (this.reset === reset) {
        this.sending -= 1;
        if (!this.sending) this.caught();
      }
    }
  }

  async stop() {
    await Promise.allSettled([this.sent]); // what is not there yet can't be stopped
    return this.api(`/agents/${this.agent.id}/stop`, { method: "POST" });
  }

  async decide({ call_id, digest }, approve) {
    this.busy(true);
    await this.api(`/agents/${this.agent.id}/decide`, { method: "POST", body: { call_id, digest, approve } });
  }

  caught() {
    for (const [event, run, number] of this.early.splice(0)) this.happen(event, run, number);
  }

  // An event of now: of a run that was asked for here, or elsewhere.
  happen(event, run, number) {
    if (event.event === "Missed") return this.again(true);
    if (!run) return this.rested(); // memory was edited from elsewhere
    if (this.held || (this.sending && !this.turns.has(run))) {
      this.early.push([event, run, number]);
      return undefined;
    }
    const turn = this.turns.get(run) || this.begun(event, run, number);
    if (!turn) { // of one whose beginning was missed: it is told from storage when it is over
      if (event.event === "TurnEnded" && number > this.agent.last) this.again(true);
      return undefined;
    }
    const low = this.low();
    this.now = turn;
    if (event.event === "TurnStarted") this.started(turn, event.turn);
    turn.happen(event);
    if (event.event === "TurnEnded") this.ended(turn, event);
    if (low) this.bottom();
    return undefined;
  }

  // The turn of a run that was not asked for here. One that is told already is told anew from its first event on; what
  // comes of one that has ended is stored, and was told.
  begun(event, run, number) {
    if (number <= this.agent.last && !this.agent.running.includes(run)) return null;
    if (!["TurnStarted", "Failed"].includes(event.event)) return null;
    let turn = event.event === "TurnStarted" ? this.stored.get(event.turn) : null;
    if (turn && turn.waits) turn.answered();
    else if (turn) turn.clear();
    const known = Boolean(turn);
    turn ||= new Turn(this);
    turn.again = known;
    $("log").querySelector(".empty")?.remove();
    $("log").append(turn.place);
    this.turns.set(run, turn);
    return turn;
  }

  async started(turn, number) {
    turn.number = number;
    this.stored.set(number, turn);
    this.busy(true);
    this.state("thinks…");
    this.changed([]);
    this.overtaken(turn);
    if (turn.said) return;
    const found = await this.find(number);
    if (found?.said && !turn.said) turn.say(found.said, found.when);
  }

  // Who says something else has said no to what was asked before: that is told as it is stored now.
  async overtaken(turn) {
    const { reset } = this;
    const waited = [...this.stored.values()].filter((other) => other !== turn && other.waits);
    waited.forEach((other) => other.answered());
    for (const other of waited) {
      const found = await this.find(other.number);
      if (found && this.reset === reset) other.place.replaceWith(this.retold(found).place);
    }
  }

  async find(number) {
    const told = await guarded(() => this.api(`/agents/${this.agent.id}/turns?limit=60`));
    return told?.turns.find((each) => each.turn === number);
  }

  async ended(turn, { ending }) {
    this.busy(false);
    this.now = null;
    this.state(ending === "waiting" ? "waits for your word" : "");
    this.rested();
    if (!turn.again || !turn.number || ending === "waiting") return;
    const reset = this.reset;
    const found = await this.find(turn.number); // as it is stored: some of it may have happened before we looked
    if (found && this.reset === reset && !turn.place.querySelector("details[open]")) turn.place.replaceWith(this.retold(found).place);
  }

  edited(label, before) {
    if (!this.past) this.changed([{ event: "MemoryEdited", label, before }], true);
  }

  busy(is) {
    $("stop").hidden = !is || !this.may("chat");
    if (!is) this.state("");
  }

  state(text) {
    if (!this.past) $("state").textContent = text;
  }

  low() {
    const log = $("log");
    return log.scrollHeight - log.scrollTop - log.clientHeight < 160;
  }

  bottom(at_once = false) {
    $("log").scrollTo({ top: $("log").scrollHeight, behavior: at_once ? "instant" : "auto" });
  }
}
