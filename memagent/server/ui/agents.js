// The agents: to choose, to make from presets or from a card that is dropped in, to rename, to take along, to delete.
import { $, ask, button, el, fill, guarded, tell, when } from "./dom.js";

export class Agents {
  constructor(api, may, chosen) {
    Object.assign(this, { api, may, chosen, all: [], current: null });
    $("new").addEventListener("click", () => guarded(() => this.make()));
    for (const kind of ["dragover", "dragleave", "drop"]) {
      window.addEventListener(kind, (event) => {
        event.preventDefault();
        document.body.classList.toggle("dropping", kind === "dragover");
        if (kind === "drop" && event.dataTransfer.files[0]) guarded(() => this.takeIn(event.dataTransfer.files[0]));
      });
    }
  }

  async load() {
    this.all = await this.api("/agents");
    this.show();
  }

  show() {
    $("new").hidden = !this.may("admin");
    fill($("list"), this.all.map((agent) => el("li", {}, el("button", {
      type: "button", "aria-current": this.current === agent.id ? "true" : undefined, onclick: () => guarded(() => this.choose(agent.id)),
    }, el("span", { class: "who" }, agent.name), el("span", { class: "faint" }, agent.talked ? when(agent.talked) : "new")))));
  }

  async choose(id) {
    this.current = id;
    this.show();
    const agent = await this.api(`/agents/${id}`);
    if (this.current === id) await this.chosen(agent);
  }

  async make() {
    const choices = await this.api("/choices");
    const options = (names, chosen, none) => [none && el("option", { value: "" }, none),
      ...names.map((name) => el("option", { value: name, selected: name === chosen }, name))];
    const name = el("input", { name: "name", required: true, maxlength: 60, placeholder: "Ada" });
    const fields = { preset: options(choices.presets, choices.preset), persona: options(choices.personas, "", "as its preset says"), human: options(choices.humans, "", "as its preset says") };
    const selects = Object.fromEntries(Object.entries(fields).map(([key, made]) => [key, el("select", { name: key }, made)]));
    const file = el("input", { type: "file", accept: ".png,.json,.charx,.af", class: "unseen", id: "card" });
    const problem = el("p", { class: "failed", hidden: true, role: "alert" });
    const form = el("form", {},
      el("h2", {}, "New agent"),
      el("label", {}, "Name", name),
      el("label", {}, "Preset: how it thinks, and what it can do", selects.preset),
      el("label", {}, "Persona: who it is", selects.persona),
      el("label", {}, "Human: what it knows of you", selects.human),
      problem,
      el("div", { class: "row" }, button("Cancel", () => dialog.close()), el("button", { class: "main", type: "submit" }, "Make")),
      el("label", { class: "drop", for: "card" }, "… or drop a character card here, or choose one", file));
    const dialog = el("dialog", { "aria-label": "New agent" }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const body = { name: name.value.trim(), ...Object.fromEntries(Object.entries(selects).map(([key, select]) => [key, select.value])) };
      try {
        const made = await this.api("/agents", { method: "POST", body });
        dialog.close();
        await this.arrived(made);
      } catch (error) {
        problem.hidden = false;
        problem.textContent = error.message;
      }
    });
    file.addEventListener("change", () => {
      dialog.close();
      if (file.files[0]) guarded(() => this.takeIn(file.files[0]));
    });
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    name.focus();
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
    await this.load();
    await this.choose(agent.id);
    $("message").focus();
  }

  async rename(agent) {
    const name = await ask("What shall it be called?", { field: agent.name, yes: "Rename" });
    if (!name || name === agent.name) return;
    await this.api(`/agents/${agent.id}`, { method: "PATCH", body: { name } });
    await this.load();
    await this.choose(agent.id);
  }

  async remove(agent) {
    if (!(await ask(`Delete ${agent.name} with all that it remembers? Nothing brings it back but a file that it was exported to.`, { yes: "Delete", warn: true }))) return;
    await this.api(`/agents/${agent.id}`, { method: "DELETE" });
    this.current = null;
    await this.load();
    if (this.all.length) await this.choose(this.all[0].id);
    else await this.chosen(null);
  }
}
