// A chat server on Socket.IO, with WebSockets alone. Called with a port, or with --version.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Server } from "socket.io";

const version = JSON.parse(readFileSync(new URL("node_modules/socket.io/package.json", import.meta.url))).version;
if (process.argv[2] === "--version") {
  console.log(`Socket.IO ${version}, Node ${process.version}`);
  process.exit(0);
}

const http = createServer();
const io = new Server(http, { transports: ["websocket"], pingInterval: 300_000 });

io.on("connection", (socket) => {
  socket.on("join", (room) => {
    socket.join(room);
    socket.emit("joined");
  });
  socket.on("send", (room, id, body) => io.to(room).emit("message", { room, id, body }));
});
http.listen(Number(process.argv[2]), "127.0.0.1");
