// What an agent says, as it is meant to look: paragraphs, lists, code, emphasis. Only elements are made, no HTML is read.
// A link shows where it leads; nothing is ever loaded from where it leads to. Every text is read in one pass, however
// odd it is: a bracket that is never closed is looked for once.
import { el } from "./dom.js";

const MARK = /[`*[!h]/g;
const ADDRESS = /https?:\/\/[^\s<>"'`)\]]+/y;
const ITEM = /^\s*([-*+]|\d{1,3}[.)])\s+/;
const LONGEST = 200000; // what is longer is shown as it is written

function link(text, address) {
  let place = null;
  try {
    place = new URL(address);
  } catch {
    // no address at all
  }
  if (!place || !["http:", "https:", "mailto:"].includes(place.protocol)) return [`${text} (${address})`];
  const made = el("a", { href: place.href, rel: "noopener noreferrer nofollow", target: "_blank" }, text || place.href);
  return text && text !== address ? [made, " ", el("span", { class: "address" }, `(${place.href})`)] : [made];
}

// Where something stands next in a text; what was looked for once is not looked for again.
class Ahead {
  constructor(text) {
    this.text = text;
    this.known = new Map();
  }

  next(what, from) {
    let at = this.known.get(what) ?? -1;
    if (at < from) {
      at = this.text.indexOf(what, from);
      if (at < 0) at = Infinity;
      this.known.set(what, at);
    }
    return at;
  }
}

// What stands at a mark, and where it ends; nothing, if the mark means itself.
function marked(text, at, ahead) {
  if (text[at] === "`") {
    let ticks = 1;
    while (text[at + ticks] === "`") ticks += 1;
    const end = ahead.next("`".repeat(ticks), at + ticks);
    return end < Infinity ? [[el("code", {}, text.slice(at + ticks, end).trim())], end + ticks] : [["`".repeat(ticks)], at + ticks];
  }
  if (text.startsWith("**", at)) {
    const end = ahead.next("**", at + 2);
    return end < Infinity && end > at + 2 ? [[el("strong", {}, text.slice(at + 2, end))], end + 2] : [["**"], at + 2];
  }
  if (text[at] === "*") {
    const end = ahead.next("*", at + 1);
    const apart = /\s/.test(text[at + 1] ?? " ") || /\w/.test(text[at - 1] ?? " ");
    return !apart && end < Infinity && !/\s/.test(text[end - 1]) ? [[el("em", {}, text.slice(at + 1, end))], end + 1] : null;
  }
  if (text[at] === "h") {
    ADDRESS.lastIndex = at;
    const found = ADDRESS.exec(text)?.[0].replace(/[.,;:!?]$/, "");
    return found ? [link("", found), at + found.length] : null;
  }
  const start = text[at] === "!" ? at + 1 : at;
  if (text[start] !== "[") return null;
  const middle = ahead.next("](", start + 1);
  if (middle > start + 1000) return null;
  const end = ahead.next(")", middle + 2);
  if (end > middle + 2000) return null;
  const label = text.slice(start + 1, middle);
  const address = text.slice(middle + 2, end);
  return /[[\n]/.test(label) || /[\s(]/.test(address) || !address ? null : [link(label, address), end + 1];
}

function inline(text) {
  const made = [];
  const ahead = new Ahead(text);
  let plain = 0;
  MARK.lastIndex = 0;
  for (let found = MARK.exec(text); found; found = MARK.exec(text)) {
    const at = found.index;
    const there = marked(text, at, ahead);
    if (there) {
      if (at > plain) made.push(text.slice(plain, at));
      made.push(...there[0]);
      plain = there[1];
      MARK.lastIndex = plain;
    } else {
      MARK.lastIndex = at + 1;
    }
  }
  made.push(text.slice(plain));
  return made;
}

// The lines from one place on that stand in a fence, and where it ends.
function fenced(lines, at, fence) {
  let end = at + 1;
  while (end < lines.length && !lines[end].trim().startsWith(fence)) end += 1;
  return [el("pre", {}, el("code", {}, lines.slice(at + 1, end).join("\n"))), end];
}

function listed(lines, at, kind) {
  const list = el(kind);
  let end = at;
  for (; end < lines.length && ITEM.test(lines[end]); end += 1) list.append(el("li", {}, inline(lines[end].replace(ITEM, ""))));
  return [list, end - 1];
}

export function worded(text) {
  if (text.length > LONGEST) return [el("div", { class: "as-is" }, text)];
  const made = [];
  const lines = text.split("\n");
  let open = null; // the paragraph that a line would go on with
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at];
    const fence = line.match(/^\s*(`{3,}|~{3,})/);
    const item = line.match(ITEM);
    let block = null;
    if (fence) [block, at] = fenced(lines, at, fence[1]);
    else if (item) [block, at] = listed(lines, at, /\d/.test(item[1]) ? "ol" : "ul");
    else if (/^#{1,6}\s/.test(line)) block = el("p", {}, el("strong", {}, inline(line.replace(/^#+\s*/, ""))));
    else if (line.startsWith("> ")) block = el("blockquote", {}, inline(line.slice(2)));
    if (block) {
      made.push(block);
      open = null;
    } else if (!line.trim()) {
      open = null;
    } else if (open) {
      open.append(el("br"), ...inline(line));
    } else {
      open = el("p", {}, inline(line));
      made.push(open);
    }
  }
  return made;
}
