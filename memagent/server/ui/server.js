// Talking with the server: questions, and the socket over which it tells what happens.

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export async function api(path, { method = "GET", body, form } = {}) {
  const options = { method, credentials: "same-origin", headers: {} };
  if (form) options.body = form;
  else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["content-type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(`/api${path}`, options);
  } catch {
    throw new Refused(0, "The server can't be reached.");
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  const detail = Array.isArray(told.detail) ? told.detail.map((each) => each.msg).join("; ") : told.detail;
  throw new Refused(answer.status, detail || `The server answered ${answer.status}.`);
}

// Send a file; `told` how many bytes have left. Returns when it is `done`, and how to `abort` it.
export function send(path, file, told) {
  const asked = new XMLHttpRequest(); // the one that tells how far it is
  const done = new Promise((settle, fail) => {
    asked.open("PUT", `/api${path}`);
    asked.setRequestHeader("content-type", "application/octet-stream");
    asked.upload.addEventListener("progress", ({ loaded }) => told(loaded));
    asked.addEventListener("load", () => {
      let answer = {};
      try {
        answer = JSON.parse(asked.responseText);
      } catch { /* what stands between us and the server has answered */ }
      if (asked.status === 200) settle(answer);
      else fail(new Refused(asked.status, typeof answer.detail === "string" ? answer.detail : `The server answered ${asked.status}.`));
    });
    asked.addEventListener("error", () => fail(new Refused(0, "it could not be sent. Is it a folder, or is the server away?")));
    asked.addEventListener("abort", () => fail(new Refused(0, "")));
    asked.send(file);
  });
  return { done, abort: () => asked.abort() };
}

// What the protocol calls a thing, as the event that it is.
const NAMES = {
  agent_response_start: "TurnStarted", agent_response_discarded: "Discarded", agent_response_waiting: "Waiting",
  agent_response_error: "Failed", agent_response_end: "TurnEnded", approval_request: "ApprovalAsked",
  memory_edited: "MemoryEdited", heartbeat: "Heartbeat", compacted: "Compacted", notice: "Notice",
};
const SPOKEN = { internal_monologue: "Thought", assistant_message: "Reply" };

function event(message) {
  if (NAMES[message.type]) return { ...message, event: NAMES[message.type] };
  if (message.type === "agent_response_delta") {
    return { event: "Delta", kind: message.message_type === "assistant_message" ? "reply" : "thought", text: message.message };
  }
  if (message.type !== "agent_response") return null;
  if (SPOKEN[message.message_type]) return { event: SPOKEN[message.message_type], text: message.message };
  if (message.status === "running") return { ...message, event: "Called" };
  return { event: "Returned", name: message.name, ok: message.status === "success", text: message.message };
}

// The socket: made again whenever it breaks. Whoever it is for looks then at what there is, for much may have happened.
export class Line {
  constructor({ heard, broke, back }) {
    Object.assign(this, { heard, broke, back, agent: null, pause: 500, socket: null, broken: false });
  }

  follow(agent, number) {
    if (this.agent && this.agent.id !== agent.id) this.leave();
    this.agent = { name: agent.name, id: agent.id, number };
    if (this.socket?.readyState === WebSocket.OPEN) this.load();
    else if (!this.socket || this.socket.readyState > WebSocket.OPEN) this.open();
  }

  leave() {
    if (this.agent) this.send({ type: "command", command: "leave_agent", name: this.agent.name });
    this.agent = null;
  }

  load() {
    this.send({ type: "command", command: "load_agent", name: this.agent.name, after: this.agent.number });
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  open() {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    this.socket = socket;
    socket.addEventListener("open", () => {
      this.pause = 500;
      if (this.broken) this.back(); // follows again, from where it stands now
      else if (this.agent) this.load();
      this.broken = false;
    });
    socket.addEventListener("message", ({ data }) => this.hear(JSON.parse(data)));
    socket.addEventListener("close", () => {
      if (this.socket !== socket) return;
      this.broken = true;
      this.broke();
      setTimeout(() => this.agent && this.socket === socket && this.open(), this.pause);
      this.pause = Math.min(this.pause * 2, 8000);
    });
  }

  hear(message) {
    if (message.type === "server_error") return this.heard({ event: "Refused", message: message.message });
    if (!this.agent || (message.agent && message.agent !== this.agent.id)) return undefined;
    if (message.type === "missed") return this.heard({ event: "Missed" });
    if (typeof message.number === "number") this.agent.number = message.number;
    const told = event(message);
    return told ? this.heard(told, message.run, message.number) : undefined;
  }
}
