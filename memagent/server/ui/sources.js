// Sources: what an agent can search beside its own notes. Files that are dropped or chosen become some; lists of what is
// in them; given, taken, deleted.
import { $, ask, button, el, fill, guarded, opened, tell } from "./dom.js";
import { send } from "./server.js";

const LARGEST = 100e6; // what the server takes, so that nothing larger is sent in vain
const KINDS = ".txt,.md,.markdown,.pdf,.docx,.html,.htm,.csv,.tsv,.json,.jsonl,.eml,.mbox,.ipynb,.rst,.org,.tex,text/*";
const LOOK = 700;

const size = (bytes) => (bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const count = (number, one, many = `${one}s`) => `${number.toLocaleString()} ${number === 1 ? one : many}`;
const named = (file) => file.name.replace(/\.[^.]+$/, "").replace(/[^\p{L}\p{N} ._-]+/gu, " ").replace(/^[^\p{L}\p{N}]+|[ .]+$/gu, "").slice(0, 50) || "files";

export class Sources {
  constructor(api, may, changed) {
    Object.assign(this, { api, may, changed, agent: null, all: [], loads: [], sending: null, cards: new Map(), looks: false });
    this.place = el("div");
  }

  async shown(agent) {
    this.agent = agent;
    this.all = await this.api(`/agents/${agent.id}/sources`);
    await this.look();
    const none = this.may("admin") ? `Nothing to read yet. Give ${agent.name} something: it finds what it needs in there, and says where it stands.` : "There are no sources yet.";
    return [this.may("admin") && this.dropping(), this.place,
      ...(this.all.length ? this.all.map((source) => this.card(source)) : [el("p", { class: "empty" }, none)])];
  }

  dropping() {
    const file = el("input", { type: "file", multiple: true, accept: KINDS, class: "unseen", id: "files", onchange: () => {
      const files = [...file.files];
      file.value = "";
      this.read(files);
    } });
    return el("label", { class: "drop", for: "files" }, "Drop files here, or choose some", file,
      el("span", { class: "faint" }, "Text, Markdown, PDF, Word, web pages, tables, e-mail; up to 100 MB each"));
  }

  card(source) {
    const box = el("input", { type: "checkbox", disabled: !this.may("admin"), onchange: () => guarded(async () => {
      try {
        await this.api(`/agents/${this.agent.id}/sources/${encodeURIComponent(source.name)}`, { method: box.checked ? "PUT" : "DELETE" });
      } catch (error) {
        box.checked = !box.checked;
        throw error;
      }
      tell(`${this.agent.name} ${box.checked ? "can now" : "can't"} search ${source.name}.`);
    }) });
    box.checked = source.attached;
    const inside = el("details", { class: "inside", ontoggle: () => inside.open && guarded(() => this.inside(source, inside)) }, el("summary", {}, "What is in it"));
    const input = el("input", { type: "file", multiple: true, accept: KINDS, hidden: true, onchange: () => {
      const files = [...input.files];
      input.value = "";
      this.read(files, source.name);
    } });
    return el("section", { class: "card", "aria-label": `Source ${source.name}` },
      el("label", { class: "row" }, box, el("span", { class: "who" }, source.name),
        el("span", { class: "faint" }, `${count(source.documents, "document")}, ${count(source.passages, "passage")}`)),
      inside,
      this.may("admin") && el("div", { class: "row" }, input,
        button("Add files", () => input.click(), { class: "quiet", "aria-label": `Add files to ${source.name}` }),
        button("Delete", () => this.remove(source), { class: "quiet", "aria-label": `Delete ${source.name}` })));
  }

  async inside(source, place, page = 0) {
    const told = await this.api(`/sources/${encodeURIComponent(source.name)}?page=${page}`);
    place.querySelector(".more")?.remove();
    if (!page) fill(place, place.querySelector("summary"), el("div", { class: "faint" }, source.agents.length ? `Searched by ${source.agents.join(", ")}.` : "No agent searches it yet."));
    place.append(...told.listed.map((each) => el("div", {}, el("span", { class: "text" }, each.place), ` · ${count(each.passages, "passage")}`)));
    if (told.more) place.append(button("More", () => this.inside(source, place, page + 1), { class: "quiet more" }));
  }

  async remove(source) {
    const others = source.agents.filter((name) => name !== this.agent.name);
    const who = others.length ? ` ${others.join(", ")} can search it, too.` : "";
    if (!(await ask(`Delete ${source.name} with its ${count(source.passages, "passage")}?${who} The files that it was made of stay where they are.`, { yes: "Delete", warn: true }))) return;
    await this.api(`/sources/${encodeURIComponent(source.name)}`, { method: "DELETE" });
    tell(`${source.name} is deleted.`);
    await this.changed();
  }

  // Sending ----------------------------------------------------------------------------------------------------------

  // Files that somebody has dropped or chosen: asks what they are to be called together, and sends them.
  read(files, source = "") {
    if (!files.length || !this.may("admin")) return;
    if (this.sending) {
      tell("Other files are being sent; these can follow.");
      return;
    }
    const wrong = (file) => (!file.size ? "is empty" : file.size > LARGEST ? "is larger than 100 MB" : "");
    const good = files.filter((file) => !wrong(file));
    const name = el("input", { required: true, maxlength: 60, value: source || named(files[0]), autocomplete: "off", id: "source-name" });
    const note = el("p", { class: "faint", role: "status" });
    const noted = () => { note.textContent = this.all.some((each) => each.name === name.value.trim()) ? "There is a source of that name: these are added to it. A file of the same name takes the other's place." : ""; };
    name.addEventListener("input", noted);
    noted();
    const form = el("form", {}, el("h2", {}, `Let ${this.agent.name} read`),
      el("ul", { class: "files", tabindex: 0, "aria-label": "Files" }, files.slice(0, 100).map((file) => el("li", wrong(file) ? { class: "bad" } : {}, el("span", {}, file.name), el("span", { class: "faint" }, wrong(file) || size(file.size)))),
        files.length > 100 && el("li", {}, `and ${files.length - 100} more`)),
      el("label", { for: "source-name" }, "What is it called?", name), note,
      el("div", { class: "row" }, button("Cancel", () => dialog.close()), el("button", { class: "main", type: "submit", disabled: !good.length }, good.length > 1 ? `Load ${good.length} files` : "Load")));
    const dialog = el("dialog", { "aria-label": `Let ${this.agent.name} read` }, form);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      dialog.close();
      guarded(() => this.send(good, name.value.trim()));
    });
    opened(dialog);
    name.select();
  }

  async send(files, source) {
    const whole = files.reduce((sum, file) => sum + file.size, 0);
    const now = { source, of: files.length, at: 0, name: "", sent: 0, whole, stopped: false, wrong: [] };
    this.sending = now;
    const agent = this.agent.id;
    let before = 0;
    for (const file of files) {
      if (now.stopped) break;
      Object.assign(now, { at: now.at + 1, name: file.name });
      const path = `/agents/${agent}/sources/${encodeURIComponent(source)}/files/${encodeURIComponent(file.name)}`;
      now.going = send(path, file, (bytes) => { now.sent = before + bytes; this.draw(); });
      this.draw();
      try {
        await now.going.done;
      } catch (error) {
        if (!now.stopped) now.wrong.push(error.status ? error.message : `${file.name}: ${error.message}`);
        if ([0, 401, 403, 507].includes(error.status)) break; // neither do the others arrive
      }
      before += file.size;
      now.sent = before;
      this.watch();
    }
    this.sending = null;
    now.wrong.forEach(tell);
    this.watch();
  }

  async stop(source) {
    if (this.sending?.source === source) {
      this.sending.stopped = true;
      this.sending.going?.abort();
    }
    await this.api(`/loads/${encodeURIComponent(source)}`, { method: "DELETE" }).catch((error) => {
      if (error.status !== 404) throw error; // nothing has come there yet
    });
    tell(`Loading ${source} was stopped. What was loaded before is kept.`);
    await this.look();
    await this.changed();
  }

  // What is being loaded --------------------------------------------------------------------------------------------

  watch() {
    if (this.looks) return;
    this.looks = true;
    const again = async () => {
      await guarded(() => this.look());
      if (this.sending || this.loads.some((load) => ["waiting", "loading"].includes(load.state))) setTimeout(again, LOOK);
      else this.looks = false;
    };
    setTimeout(again, 150);
  }

  async look() {
    this.loads = await this.api("/loads");
    for (const load of this.loads.filter((each) => each.state === "done" && this.sending?.source !== each.source)) await this.ended(load);
    this.draw();
    if (this.loads.some((load) => ["waiting", "loading"].includes(load.state))) this.watch();
  }

  // One that came to its end well is told once; what could not be read stays to be seen.
  async ended(load) {
    const card = this.kept(load.source);
    if (card.ended) return;
    card.ended = true;
    const passages = load.files.reduce((sum, file) => sum + file.passages, 0);
    const bad = load.files.filter((file) => file.outcome === "unreadable");
    if (bad.length < load.files.length) tell(`${load.source} is loaded: ${count(load.files.length - bad.length, "file")}, ${count(passages, "passage")}.`);
    if (this.may("admin") && !bad.length && !load.told.length) {
      await this.api(`/loads/${encodeURIComponent(load.source)}`, { method: "DELETE" }).catch(() => {});
      this.loads = this.loads.filter((each) => each !== load);
    }
    await this.changed();
  }

  kept(source) {
    if (!this.cards.has(source)) this.cards.set(source, {});
    return this.cards.get(source);
  }

  draw() {
    const shown = new Map(this.loads.map((load) => [load.source, load]));
    if (this.sending && !shown.has(this.sending.source)) shown.set(this.sending.source, { source: this.sending.source, state: "waiting", files: [], told: [] });
    for (const [source, card] of this.cards) {
      if (!shown.has(source)) {
        card.place?.remove();
        this.cards.delete(source);
      }
    }
    for (const [source, load] of shown) this.drawn(this.kept(source), load);
  }

  // A card is changed in place, so that whoever is on one of its buttons stays there.
  drawn(card, load) {
    const sending = this.sending?.source === load.source ? this.sending : null;
    const going = sending || ["waiting", "loading"].includes(load.state);
    if (going) card.ended = false;
    if (!card.place) {
      Object.assign(card, { words: el("p", { class: "faint" }), bar: el("progress", { max: 100, "aria-label": `How far ${load.source} is` }), notes: el("div"), row: el("div", { class: "row" }) });
      card.place = el("section", { class: "card load", "aria-label": `Loading ${load.source}` }, el("h3", {}, load.source), card.words, card.bar, card.notes, card.row);
      this.place.append(card.place);
    }
    const came = load.files.filter((file) => file.outcome).length;
    card.words.textContent = sending ? `Sending ${sending.name} (${sending.at} of ${sending.of})…`
      : load.state === "waiting" ? "Waits for its turn…"
        : load.state === "loading" ? `Reading: ${came} of ${count(load.files.length, "file")}${load.passages ? `, ${count(load.passages, "passage")}` : ""}${load.left ? `; ${load.embedded.toLocaleString()} of ${load.left.toLocaleString()} embedded` : ""}…`
          : load.state === "failed" ? load.why : `${count(load.files.filter((file) => file.outcome !== "unreadable").length, "file")} loaded.`;
    card.words.className = load.state === "failed" && !sending ? "failed" : "faint";
    card.bar.hidden = !going;
    if (sending) card.bar.value = (100 * sending.sent) / (sending.whole || 1);
    else if (came && came < load.files.length) card.bar.value = (100 * came) / load.files.length;
    else card.bar.removeAttribute("value");
    const notes = [...load.files.filter((file) => file.outcome === "unreadable").map((file) => `${file.name} ${file.reason}`), ...load.told];
    if (card.notes.childNodes.length !== notes.length) fill(card.notes, notes.map((note) => el("p", { class: "failed" }, note)));
    const state = sending ? "sending" : going ? "going" : load.state;
    if (card.state === state || !this.may("admin")) return;
    const had = card.row.contains(document.activeElement);
    card.state = state;
    const path = `/loads/${encodeURIComponent(load.source)}`;
    const forget = button("OK", async () => { await this.api(path, { method: "DELETE" }); await this.look(); });
    fill(card.row, going ? button("Stop", () => this.stop(load.source), { class: "warn", "aria-label": `Stop loading ${load.source}` })
      : load.state === "failed" ? [button("Forget it", () => this.stop(load.source)), button("Try again", async () => { await this.api(`${path}/again`, { method: "POST" }); this.watch(); }, { class: "main" })]
        : forget);
    if (had) card.row.querySelector("button")?.focus();
  }
}
