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
  if ($("tell").lastChild?.textContent === note.textContent) $("tell").lastChild.remove();
  $("tell").append(note);
  setTimeout(() => note.remove(), Math.max(4000, 60 * String(text).length));
}

export async function guarded(work) {
  try {
    return await work();
  } catch (error) {
    if (error.message) tell(error.message);
    return undefined;
  }
}

export function button(text, onclick, more = {}) {
  return el("button", { type: "button", onclick: () => guarded(onclick), ...more }, text);
}

// A dialog that is gone when it is closed; where the focus was, it is again.
export function opened(dialog) {
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before?.isConnected && document.activeElement === document.body) before.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// A question that has a yes and a no; with `field`, one that asks for a line.
export function ask(question, { yes = "OK", field = null, warn = false } = {}) {
  return new Promise((settle) => {
    const input = field === null ? null : el("input", { value: field, "aria-label": question, required: true });
    const dialog = el("dialog", { "aria-label": question },
      el("form", { method: "dialog" }, el("p", {}, question), input,
        el("div", { class: "row" }, el("button", { value: "no", formnovalidate: true }, "Cancel"),
          el("button", { value: "yes", class: warn ? "warn" : "main" }, yes))));
    dialog.addEventListener("close", () => settle(dialog.returnValue === "yes" ? (input ? input.value.trim() : true) : null));
    opened(dialog);
    if (input) input.select();
    else dialog.querySelector(`[value="${warn ? "no" : "yes"}"]`).focus();
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
  return changes(diff.split("\n").slice(2).filter((line) => !line.startsWith("@@")));
}

// Lines that begin with + or -, or stand as they are.
export function changes(lines) {
  return el("div", { class: "edit" }, lines.map((line) => line.startsWith("+") ? el("ins", {}, line.slice(1))
    : line.startsWith("-") ? el("del", {}, line.slice(1)) : el("div", {}, line.slice(1))));
}

// A button that opens a menu: [words, what it does, more about it] each. The arrows move in it, Escape leaves it.
export function menu(title, items) {
  const list = el("div", { class: "menu", role: "menu", "aria-label": title, hidden: true },
    items.filter(Boolean).map(([words, does, more]) => el("button", {
      type: "button", role: "menuitem", tabindex: -1, ...more, onclick: () => { close(); guarded(does); },
    }, words)));
  const opener = el("button", { type: "button", class: "quiet", title, "aria-label": title, "aria-haspopup": "menu", "aria-expanded": "false" }, "⋯");
  const shown = () => [...list.children].filter((item) => item.checkVisibility());
  const away = (event) => { if (!list.contains(event.target) && !opener.contains(event.target)) close(); };
  const close = (back = false) => {
    list.hidden = true;
    opener.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", away);
    if (back) opener.focus();
  };
  const open = () => {
    list.hidden = false;
    opener.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", away);
    shown()[0]?.focus();
  };
  opener.addEventListener("click", () => (list.hidden ? open() : close(true)));
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const all = shown();
    if (step) all.at((all.indexOf(document.activeElement) + step) % all.length).focus();
    else if (event.key === "Home" || event.key === "End") all.at(event.key === "Home" ? 0 : -1).focus();
    else if (event.key === "Escape") close(true);
    else if (event.key === "Tab") close();
    if (step || ["Home", "End", "Escape"].includes(event.key)) event.preventDefault();
  });
  return el("div", { class: "opens" }, opener, list);
}
