// A chat server on ws. Called with a port, or with --version.
import { readFileSync } from "node:fs";
import { WebSocketServer } from "ws";

const version = JSON.parse(readFileSync(new URL("node_modules/ws/package.json", import.meta.url))).version;
if (process.argv[2] === "--version") {
  console.log(`ws ${version}, Node ${process.version}`);
  process.exit(0);
}

const rooms = new Map();
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), perMessageDeflate: false });

server.on("connection", (socket) => {
  let room = "";
  socket.on("message", (data) => {
    const frame = JSON.parse(data);
    if (frame.type === "join") {
      room = frame.room;
      if (!rooms.has(room)) rooms.set(room, new Set());
      rooms.get(room).add(socket);
      socket.send('{"type":"joined"}');
      return;
    }
    const text = JSON.stringify({ type: "message", room, id: frame.id, body: frame.body });
    for (const member of rooms.get(room)) member.send(text);
  });
  socket.on("error", () => socket.terminate());
  socket.on("close", () => {
    const members = rooms.get(room);
    members?.delete(socket);
    if (members?.size === 0) rooms.delete(room);
  });
});
