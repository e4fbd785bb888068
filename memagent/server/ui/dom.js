// Elements, made without ever reading text as HTML: whatever a model or a file has written stays text.

export function el(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name === "value") made.value = value;
    else if (value === true) made.setAttribute(name, "");
    else made.setAttribute(name, String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export const $ = (id) => document.getElementById(id);

export function fill(place, ...children) {
  place.replaceChildren(...children.flat().filter(Boolean));
  return place;
}

// Something to tell for a moment: what went wrong, or that something was done.
export function tell(text) {
  const note = el("div", {}, String(text));
  $("tell").append(note);
  setTimeout(() => note.remove(), Math.max(4000, 60 * String(text).length));
}

export async function guarded(work) {
  try {
    return await work();
  } catch (error) {
    tell(error.message || error);
    return undefined;
  }
}

export function button(text, onclick, more = {}) {
  return el("button", { type: "button", onclick: () => guarded(onclick), ...more }, text);
}

// A question that has a yes and a no; with `field`, one that asks for a line.
export function ask(question, { yes = "OK", field = null, warn = false } = {}) {
  return new Promise((settle) => {
    const input = field === null ? null : el("input", { value: field, "aria-label": question, required: true });
    const dialog = el("dialog", { "aria-label": question },
      el("form", { method: "dialog" }, el("p", {}, question), input,
        el("div", { class: "row" }, el("button", { value: "no", formnovalidate: true }, "Cancel"),
          el("button", { value: "yes", class: warn ? "warn" : "main" }, yes))));
    dialog.addEventListener("close", () => {
      dialog.remove();
      settle(dialog.returnValue === "yes" ? (input ? input.value.trim() : true) : null);
    });
    document.body.append(dialog);
    dialog.showModal();
    if (input) input.select();
    else dialog.querySelector('[value="yes"]').focus();
  });
}

export function when(iso) {
  const date = new Date(iso);
  const today = new Date();
  const options = date.toDateString() === today.toDateString() ? { hour: "2-digit", minute: "2-digit" }
    : { day: "numeric", month: "short", ...(date.getFullYear() === today.getFullYear() ? {} : { year: "numeric" }) };
  return date.toLocaleString(undefined, options);
}

// A unified diff as lines that were put in and taken out.
export function diffed(diff) {
  const lines = diff.split("\n").filter((line) => !/^(---|\+\+\+|@@)/.test(line));
  return el("div", { class: "edit" }, lines.map((line) => line.startsWith("+") ? el("ins", {}, line.slice(1))
    : line.startsWith("-") ? el("del", {}, line.slice(1)) : el("div", {}, line.slice(1))));
}
