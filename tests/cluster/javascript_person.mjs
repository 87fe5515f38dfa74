/**
 * One user on the JavaScript client, told by lines of JSON: `{"urls", "token", "entry"}` first, then `{"send": [conversation, bodies]}`.
 *
 * Prints `{"state"}` with the instance, `{"shown": [conversation, seq, body]}`, and `{"stored": [seqs]}` when all bodies are stored.
 */

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { urls, token, entry } = JSON.parse((await lines.next()).value);
const { Client } = await import(pathToFileURL(entry));
const client = new Client({ urls, token, cursors: {} });

async function show() {
  for await (const { conversation_id, seq, body } of client.messages()) say({ shown: [conversation_id, seq, body] });
}

async function send([conversation, bodies]) {
  const acks = await Promise.all(bodies.map((body) => client.send(conversation, body)));
  say({ stored: acks.map((ack) => ack.seq) });
}

client.on("state", ({ state }) => say({ state: state.name, instance: client.instanceId }));
client.start();
show();
for await (const line of lines) send(JSON.parse(line).send);
await client.close();
