// What an agent says, as it is meant to look: paragraphs, lists, code, emphasis. Only elements are made, no HTML is read.
// A link shows where it leads; nothing is ever loaded from where it leads to.
import { el } from "./dom.js";

const INLINE = /(`+)(.+?)\1|\*\*(.+?)\*\*|\*([^*\s](?:[^*]*[^*\s])?)\*|!?\[([^\]\n]*)\]\(([^()\s]+)\)|(https?:\/\/[^\s<>"')\]]+)/g;

function link(text, address) {
  let place;
  try {
    place = new URL(address);
  } catch {
    return [`${text} (${address})`];
  }
  if (!["http:", "https:", "mailto:"].includes(place.protocol)) return [`${text} (${address})`];
  const made = el("a", { href: place.href, rel: "noopener noreferrer nofollow", target: "_blank" }, text || place.href);
  return text && text !== address ? [made, " ", el("span", { class: "address" }, `(${place.href})`)] : [made];
}

function inline(text) {
  const made = [];
  let at = 0;
  for (const found of text.matchAll(INLINE)) {
    if (found.index > at) made.push(text.slice(at, found.index));
    const [whole, , code, strong, weak, label, target, bare] = found;
    if (code !== undefined) made.push(el("code", {}, code.trim()));
    else if (strong !== undefined) made.push(el("strong", {}, strong));
    else if (weak !== undefined) made.push(el("em", {}, weak));
    else made.push(...link(bare ? "" : label, bare ?? target));
    at = found.index + whole.length;
  }
  made.push(text.slice(at));
  return made;
}

export function worded(text) {
  const made = [];
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at];
    const fence = line.match(/^\s*(`{3,}|~{3,})/);
    const item = line.match(/^\s*([-*+]|\d{1,3}[.)])\s+/);
    if (fence) {
      const end = lines.findIndex((other, n) => n > at && other.trim().startsWith(fence[1]));
      made.push(el("pre", {}, el("code", {}, lines.slice(at + 1, end < 0 ? undefined : end).join("\n"))));
      at = end < 0 ? lines.length : end;
    } else if (item) {
      const list = el(/\d/.test(item[1]) ? "ol" : "ul");
      for (; at < lines.length && /^\s*([-*+]|\d{1,3}[.)])\s+/.test(lines[at]); at += 1) {
        list.append(el("li", {}, inline(lines[at].replace(/^\s*([-*+]|\d{1,3}[.)])\s+/, ""))));
      }
      at -= 1;
      made.push(list);
    } else if (/^#{1,6}\s/.test(line)) {
      made.push(el("p", {}, el("strong", {}, inline(line.replace(/^#+\s*/, "")))));
    } else if (line.startsWith("> ")) {
      made.push(el("blockquote", {}, inline(line.slice(2))));
    } else if (line.trim()) {
      const last = made.at(-1);
      const joined = last?.tagName === "P" && lines[at - 1]?.trim() && !/^#{1,6}\s/.test(lines[at - 1]);
      if (joined) last.append(el("br"), ...inline(line));
      else made.push(el("p", {}, inline(line)));
    }
  }
  return made;
}
