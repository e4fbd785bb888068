// The dialog in which an agent is made: from a preset and texts that there are, or in words of one's own.
import { button, el, guarded, opened } from "./dom.js";

const OWN = "\u0000own"; // no name can be this

// A choice among what there is, with a line on what is chosen, and room for words of one's own.
function choice(title, found, { chosen = "", none = "", own = "", unchosen = "" }) {
  const told = el("span", { class: "faint told" });
  const select = el("select", {}, none && el("option", { value: "" }, none), own && el("option", { value: OWN }, own),
    Object.keys(found).map((name) => el("option", { value: name, selected: name === chosen }, name.replaceAll("_", " "))));
  const words = el("textarea", { rows: 4, maxlength: 2000, "aria-label": `${title}, in your own words`, hidden: true, placeholder: own });
  const shown = () => {
    words.hidden = select.value !== OWN;
    told.textContent = found[select.value] || (select.value ? "" : unchosen);
    if (!words.hidden) words.focus();
  };
  select.addEventListener("change", shown);
  shown();
  return {
    place: el("div", { class: "choice" }, el("label", {}, title, select), words, told),
    name: () => (select.value === OWN ? "" : select.value),
    words: () => (select.value === OWN ? words.value.trim() : ""),
  };
}

export function making(choices, { make, arrived, takeIn }) {
  const name = el("input", { name: "name", required: true, maxlength: 60, placeholder: "Ada", autocomplete: "off" });
  const usual = choices.personas.companion;
  const unchosen = usual ? `Mostly this, whatever its name above: ${usual}` : "";
  const persona = choice("Who it is", choices.personas, { none: "As its preset says", own: "I write it myself …", unchosen });
  const human = choice("What it knows of you", choices.humans, { none: "Nothing yet", own: "I write it myself …" });
  const preset = choice("What it can do", choices.presets, { chosen: choices.preset });
  const file = el("input", { type: "file", accept: ".png,.json,.charx,.af", class: "unseen", id: "card" });
  const problem = el("p", { class: "failed", hidden: true, role: "alert" });
  const form = el("form", {},
    el("h2", {}, "New agent"),
    el("label", {}, "Name", name), persona.place, human.place, preset.place, problem,
    el("div", { class: "row" }, button("Cancel", () => dialog.close()), el("button", { class: "main", type: "submit" }, "Make")),
    el("label", { class: "drop", for: "card" }, "… or drop a character card here, or choose one", file));
  const dialog = el("dialog", { "aria-label": "New agent" }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const words = Object.fromEntries(Object.entries({ persona: persona.words(), human: human.words() }).filter(([, text]) => text));
    try {
      const made = { name: name.value.trim(), preset: preset.name(), persona: persona.name(), human: human.name(), words };
      const agent = await make(made);
      dialog.close();
      guarded(() => arrived(agent));
    } catch (error) {
      problem.hidden = false;
      problem.textContent = error.message;
    }
  });
  file.addEventListener("change", () => {
    dialog.close();
    if (file.files[0]) guarded(() => takeIn(file.files[0]));
  });
  opened(dialog);
  name.focus();
}
