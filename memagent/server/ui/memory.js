// What an agent remembers: core memory to read and edit in place, its history, searches, facts, sources, the window.
import { $, ask, button, diffed, el, fill, guarded, tell, when } from "./dom.js";

const COLOURS = ["#4150c4", "#0f8a8a", "#b6791c", "#8d4bb8", "#3f8f4f", "#c2476b", "#6b7280", "#2f7fc1", "#a05a2c"];
const TABS = { core: "Core", edits: "History", search: "Search", facts: "Facts", sources: "Sources", window: "Context" };

export class Memory {
  constructor(api, may) {
    Object.assign(this, { api, may, agent: null, tab: "core", changed: new Set(), editing: null });
    fill($("tabs"), Object.entries(TABS).map(([key, name]) => el("button", {
      type: "button", role: "tab", id: `tab-${key}`, "aria-controls": "panel", "aria-selected": key === this.tab ? "true" : "false",
      tabindex: key === this.tab ? 0 : -1, onclick: () => this.show(key),
    }, name)));
    $("tabs").addEventListener("keydown", (event) => this.move(event));
    $("panel").setAttribute("aria-labelledby", "tab-core");
  }

  move(event) {
    const keys = Object.keys(TABS);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    this.show(keys[(keys.indexOf(this.tab) + step + keys.length) % keys.length]);
    $(`tab-${this.tab}`).focus();
  }

  async open(agent) {
    this.agent = agent;
    this.changed.clear();
    this.editing = null;
    await this.show(this.tab);
  }

  async show(tab) {
    this.tab = tab;
    this.editing = null;
    for (const key of Object.keys(TABS)) {
      $(`tab-${key}`).setAttribute("aria-selected", String(key === tab));
      $(`tab-${key}`).tabIndex = key === tab ? 0 : -1;
    }
    $("panel").setAttribute("aria-labelledby", `tab-${tab}`);
    if (!this.agent) return fill($("panel"), el("p", { class: "empty" }, "What an agent remembers is shown here."));
    const agent = this.agent;
    return guarded(async () => {
      const made = await this[tab]();
      if (this.agent === agent && this.tab === tab) fill($("panel"), made);
    });
  }

  path(rest) {
    return `/agents/${this.agent.id}/${rest}`;
  }

  // The agent edited a block just now.
  async edited(label) {
    this.changed.add(label);
    if (this.tab === "core" && !this.editing) await this.show("core");
  }

  begun() {
    this.changed.clear();
  }

  async rested() {
    if (["core", "window", "edits", "facts"].includes(this.tab) && !this.editing) await this.show(this.tab);
  }

  // Core memory ------------------------------------------------------------------------------------------------------

  async core() {
    const blocks = await this.api(this.path("blocks"));
    return [...blocks.map((block) => this.block(block)),
      this.may("admin") && el("div", { class: "row" }, button("Undo last edit", () => this.undo()))];
  }

  block(block) {
    const used = [...block.value].length;
    const text = el("div", { class: "text" }, block.value || el("span", { class: "faint" }, "Nothing yet."));
    const full = used > block.limit * 0.9;
    const card = el("section", { class: `card${this.changed.has(block.label) ? " changed" : ""}`, "aria-label": `Block ${block.label}`, "data-block": block.label },
      el("header", {}, el("h3", {}, block.label), el("span", { class: "faint" }, block.read_only ? "read-only for the agent" : block.description)),
      text,
      el("div", { class: "row" },
        el("div", { class: `meter${full ? " full" : ""}`, role: "meter", "aria-label": "How full it is", "aria-valuemin": 0, "aria-valuemax": block.limit, "aria-valuenow": used }, meter(used / block.limit)),
        el("span", { class: "faint" }, `${used} / ${block.limit}`),
        this.may("admin") && button("Edit", () => this.edit(card, text, block), { class: "quiet", "aria-label": `Edit ${block.label}` })));
    return card;
  }

  edit(card, text, block) {
    this.editing = block.label;
    const input = el("textarea", { rows: Math.min(18, block.value.split("\n").length + 3), value: block.value, "aria-label": `Text of ${block.label}` });
    const count = el("span", { class: "faint" });
    const counted = () => {
      const used = [...input.value].length;
      count.textContent = `${used} / ${block.limit}`;
      save.disabled = used > block.limit && used >= [...block.value].length;
    };
    const save = button("Save", async () => {
      await this.api(this.path(`blocks/${encodeURIComponent(block.label)}`), { method: "PUT", body: { value: input.value, version: block.version } });
      await this.show("core");
      tell(`${block.label} is saved. Undo last edit takes it back.`);
    }, { class: "main" });
    const leave = () => this.show("core");
    input.addEventListener("input", counted);
    input.addEventListener("keydown", (event) => {
      if (event.key === "Escape") leave();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save.click();
    });
    text.replaceWith(input);
    card.lastElementChild.replaceWith(el("div", { class: "row" }, count, el("span", { class: "row" }, button("Cancel", leave), save)));
    counted();
    input.focus();
  }

  async undo() {
    const { undone } = await this.api(this.path("edits/undo"), { method: "POST" });
    tell(`${undone[0].label} is as it was before.`);
    await this.show(this.tab);
  }

  async edits() {
    const edits = await this.api(this.path("edits"));
    if (!edits.length) return el("p", { class: "empty" }, "Core memory was never edited.");
    return [this.may("admin") && el("div", { class: "row" }, button("Undo last edit", () => this.undo())),
      ...edits.map((edit) => el("section", { class: "card" },
        el("header", {}, el("h3", {}, `${edit.label} · version ${edit.version}`), el("span", { class: "faint" }, `${when(edit.created)} by ${edit.cause}`)),
        edit.words && el("p", { class: "faint" }, `on “${edit.words}”`),
        diffed(edit.diff),
        this.may("admin") && el("div", { class: "row" }, button("Back to this version", async () => {
          await this.api(this.path(`blocks/${encodeURIComponent(edit.label)}/restore`), { method: "POST", body: { version: edit.version } });
          tell(`${edit.label} reads as in version ${edit.version} again.`);
          await this.show("edits");
        }, { class: "quiet" }))))];
  }

  // Searches ---------------------------------------------------------------------------------------------------------

  search() {
    const results = el("div", { "aria-live": "polite" });
    const words = el("input", { type: "search", placeholder: "Words, or a question", "aria-label": "What to look for", value: this.words || "" });
    const where = el("select", { "aria-label": "Where" }, el("option", { value: "recall" }, "Conversation"),
      el("option", { value: "archival" }, "Notes and sources"), el("option", { value: "facts" }, "Facts"));
    where.value = this.where || "recall";
    const look = async () => {
      this.words = words.value.trim();
      this.where = where.value;
      if (!this.words) return fill(results, this.where === "archival" ? await this.notes() : []);
      const found = await this.api(this.path(`search?query=${encodeURIComponent(this.words)}&where=${this.where}`));
      const made = found.results.map((each) => this.where === "facts" ? this.fact(each) : result(each, this.agent.name, this.where));
      return fill(results, made.length ? made : el("p", { class: "empty" }, "Nothing like that."));
    };
    where.addEventListener("change", () => guarded(look));
    guarded(look);
    return [el("form", { role: "search", onsubmit: (event) => { event.preventDefault(); guarded(look); } },
      el("div", { class: "row" }, words, where, el("button", { type: "submit" }, "Search"))), el("p"), results];
  }

  async notes() {
    const found = await this.api(this.path("notes"));
    return found.results.length ? found.results.map((each) => result(each, this.agent.name, "archival")) : [el("p", { class: "empty" }, "No notes yet.")];
  }

  // Facts ------------------------------------------------------------------------------------------------------------

  async facts() {
    const facts = await this.api(this.path(`facts?past=${Boolean(this.past)}`));
    const past = el("input", { type: "checkbox", id: "past", onchange: () => { this.past = past.checked; this.show("facts"); } });
    past.checked = Boolean(this.past);
    return [el("label", { class: "row faint", for: "past" }, past, "What held once, too"), el("p"),
      ...(facts.length ? facts.map((fact) => this.fact(fact)) : [el("p", { class: "empty" }, "Nothing is known yet. Facts are taken from what you say, while nobody waits.")])];
  }

  fact(fact) {
    const held = fact.state === "holds";
    const from = [fact.since && `from ${fact.since}`, fact.until && `until ${fact.until}`].filter(Boolean).join(" ");
    const why = el("details", { class: "inside", ontoggle: () => why.open && guarded(() => this.why(fact, why)) }, el("summary", {}, "Where it comes from"));
    return el("section", { class: `card${held ? "" : " past"}` },
      el("div", { class: "text" }, fact.text),
      el("div", { class: "faint" }, [when(fact.said), from, `sure to ${Math.round(fact.confidence * 100)} %`, held ? "" : fact.how || fact.state].filter(Boolean).join(" · ")),
      why,
      this.may("admin") && el("div", { class: "row" }, held ? [
        button("Correct", async () => {
          const text = await ask("What is right?", { field: fact.text, yes: "Correct" });
          if (text) { await this.api(this.path(`facts/${fact.id}`), { method: "PUT", body: { text } }); await this.show(this.tab); }
        }, { class: "quiet" }),
        button("Forget", async () => {
          await this.api(this.path(`facts/${fact.id}`), { method: "DELETE" });
          await this.show(this.tab);
          tell("Forgotten. It stays in history, and can be brought back.");
        }, { class: "quiet" }),
      ] : button("Bring back", async () => {
        await this.api(this.path(`facts/${fact.id}/restore`), { method: "POST" });
        await this.show(this.tab);
      }, { class: "quiet" })));
  }

  async why(fact, place) {
    const told = await this.api(this.path(`facts/${fact.id}`));
    const lines = [told.quote && `“${told.quote}”`, ...told.history.map((change) => `${when(change.when)}: ${change.what} (${change.cause.origin}${change.cause.why ? `, ${change.cause.why}` : ""})`),
      ...told.line.filter((other) => other.id !== fact.id).map((other) => `another version: ${other.text}`)];
    fill(place, place.querySelector("summary"), lines.filter(Boolean).map((line) => el("div", {}, line)));
  }

  // Sources and the window -------------------------------------------------------------------------------------------

  async sources() {
    const sources = await this.api(this.path("sources"));
    if (!sources.length) return el("p", { class: "empty" }, "No sources are loaded. Load some in a terminal: memagent load directory PATH --name NAME");
    return sources.map((source) => {
      const box = el("input", { type: "checkbox", disabled: !this.may("admin"), onchange: () => guarded(async () => {
        await this.api(this.path(`sources/${encodeURIComponent(source.name)}`), { method: box.checked ? "PUT" : "DELETE" });
        tell(`${this.agent.name} ${box.checked ? "can now" : "can't"} search ${source.name}.`);
      }) });
      box.checked = source.attached;
      return el("label", { class: "card row" }, box, el("span", {}, source.name), el("span", { class: "faint" }, `${source.passages.toLocaleString()} passages`));
    });
  }

  async window() {
    const told = await this.api(this.path("window"));
    const used = told.parts.reduce((sum, part) => sum + part.tokens, 0);
    const bar = el("div", { class: "gauge", role: "img", "aria-label": `${Math.round((100 * used) / told.window)} % of the window is used` });
    told.parts.forEach((part, at) => {
      const piece = el("i", { title: `${part.name}: ${part.tokens}` });
      piece.style.width = `${(100 * part.tokens) / told.window}%`;
      piece.style.background = COLOURS[at % COLOURS.length];
      bar.append(piece);
    });
    const rows = told.parts.map((part, at) => {
      const mark = el("i");
      mark.style.background = COLOURS[at % COLOURS.length];
      return el("li", {}, mark, part.name, el("span", { class: "faint" }, part.tokens.toLocaleString()));
    });
    return [el("p", {}, el("strong", {}, `${used.toLocaleString()} of ${told.window.toLocaleString()} tokens`), ` · ${told.model}`), bar,
      el("ul", { class: "legend" }, rows),
      el("p", { class: "faint" }, `At ${Math.round(told.compact_at * 100)} % older messages leave the window for a summary; they stay searchable.`)];
  }
}

function meter(share) {
  const bar = el("i");
  bar.style.width = `${Math.min(100, 100 * share)}%`;
  return bar;
}

function result(found, agent, where) {
  const who = where === "recall" ? { user: "you", you: agent }[found.source] || found.source : found.source;
  return el("section", { class: "card" }, el("div", { class: "faint" }, [found.when && when(found.when), who, found.place].filter(Boolean).join(" · ")),
    el("div", { class: "text" }, found.text));
}
