// static/chat.js
import { Client, RestFailed, Unauthorized } from "@holdfast/client";

const CHAT = "http://localhost:8000"; // where Holdfast is
const other = new URLSearchParams(location.search).get("with");
const find = (id) => document.getElementById(id);

// Your backend knows the user by its own session, and gives a token for the chat.
async function fetchToken() {
  const answer = await fetch("/session/chat-token", { method: "POST" });
  if (answer.status === 401) throw new Unauthorized("sign in first"); // ends the client
  if (!answer.ok) throw new Error(`no token: ${answer.status}`); // the client asks again later
  return (await answer.json()).token;
}

const client = new Client({ urls: [CHAT], token: fetchToken }).start();

function showState({ name, reason }) {
  find("state").textContent = reason ? `${name}: ${reason.code}, ${reason.detail}` : `${name} ${client.instanceId}`;
}

client.on("state", ({ state }) => showState(state));

function line(text) {
  const item = document.createElement("li");
  item.textContent = text; // never as HTML: other users wrote it
  return item;
}

let shown = 0; // the seq of the last message on the page

function show({ seq, sender, body }) {
  if (seq <= shown) return; // the history had it
  shown = seq;
  find("messages").append(line(`${sender}: ${body}`));
}

// Sends that are not stored yet, and those that failed.
client.on("outbox", () => {
  const entries = client.outbox.entries;
  find("unsent").replaceChildren(...entries.map(({ body, state, error }) => line(`${body} (${error?.code ?? state})`)));
});

// Connected first, history after that: no message falls between the two.
async function open() {
  await client.connected();
  try {
    const { conversation_id } = await client.rest.direct(other);
    const { messages } = await client.rest.history(conversation_id, { limit: 50 });
    messages.forEach(show);
    showState(client.state);
    return conversation_id;
  } catch (error) {
    if (!(error instanceof RestFailed && error.retryable)) throw error;
    find("state").textContent = `not yet: ${error.code}, ${error.detail}`; // look into the console, too: a browser tells no more
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    return open();
  }
}

async function run() {
  const conversationId = await open();
  find("form").addEventListener("submit", (event) => {
    event.preventDefault();
    client.send(conversationId, find("text").value).catch(() => {}); // a failure stands in the outbox
    find("text").value = "";
  });
  for await (const message of client.messages()) {
    if (message.conversation_id === conversationId) show(message);
  }
}

run().catch((error) => (find("state").textContent = `ended: ${error.code ?? error.message}`));
