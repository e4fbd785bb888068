// Drives a server with the package that is published for TypeScript, and tells what came of it as JSON.
import { createRequire } from "node:module";

const [address, key, packages] = process.argv.slice(2);
const { Letta } = createRequire(`${packages}/`)("@letta-ai/letta-client");
const client = new Letta({ baseURL: address, apiKey: key, maxRetries: 0 });
const told = {};

const agent = await client.agents.create({
  name: "ada",
  model: "openai/gpt-4o-mini",
  memory_blocks: [{ label: "human", value: "Bo." }, { label: "persona", value: "I am Ada." }],
  tags: ["typescript"],
});
for (let number = 0; number < 3; number += 1) await client.agents.create({ name: `other ${number}` });
told.agents = [];
for await (const each of client.agents.list({ limit: 2, order: "asc" })) told.agents.push(each.name);

const answer = await client.agents.messages.create(agent.id, { messages: [{ role: "user", content: "note likes tea" }] });
told.kinds = answer.messages.map((message) => message.message_type);
told.stop = answer.stop_reason.stop_reason;

told.streamed = "";
const stream = await client.agents.messages.create(agent.id, { input: "words", streaming: true, stream_tokens: true });
for await (const chunk of stream) if (chunk.message_type === "assistant_message") told.streamed += chunk.content;

told.listed = [];
for await (const message of client.agents.messages.list(agent.id, { limit: 2, order: "asc" })) told.listed.push(message.id);

told.block = (await client.agents.blocks.retrieve("human", { agent_id: agent.id })).value;
await client.agents.passages.create(agent.id, { text: "The blue key opens the shed.", tags: ["keys"] });
told.found = (await client.agents.passages.search(agent.id, { query: "blue key" })).results.map((each) => each.content);
told.runs = (await client.runs.list()).items.map((run) => run.status);
const file = await client.agents.exportFile(agent.id);
told.file = JSON.parse(typeof file === "string" ? file : JSON.stringify(file)).agents[0].name;
try {
  await client.agents.retrieve("agent-00000000-0000-0000-0000-000000000000");
} catch (error) {
  told.missing = error.status;
}
await client.agents.delete(agent.id);
process.stdout.write(JSON.stringify(told));
