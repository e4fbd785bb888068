// The agents: to choose, to make from presets or from a card that is dropped in, to rename, to take along, to delete.
import { $, ask, el, fill, guarded, tell, when } from "./dom.js";
import { making } from "./making.js";

const CARD = /\.(png|json|charx|af)$/i; // what a character can come in; all else is something to read

export class Agents {
  constructor(api, may, { chosen, renamed, reads }) {
    Object.assign(this, { api, may, chosen, renamed, reads, all: [], current: null, name: "" });
    $("new").addEventListener("click", () => guarded(() => this.make()));
    for (const kind of ["dragover", "dragleave", "drop"]) {
      window.addEventListener(kind, (event) => {
        event.preventDefault();
        if (!this.may("admin")) return;
        document.body.classList.toggle("dropping", kind === "dragover");
        const files = kind === "drop" ? [...event.dataTransfer.files] : [];
        if (!files.length) return;
        document.querySelector("dialog[open]")?.close();
        const onMemory = event.target instanceof Node && $("memory").contains(event.target);
        const toRead = this.current && (onMemory || !files.some((file) => CARD.test(file.name)));
        if (toRead) this.reads(files);
        else guarded(() => this.takeIn(files[0]));
      });
    }
  }

  // What agents there are. One that was open and is gone makes room for another.
  async load(all) {
    this.all = all || await this.api("/agents");
    const open = this.all.find((agent) => agent.id === this.current);
    if (this.current && !open) {
      tell(`${this.name} is gone: it was deleted elsewhere.`);
      return this.next();
    }
    if (open && open.name !== this.name) {
      this.name = open.name;
      this.renamed(open);
    }
    return this.show();
  }

  async next() {
    this.current = null;
    this.show();
    if (this.all.length) await this.choose(this.all[0].id);
    else await this.chosen(null);
  }

  show() {
    $("new").hidden = !this.may("admin");
    if (!this.all.length) return fill($("list"), el("li", { class: "empty" }, "No agents yet."));
    return fill($("list"), this.all.map((agent) => el("li", {}, el("button", {
      type: "button", "aria-current": this.current === agent.id ? "true" : undefined, onclick: () => guarded(() => this.choose(agent.id)),
    }, el("span", { class: "who" }, agent.name), el("span", { class: "faint" }, agent.talked ? when(agent.talked) : "new")))));
  }

  async choose(id) {
    this.current = id;
    this.name = this.all.find((each) => each.id === id)?.name || this.name;
    this.show();
    const agent = await this.api(`/agents/${id}`);
    if (this.current !== id) return;
    this.name = agent.name;
    await this.chosen(agent);
  }

  async make() {
    const choices = await this.api("/choices");
    making(choices, {
      make: (body) => this.api("/agents", { method: "POST", body }), arrived: (agent) => this.arrived(agent), takeIn: (file) => this.takeIn(file),
    });
  }

  async takeIn(file) {
    const send = (name) => {
      const form = new FormData();
      form.append("file", file);
      if (name) form.append("name", name);
      return this.api("/agents/file", { method: "POST", form });
    };
    let made;
    try {
      made = await send("");
    } catch (error) {
      if (error.status !== 409) throw error;
      const name = await ask(`${error.message} What else shall it be called?`, { field: "", yes: "Take in" });
      if (!name) return;
      made = await send(name);
    }
    (made.notes || []).forEach(tell);
    await this.arrived(made);
  }

  async arrived(agent) {
    this.current = agent.id;
    this.name = agent.name;
    await this.load();
    await this.choose(agent.id);
    $("message").focus();
  }

  async rename(agent) {
    const name = await ask("What shall it be called?", { field: agent.name, yes: "Rename" });
    if (!name || name === agent.name) return;
    await this.api(`/agents/${agent.id}`, { method: "PATCH", body: { name } });
    await this.load();
  }

  async remove(agent) {
    if (!(await ask(`Delete ${agent.name} with all that it remembers? Nothing brings it back but a file that it was exported to.`, { yes: "Delete", warn: true }))) return;
    await this.api(`/agents/${agent.id}`, { method: "DELETE" });
    this.all = this.all.filter((other) => other.id !== agent.id);
    await this.next();
    tell(`${agent.name} is deleted.`);
  }
}
