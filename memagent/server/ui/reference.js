// The reference of the API, made from its description: every route, what it takes and answers, and a way to try it.
import { $, button, el, fill, guarded, tell } from "./dom.js";
import { Shapes } from "./shapes.js";

const LAST = ["health", "page"]; // of these, fewest want to know
const MOST = 200000; // so many characters of an answer are shown
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

class Route {
  constructor(shapes, path, method, about) {
    Object.assign(this, { shapes, path, about, method: method.toUpperCase(), inputs: new Map() });
    [[this.kind, this.body] = []] = [Object.entries(about.requestBody?.content || {})[0]];
    this.words = `${this.method} ${path} ${about.description || ""}`.toLowerCase();
    this.place = el("details", { class: "route", id: about.operationId, ontoggle: () => this.toggled() },
      el("summary", {}, el("span", { class: `method ${method}` }, this.method), el("code", {}, path),
        about["x-scope"] && el("span", { class: "badge", title: `A key needs the scope ${about["x-scope"]}` }, about["x-scope"]),
        el("span", { class: "faint" }, about.description || about.summary)));
  }

  toggled() {
    if (!this.place.open) return;
    history.replaceState(null, "", `#${this.about.operationId}`);
    if (this.form) return;
    this.curl = el("pre", { tabindex: 0, "aria-label": "The same with curl" });
    this.answer = el("div", { "aria-live": "polite" });
    this.sending = el("button", { type: "submit", class: this.method === "DELETE" ? "warn" : "main" }, "Send");
    this.form = el("form", { oninput: () => this.show(), onsubmit: (event) => { event.preventDefault(); guarded(() => this.send()); } },
      (this.about.parameters || []).map((each) => this.parameter(each)), this.kind && this.fields(),
      this.curl, el("div", { class: "row" }, this.sending, button("Copy curl", () => this.copy()), this.stopping()));
    this.place.append(el("div", {}, this.form, this.answer, this.answers()));
    this.show();
  }

  parameter({ name, in: where, required, description, schema }) {
    return this.field(`${where} ${name}`, name, schema, required, description || (where === "path" ? "part of the path" : ""));
  }

  field(key, name, schema, required, about = "") {
    const options = schema.type === "boolean" ? ["true", "false"] : schema.enum || schema.anyOf?.find((each) => each.enum)?.enum;
    const file = schema.format === "binary" || schema.contentMediaType;
    const input = options && !schema.anyOf?.some((each) => each.type === "string" && !each.enum)
      ? el("select", { required }, [required ? null : el("option", { value: "" }, "—"), ...options.map((each) => el("option", {}, each))])
      : el("input", { type: file ? "file" : "text", required, autocomplete: "off", spellcheck: "false" });
    this.inputs.set(key, input);
    return el("label", {}, el("span", {}, el("code", {}, name), " ", el("span", { class: "faint" }, [file ? "a file" : this.shapes.told(schema), required && "required", about].filter(Boolean).join(" · "))), input);
  }

  fields() {
    if (this.kind === "multipart/form-data") {
      const { schema } = this.shapes.resolved(this.body.schema, []);
      return Object.entries(schema.properties).map(([name, each]) => this.field(`form ${name}`, name, each, schema.required?.includes(name), each.description));
    }
    const input = el("textarea", { value: JSON.stringify(this.shapes.example(this.body.schema), null, 2), spellcheck: "false", "aria-label": "Body" });
    this.inputs.set("body", input);
    return el("div", {}, el("label", {}, el("span", {}, "Body ", el("span", { class: "faint" }, "JSON; this is what must be in it")), input),
      el("details", {}, el("summary", { class: "faint" }, "What may be in it"), el("pre", { tabindex: 0, "aria-label": "What may be in the body" }, this.shapes.told(this.body.schema))));
  }

  answers() {
    const entries = Object.entries(this.about.responses || {});
    const good = entries.filter(([code]) => code < "300");
    const told = (of) => Object.values(of.content || {})[0]?.schema;
    return el("div", {}, el("h3", {}, "Answers"),
      good.map(([code, of]) => told(of) && Object.keys(told(of)).length && el("pre", { tabindex: 0, "aria-label": `What ${code} answers` }, `${code} ${this.shapes.told(told(of))}`)),
      el("ul", { class: "codes" }, entries.map(([code, of]) => el("li", {}, `${code}: ${of.description}`))));
  }

  value(key) {
    return this.inputs.get(key)?.value ?? "";
  }

  // The request as it stands in the form.
  request() {
    const given = [...this.inputs].filter(([, input]) => input.value);
    const of = (kind) => given.filter(([key]) => key.startsWith(`${kind} `)).map(([key, input]) => [key.slice(kind.length + 1), input]);
    const path = this.path.replaceAll(/{(\w+)}/g, (whole, name) => encodeURIComponent(this.value(`path ${name}`)) || whole);
    const query = new URLSearchParams(of("query").map(([name, input]) => [name, input.value])).toString();
    const headers = $("key").value ? { authorization: `Bearer ${$("key").value.trim()}` } : {};
    let body;
    if (this.inputs.has("body")) {
      body = this.value("body");
      headers["content-type"] = "application/json";
    } else if (this.kind) {
      body = new FormData();
      for (const [name, input] of of("form")) body.append(name, input.files ? input.files[0] : input.value);
    }
    return { url: `${path}${query && `?${query}`}`, headers, body };
  }

  show() {
    const { url, headers, body } = this.request();
    const parts = [`curl ${this.method === "GET" ? "" : `-X ${this.method} `}${quoted(location.origin + url)}`];
    if (headers.authorization || this.about["x-scope"]) parts.push('-H "Authorization: Bearer $MEMAGENT_KEY"');
    if (typeof body === "string") parts.push("-H 'Content-Type: application/json'", `-d ${quoted(body)}`);
    else if (body) for (const [name, value] of body) parts.push(`-F ${quoted(`${name}=${value.name ? `@${value.name}` : value}`)}`);
    this.curl.textContent = parts.join(" \\\n  ");
  }

  async copy() {
    await navigator.clipboard.writeText(this.curl.textContent);
    tell("Copied.");
  }

  stopping() {
    this.stop = button("Stop", () => this.ending.abort(), { hidden: true });
    return this.stop;
  }

  async send() {
    const { url, headers, body } = this.request();
    const state = el("h3", {}, "…");
    const text = el("pre", { tabindex: 0, "aria-label": "The answer", hidden: true });
    fill(this.answer, state, text);
    this.ending = new AbortController();
    this.sending.disabled = true;
    this.stop.hidden = false;
    const began = performance.now();
    try {
      const answer = await fetch(url, { method: this.method, headers, body, credentials: "same-origin", signal: this.ending.signal });
      state.textContent = `${answer.status} ${answer.statusText} · ${Math.round(performance.now() - began)} ms`;
      await this.read(answer, text);
    } catch (error) {
      if (state.textContent === "…") state.textContent = error.name === "AbortError" ? "Stopped." : "The server can't be reached.";
    } finally {
      this.sending.disabled = false;
      this.stop.hidden = true;
    }
  }

  // What comes is shown as it comes; JSON, when it is whole, in its lines.
  async read(answer, place) {
    const kind = answer.headers.get("content-type") || "";
    if (!/json|text/.test(kind)) {
      const size = (await answer.blob()).size;
      return size ? place.replaceWith(el("p", {}, `${kind}, ${size.toLocaleString()} bytes`)) : undefined;
    }
    let text = "";
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      text += piece.value;
      place.hidden = false;
      place.textContent = text.length > MOST ? `${text.slice(0, MOST)}…` : text;
    }
    if (kind.includes("json") && text.length <= MOST) place.textContent = JSON.stringify(JSON.parse(text), null, 2);
    return undefined;
  }
}

function parts(description) {
  const shapes = new Shapes(description);
  const found = new Map();
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, about] of Object.entries(methods)) {
      const name = about.tags?.[0] || "more";
      found.set(name, [...(found.get(name) || []), new Route(shapes, path, method, about)]);
    }
  }
  return [...found].sort(([one], [other]) => LAST.indexOf(one) - LAST.indexOf(other));
}

async function begin() {
  const theme = localStorage.getItem("theme");
  if (theme && theme !== "auto") document.documentElement.dataset.theme = theme;
  const answer = await fetch("/openapi.json");
  const description = await answer.json();
  const all = parts(description);
  fill($("routes"), el("p", {}, description.info.description), all.map(([name, routes], at) => el("section", { id: `part-${at}`, "aria-label": name }, el("h2", {}, name), routes.map((route) => route.place))),
    el("p", { class: "empty", id: "none", hidden: true }, "There is no such route."));
  fill($("parts"), all.map(([name, routes], at) => el("li", {}, el("a", { href: `#part-${at}` }, name, el("span", { class: "faint" }, routes.length)))));
  const routes = all.flatMap(([, each]) => each);
  const sift = () => {
    const words = $("find").value.toLowerCase().split(/\s+/);
    routes.forEach((route) => { route.place.hidden = !words.every((word) => route.words.includes(word)); });
    all.forEach(([, each], at) => { $(`part-${at}`).hidden = each.every((route) => route.place.hidden); });
    $("none").hidden = routes.some((route) => !route.place.hidden);
  };
  const all_again = () => {
    $("find").value = "";
    sift();
  };
  const go = () => {
    const meant = location.hash && document.getElementById(location.hash.slice(1));
    if (!meant) return;
    if (meant.closest("[hidden]")) all_again(); // what an address leads to is seen, whatever was searched for
    meant.open = true;
    meant.scrollIntoView();
  };
  $("find").addEventListener("input", sift);
  $("parts").addEventListener("click", all_again);
  window.addEventListener("hashchange", go);
  $("key").addEventListener("input", () => routes.forEach((route) => route.form && route.show()));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input, textarea, select")) return;
    event.preventDefault();
    $("find").focus();
  });
  go();
}

guarded(begin);
