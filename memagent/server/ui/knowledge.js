// What lies beyond core memory: searches over what was said, notes and facts, the sources, and what fills the window.
import { ask, button, el, fill, guarded, tell, when } from "./dom.js";
import { Sources } from "./sources.js";

const PARTS = 9; // so many colours a part of the window can have

export class Knowledge {
  constructor(api, may) {
    Object.assign(this, { api, may, agent: null });
    this.shelf = new Sources(api, may, () => this.tab === "sources" && this.show("sources"));
  }

  path(rest) {
    return `/agents/${this.agent.id}/${rest}`;
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
      if (!this.words) return fill(results, this.where === "archival" ? await this.notes() : el("p", { class: "empty" }, "By words, and by what they mean."));
      const found = await this.api(this.path(`search?query=${encodeURIComponent(this.words)}&where=${this.where}`));
      const made = found.results.map((each) => this.where === "facts" ? this.fact(each) : result(each, this.agent.name, this.where));
      return fill(results, made.length ? made : el("p", { class: "empty" }, "Nothing like that."));
    };
    where.addEventListener("change", () => guarded(look));
    guarded(look);
    return [el("form", { role: "search", class: "search", onsubmit: (event) => { event.preventDefault(); guarded(look); } },
      words, where, el("button", { type: "submit" }, "Search")), results];
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
    return [el("label", { class: "row faint", for: "past" }, past, "What held once or was forgotten, too"),
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

  sources() {
    return this.shelf.shown(this.agent);
  }

  async window() {
    const told = await this.api(this.path("window"));
    const used = told.parts.reduce((sum, part) => sum + part.tokens, 0);
    const bar = el("div", { class: "gauge", role: "img", "aria-label": `${Math.round((100 * used) / told.window)} % of the window is used` });
    told.parts.forEach((part, at) => {
      const piece = el("i", { class: `part-${at % PARTS}`, title: `${part.name}: ${part.tokens.toLocaleString()}` });
      piece.style.width = `${(100 * part.tokens) / told.window}%`;
      bar.append(piece);
    });
    const rows = told.parts.map((part, at) => el("li", {}, el("i", { class: `part-${at % PARTS}` }), part.name,
      el("span", { class: "faint" }, part.tokens.toLocaleString())));
    return [el("p", {}, el("strong", {}, `${used.toLocaleString()} of ${told.window.toLocaleString()} tokens`), ` · ${told.model}`), bar,
      el("ul", { class: "legend" }, rows),
      el("p", { class: "faint" }, `At ${Math.round(told.compact_at * 100)} % older messages leave the window for a summary; they stay searchable.`)];
  }
}

function result(found, agent, where) {
  const who = where === "recall" ? { user: "you", you: agent }[found.source] || found.source : found.source;
  return el("section", { class: "card" }, el("div", { class: "faint" }, [found.when && when(found.when), who, found.place].filter(Boolean).join(" · ")),
    el("div", { class: "text" }, found.text));
}
