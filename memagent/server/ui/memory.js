// What an agent remembers: core memory to read and edit in place, and its history. What lies beyond is in knowledge.js.
import { $, button, diffed, el, fill, guarded, tell, when } from "./dom.js";
import { Knowledge } from "./knowledge.js";

const TABS = { core: "Core", edits: "History", search: "Search", facts: "Facts", sources: "Sources", window: "Window" };
const CAUSES = { user: "you", preset: "its preset", card: "its card" };

export class Memory extends Knowledge {
  constructor(api, may) {
    super(api, may);
    Object.assign(this, { tab: "core", before: new Map(), editing: null });
    fill($("tabs"), Object.entries(TABS).map(([key, name]) => el("button", {
      type: "button", role: "tab", id: `tab-${key}`, "aria-controls": "panel", "aria-selected": key === this.tab ? "true" : "false",
      tabindex: key === this.tab ? 0 : -1, onclick: () => this.show(key),
    }, name)));
    $("tabs").addEventListener("keydown", (event) => this.move(event));
    $("panel").setAttribute("aria-labelledby", "tab-core");
    $("undo-edit").addEventListener("click", () => guarded(() => this.undo()));
  }

  move(event) {
    const keys = Object.keys(TABS);
    const to = { ArrowRight: keys.indexOf(this.tab) + 1, ArrowLeft: keys.indexOf(this.tab) - 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.show(keys.at(to % keys.length));
    $(`tab-${this.tab}`).focus();
  }

  async open(agent) {
    if (this.agent?.id !== agent?.id) this.editing = null;
    this.agent = agent;
    $("undo-edit").hidden = !agent || !this.may("admin");
    if (!this.editing) await this.show(this.tab);
  }

  async show(tab) {
    const other = this.tab !== tab;
    this.tab = tab;
    this.editing = null;
    for (const key of Object.keys(TABS)) {
      $(`tab-${key}`).setAttribute("aria-selected", String(key === tab));
      $(`tab-${key}`).tabIndex = key === tab ? 0 : -1;
    }
    $(`tab-${tab}`).scrollIntoView({ block: "nearest", inline: "nearest" });
    $("panel").setAttribute("aria-labelledby", `tab-${tab}`);
    if (!this.agent) return fill($("panel"), el("p", { class: "empty" }, "What an agent remembers is shown here."));
    const agent = this.agent;
    let made;
    try {
      made = await this[tab]();
    } catch (error) {
      made = el("p", { class: "empty" }, error.message);
    }
    if (this.agent !== agent || this.tab !== tab || this.editing) return undefined;
    fill($("panel"), made);
    if (other) $("panel").scrollTop = 0;
    return undefined;
  }

  // What the newest turn changed is marked until the next one: `edits` are those, or further ones of the same turn.
  async changed(edits, more = false) {
    if (!more) this.before.clear();
    for (const { label, before } of edits.filter((edit) => edit.event === "MemoryEdited")) {
      if (!this.before.has(label)) this.before.set(label, before);
    }
    document.body.classList.toggle("remembered", Boolean(this.before.size));
    if (more && this.tab === "core" && !this.editing) await this.show("core");
  }

  async mark() {
    const shown = document.querySelectorAll("#panel .changed").length;
    if (this.tab === "core" && !this.editing && shown !== this.before.size) await this.show("core");
  }

  async rested() {
    if (this.editing || ["search", "sources"].includes(this.tab)) return;
    await this.show(this.tab);
    if (this.tab === "facts") setTimeout(() => this.tab === "facts" && !$("panel").contains(document.activeElement) && this.show("facts"), 2000); // they are read behind the talk
  }

  // Core memory ------------------------------------------------------------------------------------------------------

  async core() {
    const blocks = await this.api(this.path("blocks"));
    return blocks.length ? blocks.map((block) => this.block(block)) : el("p", { class: "empty" }, "It has no core memory.");
  }

  block(block) {
    const used = [...block.value].length;
    const marked = this.before.has(block.label);
    const text = el("div", { class: "text" }, block.value ? (marked ? news(this.before.get(block.label), block.value) : block.value)
      : el("span", { class: "faint" }, "Nothing yet."));
    const full = used > block.limit * 0.9;
    const card = el("section", { class: `card${marked ? " changed" : ""}`, "aria-label": `Block ${block.label}`, "data-block": block.label },
      el("header", {}, el("h3", {}, block.label), marked && el("span", { class: "badge" }, "just changed"),
        el("span", { class: "faint" }, block.read_only ? "read-only for the agent" : block.description)),
      text,
      el("div", { class: "row" },
        el("div", { class: `meter${full ? " full" : ""}`, role: "meter", "aria-label": "How full it is", "aria-valuemin": 0, "aria-valuemax": block.limit, "aria-valuenow": used }, meter(used / block.limit)),
        el("span", { class: "faint" }, `${used.toLocaleString()} / ${block.limit.toLocaleString()}`),
        this.may("admin") && button("Edit", () => this.edit(card, text, block), { class: "quiet", "aria-label": `Edit ${block.label}` })));
    return card;
  }

  edit(card, text, block) {
    this.editing = block.label;
    const input = el("textarea", { rows: Math.min(18, block.value.split("\n").length + 3), value: block.value, "aria-label": `Text of ${block.label}` });
    const count = el("span", { class: "faint" });
    const counted = () => {
      const used = [...input.value].length;
      count.textContent = `${used.toLocaleString()} / ${block.limit.toLocaleString()}`;
      save.disabled = used > block.limit && used >= [...block.value].length;
    };
    const leave = async () => {
      await this.show("core");
      document.querySelector(`[data-block="${CSS.escape(block.label)}"] button`)?.focus();
    };
    const save = button("Save", async () => {
      if (input.value !== block.value) {
        await this.api(this.path(`blocks/${encodeURIComponent(block.label)}`), { method: "PUT", body: { value: input.value, version: block.version } });
        tell(`${block.label} is saved. “Undo edit” takes it back.`);
      }
      await leave();
    }, { class: "main" });
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
    this.before.delete(undone[0].label);
    await this.show(["core", "edits"].includes(this.tab) ? this.tab : "core");
  }

  async edits() {
    const edits = await this.api(this.path("edits?limit=100"));
    if (!edits.length) return el("p", { class: "empty" }, "Core memory was never edited.");
    const seen = new Set();
    return edits.map((edit) => {
      const newest = !seen.has(edit.label);
      seen.add(edit.label);
      const who = CAUSES[edit.cause] || (edit.turn ? "the agent" : edit.cause);
      return el("section", { class: "card" },
        el("header", {}, el("h3", {}, `${edit.label} · version ${edit.version}`), newest && el("span", { class: "badge" }, "as it is now")),
        el("p", { class: "faint why", title: edit.cause }, `${when(edit.created)} · ${who}`, edit.words && `, when you said “${short(edit.words)}”`),
        edit.before === "" && edit.version === 1 ? el("details", { class: "inside" }, el("summary", {}, "as it began"), el("div", {}, edit.after)) : diffed(edit.diff),
        this.may("admin") && !newest && el("div", { class: "row" }, button("Back to this version", async () => {
          await this.api(this.path(`blocks/${encodeURIComponent(edit.label)}/restore`), { method: "POST", body: { version: edit.version } });
          tell(`${edit.label} reads as in version ${edit.version} again.`);
          await this.show("edits");
        })));
    });
  }
}

// A text, with the lines marked that were not in it before.
function news(before, now) {
  const old = new Set(before.split("\n"));
  return now.split("\n").flatMap((line, at) => [at ? "\n" : "", line && !old.has(line) ? el("mark", {}, line) : line]);
}

function short(words) {
  return words.length > 200 ? `${words.slice(0, 200)}…` : words;
}

function meter(share) {
  const bar = el("i");
  bar.style.width = `${Math.min(100, 100 * share)}%`;
  return bar;
}
